import type { JournalEntry } from '../record/shapes/journal.ts'
import type { HourState } from '../record/shapes/status-report.ts'
import { beginningOf, measureOf, type Track, trace } from './history-trace.ts'
import type { Interval } from './intervals.ts'
import { hoursBefore } from './last-day.ts'

/** The version of the shape of `proxy-status --history --json`. */
export const historySchemaVersion = 2

/** A forward over one day or week. All lengths in ms; what is in none of the other lengths is `unknownMs`. */
export interface Period {
  /** ISO 8601 in UTC; a day begins at this machine's midnight, a week on Monday. */
  readonly from: string
  readonly to: string
  /** The forward ran, and its target had answered before. */
  readonly upMs: number
  /** The forward ran, and its target had not answered yet: neither up nor a failure. */
  readonly waitingMs: number
  readonly downMs: number
  /** Down by an order: neither up nor a failure. */
  readonly wantedDownMs: number
  /**
   * Since the forward was first seen: not monitored, or what happened could not be written down. Never counted as up, and nothing before
   * that is counted at all.
   */
  readonly unknownMs: number
  /** From 0 to 1: `upMs` as a part of `upMs` and `downMs`; null when both are 0. */
  readonly availability: number | null
  /** Times it stopped working, not by order. */
  readonly failures: number
  /** Of the failures that ended, how long it took on average; null when none did. */
  readonly meanTimeToRecoveryMs: number | null
  /** The target, apart from the forward: it had answered and did not. */
  readonly targetFailures: number
  readonly targetDownMs: number
}

export interface ForwardHistory {
  readonly name: string
  /** Null for a program. */
  readonly port: number | null
  /** The first event that names it, ISO 8601. */
  readonly since: string
  /** How the last 24 hours were, the newest last. */
  readonly hours: readonly HourState[]
  /** Newest last. */
  readonly days: readonly Period[]
  readonly weeks: readonly Period[]
  readonly lastFailure: { readonly at: string; readonly saw: string } | null
}

export interface History {
  readonly schemaVersion: typeof historySchemaVersion
  readonly takenAt: string
  /** The first event there is; null when there is none. */
  readonly since: string | null
  readonly forwards: readonly ForwardHistory[]
}

export interface HistoryInput {
  readonly entries: readonly JournalEntry[]
  /** Wall time, ms since 1970. */
  readonly now: number
  /** Wall time until which the monitor has watched; undefined when only the events show that. */
  readonly watchedUntil: number | undefined
}

/** Sorts programs behind all forwards. */
const noPort = 65_536

/** Days and weeks that are shown. */
const daysShown = 7
const weeksShown = 6

/** Works out what the journal says of every forward it names. Pure. */
export function historyOf({ entries, now, watchedUntil }: HistoryInput): History {
  const tracks = trace(entries, now, watchedUntil)
  const days = recentDays(now, daysShown)
  const weeks = recentWeeks(now, weeksShown)
  return {
    schemaVersion: historySchemaVersion,
    takenAt: new Date(now).toISOString(),
    since: entries[0]?.time ?? null,
    forwards: [...tracks.values()]
      .sort((a, b) => (a.port ?? noPort) - (b.port ?? noPort))
      .map((track) => {
        const measured = measureOf(track)
        const since = beginningOf(track)
        return {
          name: track.name,
          port: track.port,
          since: new Date(since).toISOString(),
          hours: hoursBefore(track, now),
          days: days.map((day) => summarise(track, measured, since, day)),
          weeks: weeks.map((week) => summarise(track, measured, since, week)),
          lastFailure: lastFailure(track),
        }
      }),
  }
}

function lastFailure({ outages }: Track): ForwardHistory['lastFailure'] {
  const last = outages.at(-1)
  return last === undefined ? null : { at: new Date(last.at).toISOString(), saw: last.saw }
}

function summarise(
  track: Track,
  measured: ReturnType<typeof measureOf>,
  since: number,
  period: Interval,
): Period {
  const { upMs, waitingMs, downMs, wantedDownMs, targetDownMs } = measured(period)
  const isIn = (at: number) => at >= period.from && at < period.to
  const outages = track.outages.filter(({ at }) => isIn(at))
  const recoveries = outages.flatMap(({ lastedMs }) => lastedMs ?? [])
  const known = upMs + downMs
  const countedMs = period.to - Math.max(period.from, since)
  return {
    from: new Date(period.from).toISOString(),
    to: new Date(period.to).toISOString(),
    upMs,
    waitingMs,
    downMs,
    wantedDownMs,
    unknownMs: Math.max(0, countedMs - upMs - waitingMs - downMs - wantedDownMs),
    availability: known === 0 ? null : upMs / known,
    failures: outages.length,
    meanTimeToRecoveryMs:
      recoveries.length === 0
        ? null
        : Math.round(recoveries.reduce((sum, ms) => sum + ms, 0) / recoveries.length),
    targetFailures: track.targetFailures.filter(isIn).length,
    targetDownMs,
  }
}

/** The last days up to now, oldest first. A day has 23 or 25 hours when summer time begins or ends. */
export function recentDays(now: number, count: number): Interval[] {
  const today = new Date(now)
  return Array.from({ length: count }, (_, i) => dayPeriod(today, i - count + 1, 1, now))
}

/** The last weeks up to now, oldest first, each from Monday on (ISO 8601). */
export function recentWeeks(now: number, count: number): Interval[] {
  const today = new Date(now)
  const sinceMonday = (today.getDay() + 6) % 7
  return Array.from({ length: count }, (_, i) => dayPeriod(today, (i - count + 1) * 7 - sinceMonday, 7, now))
}

function dayPeriod(today: Date, offset: number, length: number, now: number): Interval {
  const midnight = (days: number) =>
    new Date(today.getFullYear(), today.getMonth(), today.getDate() + days).getTime()
  return { from: midnight(offset), to: Math.min(now, midnight(offset + length)) }
}
