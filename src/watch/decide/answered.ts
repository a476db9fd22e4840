import type { Shortage } from '../../os/shortage.ts'
import { type ProcessIdentity, sameProcess } from '../../process/identity.ts'
import type { Reason } from './cause.ts'
import { metRest } from './detached.ts'
import type { Context, Decision, Effect, In, Seen, UnitState } from './state.ts'
import {
  alert,
  block,
  complete,
  fail,
  failAndRestart,
  failing,
  followSuccessor,
  goDown,
  impossible,
  log,
  look,
  lookFirst,
  planRestart,
  prepend,
  stale,
  start,
  stop,
} from './verbs.ts'

// The answers to what was done (starts, replacements, ends), and the death of a process. An answer that belongs to something earlier is
// stale; one to something that was never done is impossible.

/** An answer that nobody waits for any more; to a start that there never was it is impossible. */
export function late(
  state: UnitState,
  { kind, generation }: Seen<'started' | 'start-failed' | 'replaced' | 'replace-failed'>,
): Decision {
  if (generation <= state.generation) return stale(state)
  return impossible(state, `${kind} of start ${generation} after start ${state.generation}`)
}

/** The answer of a replacement, although what was begun last is a start. */
export function mistaken(state: In<'starting'>, seen: Seen<'replaced' | 'replace-failed'>): Decision {
  return seen.generation === state.generation ? impossible(state, seen.kind) : late(state, seen)
}

/** A start has become ready. */
export function started(state: In<'starting'>, seen: Seen<'started'>, context: Context): Decision {
  if (seen.generation !== state.generation) return late(state, seen)
  const { identity } = seen
  return {
    state: {
      ...state,
      phase: { id: 'running', identity, since: context.now, first: identity },
      healthySince: undefined,
    },
    effects: [log({ code: 'started', pid: identity.pid }), { kind: 'check' }],
    cause: { code: 'watched' },
  }
}

/** A start has ended before it was ready; what somebody else holds is waited for. */
export function startFailed(state: In<'starting'>, seen: Seen<'start-failed'>, context: Context): Decision {
  if (seen.generation !== state.generation) return late(state, seen)
  const { fault, shortage, holder } = seen
  if (shortage !== undefined) return waitForMeans(state, shortage, context)
  const reason = { code: 'start-failed', fault, holder, ...saidIn(seen) } as const
  if (!seen.isBlocked) return failAndRestart(state, reason, context)
  const why: Reason =
    holder === undefined ? { code: 'start-blocked', fault } : { code: 'place-taken', holder }
  // The failure has been told; that it is looked at again every round stands in the status.
  return fail(state, reason, context, (failed) => ({
    state: { ...failed, phase: { id: 'blocked', why } },
    effects: [],
    cause: { code: 'blocked', reason: why, failures: failed.failures },
  }))
}

function saidIn({ said }: { readonly said?: string | undefined }): { readonly said?: string } {
  return said === undefined ? {} : { said }
}

/** A start takes longer than its policy allows. */
export function startTimedOut(state: In<'starting'>, seen: Seen<'woken'>, context: Context): Decision {
  if (context.now < state.phase.deadline) return stale(state)
  const withinMs = context.policy.startTimeoutMs
  const { lacks } = seen
  const missing = lacks === undefined ? {} : { lacks }
  const reason = { code: 'start-timed-out', withinMs, ...missing, ...saidIn(seen) } as const
  return prepend([{ kind: 'abandon-start' }], failAndRestart(state, reason, context))
}

/** ms by which each wait for the end of a shortage is longer than the one before, and the longest. */
const stepMs = 1000
const longestMs = 5000

/** ms after which a shortage that keeps a unit down is alerted. */
const alertAfterMs = 60_000

/**
 * A unit that cannot be started for want of something on this machine: no failure of the unit, so it counts neither towards its alert
 * nor as flapping. It is tried again every few seconds.
 */
function waitForMeans(state: UnitState, shortage: Shortage, { now }: Context): Decision {
  const before = state.shortage
  const since = before?.since ?? now
  const tries = (before?.tries ?? 0) + 1
  const delayMs = Math.min(stepMs * tries, longestMs)
  const until = now + delayMs
  const cause = { code: 'short', shortage, delayMs } as const
  const why: Reason = { code: 'shortage', shortage }
  const isAlerted = before?.isAlerted === true || now - since >= alertAfterMs
  const effects: Effect[] = before?.kind === shortage.kind ? [] : [log(cause)]
  if (isAlerted && before?.isAlerted !== true) effects.push(alert('opened', 'unit', cause))
  return {
    state: {
      ...failing(state, why, now),
      phase: { id: 'backoff', until, why },
      shortage: { ...shortage, since, tries, isAlerted },
    },
    effects: [...effects, { kind: 'wake', at: until }],
    cause,
  }
}

/** The replacement took over. */
export function replaced(state: In<'running'>, seen: Seen<'replaced'>, context: Context): Decision {
  if (seen.generation !== state.generation) return late(state, seen)
  // A look has found it already.
  if (sameProcess(state.phase.identity, seen.identity)) return stale(state)
  return lookAtSuccessor(state, seen.identity, state.phase.first, context)
}

/** The replacement took over while the one before it was being ended. */
export function replacedAtEnd(state: In<'stopping'>, seen: Seen<'replaced'>, context: Context): Decision {
  if (seen.generation !== state.generation) return late(state, seen)
  const { phase } = state
  // It was ordered down in the same instant.
  if (phase.afterwards === 'stay')
    return stop(state, seen.identity, 'stay', phase.why, context, phase.drainMs)
  return lookAtSuccessor(state, seen.identity, undefined, context)
}

function lookAtSuccessor(
  state: UnitState,
  identity: ProcessIdentity,
  first: ProcessIdentity | undefined,
  { now }: Context,
): Decision {
  const followed = followSuccessor(state, identity, now, first)
  return { ...prepend(followed.effects, look(followed.state)), cause: { code: 'watched' } }
}

/** The replacement did not take over, and the one before goes on, or is ended where it cannot hand over. */
export function replaceFailed(
  state: In<'running'>,
  seen: Seen<'replace-failed'>,
  context: Context,
): Decision {
  const { phase } = state
  const { generation, reason, message } = seen
  if (generation !== state.generation || phase.replacement?.state !== 'starting') return late(state, seen)
  const { identity, replacement } = phase
  if (reason === 'unsupported' && replacement.isHandOverOnly !== true)
    return stop(state, identity, 'start', replacement.why, context)
  const until = context.now + context.policy.backoffLimitMs
  return {
    state: { ...state, phase: { ...phase, replacement: { state: 'failed', until, why: message } } },
    effects: [
      reason === 'under-way'
        ? log({ code: 'replacement-under-way', message })
        : log({ code: 'replacement-failed', pid: identity.pid, message }),
    ],
    cause: { code: 'previous-kept' },
  }
}

/** A process that nobody told to end is gone. */
export function died(state: In<'running'>, seen: Seen<'died'>, context: Context): Decision {
  const { identity, end, leftBehind = [] } = seen
  if (state.phase.identity.pid !== identity.pid) return stale(state)
  if (context.runsOnce === true && end?.kind === 'exited' && end.code === 0)
    return complete(state, identity, leftBehind, context)
  const reason = { code: 'died', pid: identity.pid, end, ...saidIn(seen) } as const
  if (leftBehind.length > 0 && state.supervisor === undefined) {
    return metRest(state, identity, leftBehind, reason, context)
  }
  return prepend([{ kind: 'remove-pid-file' }], failAndRestart(state, reason, context))
}

/** A stop has done its work. */
export function ended(state: In<'stopping'>, seen: Seen<'ended'>, context: Context): Decision {
  const { phase } = state
  const { identity, successor, holder } = seen
  if (phase.identity.pid !== identity.pid) return stale(state)
  if (successor !== undefined) return endedBehind(state, successor, context)
  const { afterwards, isRest = false, why } = phase
  const effects: Effect[] = [
    { kind: 'remove-pid-file' },
    log({ code: 'ended', pid: identity.pid, isRest, reason: why }),
  ]
  if (holder !== undefined) effects.push(log({ code: 'place-held', holder }))
  switch (afterwards) {
    case 'stay':
      return prepend(effects, goDown(state, holder))
    case 'start':
      return prepend(effects, start(state, 'plan', { code: 'planned', reason: why }, context))
    case 'restart':
      return prepend(effects, planRestart(state, why, context))
  }
}

/** What was ended had handed over already: the one that serves now is meant by the stop as well, or is what was to be started. */
function endedBehind(state: In<'stopping'>, successor: ProcessIdentity, context: Context): Decision {
  const { identity, afterwards, why, drainMs } = state.phase
  const line = log({ code: 'ended-behind', pid: identity.pid, successor: successor.pid })
  const next =
    afterwards === 'stay' ? stop(state, successor, 'stay', why, context, drainMs) : lookFirst(state)
  return prepend([line], next)
}

/** A stop has not: the process, or one that it had started, is still there after SIGKILL. */
export function survived(state: In<'stopping'>, seen: Seen<'survived'>, context: Context): Decision {
  if (state.phase.identity.pid !== seen.identity.pid) return stale(state)
  return block(state, { code: 'survived', processes: seen.survivors }, false, context)
}
