import path from 'node:path'
import type { ConfigurationSource } from '../config/load.ts'
import type { OrderedProgram } from '../config/ordered-changes.ts'
import { writeFileAtomically } from '../os/atomic-file.ts'
import { errorCode, errorText, exitCode, Failure } from '../os/failure.ts'
import { readTrustedFile } from '../os/regular-file.ts'
import { demandOwnDirectory, fileNames } from './state-directory.ts'

/** One order, so that it can be taken back. */
export interface UndoStep {
  /** Wall time, ISO 8601. */
  readonly at: string
  /** Whose order it was, in words. */
  readonly by: string
  readonly program: string
  /** What orders had changed of that program before; null = nothing. */
  readonly before: OrderedProgram | null
}

export interface KeptChanges {
  /** In the order in which programs were first changed. */
  readonly programs: readonly OrderedProgram[]
  /** The newest last. */
  readonly undo: readonly UndoStep[]
}

/** Orders that can be taken back. */
const mostSteps = 20

const nothing: KeptChanges = { programs: [], undo: [] }

/**
 * What orders have changed of the configuration, in `configuration-changes.json` (0600), apart from the file of the person. Only a file that
 * no other user can change is read; one that is damaged holds nothing, and is not written over.
 */
export class ConfigurationChanges {
  readonly #directory: string
  readonly #file: string
  #last: Promise<unknown> = Promise.resolve()

  constructor(stateDirectory: string) {
    this.#directory = stateDirectory
    this.#file = path.join(stateDirectory, fileNames.configurationChanges)
  }

  /** @throws Failure (78) when the file is damaged, or cannot be trusted. */
  read(): KeptChanges {
    try {
      return parseChanges(readTrustedFile(this.#file))
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return nothing
      const cure = 'mend it, or move it away to do without the changes of orders'
      throw new Failure(`${this.#file} cannot be used: ${errorText(error)}; ${cure}`, exitCode.configuration)
    }
  }

  /** What a configuration file is together with these changes. What cannot be read counts as none; `problem` says why. */
  beside(source: Pick<ConfigurationSource, 'file' | 'text'>): ConfigurationSource & { problem?: string } {
    try {
      const { programs } = this.read()
      return programs.length === 0 ? source : { ...source, changes: programs }
    } catch (error) {
      return { ...source, problem: errorText(error) }
    }
  }

  /** @throws the system's error when it cannot be written. */
  write({ programs, undo }: KeptChanges): void {
    demandOwnDirectory(this.#directory)
    const content = { schemaVersion: 1, programs, undo: undo.slice(-mostSteps) }
    writeFileAtomically(this.#file, `${JSON.stringify(content, null, 1)}\n`)
  }

  /** Does a piece of work when the one before is done: each begins with what the one before has written. */
  inTurn<Outcome>(work: () => Promise<Outcome>): Promise<Outcome> {
    const done = this.#last.then(work)
    this.#last = done.catch(() => {})
    return done
  }
}

/** @throws when it is not what `ConfigurationChanges` writes. What the values may be is judged with the whole configuration. */
export function parseChanges(text: string): KeptChanges {
  const value = JSON.parse(text) as { schemaVersion?: unknown; programs?: unknown; undo?: unknown } | null
  if (value?.schemaVersion !== 1 || !Array.isArray(value.programs) || !Array.isArray(value.undo))
    throw new Error('it holds no changes of this version')
  for (const [index, program] of value.programs.entries())
    if (!isProgram(program)) throw new Error(`programs[${index}] is damaged`)
  for (const [index, step] of value.undo.entries())
    if (!isStep(step)) throw new Error(`undo[${index}] is damaged`)
  return { programs: value.programs, undo: value.undo }
}

const keys: ReadonlySet<string> = new Set<keyof OrderedProgram>([
  'name',
  'added',
  'env',
  'patterns',
  'restart',
  'limits',
  'autostart',
])

const scalar = (value: unknown) => typeof value === 'string' || typeof value === 'number'

function isProgram(value: unknown): value is OrderedProgram {
  if (!isKeys(value) || typeof value.name !== 'string') return false
  const { added, env, patterns, restart, limits, autostart } = value
  return (
    // Another key, such as a command, would go into the configuration.
    Object.keys(value).every((key) => keys.has(key)) &&
    (added === undefined || isAdded(added)) &&
    isRecordOf(env, (one) => typeof one === 'string') &&
    isRecordOf(patterns, Array.isArray) &&
    isRecordOf(restart, scalar) &&
    isRecordOf(limits, scalar) &&
    (autostart === undefined || typeof autostart === 'boolean')
  )
}

function isAdded(value: unknown): boolean {
  if (!isKeys(value)) return false
  const { template, port, cwd, ...more } = value
  const isPort = port === undefined || typeof port === 'number'
  return typeof template === 'string' && typeof cwd === 'string' && isPort && Object.keys(more).length === 0
}

function isStep(value: unknown): boolean {
  if (!isKeys(value)) return false
  const isText = [value.at, value.by, value.program].every((one) => typeof one === 'string')
  return isText && (value.before === null || isProgram(value.before))
}

function isRecordOf(value: unknown, isMember: (one: unknown) => boolean): boolean {
  return value === undefined || (isKeys(value) && Object.values(value).every(isMember))
}

function isKeys(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
