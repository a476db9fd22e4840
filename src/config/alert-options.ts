import type { Secret } from './secret.ts'

/** Where alerts go. */
export type ChannelConfiguration =
  | { readonly type: 'slack' | 'discord'; readonly name: string; readonly url: Secret }
  | {
      readonly type: 'webhook'
      readonly name: string
      readonly url: Secret
      /** Signs every message; undefined = unsigned. */
      readonly secret: Secret | undefined
    }
  | {
      readonly type: 'command'
      readonly name: string
      /** Program and arguments; no shell reads them. */
      readonly command: readonly string[]
      /** Variables of the monitor's environment that it gets besides the usual ones. */
      readonly environment: readonly string[]
    }

/** A dead man's switch: a URL that is fetched as long as the rounds of checks go on, so that silence is the alarm. */
export interface PingConfiguration {
  readonly url: Secret
  /** ms between two pings. */
  readonly intervalMs: number
  /** Fetch `URL/fail` instead while an incident is open. */
  readonly fail: boolean
}

export interface AlertConfiguration {
  readonly channels: readonly ChannelConfiguration[]
  readonly ping: PingConfiguration | undefined
  /** ms until a reminder of an open incident, doubled each time up to 6 h; 0 = none. */
  readonly reminderMs: number
  /** ms for which changes are collected into one message. 0 = each on its own. */
  readonly groupMs: number
}

/** The shortest reminder: more often is noise. */
export const shortestReminderMs = 30 * 60_000

/** Files of the state directory are named after channels, and this name is the dead man's switch's. */
export const pingName = 'ping'

export const alertDefaults = {
  channels: [],
  ping: undefined,
  reminderMs: 0,
  // A round with a hung forwarder takes 4 s: what fails in the same round goes into one message.
  groupMs: 5_000,
} as const satisfies AlertConfiguration

export const pingDefaults = { intervalMs: 60_000, fail: false } as const
