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
  if (context.now < until) return nothing(state)
  return start(state, context, state.shortage === undefined ? 'failure' : 'none')
}

/**
 * @param cause what it follows, and so what it counts as: `failure` is a restart, `plan` one that was wanted; `none` is no restart: it has
 *   not run yet, or has been counted already.
 */
export function start(state: ForwardState, context: Context, cause: 'failure' | 'plan' | 'none'): Decision {
  const { now, policy } = context
  const counted = countStart(state, cause, now)
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

function countStart(state: ForwardState, cause: 'failure' | 'plan' | 'none', now: number): ForwardState {
  switch (cause) {
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
