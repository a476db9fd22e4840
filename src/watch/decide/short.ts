import type { Shortage } from '../../os/shortage.ts'
import type { Context, Decision, Effect, ForwardState } from './state.ts'
import { alert, bad } from './words.ts'

/** ms by which each wait for the end of a shortage is longer than the one before, and the longest. */
const stepMs = 1000
const longestMs = 5000

/** ms after which a shortage that keeps a forward down is alerted. */
const alertAfterMs = 60_000

/**
 * A forward that cannot be started for want of something on this machine: no failure of the forward, so it counts neither towards its alert
 * nor as flapping. It is tried again every few seconds.
 */
export function short(state: ForwardState, { kind, words }: Shortage, { name, now }: Context): Decision {
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
