import { stop } from './ending.ts'
import { replace } from './replacing.ts'
import type { Context, Decision, ForwardState, Observation } from './state.ts'
import { leftToSupervisor } from './supervised.ts'
import { nothing } from './words.ts'

/** What a person, a configuration or the end of the monitor wants. */
export function ordered(
  state: ForwardState,
  seen: Extract<Observation, { kind: 'order' }>,
  context: Context,
): Decision {
  switch (seen.order) {
    case 'start':
      return startOnOrder(state)
    case 'stop':
    case 'restart':
      return endOnOrder(state, seen.order, seen.why, context)
  }
}

function startOnOrder(state: ForwardState): Decision {
  const { phase } = state
  if (phase.id === 'down' || (phase.id === 'unknown' && phase.stopWhy !== undefined))
    return lookThenStart(state)
  // It is still ending: what was ordered last counts.
  if (state.phase.id === 'stopping' && state.phase.afterwards === 'stay') {
    return { state: { ...state, phase: { ...state.phase, afterwards: 'start' } }, effects: [] }
  }
  return nothing(state)
}

/** One that did not end, or that somebody has started since, may be there: looking comes before starting. */
function lookThenStart(state: ForwardState): Decision {
  return { state: { ...state, phase: { id: 'unknown' } }, effects: [{ kind: 'check' }] }
}

/** One that nobody has seen yet may run: what the look finds is ended. */
function lookThenStop(state: ForwardState, why: string): Decision {
  return { state: { ...state, phase: { id: 'unknown', stopWhy: why } }, effects: [{ kind: 'check' }] }
}

function endOnOrder(state: ForwardState, order: 'stop' | 'restart', why: string, context: Context): Decision {
  const afterwards = order === 'stop' ? 'stay' : 'start'
  switch (state.phase.id) {
    case 'running':
      if (state.supervisor !== undefined) return leftToSupervisor(state, state.supervisor, order, context)
      if (order === 'stop') return stop(state, state.phase.identity, 'stay', why, context)
      return state.phase.replacement?.state === 'starting' ? nothing(state) : replace(state, why, context)
    case 'stopping':
      return { state: { ...state, phase: { ...state.phase, afterwards, why } }, effects: [] }
    case 'starting':
      if (order === 'restart') return nothing(state)
      return { state: { ...state, phase: { id: 'down' } }, effects: [{ kind: 'abandon-start' }] }
    case 'unknown':
      return order === 'restart' ? lookThenStart(state) : lookThenStop(state, why)
    case 'blocked':
      // Whether a process is there is not known: looking comes before starting.
      if (order === 'restart') return { state, effects: [{ kind: 'check' }] }
      return lookThenStop(state, why)
    case 'awaiting':
      if (order === 'restart') return { state, effects: [{ kind: 'check' }] }
      return { state: { ...state, phase: { id: 'down' } }, effects: [] }
    case 'down':
      return order === 'restart' ? lookThenStart(state) : nothing(state)
    case 'backoff':
    case 'flapping':
      // Whoever orders it has seen to the cause: what happened before counts no more.
      return order === 'restart'
        ? lookThenStart({ ...state, recentRestarts: [], backoffLevel: 0 })
        : lookThenStop(state, why)
  }
}
