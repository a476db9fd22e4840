import { isDeepStrictEqual } from 'node:util'
import type { ProcessSummary } from '../../process/summary.ts'
import type { Reason } from './cause.ts'
import { metRest } from './detached.ts'
import {
  type Context,
  type Decision,
  type In,
  initialState,
  type Looked,
  type Seen,
  type UnitState,
} from './state.ts'
import { metStray } from './stray.ts'
import {
  awaitSupervisor,
  block,
  clearPidFile,
  fail,
  failAndRestart,
  goDown,
  keepSupervised,
  log,
  look,
  lookForIt,
  nothing,
  planRestart,
  prepend,
  stale,
  start,
  stop,
} from './verbs.ts'

// What a look at the unit means, by the phase in which it is taken. One that finds it healthy is in `healthy.ts`.

/** A process that does not do its work is ended, and started again. */
export function endFaulty(state: UnitState, { diagnosis }: Looked<'faulty'>, context: Context): Decision {
  const reason = { code: 'faulty', fault: diagnosis.fault } as const
  return fail(state, reason, context, (failed) =>
    stop(failed, diagnosis.identity, 'restart', reason, context),
  )
}

/** A process that may be the unit's and is not proven to be stands in the way. */
export function blockUnproven(
  state: UnitState,
  { diagnosis }: Looked<'unverifiable'>,
  context: Context,
): Decision {
  return blockBy(state, { code: 'unproven', fault: diagnosis.fault }, context)
}

/** Something stands in the way, which is said when it did not do so before. */
export function blockBy(state: UnitState, reason: Reason, context: Context): Decision {
  const { phase } = state
  return block(state, reason, phase.id === 'blocked' && isDeepStrictEqual(phase.why, reason), context)
}

/** There is none: after the first look. */
export function startAbsent(state: In<'unknown'>, seen: Looked<'dead'>, context: Context): Decision {
  const rest = dealWithRest(state, seen, context)
  if (rest !== undefined) return rest
  const { fault, stale: staleFile } = seen.diagnosis
  const cleared = clearPidFile(staleFile)
  const atOnce = { code: 'absent', isFirst: state.generation === 0 } as const
  if (state.supervisor !== undefined)
    return prepend(cleared, awaitSupervisor(state, state.supervisor, context))
  // Never started is no failure; a PID file that was left behind tells of one.
  if (staleFile === undefined) {
    return prepend([log({ code: 'absent' })], start(forgetDependency(state), 'none', atOnce, context))
  }
  const reason = { code: 'faulty', fault } as const
  return prepend(
    cleared,
    fail(state, reason, context, (failed) => planRestart(failed, reason, context, atOnce)),
  )
}

/** What had answered under an earlier process is waited for by a new one; only a trouble that goes on is remembered. */
function forgetDependency(state: UnitState): UnitState {
  return state.dependency.failures > 0 ? state : { ...state, dependency: initialState.dependency }
}

/** It ran, and is gone. */
export function restartDead(state: In<'running'>, seen: Looked<'dead'>, context: Context): Decision {
  const rest = dealWithRest(state, seen, context)
  if (rest !== undefined) return rest
  const { fault, stale: staleFile } = seen.diagnosis
  return prepend(clearPidFile(staleFile), failAndRestart(state, { code: 'faulty', fault }, context))
}

/** What stood in its way is gone, or still there. */
export function startIfFree(state: In<'blocked'>, seen: Looked<'dead'>, context: Context): Decision {
  const rest = dealWithRest(state, seen, context)
  if (rest !== undefined) return rest
  const { holder } = seen
  const next =
    holder === undefined
      ? start(state, 'none', { code: 'free' }, context)
      : isHeldFor(state.phase.why, holder)
        ? block(state, state.phase.why, true, context)
        : block(state, { code: 'place-taken', holder }, false, context)
  return prepend(clearPidFile(seen.diagnosis.stale), next)
}

/** Whether this holder is why the unit waits already. A start that found its place taken may not have found by whom. */
function isHeldFor(why: Reason, holder: ProcessSummary): boolean {
  switch (why.code) {
    case 'start-blocked':
      return true
    case 'place-taken':
      return why.holder.pid === holder.pid
    case 'survived':
      return why.processes.some(({ pid }) => pid === holder.pid)
    default:
      return false
  }
}

/** What does the unit's work without being the unit's, and what a process that is gone has left behind, comes before any start. */
function dealWithRest(
  state: In<'unknown' | 'running' | 'blocked'>,
  { diagnosis, stray, leftBehind }: Looked<'dead'>,
  context: Context,
): Decision | undefined {
  // What systemd runs it clears up itself.
  if (state.supervisor !== undefined) return undefined
  if (stray !== undefined) return prepend(clearPidFile(diagnosis.stale), metStray(state, stray, context))
  if (leftBehind === undefined) return undefined
  const { identity, processes } = leftBehind
  return metRest(state, identity, processes, { code: 'faulty', fault: diagnosis.fault }, context)
}

/** Started when its wait is over. */
export function startIfDue(
  state: In<'backoff' | 'flapping'>,
  { diagnosis }: Looked<'dead'>,
  context: Context,
): Decision {
  const cleared = clearPidFile(diagnosis.stale)
  if (context.now < state.phase.until) return prepend(cleared, nothing(state))
  const as = state.shortage === undefined ? 'failure' : 'none'
  return prepend(cleared, start(state, as, { code: 'waited' }, context))
}

/** While somebody holds what it needs, starting it is not for this monitor. What is free has been given up. */
export function startIfGivenUp(state: In<'awaiting'>, seen: Looked<'dead'>, context: Context): Decision {
  const cleared = clearPidFile(seen.diagnosis.stale)
  const { now, policy } = context
  const { holder } = seen
  if (state.supervisor === undefined) return prepend(cleared, startIfReady(state, context))
  if (now < state.phase.until) return prepend(cleared, nothing(state))
  const { by } = state.supervisor
  if (holder === undefined) {
    const line = log({ code: 'given-up-by-supervisor', by })
    const atOnce = { code: 'given-up', by } as const
    return prepend([...cleared, line], start({ ...state, supervisor: undefined }, 'none', atOnce, context))
  }
  const why = { code: 'not-restarted', by, holder } as const
  const failed = fail(state, why, context, (next) => ({
    state: { ...next, phase: { id: 'awaiting', until: now + policy.startTimeoutMs, why } },
    effects: [],
    cause: { code: 'left-to-supervisor', by },
  }))
  return prepend(cleared, failed)
}

/** Started when the units that it depends on are ready. */
function startIfReady(state: In<'awaiting'>, context: Context): Decision {
  const { waitsFor: units = [] } = context
  if (units.length === 0) return start(state, 'none', { code: 'ready-for-it' }, context)
  const why = { code: 'waits-for', units } as const
  return isDeepStrictEqual(state.phase.why, why)
    ? nothing(state)
    : nothing({ ...state, phase: { ...state.phase, why } })
}

/** It is down, as it is wanted. */
export function tidy(state: In<'down'>, { diagnosis }: Looked<'dead'>): Decision {
  return prepend(clearPidFile(diagnosis.stale), nothing(state))
}

/** It was ordered down before anybody had looked: what is there is ended. */
export function endFound(
  state: In<'unwanted'>,
  { diagnosis }: Looked<'healthy' | 'draining'>,
  context: Context,
): Decision {
  const { identity, supervisor } = diagnosis.process
  if (supervisor !== null) return keepSupervised(state, supervisor, 'stop')
  const { stop: why, drainMs } = state.phase
  return stop(state, identity, 'stay', why, context, drainMs)
}

/** It was ordered down before anybody had looked: what does not do its work is ended, too. */
export function endFoundFaulty(
  state: In<'unwanted'>,
  { diagnosis }: Looked<'faulty'>,
  context: Context,
): Decision {
  return stop(state, diagnosis.identity, 'stay', state.phase.stop, context)
}

/** It was ordered down before anybody had looked: what nobody else keeps alive, or what was left behind, is ended. */
export function endFoundRest(
  state: In<'unwanted'>,
  { diagnosis, stray, leftBehind }: Looked<'dead'>,
  context: Context,
): Decision {
  const { stop: why } = state.phase
  if (stray !== undefined && stray.state !== 'watched')
    return stop(state, stray.identity, 'stay', why, context)
  if (leftBehind !== undefined) return stop(state, leftBehind.identity, 'stay', why, context)
  return prepend(clearPidFile(diagnosis.stale), goDown(state))
}

/** It was ordered down, and what may be it is not proven to be. */
export function leaveUnproven(state: In<'unwanted'>, { diagnosis }: Looked<'unverifiable'>): Decision {
  return prepend([log({ code: 'not-ended', fault: diagnosis.fault })], goDown(state))
}

/** ms after a look that could not be taken until the next one, for a unit that does not run. */
const lookAgainMs = 2000

/** A look could not be taken. What runs is looked at in the next round; what is down is not kept waiting for that long. */
export function lookLater(state: UnitState, _seen: Seen<'unseen'>, { now }: Context): Decision {
  return prepend([{ kind: 'wake', at: now + lookAgainMs }], nothing(state))
}

/** A look could not be taken, and the wait for the next start goes on, or is over. */
export function lookLaterIfDue(
  state: In<'backoff' | 'flapping'>,
  seen: Seen<'unseen'>,
  context: Context,
): Decision {
  return context.now >= state.phase.until ? lookLater(state, seen, context) : nothing(state)
}

/** A look could not be taken. Who waits for an end is not kept waiting for ever. */
export function leaveUnseen(state: In<'unwanted'>, { why }: Seen<'unseen'>): Decision {
  return prepend([log({ code: 'not-seen', why })], goDown(state))
}

/** Somebody else may have started one meanwhile: the look starts it when nobody has. */
export function lookIfDue(
  state: In<'backoff' | 'flapping'>,
  _seen: Seen<'woken'>,
  context: Context,
): Decision {
  return context.now < state.phase.until ? stale(state) : look(state)
}

/** The time has come to look whether its supervisor has started it, or what it depends on is ready. */
export function lookForStart(state: In<'awaiting'>, _seen: Seen<'woken'>, { now }: Context): Decision {
  const { until } = state.phase
  const looking = look(state)
  return now < until ? { ...looking, effects: [...looking.effects, lookForIt(until, now)] } : looking
}
