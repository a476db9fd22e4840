import type { ForwarderHealth } from '../record/shapes/forwarder-health.ts'

/** Whether a forward lives, and whether it can serve. */
export interface HealthVerdict {
  /** It listens, or it is on its way out as it was told. What is not live is mended by a restart. */
  readonly live: boolean
  /** A connection made now would reach its target. What is live and not ready is not mended by a restart. */
  readonly ready: boolean
  /** Why it is not ready, in words; empty when it is. */
  readonly reasons: readonly string[]
}

export function healthVerdict({ listen, draining, target, connections }: ForwarderHealth): HealthVerdict {
  const listening = listen.addresses.length + listen.paths.length > 0
  const reasons: string[] = []
  if (draining) reasons.push('it is draining')
  else if (!listening) reasons.push('it listens nowhere')
  if (target.state === 'waiting' || target.state === 'unreachable') {
    reasons.push(`its target does not answer: ${target.lastError ?? 'no reason known'}`)
  }
  if (connections.full !== null) reasons.push(`no more connections are taken: ${connections.full}`)
  return { live: listening || draining, ready: reasons.length === 0, reasons }
}
