import type { ForwarderHealth } from '../../record/forwarder-health.ts'
import type { Context, Decision, Effect, ForwardState } from './state.ts'
import { alert, bad, good, nothing, seconds } from './words.ts'

/** A target that refuses is said and alerted; the forwarder is left alone, because a restart cannot mend it. */
export function judgeTarget(state: ForwardState, health: ForwarderHealth, context: Context): Decision {
  const { name, target, now, policy } = context
  const memory = state.target
  switch (health.target.state) {
    case 'unknown':
      return nothing(state)
    case 'reachable': {
      const lasted = memory.failingSince === undefined ? '' : ` after ${seconds(now - memory.failingSince)}`
      const effects: Effect[] = []
      if (memory.failures >= policy.failureThreshold) {
        effects.push(alert('resolved', 'target', `Target ${target} of ${name} answers again`))
      } else if (memory.failures > 0) {
        effects.push(good(`Target ${target} of ${name} answers again${lasted}`))
      }
      return {
        state: { ...state, target: { everAnswered: true, failures: 0, failingSince: undefined } },
        effects,
      }
    }
    case 'waiting':
    case 'unreachable': {
      if (!memory.everAnswered && health.target.state === 'waiting') return nothing(state)
      const failures = memory.failures + 1
      const failingSince = memory.failingSince ?? now
      const what = `Target ${target} of ${name} does not answer: ${health.target.lastError} (failure #${failures})`
      const effects: Effect[] = failures <= policy.failureThreshold ? [bad(what)] : []
      if (failures === policy.failureThreshold) {
        effects.push(alert('opened', 'target', `${what}; the forwarder works, the target must be started`))
      }
      return { state: { ...state, target: { everAnswered: true, failures, failingSince } }, effects }
    }
  }
}
