import { stop } from './ending.ts'
import type { Context, Decision, ForwardPhase, ForwardState, Observation } from './state.ts'
import { bad, good, info, nothing } from './words.ts'

/** Not while one is under way, nor soon again after one that failed. */
export function mayReplace(phase: ForwardPhase, now: number): boolean {
  if (phase.id !== 'running' || phase.replacement === undefined) return phase.id === 'running'
  return phase.replacement.state === 'failed' && now >= phase.replacement.until
}

/** A planned restart: the new one is started beside the old one, which ends only when the new one works. Nobody is refused. */
export function replace(state: ForwardState, why: string, { name, policy }: Context): Decision {
  if (state.phase.id !== 'running') return nothing(state)
  const generation = state.generation + 1
  return {
    state: { ...state, generation, phase: { ...state.phase, replacement: { state: 'starting', why } } },
    effects: [
      info(`${name} is being replaced: ${why}`),
      { kind: 'replace', generation, timeoutMs: policy.startTimeoutMs },
    ],
  }
}

/** The replacement took over. */
export function replaced(
  state: ForwardState,
  seen: Extract<Observation, { kind: 'replaced' }>,
  context: Context,
): Decision {
  const { phase } = state
  if (seen.generation !== state.generation) return nothing(state)
  // It was ordered down in the same instant.
  if (phase.id === 'stopping' && phase.afterwards === 'stay') {
    return stop(state, seen.identity, 'stay', phase.why, context)
  }
  if (phase.id !== 'running' && phase.id !== 'stopping') return nothing(state)
  return {
    state: {
      ...state,
      phase: { id: 'running', identity: seen.identity, since: context.now },
      restarts: state.restarts + 1,
      healthySince: undefined,
    },
    effects: [good(`${context.name} was handed over to PID ${seen.identity.pid}`), { kind: 'check' }],
  }
}

/** It did not, and the one before goes on, or is ended where it cannot hand over. */
export function replaceFailed(
  state: ForwardState,
  seen: Extract<Observation, { kind: 'replace-failed' }>,
  context: Context,
): Decision {
  const { phase } = state
  if (phase.id !== 'running' || phase.replacement?.state !== 'starting') return nothing(state)
  if (seen.generation !== state.generation) return nothing(state)
  if (seen.unsupported) return stop(state, phase.identity, 'start', phase.replacement.why, context)
  const until = context.now + context.policy.backoffLimitMs
  return {
    state: { ...state, phase: { ...phase, replacement: { state: 'failed', until } } },
    effects: [
      bad(
        `${context.name} could not be replaced: ${seen.message}; PID ${phase.identity.pid} goes on as it is`,
      ),
    ],
  }
}
