import type { z as Zod } from 'zod'
import * as z from '../config/zod.ts'
import { monotonicMs } from '../os/clock.ts'
import { isProgramRecord, phases } from '../record/shapes/runtime-state.ts'
import { forwardStates } from '../record/shapes/status-report.ts'
import { standing } from '../report/standing.ts'
import { severity } from '../report/status.ts'
import type { OrderedRecord, OrderedUnit } from './monitor.ts'
import { orderErrorCodes } from './order.ts'

export const orderErrorShape = z.object({
  code: z.enum(orderErrorCodes),
  message: z.string(),
  next: z.string().nullable().describe('what to do about it, as a person types it'),
  nextOrder: z
    .object({ order: z.string(), units: z.array(z.string()).readonly() })
    .optional()
    .describe('the same, where it is an order'),
})

/** How a unit stands: what every order about it answers with. */
export const unitState = z.object({
  name: z.string(),
  kind: z.enum(['forward', 'program', 'gateway']),
  /** The port of a forward, or that makes a program ready; null = it has none. */
  port: z.number().nullable(),
  /** Where a forward leads; null for a program. */
  target: z.string().nullable(),
  /** What a program runs; null for a forward. */
  command: z.string().nullable(),
  /** As the health report calls it. */
  state: z.enum(forwardStates),
  /** What the watchdog is doing about it. */
  phase: z.enum(phases),
  /** Why it does not run, or what was last wrong; null = nothing is wrong. */
  reason: z.string().nullable(),
  pid: z.number().nullable(),
  runningForMs: z.number().nullable(),
  nextTryInMs: z.number().nullable(),
  /** Whether what it forwards to answers; null while it does not run. */
  targetState: z.enum(['unknown', 'waiting', 'unreachable', 'reachable']).nullable(),
  openConnections: z.number().nullable(),
  /** Restarts after failures. */
  restarts: z.number(),
  /** Failures in a row. */
  failures: z.number(),
  /** Whose order keeps it down, and since when; null = nobody's. */
  stopped: z.object({ by: z.string().nullable(), since: z.string() }).nullable(),
  /** What its process, which is gone, has left behind: to be adopted or ended. Missing = it is not detached. */
  leftBehind: z
    .array(z.object({ pid: z.number().nullable(), command: z.string().nullable() }))
    .readonly()
    .optional(),
  /** Who holds its port although it is down; null = nobody. A PID that is null is that of another user's process. */
  portHeldBy: z.object({ pid: z.number().nullable(), command: z.string().nullable() }).nullable(),
})

export type UnitState = Zod.infer<typeof unitState>

export function stateOf(unit: OrderedUnit): UnitState {
  const record = unit.record()
  const now = monotonicMs()
  const { identity, runningSince, nextTryAt } = record
  const wanted = unit.wantedDown()
  const { state, reason } = standing(record, wanted, now)
  const isWell = record.phase === 'running' && record.failures === 0
  return {
    name: record.name,
    ...ofKind(record),
    state,
    phase: record.phase,
    reason: isWell ? (severity(state) > 0 ? reason : null) : record.reason,
    pid: identity?.pid ?? null,
    runningForMs: runningSince === null ? null : Math.max(0, Math.round(now - runningSince)),
    nextTryInMs: nextTryAt === null ? null : Math.max(0, Math.round(nextTryAt - now)),
    restarts: record.restarts,
    failures: record.failures,
    stopped: wanted === undefined ? null : { by: wanted.by ?? null, since: wanted.since },
    ...(record.leftBehind === undefined ? {} : { leftBehind: record.leftBehind }),
    portHeldBy: record.heldBy ?? null,
  }
}

/** What only one kind of unit has. */
function ofKind(
  record: OrderedRecord,
): Pick<UnitState, 'kind' | 'port' | 'target' | 'command' | 'targetState' | 'openConnections'> {
  if (isProgramRecord(record)) {
    const { readyPort, command } = record
    const nothing = { target: null, targetState: null, openConnections: null }
    return { kind: record.kind ?? 'program', port: readyPort, command, ...nothing }
  }
  const { identity, health, port, target } = record
  const isAnswering = identity !== null && health?.identity.pid === identity.pid
  return {
    kind: 'forward',
    port,
    target,
    command: null,
    targetState: isAnswering ? health.target.state : null,
    openConnections: isAnswering ? health.connections.open : null,
  }
}
