import type { ChannelConfiguration } from '../config/alert-options.ts'
import type { Moment } from './moment.ts'

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

export function newHealth(name: string, type: ChannelHealth['type']): ChannelHealth {
  return {
    name,
    type,
    state: 'untried',
    queued: 0,
    dropped: 0,
    delivered: 0,
    lastDeliveredAt: null,
    lastError: null,
    failures: 0,
    retryAt: null,
    retryAtIsTold: false,
  }
}
