import { createHash } from 'node:crypto'
import type { Moment } from './moment.ts'

/** One trouble of one forward or its target, from its first failure until it is over. */
export interface Incident {
  readonly id: string
  readonly forward: string
  readonly port: number
  readonly subject: Subject
  /** What opened it. */
  readonly message: string
  /** The first failure. */
  readonly since: Moment
  readonly openedAt: Moment
  /** Told as flapping. */
  readonly flapping: boolean
  /** A flapping one: since when all is well; null while it is not. */
  readonly wellSince: Moment | null
  /** The last time it was told. */
  readonly toldAt: Moment
  readonly reminders: number
  /** Changes told so far; numbers the next one. */
  readonly changes: number
  /** The forward's counter of restarts at the first failure. */
  readonly restartsBefore: number
  /** The same counter when the forward was last seen. */
  readonly restarts: number
}

/**
 * A forward can be down, and so can what it forwards to; it can use more memory or CPU time than it may; somebody can guess at its login.
 */
export type Subject = 'forward' | 'target' | 'memory' | 'cpu' | 'login'

/** One thing to tell. */
export interface IncidentChange {
  /** Unique, and the same however often it is delivered. */
  readonly id: string
  /** The incident's id. */
  readonly incident: string
  /** `test`: nothing has happened; somebody tries the channel. */
  readonly event: 'opened' | 'flapping' | 'reminder' | 'resolved' | 'test'
  readonly forward: string
  readonly port: number
  readonly subject: Subject
  readonly message: string
  /** ISO 8601. */
  readonly at: string
  /** When the trouble began, ISO 8601. */
  readonly since: string
  /** ms from the first failure until now, or until it was well. */
  readonly durationMs: number
  /** Restarts of the forward within the incident: what was done about it. */
  readonly restarts: number
  readonly flapping: boolean
}

/** Changes that are delivered together. */
export interface AlertMessage {
  /** Follows from the changes: the same changes are always the same message. */
  readonly id: string
  readonly changes: readonly IncidentChange[]
}

/** Everything there is to remember; plain JSON. */
export interface IncidentState {
  /** Makes ids unique to this state directory. */
  readonly seed: string
  /** Incidents opened so far. */
  readonly sequence: number
  readonly incidents: readonly Incident[]
  readonly recentOpenings: readonly { readonly key: string; readonly at: Moment }[]
  /** Changes that wait for others of the same round. */
  readonly pending: readonly IncidentChange[]
  readonly pendingSince: Moment | null
}

/** The message that holds these changes. */
export function messageOf(changes: readonly IncidentChange[]): AlertMessage {
  const hash = createHash('sha256')
  for (const { id } of changes) hash.update(`${id}\n`)
  return { id: `msg_${hash.digest('hex').slice(0, 24)}`, changes }
}
