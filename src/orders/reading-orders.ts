/** Orders that only read: list, status, follow-events. */
import { setTimeout as wait } from 'node:timers/promises'
import type { z as Zod } from 'zod'
import * as z from '../config/zod.ts'
import { masked } from '../log/redaction.ts'
import { isUpTo, type NamedEvent } from '../record/journal.ts'
import { type JournalEntry, journalEntry } from '../record/shapes/journal.ts'
import type { ZodParts } from '../record/shapes/kinds.ts'
import { isProgramRecord, programId } from '../record/shapes/runtime-state.ts'
import type { StatusReport } from '../record/shapes/status-report.ts'
import { statusReport } from '../record/shapes/status-report-schema.ts'
import { assess } from '../report/assess.ts'
import { gather, type LookOptions } from '../report/gather.ts'
import type { OrderedMonitor } from './monitor.ts'
import { type Around, type Order, row } from './order.ts'
import { chosen } from './unit-orders.ts'
import { stateOf, unitState } from './unit-state.ts'

const someUnits = z
  .array(z.string())
  .default([])
  .describe('names of forwards and programs, or ports of forwards; none = all')

/** What is kept for an adapter that takes only whole answers, and told of the past. */
const mostEvents = 1000

/** Named one by one: a bundle would hold all of zod if `z` itself were handed on. */
const parts: ZodParts = {
  array: z.array,
  boolean: z.boolean,
  literal: z.literal,
  number: z.number,
  object: z.object,
  record: z.record,
  string: z.string,
  union: z.union,
}

const namedEvent = z.intersection(
  z.object({ id: z.string().describe('for `after`') }),
  journalEntry.zod(parts) as unknown as Zod.ZodType<JournalEntry>,
)

export const readingOrders: readonly Order[] = [
  row({
    name: 'list',
    summary: 'List the forwards and programs, and how each stands.',
    scope: 'read',
    changes: false,
    perUnit: true,
    input: z.strictObject({ units: someUnits }),
    output: z.object({ units: z.array(unitState) }),
    carryOut: ({ units }, { monitor }) => {
      const asked = units.length === 0 ? monitor.units() : chosen({ units, all: false }, monitor)
      return { units: asked.map(stateOf) }
    },
  }),
  row({
    name: 'status',
    summary: 'Report the health of the monitor and of its units, with what to do about what is wrong.',
    scope: 'read',
    changes: false,
    perUnit: true,
    input: z.strictObject({ units: someUnits }),
    output: statusReport.zod(parts) as unknown as Zod.ZodType<StatusReport>,
    carryOut: ({ units }, { monitor }) => reportOn(units, monitor),
  }),
  row({
    name: 'follow-events',
    summary: 'Tell what happens from now on, and the last of what has happened.',
    scope: 'read',
    changes: false,
    perUnit: true,
    input: z.strictObject({
      units: someUnits,
      last: z.number().int().min(0).max(mostEvents).default(0).describe('how many past events come first'),
      after: z
        .string()
        .optional()
        .describe('the id of the last event that is known: go on after it, instead of with the last ones'),
      forMs: z
        .number()
        .int()
        .min(0)
        .max(3_600_000)
        .optional()
        .describe('how long to follow; without it, until the caller disconnects'),
    }),
    output: z.object({
      events: z.array(namedEvent).describe('empty where they were told one by one'),
      leftOut: z
        .number()
        .nullable()
        .describe('how many more there were; null = the event of `after` is not known any more'),
    }),
    carryOut: (input, around) => followEvents(input, around),
  }),
]

/** What was read of the journal of each state directory: it is read again only when it has grown. */
const journals = new Map<string, NonNullable<LookOptions['journal']>>()

/** The health report; for a key that is bound to some units, of these alone and without what the monitor says of itself. */
async function reportOn(units: readonly string[], monitor: OrderedMonitor): Promise<StatusReport> {
  const isAll = units.length === 0 && monitor.isWhole
  const asked = isAll ? [] : chosen({ units, all: units.length === 0 }, monitor).map(nameOf)
  const linesOf = async (program: string, count: number) => {
    const output = monitor.units().find(({ name }) => name === program)?.program?.output
    if (output === undefined) return []
    const { logEntryOf } = await import('../program/output/log-entry.ts')
    return output.last(count).map((line) => masked(logEntryOf(program, line)))
  }
  const journal = journals.get(monitor.stateDirectory) ?? {}
  journals.set(monitor.stateDirectory, journal)
  const facts = await gather(monitor.stateDirectory, { asked, linesOf, journal, state: monitor.state() })
  if (monitor.isWhole) return assess(facts)
  const records = monitor
    .units()
    .filter(({ name }) => asked.includes(name))
    .map((unit) => unit.record())
  const ports = records.flatMap((record) => (isProgramRecord(record) ? [] : record.port))
  const seen = records.filter(isProgramRecord)
  const programs = seen.map(nameOf)
  return assess({
    ...facts,
    forwards: facts.forwards.filter(({ port }) => ports.includes(port)),
    programFacts: (facts.programFacts ?? []).filter(({ record }) => programs.includes(record.name)),
    openIncidents: facts.openIncidents.filter(({ incident: { port, unit } }) => {
      return ports.includes(port) || seen.some((one) => unit === (one.unit ?? programId(one.name)))
    }),
    details: facts.details.filter(({ port, program }) => {
      return program === undefined ? ports.includes(port ?? 0) : programs.includes(program)
    }),
    alertChannels: [],
    log: [],
  })
}

/** ms that events are followed for an adapter that takes only the whole answer, when nobody says how long. */
const shortMs = 10_000

interface FollowInput {
  readonly units: readonly string[]
  readonly last: number
  readonly after?: string | undefined
  readonly forMs?: number | undefined
}

async function followEvents({ units, last, after, forMs }: FollowInput, around: Around) {
  const { monitor, gone, emit } = around
  const names = units.length === 0 ? undefined : chosen({ units, all: false }, monitor).map(nameOf)
  const isWanted = (entry: JournalEntry) => names === undefined || isAbout(entry, names)
  const kept: NamedEvent[] = []
  const tell = (entry: NamedEvent) => void (emit === undefined ? kept.push(entry) : emit(entry))
  // Followed before the past is read, so that nothing falls in between; told after it.
  const meanwhile: NamedEvent[] = []
  let take = (entry: NamedEvent) => void meanwhile.push(entry)
  const forget = monitor.follow((entry) => {
    if (isWanted(entry)) take(entry)
  })
  let missed: number | null = 0
  try {
    const past = after === undefined ? await lastOf(monitor, last, isWanted) : await since(monitor, after)
    const wanted = (past ?? []).filter(isWanted)
    missed = past === undefined ? null : Math.max(0, wanted.length - mostEvents)
    if (missed !== 0) emit?.({ event: 'missed', count: missed })
    const known = new Set(past?.map(({ id }) => id))
    for (const entry of [...wanted.slice(-mostEvents), ...meanwhile.filter(({ id }) => !known.has(id))])
      tell(entry)
    take = tell
    const ms = forMs ?? (emit === undefined ? shortMs : undefined)
    await (ms === undefined ? untilGone(gone) : wait(ms, undefined, { signal: gone }).catch(() => {}))
  } finally {
    forget()
  }
  const leftOut = missed === null ? null : missed + Math.max(0, kept.length - mostEvents)
  return { events: kept.slice(-mostEvents), leftOut }
}

/** The last events that are wanted. A part of the journal has thousands: the newest two hold enough of any unit, or it was quiet for long. */
async function lastOf(
  monitor: OrderedMonitor,
  last: number,
  isWanted: (entry: JournalEntry) => boolean,
): Promise<readonly NamedEvent[]> {
  if (last === 0) return []
  const isEnough = (entries: readonly JournalEntry[], parts: number) => entries.length >= last && parts >= 2
  return (await monitor.past(isEnough)).filter(isWanted).slice(-last)
}

/** What came after an event; undefined when that one is not in the journal any more, or never was. */
async function since(monitor: OrderedMonitor, id: string): Promise<readonly NamedEvent[] | undefined> {
  const past = await monitor.past((entries) => entries.some((entry) => isUpTo(entry, id)))
  const at = past.findIndex((entry) => entry.id === id)
  return at < 0 ? undefined : past.slice(at + 1)
}

const nameOf = ({ name }: { readonly name: string }) => name

function isAbout(entry: JournalEntry, names: readonly string[]): boolean {
  if (entry.event === 'forward') return names.includes(entry.forward)
  if (entry.event === 'unit' || entry.event === 'incident') return names.includes(entry.name)
  return entry.event === 'order' ? entry.units.some((name) => names.includes(name)) : false
}

function untilGone(gone: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (gone.aborted) resolve()
    else gone.addEventListener('abort', () => resolve(), { once: true })
  })
}
