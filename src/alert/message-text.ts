import { oneLine } from '../os/printable.ts'
import type { IncidentChange, QueuedMessage } from '../record/shapes/alerts.ts'

/** What receivers need beside the message itself. */
export interface Sender {
  /** The name of the machine, so that a person knows which one speaks. */
  readonly host: string
}

/** The body of a webhook, and what a command reads from its stdin. */
export interface AlertBody {
  readonly schemaVersion: 1
  /** The same at every further try to deliver it. */
  readonly id: string
  readonly host: string
  /** The worst of its changes. */
  readonly severity: Severity
  /** For people. */
  readonly text: string
  readonly changes: readonly (IncidentChange & { readonly severity: Severity })[]
  /** Older changes that were never delivered, because the queue was full. */
  readonly dropped: number
}

export function alertBody(message: QueuedMessage, sender: Sender): AlertBody {
  const { id, changes, dropped } = message
  const text = messageText(message, sender)
  const outward = changes.map((change) => ({ ...change, severity: severityOf(change) }))
  return {
    schemaVersion: 1,
    id,
    host: sender.host,
    severity: worst(changes),
    text,
    changes: outward,
    dropped,
  }
}

/**
 * The message in words: a headline, and one line a change.
 * @param limit characters at most; 0 = any number. What does not fit is counted, not cut: `… and 7 more`.
 */
export function messageText({ changes, dropped }: QueuedMessage, { host }: Sender, limit = 0): string {
  const lines = [headline(changes, host)]
  const note = dropped === 0 ? [] : [`(${dropped} older alerts could not be kept and are lost)`]
  let length = [...lines, ...note].join('\n').length
  for (const [index, change] of changes.entries()) {
    const line = changeLine(change)
    const rest = `… and ${changes.length - index} more`
    if (limit > 0 && length + line.length + rest.length + 2 > limit)
      return [...lines, rest, ...note].join('\n')
    lines.push(line)
    length += line.length + 1
  }
  return [...lines, ...note].join('\n')
}

function headline(changes: readonly IncidentChange[], host: string): string {
  const counts = (['opened', 'flapping', 'reminder', 'resolved'] as const).flatMap((event) => {
    const count = changes.filter((change) => change.event === event).length
    return count === 0 ? [] : [counted(event, count)]
  })
  return `port-watchdog on ${host}: ${counts.length === 0 ? 'test alert' : counts.join(', ')}`
}

function counted(event: Exclude<IncidentChange['event'], 'test'>, count: number): string {
  switch (event) {
    case 'opened':
      return count === 1 ? '1 new problem' : `${count} new problems`
    case 'flapping':
      return `${count} flapping`
    case 'reminder':
      return `${count} still open`
    case 'resolved':
      return `${count} resolved`
  }
}

const signs: Readonly<Record<IncidentChange['event'], string>> = {
  opened: '✗',
  flapping: '↯',
  reminder: '…',
  resolved: '✓',
  test: '•',
}

/** How much it matters: `critical` = somebody cannot get through, `warning` = all works so far, `info` = good news or a test. */
export type Severity = 'critical' | 'warning' | 'info'

const severities: readonly Severity[] = ['critical', 'warning', 'info']

export function severityOf({ event, subject }: IncidentChange): Severity {
  if (event === 'resolved' || event === 'test') return 'info'
  const [kind = ''] = subject.split(':')
  return critical.has(kind) ? 'critical' : 'warning'
}

/** What clients cannot do without: a unit that they reach, what it depends on, and that calls are answered in time. */
const critical = new Set(['forward', 'target', 'gateway', 'connector', 'error-rate', 'latency', 'in-flight'])

function worst(changes: readonly IncidentChange[]): Severity {
  const found = changes.map(severityOf)
  return severities.find((severity) => found.includes(severity)) ?? 'info'
}

/** No change fills a message: an error text may be of any length. */
const longestMessage = 500

function changeLine(change: IncidentChange): string {
  const { event, message, incident } = change
  const told = oneLine(message)
  const text = told.length > longestMessage ? `${told.slice(0, longestMessage - 1)}…` : told
  const severity = severityOf(change)
  const mark = severity === 'info' ? '' : `${severity}: `
  return `${signs[event]} ${mark}${text}${endingText(change)} [${incident}]`
}

/** How long it has lasted, and what was done about it: ` (after 45 s, restarted once)`. Empty for what has just begun. */
export function endingText({ event, durationMs, restarts }: IncidentChange): string {
  if (event === 'opened' || event === 'test') return ''
  const lasted = `${event === 'resolved' ? 'after' : 'for'} ${spell(durationMs)}`
  const done = restarts === 0 ? '' : `, restarted ${restarts === 1 ? 'once' : `${restarts} times`}`
  return ` (${lasted}${done})`
}

function spell(ms: number): string {
  const seconds = Math.round(ms / 1000)
  if (seconds < 120) return `${seconds} s`
  const minutes = Math.round(seconds / 60)
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`
}
