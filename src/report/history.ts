import type { ForwardEvent, JournalEntry, TargetCondition } from '../record/journal.ts'
import { type Interval, measure, subtract, union } from './intervals.ts'

/** The version of the shape of `proxy-status --history --json`. */
export const historySchemaVersion = 1

/** A forward over one day or week. All lengths in ms; what is not in `upMs`, `downMs` and `wantedDownMs` is `unknownMs`. */
export interface Period {
  /** ISO 8601 in UTC; a day begins at this machine's midnight, a week on Monday. */
  readonly from: string
  readonly to: string
  readonly upMs: number
  readonly downMs: number
  /** Down because somebody wanted it: neither up nor a failure. */
  readonly wantedDownMs: number
  /** Nobody watched, or what happened could not be written down. Never counted as up. */
  readonly unknownMs: number
  /** From 0 to 1: up, of the time that is known; null when nothing is known. */
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
  readonly port: number
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
  /** Wall time until which the monitor is known to have watched; undefined when nobody knows of more than the events. */
  readonly watchedUntil: number | undefined
}

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
      .sort((a, b) => a.port - b.port)
      .map((track) => ({
        name: track.name,
        port: track.port,
        days: days.map((day) => summarise(track, day)),
        weeks: weeks.map((week) => summarise(track, week)),
        lastFailure: lastFailure(track),
      })),
  }
}

type Condition = 'up' | 'down' | 'wanted-down'

interface Outage {
  readonly at: number
  readonly saw: string
  /** undefined while it goes on, or when nobody saw it end. */
  readonly lastedMs: number | undefined
}

/** What is known of one forward. */
interface Track {
  readonly name: string
  readonly port: number
  readonly intervals: Readonly<Record<Condition, Interval[]>>
  readonly targetDown: Interval[]
  readonly targetFailures: number[]
  readonly outages: Outage[]
  /** What goes on now, and since when. */
  condition: { readonly is: Condition; readonly since: number } | undefined
  targetDownSince: number | undefined
  target: TargetCondition
  outage: { readonly event: ForwardEvent & JournalEntry } | undefined
}

/** Goes through the events in the order in which they were written; the clock may have been set in between. */
function trace(
  entries: readonly JournalEntry[],
  now: number,
  watchedUntil: number | undefined,
): Map<string, Track> {
  const tracks = new Map<string, Track>()
  const removed = new Set<string>()
  let last = Number.NEGATIVE_INFINITY
  for (const entry of entries) {
    const at = Date.parse(entry.time)
    switch (entry.event) {
      case 'forward':
        // The end of a forward that is no longer configured is the end of its history, not a wish for it to be down.
        if (entry.to !== 'down' || !removed.has(entry.forward)) follow(trackOf(tracks, entry), entry, at)
        else end(trackOf(tracks, entry), at)
        break
      case 'monitor-started':
        endAll(tracks, unwatchedFrom(entry.previousSeenAt, last, at))
        break
      case 'monitor-stopped':
        endAll(tracks, at)
        break
      case 'monitor-gap':
        interrupt(tracks, unwatchedFrom(entry.from, last, at), at)
        break
      case 'events-lost':
        endAll(tracks, unwatchedFrom(entry.from, last, at))
        break
      case 'configuration-changed': {
        const kept = new Set(entry.forwards.map(({ name }) => name))
        for (const name of kept) removed.delete(name)
        for (const track of tracks.values()) {
          if (kept.has(track.name)) continue
          end(track, at)
          removed.add(track.name)
        }
        break
      }
    }
    last = at
  }
  endAll(tracks, Math.min(now, Math.max(last, watchedUntil ?? last)))
  return tracks
}

/** Where watching ended: at the last sign of life, never before the last event nor after the next one. */
function unwatchedFrom(seen: string | null, last: number, next: number): number {
  const at = seen === null ? last : Math.max(last, Date.parse(seen))
  return Number.isFinite(at) ? Math.min(at, Math.max(last, next)) : next
}

function trackOf(tracks: Map<string, Track>, { forward, port }: ForwardEvent): Track {
  const known = tracks.get(forward)
  if (known !== undefined) return known
  const track: Track = {
    name: forward,
    port,
    intervals: { up: [], down: [], 'wanted-down': [] },
    targetDown: [],
    targetFailures: [],
    outages: [],
    condition: undefined,
    targetDownSince: undefined,
    target: 'unknown',
    outage: undefined,
  }
  tracks.set(forward, track)
  return track
}

function follow(track: Track, event: ForwardEvent & JournalEntry, at: number): void {
  const before = track.condition?.is
  const is = conditionAfter(event, before)
  if (is !== before) {
    closeCondition(track, at)
    if (is !== undefined) track.condition = { is, since: at }
  }
  // One that went on while the monitor was replaced has been counted.
  if (is === 'down' && before !== 'down' && event.kind !== 'starting' && event.kind !== 'noticed') {
    track.outage = { event }
  }
  if (is !== 'down' && track.outage !== undefined) endOutage(track, is === 'up' ? event : undefined)
  const isTargetDown = event.target === 'silent'
  if (isTargetDown) track.targetDownSince ??= at
  else closeTarget(track, at)
  if (isTargetDown && track.target === 'answers') track.targetFailures.push(at)
  track.target = event.target
}

/** A first start, and a restart that somebody ordered, is no failure: it is not known to be up until it is. */
function conditionAfter(event: ForwardEvent, before: Condition | undefined): Condition | undefined {
  switch (event.to) {
    case 'running':
      return 'up'
    case 'down':
      return 'wanted-down'
    case 'unknown':
      return undefined
    case 'backoff':
    case 'flapping':
    case 'awaiting':
    case 'blocked':
      return 'down'
    case 'starting':
    case 'stopping':
      if (event.kind === 'died' || event.kind === 'failed' || event.failures > 0) return 'down'
      return before === 'down' ? 'down' : before === undefined ? undefined : 'wanted-down'
  }
}

function closeCondition(track: Track, at: number): void {
  const { condition } = track
  track.condition = undefined
  if (condition !== undefined && at > condition.since) {
    track.intervals[condition.is].push({ from: condition.since, to: at })
  }
}

function closeTarget(track: Track, at: number): void {
  const since = track.targetDownSince
  track.targetDownSince = undefined
  if (since !== undefined && at > since) track.targetDown.push({ from: since, to: at })
}

function endOutage(track: Track, by: JournalEntry | undefined): void {
  const { outage } = track
  track.outage = undefined
  if (outage === undefined) return
  const { event } = outage
  track.outages.push({
    at: Date.parse(event.time),
    saw: event.saw,
    lastedMs: by === undefined ? undefined : between(event, by),
  })
}

/** How long from one event to another: by the clock that nobody sets, where both were written in the same boot. */
export function between(one: JournalEntry, other: JournalEntry): number {
  const ms =
    one.bootId === other.bootId
      ? other.monotonicMs - one.monotonicMs
      : Date.parse(other.time) - Date.parse(one.time)
  return Math.max(0, ms)
}

function end(track: Track, at: number): void {
  closeCondition(track, at)
  closeTarget(track, at)
  endOutage(track, undefined)
}

function endAll(tracks: ReadonlyMap<string, Track>, at: number): void {
  for (const track of tracks.values()) end(track, at)
}

/** Nothing is known from one time to the other; after it things go on as they were until an event says otherwise. */
function interrupt(tracks: ReadonlyMap<string, Track>, from: number, to: number): void {
  for (const track of tracks.values()) {
    const { condition, targetDownSince, outage } = track
    closeCondition(track, from)
    closeTarget(track, from)
    if (condition !== undefined) track.condition = { is: condition.is, since: to }
    if (targetDownSince !== undefined) track.targetDownSince = to
    track.outage = outage
  }
}

function lastFailure({ outages }: Track): ForwardHistory['lastFailure'] {
  const last = outages.at(-1)
  return last === undefined ? null : { at: new Date(last.at).toISOString(), saw: last.saw }
}

function summarise(track: Track, period: Interval): Period {
  const wantedDown = union(track.intervals['wanted-down'])
  const down = subtract(union(track.intervals.down), wantedDown)
  // The clock was set back where times overlap: what was down in one telling of the hour is not up.
  const up = subtract(subtract(union(track.intervals.up), wantedDown), down)
  const [upMs, downMs, wantedDownMs] = [up, down, wantedDown].map((part) => measure(part, period)) as [
    number,
    number,
    number,
  ]
  const isIn = (at: number) => at >= period.from && at < period.to
  const outages = track.outages.filter(({ at }) => isIn(at))
  const recoveries = outages.flatMap(({ lastedMs }) => lastedMs ?? [])
  const known = upMs + downMs
  return {
    from: new Date(period.from).toISOString(),
    to: new Date(period.to).toISOString(),
    upMs,
    downMs,
    wantedDownMs,
    unknownMs: period.to - period.from - upMs - downMs - wantedDownMs,
    availability: known === 0 ? null : upMs / known,
    failures: outages.length,
    meanTimeToRecoveryMs:
      recoveries.length === 0
        ? null
        : Math.round(recoveries.reduce((sum, ms) => sum + ms, 0) / recoveries.length),
    targetFailures: track.targetFailures.filter(isIn).length,
    targetDownMs: measure(union(track.targetDown), period),
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
