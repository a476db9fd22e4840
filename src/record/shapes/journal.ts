import { shapeOf } from './index.ts'
import {
  exactly,
  flag,
  instant,
  list,
  nullable,
  number,
  object,
  oneOf,
  optional,
  taggedBy,
  text,
} from './kinds.ts'
import { type ForwardRecord, phase } from './runtime-state.ts'

/** When something happened. Ages come from the monotonic time where the boot is the same, dates from the wall time. */
export interface JournalStamp {
  /** Wall time, ISO 8601 in UTC. */
  readonly time: string
  readonly monotonicMs: number
  readonly bootId: string
}

/** How a monitor came, after which other one. */
export interface MonitorStarted {
  readonly event: 'monitor-started'
  readonly pid: number
  readonly version: string
  /** Wall time of the last sign of life of the monitor before; null when there was none, or nobody knows. */
  readonly previousSeenAt: string | null
  /** True when the one before ended in order. */
  readonly previousEnded: boolean
  readonly forwards: readonly NamedForward[]
  /** The names of programs; missing = none. */
  readonly programs?: readonly string[]
  /** Forwards that are called otherwise than under the monitor before; missing = none. */
  readonly renamed?: readonly Renamed[]
}

/** A forward, as an event names it. */
interface NamedForward {
  readonly name: string
  readonly port: number
}

/** The same forward has another name from this event on. */
export interface Renamed {
  readonly from: string
  readonly to: string
}

export interface MonitorStopped {
  readonly event: 'monitor-stopped'
  readonly reason: string
}

/** The monitor did not run for a while although it lives: the machine slept, it was stopped, or the clock was set. */
export interface MonitorGap {
  readonly event: 'monitor-gap'
  /** Wall time of the last sign of life before. */
  readonly from: string
  readonly reason: string
}

export interface ConfigurationChanged {
  readonly event: 'configuration-changed'
  readonly reason: string
  readonly forwards: readonly NamedForward[]
  /** The names of programs; missing = none. */
  readonly programs?: readonly string[]
  /** Missing = none. */
  readonly renamed?: readonly Renamed[]
}

/** Events that could not be written, on a full disk for example. What happened from then on until now is unknown. */
export interface EventsLost {
  readonly event: 'events-lost'
  /** Wall time of the first of them. */
  readonly from: string
  readonly count: number
}

/** What happened to a unit, in one word. */
export type ForwardEventKind =
  | 'adopted'
  | 'starting'
  | 'started'
  | 'start-failed'
  | 'died'
  | 'failed'
  | 'stopping'
  | 'ended'
  | 'survived'
  | 'recovered'
  | 'blocked'
  | 'target-down'
  | 'target-up'
  | 'over-limit'
  | 'within-limit'
  | 'order'
  | 'noticed'

/**
 * - `waiting`: it has not answered yet; its app may never have been started.
 * - `answers`: it answered last time.
 * - `silent`: it has answered, and does not now.
 * - `unknown`: what earlier versions wrote for `waiting`.
 */
export type TargetCondition = 'waiting' | 'answers' | 'silent' | 'unknown'

/** One decision about a unit: what was seen, what was decided and why, what was done. */
interface DecisionEvent {
  readonly kind: ForwardEventKind
  readonly from: ForwardRecord['phase']
  readonly to: ForwardRecord['phase']
  readonly saw: string
  readonly decided: string
  /** Why so and not otherwise; null when the decision says it itself. */
  readonly because: string | null
  readonly did: readonly string[]
  /** The process concerned; null when there is none. */
  readonly pid: number | null
  /** Which start this is about; rises by one at every start. */
  readonly generation: number
  /** Failures in a row. */
  readonly failures: number
  readonly target: TargetCondition
}

/** A decision about a forward. */
export interface ForwardEvent extends DecisionEvent {
  readonly event: 'forward'
  /** The unit's id; missing in the events of an older monitor. */
  readonly unit?: string
  readonly forward: string
  readonly port: number
}

/** A decision about a unit of another kind. */
export interface UnitEvent extends DecisionEvent {
  readonly event: 'unit'
  readonly unit: string
  readonly name: string
}

/** A decision about a unit of any kind. */
export interface UnitDecision extends JournalStamp, DecisionEvent {
  readonly name: string
  /** Of a forward; null for any other unit. */
  readonly port: number | null
}

/** What an entry decided about a unit; undefined for one that is about something else. */
export function decisionOf(entry: JournalEntry): UnitDecision | undefined {
  if (entry.event === 'forward') return { ...entry, name: entry.forward }
  return entry.event === 'unit' ? { ...entry, port: null } : undefined
}

/** Who gives an order. */
export interface Actor {
  /** The name of a user of this machine, or of a key. */
  readonly user: string
  /** Null when it is no user of this machine. */
  readonly uid: number | null
  /** The road by which the order came. */
  readonly via: 'cli' | 'http' | 'mcp'
}

/** An order that was carried out, or refused. What it did to a forward is an event of the forward besides. */
export interface OrderEvent {
  readonly event: 'order'
  readonly order: string
  readonly actor: Actor
  /** The forwards that it was about; empty = the monitor itself. */
  readonly units: readonly string[]
  /** `failed`: not, or not for all of them. */
  readonly outcome: 'done' | 'failed'
  /** Why it failed, for programs and for people; null = it did not. */
  readonly code: string | null
  readonly message: string | null
  readonly tookMs: number
}

/**
 * An incident about something of a unit that no decision is about: a connector of the gateway, the health of a program, a login. What decisions
 * are about is in the journal with them.
 */
export interface IncidentEvent {
  readonly event: 'incident'
  readonly unit: string
  readonly name: string
  /** The incident's id. */
  readonly incident: string
  readonly change: 'opened' | 'flapping' | 'resolved'
  readonly subject: string
  readonly message: string
}

export type JournalEvent =
  | MonitorStarted
  | MonitorStopped
  | MonitorGap
  | ConfigurationChanged
  | EventsLost
  | OrderEvent
  | IncidentEvent
  | ForwardEvent
  | UnitEvent

export type JournalEntry = JournalStamp & JournalEvent

export const eventKind = oneOf(
  [
    'adopted',
    'starting',
    'started',
    'start-failed',
    'died',
    'failed',
    'stopping',
    'ended',
    'survived',
    'recovered',
    'blocked',
    'target-down',
    'target-up',
    'over-limit',
    'within-limit',
    'order',
    'noticed',
  ],
  'noticed',
)

const decision = {
  kind: eventKind,
  from: phase,
  to: phase,
  saw: text,
  decided: text,
  because: nullable(text),
  did: list(text),
  pid: nullable(number),
  generation: number,
  failures: number,
  target: oneOf(['waiting', 'answers', 'silent', 'unknown'], 'unknown'),
}

const stamp = { time: instant, monotonicMs: number, bootId: text }
const named = object({ name: text, port: number })
const renamed = object({ from: text, to: text })

export const journalEntry = shapeOf<JournalEntry>()(
  taggedBy(
    'event',
    object({
      ...stamp,
      ...decision,
      event: exactly('forward'),
      unit: optional(text),
      forward: text,
      port: number,
    }),
    object({ ...stamp, ...decision, event: exactly('unit'), unit: text, name: text }),
    object({
      ...stamp,
      event: exactly('monitor-started'),
      pid: number,
      version: text,
      previousSeenAt: nullable(text),
      previousEnded: flag,
      forwards: list(named),
      programs: optional(list(text)),
      renamed: optional(list(renamed)),
    }),
    object({ ...stamp, event: exactly('monitor-stopped'), reason: text }),
    object({ ...stamp, event: exactly('monitor-gap'), from: instant, reason: text }),
    object({
      ...stamp,
      event: exactly('configuration-changed'),
      reason: text,
      forwards: list(named),
      programs: optional(list(text)),
      renamed: optional(list(renamed)),
    }),
    object({ ...stamp, event: exactly('events-lost'), from: instant, count: number }),
    object({
      ...stamp,
      event: exactly('order'),
      order: text,
      actor: object({ user: text, uid: nullable(number), via: oneOf(['cli', 'http', 'mcp'], 'cli') }),
      units: list(text),
      outcome: oneOf(['done', 'failed'], 'failed'),
      code: nullable(text),
      message: nullable(text),
      tookMs: number,
    }),
    object({
      ...stamp,
      event: exactly('incident'),
      unit: text,
      name: text,
      incident: text,
      change: oneOf(['opened', 'flapping', 'resolved'], 'opened'),
      subject: text,
      message: text,
    }),
  ),
)
