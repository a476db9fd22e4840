import type { ProcessIdentity } from '../../process/identity.ts'
import type { ProcessSummary } from '../../process/summary.ts'
import type { Fault } from '../unit.ts'
import type { AtOnce, News, Reason } from './cause.ts'
import { isFlapping, nextRestart, recentOf } from './pace.ts'
import type { Context, Decision, Effect, In, Supervised, TroubleSubject, UnitState } from './state.ts'

// What the handlers of `transitions.ts` do. A verb makes a new state, the effects that lead to it and the cause; it calls only other verbs.

/** Nothing changes and nothing is done. */
export const nothing = (state: UnitState): Decision => ({ state, effects: [], cause: { code: 'quiet' } })

/** News that comes too late to mean anything. */
export const stale = (state: UnitState): Decision => nothing(state)

/** News that cannot be true, and so a fault of this program: it is logged and changes nothing. @param what cannot be in this phase. */
export function impossible(state: UnitState, what: string): Decision {
  const cause = { code: 'impossible', phase: state.phase.id, what } as const
  return { state, effects: [log(cause)], cause }
}

/** The same decision with these effects before its own. */
export const prepend = (effects: readonly Effect[], decision: Decision): Decision => ({
  ...decision,
  effects: [...effects, ...decision.effects],
})

/** A line of the log. */
export const log = (news: News): Effect => ({ kind: 'log', news })

/** An incident's news. */
export const alert = (
  event: 'opened' | 'resolved' | 'flapping',
  subject: TroubleSubject,
  news: News,
): Effect => ({ kind: 'alert', event, subject, news })

/** Looks again now. */
export function look(state: UnitState): Decision {
  return { state, effects: [{ kind: 'check' }], cause: { code: 'quiet' } }
}

/**
 * A look comes before what was ordered: somebody else may have started a process, or ended it.
 * @param stop why what is found is to be ended; undefined = it is to run. With `drainMs` as in an order to stop.
 */
export function lookFirst(
  state: UnitState,
  stop?: { readonly why: Reason; readonly drainMs: number | undefined },
): Decision {
  const phase =
    stop === undefined
      ? ({ id: 'unknown' } as const)
      : ({ id: 'unknown', stop: stop.why, ...drainOf(stop.drainMs) } as const)
  return { ...look({ ...state, phase }), cause: { code: 'looked-first' } }
}

function drainOf(drainMs: number | undefined): { readonly drainMs?: number } {
  return drainMs === undefined ? {} : { drainMs }
}

/** ms between two looks for a process that somebody else is about to start. */
const lookForItEveryMs = 250

/** The next look for a process that somebody else is about to start. */
export function lookForIt(until: number, now: number): Effect {
  return { kind: 'wake', at: Math.min(until, now + lookForItEveryMs) }
}

/**
 * Starts it, or leaves that to its supervisor.
 * @param as what the start counts as: `failure` is a restart, `plan` one that was wanted; `none` is no restart: it has not run yet, or
 *   has been counted already.
 */
export function start(
  state: UnitState,
  as: 'failure' | 'plan' | 'none',
  atOnce: AtOnce,
  context: Context,
): Decision {
  const { now, policy, waitsFor = [] } = context
  const { completed: _, ...counted } = countStart(state, as, now)
  if (state.supervisor !== undefined) return awaitSupervisor(counted, state.supervisor, context)
  if (waitsFor.length > 0) return awaitUnits(counted, waitsFor, now)
  const generation = state.generation + 1
  const deadline = now + policy.startTimeoutMs
  return {
    state: { ...counted, generation, phase: { id: 'starting', deadline } },
    effects: [
      { kind: 'start', generation },
      { kind: 'wake', at: deadline },
    ],
    cause: { code: 'starting', atOnce },
  }
}

function countStart(state: UnitState, as: 'failure' | 'plan' | 'none', now: number): UnitState {
  switch (as) {
    case 'none':
      return state
    case 'plan':
      return { ...state, plannedRestarts: state.plannedRestarts + 1 }
    case 'failure':
      return {
        ...state,
        restarts: state.restarts + 1,
        lastRestartAt: now,
        recentRestarts: [...state.recentRestarts, now],
      }
  }
}

/** Leaves the start to its supervisor, and looks for the process often. */
export function awaitSupervisor(
  state: UnitState,
  { by }: Supervised,
  { now, policy }: Context,
  why: Reason = { code: 'supervised', by },
): Decision {
  const until = now + policy.startTimeoutMs
  const cause = { code: 'left-to-supervisor', by } as const
  return {
    state: { ...state, phase: { id: 'awaiting', until, why } },
    effects: [log(cause), lookForIt(until, now)],
    cause,
  }
}

/** Leaves the start until the units that it depends on are ready: a change of theirs, or a round, leads to a look. */
function awaitUnits(state: UnitState, units: readonly string[], now: number): Decision {
  const cause = { code: 'waits-for', units } as const
  return {
    state: { ...state, phase: { id: 'awaiting', until: now, why: cause } },
    effects: [log(cause)],
    cause,
  }
}

/** Does not carry out an order that systemd would undo at once: a person who wants that asks systemd. */
export function keepSupervised(state: UnitState, by: Supervised['by'], order: 'stop' | 'restart'): Decision {
  const cause = { code: 'kept-by-supervisor', by } as const
  const next = order === 'restart' ? state : goDown(state).state
  return { state: next, effects: [log(cause)], cause }
}

/**
 * Ends a process. `afterwards` says what comes when it is gone: `restart` counts as a failure did, `start` and `stay` were wanted.
 * @param orderedDrainMs how long an order lets its work finish; undefined = the unit's own drain time.
 */
export function stop(
  state: UnitState,
  identity: ProcessIdentity,
  afterwards: 'restart' | 'start' | 'stay',
  why: Reason,
  { policy, drainMs }: Context,
  orderedDrainMs?: number,
): Decision & { readonly state: In<'stopping'> } {
  // One that is hung will not finish its connections; one that is well may.
  const killAfterMs = afterwards === 'restart' ? policy.killAfterMs : drainMs + policy.killAfterMs
  const drain = drainOf(orderedDrainMs)
  const phase = { id: 'stopping', identity, afterwards, why, ...drain } as const
  return {
    state: { ...state, phase },
    effects: [{ kind: 'stop', identity, killAfterMs, ...drain }],
    cause: stopping(phase),
  }
}

/** The cause of a process being ended. */
export function stopping({
  identity,
  isRest = false,
  afterwards,
  why,
}: In<'stopping'>['phase']): Decision['cause'] {
  return { code: 'stopping', pid: identity.pid, isRest, afterwards, reason: why }
}

/** Its process is gone and has left others behind, which keep what the next one needs: they are ended first. */
export function endRest(
  state: UnitState,
  identity: ProcessIdentity,
  processes: readonly ProcessSummary[],
  why: Reason,
  context: Context,
): Decision {
  return fail(state, why, context, (failed) => {
    const stopped = stop(failed, identity, 'restart', why, context)
    const phase = { ...stopped.state.phase, isRest: true }
    const line = log({ code: 'left-behind', pid: identity.pid, processes })
    return {
      state: { ...stopped.state, phase },
      effects: [line, ...stopped.effects],
      cause: stopping(phase),
    }
  })
}

/** It has ended because its work is done. What it has left behind is ended. */
export function complete(
  state: UnitState,
  identity: ProcessIdentity,
  leftBehind: readonly ProcessSummary[],
  context: Context,
): Decision {
  const cause = { code: 'completed', pid: identity.pid } as const
  const done: UnitState = {
    ...state,
    completed: true,
    failures: 0,
    failingSince: undefined,
    lastFault: undefined,
    backoffLevel: 0,
  }
  const next = leftBehind.length > 0 ? stop(done, identity, 'stay', cause, context) : goDown(done)
  return { ...prepend([{ kind: 'remove-pid-file' }, log(cause)], next), cause }
}

/** Not wanted any more, and nothing of it is left. */
export function goDown(state: UnitState, heldBy?: ProcessSummary): Decision {
  const phase = heldBy === undefined ? ({ id: 'down' } as const) : ({ id: 'down', heldBy } as const)
  return { state: { ...state, phase, healthySince: undefined }, effects: [], cause: { code: 'down' } }
}

/** It is not well, for this reason; since when is kept from the first time on. */
export const failing = (state: UnitState, reason: Reason, now: number): UnitState => ({
  ...state,
  failingSince: state.failingSince ?? now,
  healthySince: undefined,
  lastFault: reason,
})

/** One failure more in a row, alerted when there are enough of them, and what follows from it. */
export function fail(
  state: UnitState,
  reason: Reason,
  { now, policy }: Context,
  next: (failed: UnitState) => Decision,
): Decision {
  const failures = state.failures + 1
  const news = { code: 'failed', reason, failures } as const
  const isEnough = failures === policy.failureThreshold
  const followed = next({ ...failing(state, reason, now), failures })
  return {
    state: followed.state,
    effects: [log(news), ...(isEnough ? [alert('opened', 'unit', news)] : []), ...followed.effects],
    cause: { ...followed.cause, failure: reason },
  }
}

/** A failure, and the restart that follows from it. */
export function failAndRestart(state: UnitState, reason: Reason, context: Context): Decision {
  return fail(state, reason, context, (failed) => planRestart(failed, reason, context))
}

/** The first restart is at once; those that follow wait longer and longer; too many pause. There is always a next one. */
export function planRestart(state: UnitState, reason: Reason, context: Context, atOnce?: AtOnce): Decision {
  const { policy, now } = context
  const recentRestarts = recentOf(state, context)
  const pruned = { ...state, recentRestarts }
  const often = { restarts: recentRestarts.length, windowMs: policy.flappingWindowMs, reason }
  const first = atOnce ?? ({ code: 'first-in-row', neverWaits: policy.backoffMs === 0 } as const)
  if (pruned.supervisor !== undefined) {
    // The supervisor decides how soon and how often it restarts; the monitor only alerts that it is flapping. An open alert is not repeated.
    const news = { code: 'flapping-supervised', by: pruned.supervisor.by, ...often } as const
    return prepend(
      isFlapping(recentRestarts, policy) ? [alert('flapping', 'unit', news)] : [],
      start(pruned, 'failure', first, context),
    )
  }
  const paced = nextRestart(state, context)
  if (paced.kind === 'paused') {
    const { pauseMs } = paced
    const until = now + pauseMs
    const cause = { code: 'paused', ...often, pauseMs } as const
    return {
      state: { ...pruned, phase: { id: 'flapping', until, why: reason } },
      effects: [alert('flapping', 'unit', cause), { kind: 'wake', at: until }],
      cause,
    }
  }
  const level = paced.memory.backoffLevel
  const next = { ...pruned, backoffLevel: level }
  if (paced.kind === 'at-once') return start(next, 'failure', first, context)
  const { delayMs } = paced
  const until = now + delayMs
  const { resetAfterMs, backoffLimitMs: limitMs } = policy
  const cause = { code: 'postponed', delayMs, level, resetAfterMs, limitMs } as const
  return {
    state: { ...next, phase: { id: 'backoff', until, why: reason } },
    effects: [log(cause), { kind: 'wake', at: until }],
    cause,
  }
}

/**
 * Something stands in the way: every round that finds it there is a failure, said once and alerted as any other.
 * @param isKnown it was said before that this stands in the way.
 */
export function block(
  state: UnitState,
  reason: Reason,
  isKnown: boolean,
  { now, policy }: Context,
): Decision {
  const failures = state.failures + 1
  const cause = { code: 'blocked', reason, failures } as const
  const effects: Effect[] = isKnown ? [] : [log(cause)]
  if (failures === policy.failureThreshold) effects.push(alert('opened', 'unit', cause))
  return {
    state: { ...failing(state, reason, now), phase: { id: 'blocked', why: reason }, failures },
    effects,
    cause,
  }
}

/**
 * A planned restart: the new one is started beside the old one, which ends only when the new one works. Nobody is refused.
 * @param isHandOverOnly see `Replacement`.
 */
export function replace(
  state: In<'running'>,
  why: Reason,
  { policy }: Context,
  isHandOverOnly = false,
): Decision {
  const generation = state.generation + 1
  const replacement = { state: 'starting', why, ...(isHandOverOnly ? { isHandOverOnly } : {}) } as const
  const cause = { code: 'replacing', reason: why } as const
  return {
    state: { ...state, generation, phase: { ...state.phase, replacement } },
    effects: [log(cause), { kind: 'replace', generation, timeoutMs: policy.startTimeoutMs }],
    cause,
  }
}

/** A replacement is not begun while one is under way, nor soon again after one that failed. */
export function mayReplace({ phase }: In<'running'>, now: number): boolean {
  if (phase.replacement === undefined) return true
  return phase.replacement.state === 'failed' && now >= phase.replacement.until
}

/** Another process of the same unit took over. That is a planned restart and no failure, also when the monitor did not order it. */
export function followSuccessor(
  state: UnitState,
  identity: ProcessIdentity,
  since: number,
  first: ProcessIdentity | undefined,
): { readonly state: In<'running'>; readonly effects: readonly Effect[] } {
  return {
    state: {
      ...state,
      phase: { id: 'running', identity, since, first },
      plannedRestarts: state.plannedRestarts + 1,
    },
    effects: [log({ code: 'handed-over', pid: identity.pid })],
  }
}

/** Tells why the PID file counts for nothing, and removes it. @param fault undefined = there is none, or it is right. */
export function clearPidFile(fault: Fault | undefined): Effect[] {
  return fault === undefined ? [] : [log({ code: 'stale-pid-file', fault }), { kind: 'remove-pid-file' }]
}
