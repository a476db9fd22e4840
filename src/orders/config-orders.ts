/** Orders that look at the configuration: config-show, config-check, config-diff, config-history. None shows a secret. */
import path from 'node:path'
import { differenceInWords } from '../config/compare.ts'
import type { Configuration } from '../config/configuration.ts'
import { differences, type EffectiveValue, effectiveValues } from '../config/effective.ts'
import * as z from '../config/zod.ts'
import { isSameSource } from '../record/configuration-history.ts'
import { demandFile, entryOf, filesReadBy, judge, onDisk, readAgain, shown } from './configuration-reading.ts'
import type { OrderedConfiguration, OrderedMonitor, OrderedUnit } from './monitor.ts'
import { type Order, OrderRefusal, row } from './order.ts'
import { chosen } from './unit-orders.ts'

/** Characters of a candidate. A person's file has some thousands. */
const longestCandidate = 64 * 1024

const origin = z.object({
  kind: z.enum(['file', 'template', 'order', 'default']),
  line: z.number().nullable().describe('of the configuration file, from 1; null = not known'),
  template: z.string().nullable(),
})

const value = z.object({
  path: z.string().describe('keys by the names of units, such as programs.web.restart.backoff'),
  value: z.unknown().describe('as a file has it; secrets and the values of env are masked'),
  origin,
})

export type ShownValue = ReturnType<typeof shown>

const problem = z.object({
  line: z.number().nullable(),
  place: z.string().describe('keys from the outside, such as forwards[0].listen; empty = the whole file'),
  message: z.string(),
})

const entryState = z.object({
  id: z.number(),
  at: z.string().describe('since when it was in force'),
  why: z.enum(['start', 'reload', 'order']),
  order: z.string().nullable(),
  by: z.string().nullable().describe('whose order it was'),
  file: z.string(),
  current: z.boolean().describe('it is in force'),
  change: z.string().nullable().describe('against the one before it; null = nothing, or not known'),
})

export type EntryState = Awaited<ReturnType<typeof entryStates>>[number]

const side = z.object({
  kind: z.enum(['running', 'file', 'history']),
  id: z.number().nullable().describe('of the history'),
})

export const configOrders: readonly Order[] = [
  row({
    name: 'config-show',
    summary: 'Show the values in force, each with the line of the configuration file that it comes from.',
    scope: 'read',
    changes: false,
    input: z.strictObject({
      units: z.array(z.string()).default([]).describe('only those of these units, by name; none = all'),
      all: z.boolean().default(false).describe('also defaults, and the patterns of templates'),
    }),
    output: z.object({
      file: z.string().nullable().describe('null = the monitor runs without one'),
      values: z.array(value),
      setAside: z
        .array(z.object({ program: z.string(), why: z.string() }))
        .describe('changes that orders made and that do not hold'),
    }),
    carryOut: async ({ units, all }, { monitor }) => {
      const names = units.length === 0 ? undefined : chosen({ units, all: false }, monitor).map(writtenName)
      const { running, source } = monitor.configuration()
      const sources = source && (await readAgain(source))
      const values = effectiveValues(running, sources).filter((one) => {
        return (all || !isUsual(one)) && (names === undefined || names.includes(one.unit ?? ''))
      })
      const setAside = (sources?.setAside ?? []).map(({ program, why }) => ({ program, why }))
      return { file: source?.file ?? null, values: values.map(shown), setAside }
    },
  }),
  row({
    name: 'config-check',
    summary: 'Check a candidate for the configuration file, or the file as it is, and name every mistake.',
    scope: 'config',
    changes: false,
    input: z.strictObject({
      text: z
        .string()
        .max(longestCandidate)
        .optional()
        .describe('what would stand in the file; without it what stands there now'),
      format: z.enum(['yaml', 'json']).optional().describe('of text; default: as the extension of the file'),
    }),
    output: z.object({
      file: z.string(),
      valid: z.boolean(),
      problems: z.array(problem),
      change: z.string().nullable().describe('what would change; null = nothing, or it is not valid'),
    }),
    failures: ({ valid, problems }) => {
      if (valid) return []
      const message = problems[0]?.message ?? 'it is not valid'
      return [{ code: 'invalid-configuration', message, next: null }]
    },
    carryOut: async ({ text, format }, { monitor, actor }) => {
      const { running, source } = demandFile(monitor)
      const { file } = source
      // Whoever has a key, and no shell, must not learn by it what stands in other files.
      const mayRead = actor.uid === null ? await filesReadBy(source) : undefined
      const candidate = text ?? onDisk(file)
      if (typeof candidate !== 'string')
        return { file, valid: false, problems: candidate.problems, change: null }
      const judged = await judge(
        monitor.configuration().changes.beside({ file: inFormat(file, format), text: candidate }),
        mayRead,
      )
      if ('problems' in judged) return { file, valid: false, problems: [...judged.problems], change: null }
      const change = differenceInWords(running, judged.configuration) ?? null
      return { file, valid: true, problems: [], change }
    },
  }),
  row({
    name: 'config-diff',
    summary:
      'Show what differs between what runs and the file, or between two configurations of the history.',
    scope: 'read',
    changes: false,
    input: z.strictObject({
      from: z.number().int().optional().describe('id in config-history; default: what runs'),
      to: z.number().int().optional().describe('id; default: the file, or with from what runs'),
    }),
    output: z.object({
      from: side,
      to: side,
      change: z.string().nullable().describe('in words; null = nothing differs'),
      values: z.array(
        z.object({
          path: z.string(),
          before: z.unknown().describe('null = it is not there'),
          after: z.unknown().describe('null = it is not there'),
        }),
      ),
    }),
    carryOut: async ({ from, to }, { monitor }) => {
      const before = await sideOf(from ?? 'running', monitor)
      const after = await sideOf(to ?? (from === undefined ? 'file' : 'running'), monitor)
      const found = differences(before.values, after.values).map((one) => {
        const [was, is] = [one.before && shown(one.before).value, one.after && shown(one.after).value]
        // A secret that is another one: both would be the same mark.
        const isHidden =
          one.before !== null && one.after !== null && JSON.stringify(was) === JSON.stringify(is)
        return { path: one.path, before: was, after: isHidden ? `${is}, another one` : is }
      })
      return {
        from: before.told,
        to: after.told,
        change: differenceInWords(before.configuration, after.configuration) ?? null,
        values: found,
      }
    },
  }),
  row({
    name: 'config-history',
    summary: 'List the last five valid configurations: since when each was in force, and why.',
    scope: 'read',
    changes: false,
    input: z.strictObject({}),
    output: z.object({ configurations: z.array(entryState) }),
    carryOut: async (_input, { monitor }) => {
      return { configurations: await entryStates(monitor.configuration()) }
    },
  }),
]

/** A file in the same folder, whose extension says how it is read. */
function inFormat(file: string, format: string | undefined): string {
  return format === undefined ? file : path.join(path.dirname(file), `candidate.${format}`)
}

/** A default, or the words of a framework that its template brings: nobody has chosen them. */
function isUsual({ path, origin: { kind } }: EffectiveValue): boolean {
  return kind === 'default' || (kind === 'template' && path.includes('.output.patterns.'))
}

/** The file describes all copies of a program by its one name. */
const writtenName = ({ name, group }: OrderedUnit) => group ?? name

interface Side {
  readonly told: { readonly kind: 'running' | 'file' | 'history'; readonly id: number | null }
  readonly configuration: Configuration
  readonly values: readonly EffectiveValue[]
}

async function sideOf(asked: 'running' | 'file' | number, monitor: OrderedMonitor): Promise<Side> {
  if (asked === 'running') {
    const { running, source } = monitor.configuration()
    const read = source && (await readAgain(source))
    return { told: { kind: asked, id: null }, configuration: running, values: effectiveValues(running, read) }
  }
  if (asked === 'file') {
    const { file } = demandFile(monitor).source
    const text = onDisk(file)
    const { changes } = monitor.configuration()
    const read = typeof text === 'string' ? await judge(changes.beside({ file, text })) : text
    return sideFrom(read, { kind: asked, id: null }, `the file ${file}`)
  }
  const entry = entryOf(monitor.configuration().history, asked)
  return sideFrom(await judge(entry), { kind: 'history', id: asked }, `configuration ${asked}`)
}

function sideFrom(read: Awaited<ReturnType<typeof judge>>, told: Side['told'], what: string): Side {
  if (!('problems' in read)) {
    return { told, configuration: read.configuration, values: effectiveValues(read.configuration, read) }
  }
  const [first] = read.problems
  const at = first?.line == null ? '' : `line ${first.line}: `
  const message = `${what} is not valid: ${at}${first?.message ?? ''}`
  throw new OrderRefusal('invalid-configuration', message, 'proxy-ctl config check')
}

async function entryStates({ history, source }: OrderedConfiguration) {
  const read = await Promise.all(history.map((entry) => judge(entry)))
  return history.map((entry, index) => {
    const { id, at, why, order, by, file } = entry
    const [is, was] = [read[index], read[index + 1]]
    const isKnown = is !== undefined && was !== undefined && !('problems' in is) && !('problems' in was)
    const change = isKnown ? (differenceInWords(was.configuration, is.configuration) ?? null) : null
    const current = index === 0 && source !== undefined && isSameSource(entry, source)
    return { id, at, why, order, by, file, current, change }
  })
}
