import { bootId, monotonicMs } from '../os/clock.ts'

/**
 * A point in time that can be written down: an incident may outlive the monitor, and the machine's uptime. Within one boot the
 * monotonic clock counts; across boots only the wall clock is left.
 */
export interface Moment {
  /** ms since 1970. */
  readonly wallMs: number
  readonly monotonicMs: number
  readonly bootId: string
}

export function currentMoment(): Moment {
  return { wallMs: Date.now(), monotonicMs: monotonicMs(), bootId: bootId() }
}

/** ms from one moment to another; never negative, whatever the wall clock did. */
export function elapsedMs(from: Moment, to: Moment): number {
  const elapsed = from.bootId === to.bootId ? to.monotonicMs - from.monotonicMs : to.wallMs - from.wallMs
  return Math.max(0, elapsed)
}

export function earlier(moment: Moment, byMs: number): Moment {
  return { ...moment, wallMs: moment.wallMs - byMs, monotonicMs: moment.monotonicMs - byMs }
}

export function later(moment: Moment, byMs: number): Moment {
  return earlier(moment, -byMs)
}

export function isoTime({ wallMs }: Moment): string {
  return new Date(wallMs).toISOString()
}
