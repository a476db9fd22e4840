import type { RestartPolicy } from '../../config/restart-policy.ts'
import { start } from './starting.ts'
import type { Context, Decision, Effect, ForwardState } from './state.ts'
import { alert, bad, info, prepend, seconds } from './words.ts'

/** A failure, and what follows from it. */
export function failAndRestart(state: ForwardState, words: string, context: Context): Decision {
  const failed = countFailure(state, words, context)
  return prepend(failed.effects, planRestart(failed.state, words, context))
}

/** One failure more in a row, alerted when there are enough of them. */
export function countFailure(state: ForwardState, words: string, context: Context): Decision {
  const { name, now, policy } = context
  const failures = state.failures + 1
  const what = `${name} ${words} (failure #${failures})`
  const effects: Effect[] = [bad(what)]
  if (failures === policy.failureThreshold) effects.push(alert('opened', 'forward', what))
  return {
    state: {
      ...state,
      failures,
      failingSince: state.failingSince ?? now,
      healthySince: undefined,
      lastFault: words,
    },
    effects,
  }
}

/** The first restart is at once; those that follow wait longer and longer; too many pause. There is always a next one. */
export function planRestart(state: ForwardState, why: string, context: Context): Decision {
  const { policy, now, name, random } = context
  const recentRestarts = state.recentRestarts.filter((at) => now - at < policy.flappingWindowMs)
  const pruned = { ...state, recentRestarts }
  const isFlapping = policy.flappingRestarts > 0 && recentRestarts.length >= policy.flappingRestarts
  const howOften = `${recentRestarts.length} restarts within ${seconds(policy.flappingWindowMs)}`
  if (pruned.supervisor !== undefined) {
    // How soon and how often is for it to say; that it comes and goes is for us to tell. Whoever was told is not told again.
    const message = `${name} is flapping: ${howOften}; ${pruned.supervisor.by} starts it again, ${why}`
    return prepend(
      isFlapping ? [alert('flapping', 'forward', message)] : [],
      start(pruned, context, 'failure'),
    )
  }
  if (isFlapping) {
    const until = now + policy.flappingPauseMs
    const message = `${name} is flapping: ${howOften}; restarts pause for ${seconds(policy.flappingPauseMs)}, ${why}`
    return {
      state: { ...pruned, phase: { id: 'flapping', until, why } },
      effects: [alert('flapping', 'forward', message), { kind: 'wake', at: until }],
    }
  }
  const delay = backoffDelay(state.backoffLevel, policy, random)
  const next = { ...pruned, backoffLevel: state.backoffLevel + 1 }
  if (delay === 0) return start(next, context, 'failure')
  const until = now + delay
  return {
    state: { ...next, phase: { id: 'backoff', until, why } },
    effects: [info(`${name} will be restarted in ${seconds(delay)}`), { kind: 'wake', at: until }],
  }
}

/** Doubling with jitter between one half and the whole, so that many that died together do not come back together. */
function backoffDelay(level: number, policy: RestartPolicy, random: number): number {
  if (level === 0 || policy.backoffMs === 0) return 0
  const whole = Math.min(policy.backoffLimitMs, policy.backoffMs * 2 ** Math.min(level - 1, 30))
  return Math.max(1, Math.round(whole * (0.5 + random / 2)))
}
