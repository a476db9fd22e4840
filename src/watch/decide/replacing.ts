import { type ProcessIdentity, sameProcess } from '../../os/process-identity.ts'
import type { ForwarderHealth } from '../../record/forwarder-health.ts'
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
  // A look has found it already.
  if (phase.id === 'running' && sameProcess(phase.identity, seen.identity)) return nothing(state)
  const first = phase.id === 'running' ? phase.first : undefined
  const taken = takenOver(state, seen.identity, context.now, first, context)
  return { state: taken.state, effects: [...taken.effects, { kind: 'check' }] }
}

/** Another process of the same forward took over: a planned restart, whoever began it, and no failure. */
export function takenOver(
  state: ForwardState,
  identity: ProcessIdentity,
  since: number,
  first: ProcessIdentity | undefined,
  { name }: Context,
): Decision {
  return {
    state: {
      ...state,
      phase: { id: 'running', identity, since, first },
      plannedRestarts: state.plannedRestarts + 1,
    },
    effects: [good(`${name} was handed over to PID ${identity.pid}`)],
  }
}

/** Whether the process that answers now has its place by a handover, and not by a new start after the end of the one that was known. */
export function hasTakenOver(
  known: Extract<ForwardPhase, { id: 'running' }>,
  {
    identity,
    first,
    predecessors,
  }: Pick<ForwarderHealth, 'identity' | 'first'> & {
    readonly predecessors?: ForwarderHealth['predecessors']
  },
): boolean {
  if (sameProcess(known.identity, identity)) return false
  if (first !== undefined && known.first !== undefined) return sameProcess(first, known.first)
  // One of an older version tells only of those that are still there.
  return (predecessors ?? []).some((one) => sameProcess(one, known.identity))
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
  if (seen.reason === 'unsupported')
    return stop(state, phase.identity, 'start', phase.replacement.why, context)
  const until = context.now + context.policy.backoffLimitMs
  const { name } = context
  const line =
    seen.reason === 'under-way'
      ? info(`${name} is not replaced now: ${seen.message}`)
      : bad(`${name} could not be replaced: ${seen.message}; PID ${phase.identity.pid} keeps running`)
  return {
    state: { ...state, phase: { ...phase, replacement: { state: 'failed', until } } },
    effects: [line],
  }
}
