import { elapsedMs, isoTime } from '../alert/moment.ts'
import { duration } from '../os/duration.ts'
import type { ChannelHealth, Moment } from '../record/shapes/alerts.ts'
import type { AlertChannelStatus } from '../record/shapes/status-report.ts'
import { type OwnPrograms, shellWord } from './own-programs.ts'

/** When the facts were taken. */
interface Taken {
  /** ISO 8601. */
  readonly takenAt: string
  readonly nowMonotonicMs: number
  readonly bootId: string
}

export function assessAlertChannels(
  channels: readonly ChannelHealth[],
  { takenAt, nowMonotonicMs, bootId }: Taken,
): AlertChannelStatus[] {
  const now: Moment = { wallMs: Date.parse(takenAt), monotonicMs: nowMonotonicMs, bootId }
  return channels.map((health) => assessAlertChannel(health, now))
}

/**
 * What to do about channels by which nothing gets through.
 * @param configuration the monitor's file; null when it has none, or that is not known.
 */
export function alertChannelSteps(
  channels: readonly AlertChannelStatus[],
  programs: OwnPrograms,
  configuration: string | null,
): string[] {
  return channels.flatMap(({ name, state }) => {
    if (state === 'disabled')
      return [`correct alert channel ${name} in the configuration, then restart ${programs.monitor}`]
    if (state !== 'retrying') return []
    if (configuration === null) return [`check what receives the alerts of channel ${name}`]
    const test = `${programs.monitor} --config ${shellWord(configuration)} --test-alert ${shellWord(name)}`
    return [`${test}   (sends a test message through alert channel ${name})`]
  })
}

function assessAlertChannel(health: ChannelHealth, now: Moment): AlertChannelStatus {
  const { name, type, state, queued, dropped, delivered, lastDeliveredAt, lastError, retryAt } = health
  return {
    name,
    type,
    state,
    queued,
    dropped,
    delivered,
    lastDeliveredAt: lastDeliveredAt === null ? null : isoTime(lastDeliveredAt),
    lastError,
    retryInMs: retryAt === null || state !== 'retrying' ? null : Math.round(elapsedMs(now, retryAt)),
  }
}

/** `slack ok · discord 2 queued (HTTP 429, retry in 3 s)`; undefined when there is no channel. */
export function alertChannelsText(channels: readonly AlertChannelStatus[]): string | undefined {
  if (channels.length === 0) return undefined
  return channels.map(channelText).join(' · ')
}

function channelText(channel: AlertChannelStatus): string {
  const { name, state, queued, dropped, lastError, retryInMs } = channel
  const facts: string[] = []
  if (state === 'disabled') facts.push('DISABLED')
  if (state === 'ok' || state === 'untried') facts.push(state === 'ok' ? 'ok' : 'not used yet')
  if (state === 'retrying') facts.push('failing')
  if (queued > 0) facts.push(`${queued} queued`)
  if (dropped > 0) facts.push(`${dropped} lost`)
  const details = [lastError, retryInMs === null ? null : `retry in ${duration(retryInMs)}`]
  const known = details.filter((detail) => detail !== null)
  return `${name} ${facts.join(', ')}${known.length === 0 ? '' : ` (${known.join(', ')})`}`
}
