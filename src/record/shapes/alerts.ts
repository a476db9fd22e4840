import type { ChannelConfiguration } from '../../config/alert-options.ts'
import { shapeOf } from './index.ts'
import { exactly, flag, list, nullable, number, object, oneOf, optional, or, text } from './kinds.ts'

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

/** One trouble of one unit, from its first failure until it is over. */
export interface Incident {
  readonly id: string
  /** The unit's id; empty in the files of an older monitor, which knew forwards alone. */
  readonly unit: string
  /** What the configuration calls the unit. */
  readonly forward: string
  /** The port by which people know the unit; 0 = it has none. */
  readonly port: number
  readonly subject: Subject
  /** The subject as a sentence names it: `web`, `Target of web`. Empty in the files of an older monitor. */
  readonly title: string
  /** What opened it. */
  readonly message: string
  /** The first failure. */
  readonly since: Moment
  readonly openedAt: Moment
  /** It was reported as flapping. */
  readonly flapping: boolean
  /** A flapping one: since when all is well; null while it is not. */
  readonly wellSince: Moment | null
  /** The time of its last change. */
  readonly toldAt: Moment
  readonly reminders: number
  /** How many changes it has had; numbers the next one. */
  readonly changes: number
  /** The unit's counter of restarts at the first failure. */
  readonly restartsBefore: number
  /** The same counter when the unit was last seen. */
  readonly restarts: number
}

/**
 * What an incident is about: `forward` or another kind of unit that is down, `target` or another thing that a unit depends on and that does
 * not answer, `memory` or `cpu` above a limit, `login` when somebody guesses at it.
 */
export type Subject = string

/** One piece of news about an incident. */
export interface IncidentChange {
  /** Unique, and the same however often it is delivered. */
  readonly id: string
  /** The incident's id. */
  readonly incident: string
  /** `test`: nothing has happened; a person tests the channel. */
  readonly event: 'opened' | 'flapping' | 'reminder' | 'resolved' | 'test'
  /** The unit's id; missing in the files of an older monitor. */
  readonly unit?: string
  readonly forward: string
  readonly port: number
  readonly subject: Subject
  readonly message: string
  /** ISO 8601. */
  readonly at: string
  /** When the trouble began, ISO 8601. */
  readonly since: string
  /** ms from the first failure until now, or until the recovery. */
  readonly durationMs: number
  /** How often the unit was restarted during the incident. */
  readonly restarts: number
  readonly flapping: boolean
}

/** Changes that are delivered together. */
export interface AlertMessage {
  /** Follows from the changes: the same changes are always the same message. */
  readonly id: string
  readonly changes: readonly IncidentChange[]
}

/** All that is remembered of incidents; plain JSON. */
export interface IncidentState {
  /** Makes ids unique to this state directory. */
  readonly seed: string
  /** Incidents opened so far. */
  readonly sequence: number
  readonly incidents: readonly Incident[]
  /** By `subjectKey`; an older monitor has written the forward's name in the place of the unit's id. */
  readonly recentOpenings: readonly { readonly key: string; readonly at: Moment }[]
  /** Changes that wait for others of the same round. */
  readonly pending: readonly IncidentChange[]
  readonly pendingSince: Moment | null
}

/**
 * - `untried`: nothing has been sent yet.
 * - `ok`: the last try was a success.
 * - `retrying`: it was not, and another one follows.
 * - `disabled`: the receiver refuses for good; nothing is sent until the configuration changes or the monitor is started anew.
 */
export type ChannelState = 'untried' | 'ok' | 'retrying' | 'disabled'

/** How a channel is, as it is written down. Holds no secret. */
export interface ChannelHealth {
  readonly name: string
  readonly type: ChannelConfiguration['type'] | 'ping'
  readonly state: ChannelState
  /** Changes that wait. */
  readonly queued: number
  /** Changes lost since the file began, because too many waited. */
  readonly dropped: number
  /** Messages delivered since the file began. */
  readonly delivered: number
  readonly lastDeliveredAt: Moment | null
  /** What went wrong last, without secrets; null when the last try was a success. */
  readonly lastError: string | null
  /** Tries in a row that failed. */
  readonly failures: number
  /** When it is tried again; null when nothing waits for that. */
  readonly retryAt: Moment | null
  /** The receiver chose that time, so a new monitor keeps to it. */
  readonly retryAtIsTold: boolean
}

/** A message that waits to be delivered by one channel. */
export interface QueuedMessage extends AlertMessage {
  /** It was sent at least once and may have arrived: it must go out as it is, so that its id means the same. */
  readonly attempted: boolean
  /** Changes lost before it, told by it. */
  readonly dropped: number
}

/** The version of the shape of these files. */
export const alertSchemaVersion = 1

/** `alerts.json`. */
export interface IncidentRecord {
  readonly schemaVersion: typeof alertSchemaVersion
  readonly incidents: IncidentState
}

/** `alert_CHANNEL.json`: what a channel has to deliver and how it is. Never holds a URL or a key. */
export interface ChannelRecord {
  readonly schemaVersion: typeof alertSchemaVersion
  /** Tells that the URL has changed without telling the URL; null for a command. */
  readonly fingerprint: string | null
  readonly health: ChannelHealth
  readonly queue: readonly QueuedMessage[]
}

const moment = object({ wallMs: number, monotonicMs: number, bootId: text })

const incident = object({
  id: text,
  unit: or(text, () => ''),
  forward: text,
  port: number,
  subject: text,
  title: or(text, () => ''),
  message: text,
  since: moment,
  openedAt: moment,
  flapping: flag,
  wellSince: nullable(moment),
  toldAt: moment,
  reminders: number,
  changes: number,
  restartsBefore: number,
  restarts: number,
})

const incidentChange = object({
  id: text,
  incident: text,
  event: oneOf(['opened', 'flapping', 'reminder', 'resolved', 'test'], 'reminder'),
  unit: optional(text),
  forward: text,
  port: number,
  subject: text,
  message: text,
  at: text,
  since: text,
  durationMs: number,
  restarts: number,
  flapping: flag,
})

export const incidentRecord = shapeOf<IncidentRecord>()(
  object({
    schemaVersion: exactly(alertSchemaVersion),
    incidents: object({
      seed: text,
      sequence: number,
      incidents: list(incident),
      recentOpenings: list(object({ key: text, at: moment })),
      pending: list(incidentChange),
      pendingSince: nullable(moment),
    }),
  }),
)

export const channelRecord = shapeOf<ChannelRecord>()(
  object({
    schemaVersion: exactly(alertSchemaVersion),
    fingerprint: nullable(text),
    health: object({
      name: text,
      type: exactly('slack', 'discord', 'webhook', 'command', 'ping'),
      state: oneOf(['untried', 'ok', 'retrying', 'disabled'], 'untried'),
      queued: number,
      dropped: number,
      delivered: number,
      lastDeliveredAt: nullable(moment),
      lastError: nullable(text),
      failures: number,
      retryAt: nullable(moment),
      retryAtIsTold: flag,
    }),
    queue: list(
      object({
        id: text,
        changes: list(incidentChange),
        attempted: flag,
        dropped: number,
      }),
    ),
  }),
)
