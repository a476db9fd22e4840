import type { Context, Decision, ForwardState, Supervised } from './state.ts'
import { info, nothing } from './words.ts'

/** ms between two looks for a process that somebody else is about to start. */
export const lookForItEveryMs = 250

/** Leaves the start to whoever runs it, and looks for it often. */
export function awaitSupervisor(
  state: ForwardState,
  { by }: Supervised,
  { now, name, policy }: Context,
): Decision {
  const until = now + policy.startTimeoutMs
  return {
    state: { ...state, phase: { id: 'awaiting', until, why: `${by} runs it and starts it again` } },
    effects: [
      info(`${name} is run by ${by}, which starts it again`),
      { kind: 'wake', at: Math.min(until, now + lookForItEveryMs) },
    ],
  }
}

/** Starts it when its wait is over. */
export function startIfDue(state: ForwardState, until: number, context: Context): Decision {
  return context.now < until ? nothing(state) : start(state, context)
}

/** @param count whether it follows a failure or an order, and so counts as a restart. */
export function start(state: ForwardState, context: Context, count: 'first' | 'again' = 'again'): Decision {
  const { now, policy } = context
  const isFirst = count === 'first'
  const counted: ForwardState = {
    ...state,
    restarts: isFirst ? state.restarts : state.restarts + 1,
    recentRestarts: isFirst ? state.recentRestarts : [...state.recentRestarts, now],
  }
  if (state.supervisor !== undefined) return awaitSupervisor(counted, state.supervisor, context)
  const generation = state.generation + 1
  const deadline = now + policy.startTimeoutMs
  return {
    state: { ...counted, generation, phase: { id: 'starting', deadline } },
    effects: [
      { kind: 'start', generation },
      { kind: 'wake', at: deadline },
    ],
  }
}
