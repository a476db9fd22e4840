import type { Context, Decision, Effect, ForwardState } from './state.ts'
import { alert, bad } from './words.ts'

/** Something stands in the way: every round that finds it there is a failure, said once and alerted as any other. */
export function blocked(state: ForwardState, why: string, { name, now, policy }: Context): Decision {
  const isNews = state.phase.id !== 'blocked' || state.phase.why !== why
  const failures = state.failures + 1
  const what = `${name} cannot be started: ${why}`
  const effects: Effect[] = isNews ? [bad(`${what}; looking again every round (failure #${failures})`)] : []
  if (failures === policy.failureThreshold)
    effects.push(alert('opened', 'forward', `${what} (failure #${failures})`))
  return {
    state: {
      ...state,
      phase: { id: 'blocked', why },
      failures,
      failingSince: state.failingSince ?? now,
      healthySince: undefined,
      lastFault: `cannot be started: ${why}`,
    },
    effects,
  }
}
