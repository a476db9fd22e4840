import { countFailure, planRestart } from './restarting.ts'
import { short } from './short.ts'
import type { Context, Decision, ForwardState, Observation } from './state.ts'
import { good, nothing, prepend, seconds } from './words.ts'

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
