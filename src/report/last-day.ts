import type { JournalEntry } from '../record/journal.ts'
import { type Measured, measureOf, type Track, trace } from './history-trace.ts'

/**
 * How one hour was for whoever wanted to get through:
 * - `up`: open and answered for all of the time that is known.
 * - `partly`: not for less than half of it.
 * - `down`: not for half of it or more, the forward's fault or its target's.
 * - `stopped`: somebody had ordered it down.
 * - `unknown`: not monitored.
 */
export const hourStates = ['up', 'partly', 'down', 'stopped', 'unknown'] as const
export type HourState = (typeof hourStates)[number]

/** Hours that are told of. */
export const hoursOfDay = 24

const hourMs = 3_600_000

/** What the journal says of the last 24 hours of every forward it names, by name, the oldest hour first. Pure. */
export function lastDayOf(
  entries: readonly JournalEntry[],
  now: number,
  watchedUntil: number | undefined,
): ReadonlyMap<string, readonly HourState[]> {
  const tracks = trace(entries, now, watchedUntil)
  return new Map([...tracks].map(([name, track]) => [name, hoursBefore(track, now)]))
}

/** The hours of one forward. */
export function hoursBefore(track: Track, now: number): HourState[] {
  const measured = measureOf(track)
  return Array.from({ length: hoursOfDay }, (_, i) => {
    const from = now - (hoursOfDay - i) * hourMs
    return hourState(measured({ from, to: from + hourMs }))
  })
}

/** How an hour, or a day, was. */
export function hourState({
  openMs,
  awayMs,
  wantedDownMs,
}: Pick<Measured, 'openMs' | 'awayMs' | 'wantedDownMs'>): HourState {
  if (openMs + awayMs + wantedDownMs === 0) return 'unknown'
  if (awayMs > 0) return awayMs >= openMs ? 'down' : 'partly'
  return wantedDownMs > openMs ? 'stopped' : 'up'
}
