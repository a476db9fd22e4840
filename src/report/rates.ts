import { type ProcessIdentity, sameProcess } from '../process/identity.ts'
import type { ForwarderHealth } from '../record/shapes/forwarder-health.ts'
import type { Rates } from '../record/shapes/status-report.ts'

/** What a forwarder had carried, and when. */
export interface BytesSample {
  readonly identity: ProcessIdentity
  /** Monotonic ms. */
  readonly at: number
  readonly fromClients: number
  readonly fromTarget: number
}

/** The least time between two looks, in ms: a shorter one gives no useful rate. */
export const shortestSpanMs = 100

export function sampleOf({ identity, bytes }: ForwarderHealth, at: number): BytesSample {
  return { identity, at, fromClients: bytes.fromClients, fromTarget: bytes.fromTarget }
}

/** null when nothing can be said: another process, or looks too near to each other. */
export function ratesBetween(before: BytesSample | undefined, now: BytesSample): Rates | null {
  if (before === undefined || !sameProcess(before.identity, now.identity)) return null
  const seconds = (now.at - before.at) / 1000
  if (seconds * 1000 < shortestSpanMs) return null
  // With workers a sum may shrink, when one of them ends.
  const rate = (from: number, to: number) => Math.max(0, Math.round((to - from) / seconds))
  return {
    fromClients: rate(before.fromClients, now.fromClients),
    fromTarget: rate(before.fromTarget, now.fromTarget),
  }
}
