import type { Subject } from '../../alert/incident-record.ts'
import type { Decision, Effect, ForwardState } from './state.ts'

/** Nothing changes and nothing is done. */
export const nothing = (state: ForwardState): Decision => ({ state, effects: [] })

/** The same decision with these effects before its own. */
export const prepend = (effects: readonly Effect[], decision: Decision): Decision => ({
  state: decision.state,
  effects: [...effects, ...decision.effects],
})

/** Lines of the log: what should be known, what goes on, what went well, what is wrong. */
export const warn = (message: string): Effect => ({ kind: 'log', level: 'warn', message, good: false })

export const info = (message: string): Effect => ({ kind: 'log', level: 'info', message, good: false })

export const good = (message: string): Effect => ({ kind: 'log', level: 'info', message, good: true })

export const bad = (message: string): Effect => ({ kind: 'log', level: 'error', message, good: false })

/** An incident’s news. */
export const alert = (
  event: 'opened' | 'resolved' | 'flapping',
  subject: Subject,
  message: string,
): Effect => ({ kind: 'alert', event, subject, message })

/** A length of time in words. */
export function seconds(ms: number): string {
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`
}
