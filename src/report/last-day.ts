import type { JournalEntry } from '../record/shapes/journal.ts'
import type { HourState } from '../record/shapes/status-report.ts'
import { type Measured, measureHoursOf, type Track, trace } from './history-trace.ts'

/** How many hours a last day has. */
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
  const measured = measureHoursOf(track)
  return Array.from({ length: hoursOfDay }, (_, i) => {
    const from = now - (hoursOfDay - i) * hourMs
    return hourState(measured({ from, to: from + hourMs }))
  })
}

/** How an hour, or a day, was. */
export function hourState({
  openMs,
  waitingMs,
  awayMs,
  wantedDownMs,
}: Pick<Measured, 'openMs' | 'waitingMs' | 'awayMs' | 'wantedDownMs'>): HourState {
  if (openMs + waitingMs + awayMs + wantedDownMs === 0) return 'unknown'
  if (awayMs > 0) return awayMs >= openMs + waitingMs ? 'down' : 'partly'
  if (wantedDownMs > openMs + waitingMs) return 'stopped'
  return waitingMs > openMs ? 'waiting' : 'up'
}
