/** Orders about what programs print: logs, search-logs, follow-logs. */
import { setTimeout as after } from 'node:timers/promises'
import type { z as Zod } from 'zod'
import { regexProblem } from '../config/log-patterns.ts'
import { text } from '../config/schema-parts.ts'
import * as z from '../config/zod.ts'
import { redactPatterns } from '../log/redaction.ts'
import type { LogPage, LogQuery, OutputLine, ProgramOutput } from '../program/output/index.ts'
import { parseSince } from '../report/since.ts'
import type { OrderedMonitor, OrderedUnit } from './monitor.ts'
import { nextOrder } from './next-step.ts'
import { type Around, type Order, OrderRefusal, row } from './order.ts'
import { chosen } from './unit-orders.ts'

/** Bytes of text in an answer when nobody says how many: about 8,000 tokens. */
const defaultMaxBytes = 24_000
const mostMaxBytes = 4 * 1024 * 1024

/** Lines before the first one that is followed. */
const defaultTail = 100

const count = z.number().int().min(0)

const moment = text(parseSince).describe('90s, 10m, 2h, 3d, or a date or time (ISO 8601)')

const regex = z
  .string()
  .superRefine((value, context) => {
    const problem = regexProblem(value)
    if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
  })
  .optional()
  .describe('only lines that match this expression (RE2 syntax), without their colours')

const logFilter = {
  units: z.array(z.string()).default([]).describe('names of programs; none = all'),
  class: z
    .array(z.string())
    .optional()
    .describe('only lines of these classes: error, warning, info, debug, or your own'),
  stream: z.enum(['stdout', 'stderr', 'watchdog']).optional().describe('watchdog = what the monitor notes'),
  contains: z.string().optional().describe('only lines with this text'),
  regex,
  ansi: z.boolean().default(false).describe('leave colours in the text'),
}

export const logLine = z.object({
  /** Whose it is. */
  unit: z.string(),
  /** Rises by one with every line of the unit; a gap = lost lines. */
  seq: z.number(),
  at: z.string(),
  stream: z.enum(['stdout', 'stderr', 'watchdog']),
  class: z.string().nullable(),
  text: z.string(),
  continues: z.literal(true).optional().describe('it goes on the line before: a stack trace'),
  cut: z.literal(true).optional().describe('it was longer than 8 KiB'),
  partial: z.literal(true).optional().describe('it has no line end yet'),
})

export type LogLine = Zod.infer<typeof logLine>

const logsOutput = z.object({
  /** Oldest first. */
  lines: z.array(logLine),
  cursor: z.string().describe('hand it over to get what comes after'),
  dropped: z.number().describe('lines after the asked cursor that are gone'),
  truncated: z.boolean().describe('there was no room for all; ask again with the cursor'),
})

export type LogsOutput = Zod.infer<typeof logsOutput>

const searchOutput = z.object({
  /** Best first. */
  lines: z.array(
    logLine.extend({
      score: z.number(),
      similar: z.number().describe('other lines that differ in numbers alone'),
    }),
  ),
  matches: z.number(),
  searched: z.number(),
  truncated: z.boolean().describe('older lines were not searched'),
})

export type SearchOutput = Zod.infer<typeof searchOutput>

export const logOrders: readonly Order[] = [
  row({
    name: 'logs',
    summary: 'Read what programs printed: the newest lines, or those after a cursor, filtered.',
    scope: 'read',
    changes: false,
    perUnit: true,
    input: z.strictObject({
      ...logFilter,
      cursor: z.string().optional().describe('of an answer before: lines after it, oldest first'),
      tail: count.optional().describe(`at most so many of the newest; default ${defaultTail} without cursor`),
      since: moment.optional(),
      until: moment.optional(),
      before: count.max(100).optional().describe('lines before each that matches'),
      after: count.max(100).optional().describe('lines after each that matches'),
      maxBytes: z
        .number()
        .int()
        .min(1)
        .max(mostMaxBytes)
        .default(defaultMaxBytes)
        .describe('bytes of text in the answer at most'),
    }),
    output: logsOutput,
    carryOut: readLogs,
  }),
  row({
    name: 'search-logs',
    summary: 'Find the lines that fit some words best in what programs printed lately.',
    scope: 'read',
    changes: false,
    perUnit: true,
    input: z.strictObject({
      words: z.string().min(1).describe('words to look for; a line needs only one of them'),
      units: logFilter.units,
      class: logFilter.class,
      since: moment.optional(),
      top: z.number().int().min(1).max(100).default(20).describe('how many lines to tell'),
      ansi: logFilter.ansi,
    }),
    output: searchOutput,
    carryOut: searchLogs,
  }),
  row({
    name: 'follow-logs',
    summary: 'Tell what programs print from now on, after the last lines.',
    scope: 'read',
    changes: false,
    perUnit: true,
    input: z.strictObject({
      ...logFilter,
      tail: count.max(10_000).default(0).describe('how many past lines come first'),
      forMs: count
        .max(3_600_000)
        .optional()
        .describe('how long to follow; without it, until the caller disconnects'),
    }),
    output: logsOutput,
    carryOut: followLogs,
  }),
]

interface Logged {
  readonly name: string
  readonly output: ProgramOutput
}

/** @throws OrderRefusal when one of the units prints nothing, or none does. */
export function logged(names: readonly string[], monitor: OrderedMonitor): readonly Logged[] {
  const withOutput = (units: readonly OrderedUnit[]) =>
    units.flatMap(({ name, program }) => (program === undefined ? [] : [{ name, output: program.output }]))
  if (names.length === 0) {
    const all = withOutput(monitor.units())
    if (all.length > 0) return all
    throw new OrderRefusal(
      'no-output',
      'no program is configured',
      'forwards print nothing: proxy-log shows what their forwarders log',
    )
  }
  const units = chosen({ units: [...names], all: false }, monitor)
  const other = units.find(({ program }) => program === undefined)
  if (other === undefined) return withOutput(units)
  const message = `${other.name} is a forward, which prints nothing`
  throw new OrderRefusal('no-output', message, nextOrder('status', other.name, `proxy-log ${other.name}`))
}

type Filter = { readonly class?: readonly string[] | undefined } & Pick<
  LogQuery,
  'stream' | 'contains' | 'regex'
>

function queryOf({ class: classes, stream, contains, regex }: Filter): LogQuery {
  return { class: classes?.map(fullName), stream, contains, regex }
}

/** People and agents write both. */
function fullName(name: string): string {
  const lower = name.toLowerCase()
  if (lower === 'warn') return 'warning'
  if (lower === 'err') return 'error'
  return ['error', 'warning', 'info', 'debug'].includes(lower) ? lower : name
}

const ms = (time: string | undefined) => (time === undefined ? undefined : Date.parse(time))

async function readLogs(
  input: Filter & {
    readonly units: readonly string[]
    readonly ansi: boolean
    readonly cursor?: string | undefined
    readonly since?: string | undefined
    readonly until?: string | undefined
  } & Pick<LogQuery, 'tail' | 'before' | 'after' | 'maxBytes'>,
  { monitor }: Around,
): Promise<LogsOutput> {
  const units = logged(input.units, monitor)
  const cursors = parseCursor(input.cursor)
  const { maxBytes = defaultMaxBytes, before, after, tail } = input
  const most = tail ?? (input.cursor === undefined ? defaultTail : 0)
  const query = {
    ...{ ...queryOf(input), tail, before, after, since: ms(input.since), until: ms(input.until) },
    maxBytes: Math.max(1, Math.floor(maxBytes / units.length)),
  }
  const pages =
    input.cursor === undefined && most > 0
      ? await newestPages(units, query, most)
      : await Promise.all(
          units.map(async ({ name, output }) => {
            const cursor = input.cursor === undefined ? undefined : (cursors.get(name) ?? 0)
            return { name, page: await output.readInTurns({ ...query, cursor }) }
          }),
        )
  const tell = await teller(input.ansi)
  const lines = pages.flatMap(({ name, page }) => page.lines.map((line) => ({ name, line })))
  lines.sort(
    (one, other) =>
      one.line.at - other.line.at || (one.name === other.name ? one.line.seq - other.line.seq : 0),
  )
  const kept = most === 0 ? lines : lines.slice(-most)
  return {
    lines: kept.map(({ name, line }) => tell(name, line)),
    cursor: pages.map(({ name, page }) => `${name}:${page.cursor}`).join(','),
    dropped: pages.reduce((sum, { page }) => sum + page.dropped, 0),
    truncated: pages.some(({ page }) => page.truncated),
  }
}

interface PageOf {
  readonly name: string
  readonly page: LogPage
}

/** The newest lines of each; nothing is read of a program that has printed nothing since the oldest line for which there is room. */
async function newestPages(
  units: readonly Logged[],
  query: LogQuery,
  most: number,
): Promise<readonly PageOf[]> {
  const pages = new Map<Logged, LogPage>()
  const times: number[] = []
  const lastFirst = units.map((unit) => ({ unit, newestAt: unit.output.newestAt }))
  lastFirst.sort((one, other) => other.newestAt - one.newestAt)
  for (const { unit, newestAt } of lastFirst) {
    const isOlder = times.filter((at) => at > newestAt).length >= most
    const page = isOlder
      ? { lines: [], cursor: unit.output.next, dropped: 0, truncated: false }
      : await unit.output.readInTurns(query)
    pages.set(unit, page)
    times.push(...page.lines.map(({ at }) => at))
  }
  return units.flatMap((unit) => ({ name: unit.name, page: pages.get(unit) as LogPage }))
}

async function searchLogs(
  {
    words,
    units,
    class: classes,
    since,
    top,
    ansi,
  }: {
    readonly words: string
    readonly units: readonly string[]
    readonly class?: readonly string[] | undefined
    readonly since?: string | undefined
    readonly top: number
    readonly ansi: boolean
  },
  { monitor }: Around,
): Promise<SearchOutput> {
  const asked = logged(units, monitor)
  const query = { words, top, class: classes?.map(fullName), since: ms(since) }
  const pages = await Promise.all(
    asked.map(async ({ name, output }) => ({ name, page: await output.search(query) })),
  )
  const tell = await teller(ansi)
  const found = pages.flatMap(({ name, page }) =>
    page.found.map(({ line, score, similar }) => ({ ...tell(name, line), score, similar })),
  )
  const sum = (of: 'matches' | 'searched') => pages.reduce((all, { page }) => all + page[of], 0)
  return {
    lines: found.sort((one, other) => other.score - one.score).slice(0, top),
    matches: sum('matches'),
    searched: sum('searched'),
    truncated: pages.some(({ page }) => page.truncated),
  }
}

/** ms that logs are followed for an adapter that takes only the whole answer, when nobody says how long. */
const shortMs = 10_000

async function followLogs(
  input: Filter & {
    readonly units: readonly string[]
    readonly ansi: boolean
    readonly tail: number
    readonly forMs?: number | undefined
  },
  { monitor, gone, emit }: Around,
): Promise<LogsOutput> {
  const units = logged(input.units, monitor)
  const tell = await teller(input.ansi)
  const { lineFilter } = await import('../program/output/reading.ts')
  const takes = lineFilter(queryOf(input))
  const lines: LogLine[] = []
  let bytes = 0
  let leftOut = 0
  const pass = (name: string, line: OutputLine) => {
    const told = tell(name, line)
    if (emit !== undefined) return emit(told)
    bytes += told.text.length
    lines.push(told)
    while (bytes > defaultMaxBytes && lines.length > 1) {
      bytes -= lines.shift()?.text.length ?? 0
      leftOut++
    }
  }
  // No line comes between the two: both happen at once.
  if (input.tail > 0) {
    const past = units.flatMap(({ name, output }) =>
      output
        .read({ ...queryOf(input), tail: input.tail, maxBytes: mostMaxBytes })
        .lines.map((line) => ({ name, line })),
    )
    past.sort((one, other) => one.line.at - other.line.at)
    for (const { name, line } of past.slice(-input.tail)) pass(name, line)
  }
  const forget = units.map(({ name, output }) =>
    output.onLine((line) => {
      if (takes(line)) pass(name, line)
    }),
  )
  try {
    const forMs = input.forMs ?? (emit === undefined ? shortMs : undefined)
    await after(forMs ?? 2 ** 31 - 1, undefined, { signal: gone }).catch(() => {})
  } finally {
    for (const end of forget) end()
  }
  const cursor = units.map(({ name, output }) => `${name}:${output.read({ tail: 1 }).cursor}`).join(',')
  return { lines, cursor, dropped: leftOut, truncated: leftOut > 0 }
}

function parseCursor(cursor: string | undefined): ReadonlyMap<string, number> {
  const cursors = new Map<string, number>()
  if (cursor === undefined || cursor === '') return cursors
  for (const part of cursor.split(',')) {
    const [, name, seq] = /^([\w.-]+):(\d{1,15})$/.exec(part) ?? []
    if (name === undefined) {
      throw new OrderRefusal('invalid-input', `logs: "${cursor}" is no cursor`, 'use the cursor of an answer')
    }
    cursors.set(name, Number(seq))
  }
  return cursors
}

/** Makes the line of an answer: secrets are redacted, and colours are taken out unless they are wanted. */
export async function teller(ansi: boolean): Promise<(unit: string, line: OutputLine) => LogLine> {
  const { plainText } = await import('../program/output/patterns.ts')
  return (unit, line) => ({
    ...line,
    unit,
    at: new Date(line.at).toISOString(),
    text: redactPatterns(ansi ? line.text : plainText(line.text)),
  })
}
