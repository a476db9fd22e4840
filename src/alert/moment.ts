import { bootId, monotonicMs } from '../os/clock.ts'
import type { Moment } from '../record/shapes/alerts.ts'

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
