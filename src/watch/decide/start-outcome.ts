import type { Shortage } from '../../os/shortage.ts'
import { countFailure, planRestart } from './restarting.ts'
import type { Context, Decision, Effect, ForwardState, Observation } from './state.ts'
import { alert, bad, good, nothing, prepend, seconds } from './words.ts'

/** A start has become ready. News of an earlier one is nobody’s. */
export function started(
  state: ForwardState,
  seen: Extract<Observation, { kind: 'started' }>,
  context: Context,
): Decision {
  if (state.phase.id !== 'starting' || seen.generation !== state.generation) return nothing(state)
  const { pid } = seen.identity
  return {
    state: {
      ...state,
      phase: { id: 'running', identity: seen.identity, since: context.now, first: seen.identity },
      healthySince: undefined,
    },
    effects: [good(`${context.name} started successfully (PID: ${pid})`), { kind: 'check' }],
  }
}

/** A start has ended before it was ready; a port that is taken is waited for. */
export function startFailed(
  state: ForwardState,
  seen: Extract<Observation, { kind: 'start-failed' }>,
  context: Context,
): Decision {
  if (state.phase.id !== 'starting' || seen.generation !== state.generation) return nothing(state)
  if (seen.shortage !== undefined) return short(state, seen.shortage, context)
  const failed = countFailure(state, `could not be started: ${seen.message}`, context)
  if (seen.portTaken) {
    // The failure has been told; that it is looked at again every round stands in the status.
    return {
      state: { ...failed.state, phase: { id: 'blocked', why: seen.message } },
      effects: failed.effects,
    }
  }
  return prepend(failed.effects, planRestart(failed.state, seen.message, context))
}

/** A start took longer than its policy allows. */
export function startTimedOut(state: ForwardState, context: Context): Decision {
  const { generation } = state
  const message = `not ready within ${seconds(context.policy.startTimeoutMs)}`
  const failed = startFailed(state, { kind: 'start-failed', generation, message, portTaken: false }, context)
  return prepend([{ kind: 'abandon-start' }], failed)
}

/** ms by which each wait for the end of a shortage is longer than the one before, and the longest. */
const stepMs = 1000
const longestMs = 5000

/** ms after which a shortage that keeps a forward down is alerted. */
const alertAfterMs = 60_000

/**
 * A forward that cannot be started for want of something on this machine: no failure of the forward, so it counts neither towards its alert
 * nor as flapping. It is tried again every few seconds.
 */
function short(state: ForwardState, { kind, words }: Shortage, { name, now }: Context): Decision {
  const before = state.shortage
  const since = before?.since ?? now
  const tries = (before?.tries ?? 0) + 1
  const until = now + Math.min(stepMs * tries, longestMs)
  const what = `${name} cannot be started: ${words}`
  const effects: Effect[] = before?.kind === kind ? [] : [bad(`${what}; trying again every few seconds`)]
  const isAlerted = before?.isAlerted === true || now - since >= alertAfterMs
  if (isAlerted && before?.isAlerted !== true) effects.push(alert('opened', 'forward', what))
  return {
    state: {
      ...state,
      phase: { id: 'backoff', until, why: words },
      shortage: { kind, words, since, tries, isAlerted },
      failingSince: state.failingSince ?? now,
      healthySince: undefined,
      lastFault: `cannot be started: ${words}`,
    },
    effects: [...effects, { kind: 'wake', at: until }],
  }
}
