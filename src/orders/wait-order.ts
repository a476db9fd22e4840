/** The order `wait`: blocks until units are ready, healthy or have exited; a failure brings the last lines of their logs. */
import { isDeepStrictEqual } from 'node:util'
import type { z as Zod } from 'zod'
import * as z from '../config/zod.ts'
import type { LogEntry } from '../log/entry.ts'
import { masked } from '../log/redaction.ts'
import { sameProcess } from '../process/identity.ts'
import { isProgramRecord } from '../record/shapes/runtime-state.ts'
import { readLogs } from '../report/log-reader.ts'
import { logSources } from '../report/log-source.ts'
import type { OrderedMonitor, OrderedRecord, OrderedUnit } from './monitor.ts'
import { nextOrder } from './next-step.ts'
import {
  type Around,
  defaultWaitMs,
  type Order,
  type OrderError,
  OrderRefusal,
  orderError,
  row,
} from './order.ts'
import {
  failed,
  goingOn,
  hasFailed,
  isBlocked,
  isDetached,
  isFlapping,
  isUp,
  nextToRead,
  type Progress,
  reached,
  vainWait,
  waitFor,
} from './unit-goals.ts'
import { chosen } from './unit-orders.ts'
import { orderErrorShape, stateOf, type UnitState, unitState } from './unit-state.ts'

/**
 * - `ready`: it runs and accepts connections.
 * - `healthy`: ready, and what it depends on answers, too.
 * - `exited`: the process that ran when the wait began has ended.
 */
const goals = ['ready', 'healthy', 'exited'] as const

type WaitGoal = (typeof goals)[number]

/** ms. Longer than this no client waits for one answer. */
export const longestWaitMs = 120_000

/** Lines of the log that come with a failure. */
const lastLines = 20

const waited = z.object({
  /** `already`: it was so when the wait began. */
  outcome: z.enum(['done', 'already', 'failed']),
  error: orderErrorShape.nullable(),
  waitedMs: z.number(),
  state: unitState,
  /** The last lines of its log, oldest first; empty when the wait succeeded. */
  lines: z.array(
    z.object({
      time: z.string(),
      level: z.enum(['info', 'warn', 'error']),
      source: z.string(),
      message: z.string(),
      note: z.literal(true).optional().describe('the watchdog says it, not the program'),
    }),
  ),
})

export type Waited = Zod.infer<typeof waited>

/** What the order tells while it waits. */
export interface WaitEvent {
  readonly event: 'waiting'
  readonly name: string
  readonly phase: string
  readonly reason: string | null
}

export const waitOrder: Order = row({
  name: 'wait',
  summary: 'Wait until units are ready, healthy or have exited. A failure brings the last lines of the log.',
  scope: 'read',
  changes: false,
  perUnit: true,
  input: z.strictObject({
    units: z.array(z.string()).min(1).describe('names or ports of units'),
    for: z
      .enum(goals)
      .default('ready')
      .describe('ready: it accepts connections; healthy: its target answers too; exited: its process ended'),
    timeoutMs: z
      .number()
      .int()
      .min(0)
      .max(longestWaitMs)
      .default(defaultWaitMs)
      .describe('how long to wait, at most 120000'),
  }),
  output: z.object({ units: z.array(waited) }),
  failures: ({ units }) => units.flatMap(({ error }) => error ?? []),
  carryOut: async ({ units, for: goal, timeoutMs }, around) => {
    if (around.monitor.isEnding) {
      throw new OrderRefusal('ending', 'the monitor is ending', 'start it again')
    }
    const asked = chosen({ units, all: false }, around.monitor)
    return { units: await Promise.all(asked.map((unit) => waitUntil(unit, goal, timeoutMs, around))) }
  },
})

async function waitUntil(
  unit: OrderedUnit,
  wanted: WaitGoal,
  timeoutMs: number,
  { monitor, gone, emit }: Around,
): Promise<Waited> {
  const began = performance.now()
  const before = unit.record()
  const vain = vainWait(monitor)
  const isAlready = progressOf(wanted, before, unit, vain).kind === 'reached'
  let told: Stand | undefined
  const look = (): Progress => {
    const record = unit.record()
    const { name, phase, reason } = record
    const stand = standOf(record)
    if (!isDeepStrictEqual(told, stand)) {
      told = stand
      emit?.({ event: 'waiting', name, phase, reason } satisfies WaitEvent)
    }
    if (!monitor.units().some((one) => one.name === name))
      return failed('unit-removed', `${name} is no longer configured`, nextOrder('list'))
    return progressOf(wanted, before, unit, vain)
  }
  const progress = await waitFor(look, monitor, timeoutMs, gone)
  const result = { waitedMs: Math.round(performance.now() - began), state: stateOf(unit) }
  if (progress.kind === 'reached') {
    return { ...result, outcome: isAlready ? 'already' : 'done', error: null, lines: [] }
  }
  const error = progress.kind === 'failed' ? progress.error : late(wanted, unit.record(), result.state)
  return { ...result, outcome: 'failed', error, lines: await lastLinesOf(unit, monitor) }
}

/** How a unit stands, as far as whoever waits for it is told of a change. */
type Stand = ReturnType<typeof standOf>

function standOf({ phase, cause, failures, memory }: OrderedRecord) {
  return { phase, cause, failures, generation: memory.generation }
}

function progressOf(
  wanted: WaitGoal,
  before: OrderedRecord,
  unit: OrderedUnit,
  vain: ReturnType<typeof vainWait>,
): Progress {
  const record = unit.record()
  if (wanted === 'exited') return hasExited(before, record) ? reached : goingOn
  const { name, phase } = record
  switch (phase) {
    case 'running': {
      const isEnough = isUp(record) && (wanted === 'ready' || !isDeaf(record))
      return isEnough ? reached : goingOn
    }
    case 'flapping':
      return isFlapping(record)
    case 'blocked':
      return isBlocked(record)
    case 'detached':
      return isDetached(record)
    case 'down':
      if (record.completed === true) return reached
      return failed('stopped', `${name} is stopped`, nextOrder('start', name))
    case 'backoff':
      // One that waited for its next try already is given that try.
      if (record.failures <= before.failures) return goingOn
      return hasFailed(record)
    case 'unknown':
    case 'starting':
    case 'stopping':
      return goingOn
    case 'awaiting':
      return vain(record)
  }
}

function hasExited(before: OrderedRecord, { phase, identity }: OrderedRecord): boolean {
  if (before.identity !== null && identity !== null) return !sameProcess(before.identity, identity)
  return identity === null && phase !== 'unknown' && phase !== 'starting'
}

/** Whether the target of a forward does not answer, or what is asked of a program fails. */
function isDeaf(record: OrderedRecord): boolean {
  return isProgramRecord(record) ? record.unwell != null : record.health?.target.state !== 'reachable'
}

function late(wanted: WaitGoal, record: OrderedRecord, { state }: UnitState): OrderError {
  const { name, phase, reason } = record
  const isWaitingForTarget = wanted === 'healthy' && phase === 'running' && isDeaf(record)
  const fault = isProgramRecord(record) ? record.unwell?.problem : `${record.target} does not answer`
  const how = isWaitingForTarget
    ? `it runs, and ${fault}`
    : `${state}${reason === null ? '' : ` (${reason})`}`
  const what = wanted === 'exited' ? 'has not exited' : `is not ${wanted} yet`
  return orderError('timed-out', `${name} ${what}: ${how}`, nextToRead(record))
}

/** What a unit's log said last, without the lines of others. */
async function lastLinesOf(unit: OrderedUnit, monitor: OrderedMonitor): Promise<Waited['lines']> {
  const entries = await lastEntriesOf(unit, monitor)
  return entries.map(({ time, level, source, message, note }) => {
    return { time, level, source, message, ...(note === true ? { note } : {}) }
  })
}

async function lastEntriesOf(
  unit: OrderedUnit,
  { stateDirectory }: OrderedMonitor,
): Promise<readonly LogEntry[]> {
  const { name, program } = unit
  if (program !== undefined) {
    const { logEntryOf } = await import('../program/output/log-entry.ts')
    return program.output.last(lastLines).map((line) => masked(logEntryOf(name, line)))
  }
  const known = unit.record()
  if (isProgramRecord(known)) return []
  const sources = logSources(stateDirectory).filter((source) => source.port === known.port)
  return readLogs(sources, { tail: lastLines, level: 'info', since: undefined })
}
