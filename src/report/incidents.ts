import { elapsedMs, isoTime } from '../alert/moment.ts'
import type { OpenIncident } from '../alert/open-incidents.ts'
import { duration } from '../os/duration.ts'
import type { IncidentStatus, Telling } from '../record/shapes/status-report.ts'

/** When the facts were taken. */
interface Taken {
  /** ISO 8601. */
  readonly takenAt: string
  readonly nowMonotonicMs: number
  readonly bootId: string
}

export function assessIncidents(
  open: readonly OpenIncident[],
  { takenAt, nowMonotonicMs, bootId }: Taken,
): IncidentStatus[] {
  const now = { wallMs: Date.parse(takenAt), monotonicMs: nowMonotonicMs, bootId }
  return open.map(({ incident, channels }) => {
    const { id, forward, port, subject, message, since, flapping } = incident
    const openForMs = Math.round(elapsedMs(since, now))
    return { id, forward, port, subject, message, since: isoTime(since), openForMs, flapping, channels }
  })
}

/** `web is not running …; open for 5 min; notified: slack / notification pending: discord [3f2a-1]`. */
export function incidentText({ id, message, openForMs, flapping, channels }: IncidentStatus): string {
  const open = `${flapping ? 'flapping' : 'open'} for ${duration(openForMs)}`
  return `${message}; ${open}; ${notifiedText(channels)} [${id}]`
}

/** `notified: slack / notification pending: discord`. */
export function notifiedText(channels: IncidentStatus['channels']): string {
  const names = (wanted: Telling) => [
    ...new Set(channels.filter(({ state }) => state === wanted).map(({ name }) => name)),
  ]
  const pending = names('waiting')
  const said = [
    ['notified', names('told').filter((name) => !pending.includes(name))],
    ['notification pending', pending],
    ['not notified', names('not-told').filter((name) => !pending.includes(name))],
  ] as const
  const parts = said.flatMap(([how, who]) => (who.length === 0 ? [] : [`${how}: ${who.join(', ')}`]))
  return parts.length === 0 ? 'no alert channel' : parts.join(' / ')
}
