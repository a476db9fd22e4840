/** How orders read configurations: what runs, what stands in the file, and what was in force before. */
import type { EffectiveValue } from '../config/effective.ts'
import {
  type ConfigurationSource,
  type FoundProblem,
  InvalidConfiguration,
  type ReadConfiguration,
  type ReadingRules,
  readConfiguration,
  readConfigurationText,
} from '../config/load.ts'
import { masked } from '../log/redaction.ts'
import { Failure } from '../os/failure.ts'
import type { HistoryEntry } from '../record/configuration-history.ts'
import type { OrderedConfiguration, OrderedMonitor } from './monitor.ts'
import { OrderRefusal } from './order.ts'

/** What an answer has of a value: without secrets. */
export function shown({ path, value, isSecret, origin }: EffectiveValue) {
  const key = path.split('.').at(-1) ?? ''
  const safe = isSecret ? '[redacted]' : masked({ [key]: value })[key]
  return {
    path,
    value: safe,
    origin: {
      kind: origin.kind,
      line: origin.kind === 'file' ? origin.line : null,
      template: origin.kind === 'template' ? origin.template : null,
    },
  }
}

/** @throws OrderRefusal when the monitor runs without a file. */
export function demandFile(monitor: OrderedMonitor): OrderedConfiguration & { source: ConfigurationSource } {
  const configuration = monitor.configuration()
  const { source } = configuration
  if (source !== undefined) return { ...configuration, source }
  const next = 'start the monitor with --config FILE; proxy-monitor --init writes a file to begin with'
  throw new OrderRefusal('no-configuration-file', 'the monitor runs without a configuration file', next)
}

/** @throws OrderRefusal when there is none of this id. */
export function entryOf(history: readonly HistoryEntry[], id: number): HistoryEntry {
  const entry = history.find((one) => one.id === id)
  if (entry !== undefined) return entry
  const known = history.map((one) => one.id).join(', ')
  const next = known === '' ? 'none is kept yet' : `name one of ${known}`
  throw new OrderRefusal('unknown-configuration', `the history has no configuration ${id}`, next)
}

/** What runs was valid when it was read; what it names besides, such as templates, may be gone by now. */
export async function readAgain(
  source: ConfigurationSource,
  mayRead?: ReadingRules['mayRead'],
): Promise<ReadConfiguration | undefined> {
  const judged = await judge(source, mayRead)
  return 'problems' in judged ? undefined : judged
}

/** Reads a configuration, or says what is wrong with it. */
export async function judge(
  source: ConfigurationSource,
  mayRead?: ReadingRules['mayRead'],
): Promise<ReadConfiguration | { readonly problems: readonly FoundProblem[] }> {
  try {
    return await readConfiguration(source, mayRead === undefined ? {} : { mayRead })
  } catch (error) {
    if (error instanceof InvalidConfiguration) return { problems: error.found }
    // A template beside it cannot be read.
    if (error instanceof Failure) return { problems: [{ line: null, place: '', message: error.message }] }
    throw error
  }
}

/** What stands in a configuration file now, or why it cannot be read. */
export function onDisk(file: string): string | { readonly problems: FoundProblem[] } {
  try {
    return readConfigurationText(file)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return { problems: [{ line: null, place: '', message: error.message }] }
  }
}

/** The files of patterns that a configuration names: only those may be read for somebody who has a key, and no shell. */
export async function filesReadBy(source: ConfigurationSource): Promise<(file: string) => boolean> {
  const read = new Set<string>()
  await readAgain(source, (file) => {
    read.add(file)
    return true
  })
  return (file) => read.has(file)
}
