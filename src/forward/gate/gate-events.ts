/** The events that a gate reports, as data, and the log lines made of them. They never hold a token. */
import type { AccessEvent } from '../../web/guard.ts'
import { failureWords, type TargetFailure } from './target-failure.ts'

export type GateEvent =
  | AccessEvent
  | { readonly kind: 'target-fails'; readonly target: string; readonly failure: TargetFailure }
  | { readonly kind: 'target-answers'; readonly target: string }

export interface GateLine {
  readonly level: 'info' | 'warn' | 'error'
  readonly message: string
  readonly good?: boolean
}

export function gateLine(event: GateEvent): GateLine {
  switch (event.kind) {
    case 'login':
      return { level: 'info', message: `Gate: login from ${event.source}`, good: true }
    case 'wrong-token': {
      const others =
        event.suppressed === 0 ? '' : `; ${event.suppressed} more wrong tokens since the line before`
      const wait = event.waitMs === 0 ? '' : `; it must wait ${seconds(event.waitMs)} s`
      return { level: 'warn', message: `Gate: wrong token from ${event.source}${wait}${others}` }
    }
    case 'locked-out': {
      const message = `Gate: many wrong tokens from many sources; new sources must wait ${seconds(event.waitMs)} s`
      return { level: 'warn', message }
    }
    case 'target-fails': {
      const { title, text } = failureWords(event.failure, event.target)
      return { level: 'warn', message: `Gate: ${title.charAt(0).toLowerCase()}${title.slice(1)}: ${text}` }
    }
    case 'target-answers':
      return { level: 'info', message: `Gate: ${event.target} answers in HTTP`, good: true }
  }
}

function seconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000))
}
