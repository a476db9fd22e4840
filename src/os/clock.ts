import { system } from './system.ts'

/**
 * Milliseconds on the machine's monotonic clock. On Linux this is CLOCK_MONOTONIC: it counts from boot, is the
 * same for every process of the machine, never jumps when the wall clock is set, and stands still during suspend.
 * Two readings from different processes may be compared only when their `bootId` is equal.
 */
export function monotonicMs(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1000 + nanoseconds / 1e6
}

/** Wall time for people, as ISO 8601 in UTC. Never used for an age or a delay. */
export function wallTime(): string {
  return new Date().toISOString()
}

/** An identifier that is new at every boot of the machine; `unknown` where the system has none. */
export function bootId(): string {
  return system.bootId()
}
