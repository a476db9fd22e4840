import {
  decisionOf,
  type JournalEntry,
  type JournalStamp,
  type TargetCondition,
  type UnitDecision,
} from '../record/shapes/journal.ts'
import { type Interval, measure, subtract, union } from './intervals.ts'

/** `waiting`: the forward was open, and its target had not answered yet. */
type Condition = 'up' | 'waiting' | 'down' | 'wanted-down'

export interface Outage {
  readonly at: number
  readonly saw: string
  /** undefined while it goes on, or when no monitor saw its end. */
  readonly lastedMs: number | undefined
}

/** What is known of one unit. */
export interface Track {
  readonly name: string
  /** Null = it is no forward. */
  readonly port: number | null
  /** Wall time of the first event that names it, ms since 1970: nothing before it is counted. */
  readonly since: number
  readonly intervals: Readonly<Record<Condition, Interval[]>>
  readonly targetDown: Interval[]
  readonly targetFailures: number[]
  readonly outages: Outage[]
  /** What goes on now, and since when. */
  condition: { readonly is: Condition; readonly since: number } | undefined
  targetDownSince: number | undefined
  target: TargetCondition
  outage: { readonly event: UnitDecision } | undefined
}

/** Goes through the events in the order in which they were written; the clock may have been set in between. */
export function trace(
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
      case 'unit': {
        const decision = decisionOf(entry)
        if (decision === undefined) break
        const track = trackOf(tracks, decision)
        // The end of a unit that is no longer configured is the end of its history, not a wish for it to be down.
        if (decision.to !== 'down' || !removed.has(track.name)) follow(track, decision, at)
        else end(track, at)
        break
      }
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
        const kept = new Set([...entry.forwards.map(({ name }) => name), ...(entry.programs ?? [])])
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

function trackOf(tracks: Map<string, Track>, { name, port, time }: UnitDecision): Track {
  const known = tracks.get(name)
  if (known !== undefined) return known
  const track: Track = {
    name,
    port,
    since: Date.parse(time),
    intervals: { up: [], waiting: [], down: [], 'wanted-down': [] },
    targetDown: [],
    targetFailures: [],
    outages: [],
    condition: undefined,
    targetDownSince: undefined,
    target: 'unknown',
    outage: undefined,
  }
  tracks.set(name, track)
  return track
}

function follow(track: Track, event: UnitDecision, at: number): void {
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
  if (is !== 'down' && track.outage !== undefined)
    endOutage(track, event.to === 'running' ? event : undefined)
  const isTargetDown = event.target === 'silent'
  if (isTargetDown) track.targetDownSince ??= at
  else closeTarget(track, at)
  if (isTargetDown && track.target === 'answers') track.targetFailures.push(at)
  track.target = event.target
}

/**
 * A first start, or a restart by an order, is no failure: the forward counts as up only when it runs. Without an app behind it an open
 * forward is not up either.
 */
function conditionAfter(event: UnitDecision, before: Condition | undefined): Condition | undefined {
  switch (event.to) {
    case 'running':
      // Only a forward waits for somebody else to answer.
      return event.port === null || hasAnswered(event.target) ? 'up' : 'waiting'
    case 'down':
      return 'wanted-down'
    case 'unknown':
      return undefined
    case 'awaiting':
      // Before its first start it waits for what it depends on: that is no failure.
      return before === undefined && event.failures === 0 ? undefined : 'down'
    case 'backoff':
    case 'flapping':
    case 'blocked':
    case 'detached':
      return 'down'
    case 'starting':
    case 'stopping':
      if (event.kind === 'died' || event.kind === 'failed' || event.failures > 0) return 'down'
      return before === 'down' ? 'down' : before === undefined ? undefined : 'wanted-down'
  }
}

function hasAnswered(target: TargetCondition): boolean {
  return target === 'answers' || target === 'silent'
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

function endOutage(track: Track, by: UnitDecision | undefined): void {
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

/** The time between two events: by the monotonic clock where both were written in the same boot. */
export function between(one: JournalStamp, other: JournalStamp): number {
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

/** How a stretch of time was. All lengths in ms. */
export interface Measured {
  readonly upMs: number
  /** Open, while the target had not answered yet. */
  readonly waitingMs: number
  readonly downMs: number
  readonly wantedDownMs: number
  readonly targetDownMs: number
  /** Of `upMs`, without the time in which the target did not answer: so long could clients get through. */
  readonly openMs: number
  /** The forward or its target was away, and not by an order. */
  readonly awayMs: number
}

/**
 * Wall time before which nothing is known of a forward because it was not there, ms since 1970. Where the clock was set back, what is known
 * may lie before the first event.
 */
export function beginningOf({ since, intervals }: Track): number {
  const known = Object.values(intervals).flat()
  return known.reduce((earliest, { from }) => Math.min(earliest, from), since)
}

/** Prepares a forward to be measured over many periods. */
export function measureOf(track: Track): (period: Interval) => Measured {
  const { up, waiting, down, wantedDown, targetDown, open, away } = partsOf(track)
  return (period) => ({
    upMs: measure(up, period),
    waitingMs: measure(waiting, period),
    downMs: measure(down, period),
    wantedDownMs: measure(wantedDown, period),
    targetDownMs: measure(targetDown, period),
    openMs: measure(open, period),
    awayMs: measure(away, period),
  })
}

/** The same for what says how an hour was: a status measures 24 of every unit. */
export function measureHoursOf(
  track: Track,
): (hour: Interval) => Pick<Measured, 'openMs' | 'waitingMs' | 'awayMs' | 'wantedDownMs'> {
  const { waiting, wantedDown, open, away } = partsOf(track)
  return (hour) => ({
    openMs: measure(open, hour),
    waitingMs: measure(waiting, hour),
    awayMs: measure(away, hour),
    wantedDownMs: measure(wantedDown, hour),
  })
}

function partsOf(track: Track) {
  const wantedDown = union(track.intervals['wanted-down'])
  const down = subtract(union(track.intervals.down), wantedDown)
  // Times overlap where the clock was set back: then the worse of the two counts.
  const waiting = subtract(subtract(union(track.intervals.waiting), wantedDown), down)
  const up = subtract(subtract(subtract(union(track.intervals.up), wantedDown), down), waiting)
  const targetDown = union(track.targetDown)
  const away = union([...down, ...subtract(targetDown, wantedDown)])
  const open = subtract(up, targetDown)
  return { up, waiting, down, wantedDown, targetDown, open, away }
}
