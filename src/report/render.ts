import { duration } from '../os/duration.ts'
import { formatForPeople, localTime } from '../record/log-entry.ts'
import { type ForwardStatus, type MonitorStatus, type StatusReport, severity } from './status.ts'

export interface RenderOptions {
  readonly colour: boolean
  /** Columns of the terminal; columns that do not fit are left out, least important first. */
  readonly width: number
}

type Paint = (text: string, colour: keyof typeof codes) => string

const codes = { red: 31, yellow: 33, green: 32, dim: 2, bold: 1 } as const

/** Colour only where the reader wants it: a terminal, and NO_COLOR (no-color.org) unset or empty. */
export function wantsColour(stream: { readonly isTTY?: boolean }, environment: NodeJS.ProcessEnv): boolean {
  return stream.isTTY === true && !environment.NO_COLOR && environment.TERM !== 'dumb'
}

/** The report for people. */
export function renderStatus(report: StatusReport, { colour, width }: RenderOptions): string {
  const paint: Paint = (text, name) => (colour ? `\u001b[${codes[name]}m${text}\u001b[0m` : text)
  const parts = [monitorLine(report.monitor, paint)]
  if (report.forwards.length > 0) parts.push('', ...forwardTable(report.forwards, width, paint))
  if (report.log.length > 0) {
    parts.push('', ...report.log.map((entry) => paint(cut(`  ${formatForPeople(entry)}`, width), 'dim')))
  }
  if (report.next.length > 0)
    parts.push('', ...report.next.map((step) => `${paint('next:', 'bold')} ${step}`))
  return `${parts.join('\n')}\n`
}

function monitorLine(monitor: MonitorStatus, paint: Paint): string {
  const colour = { RUNNING: 'green', STALE: 'red', STOPPED: 'yellow', UNKNOWN: 'red' } as const
  const facts: string[] = []
  if (monitor.pid !== null) facts.push(`pid ${monitor.pid}`)
  if (monitor.uptimeMs !== null) facts.push(`up ${duration(monitor.uptimeMs)}${sinceText(monitor)}`)
  if (monitor.lastCheckAgeMs !== null) facts.push(`last check ${duration(monitor.lastCheckAgeMs)} ago`)
  if (monitor.state === 'RUNNING' && monitor.intervalMs !== null)
    facts.push(`every ${duration(monitor.intervalMs)}`)
  if (monitor.serviceManager !== null) facts.push(monitor.serviceManager)
  if (monitor.reason !== null) facts.push(monitor.reason)
  const dot = paint('●', colour[monitor.state])
  return `${dot} proxy-monitor ${paint(monitor.state, colour[monitor.state])}  ${facts.join(' · ')}`
}

function sinceText({ startedAt }: MonitorStatus): string {
  return startedAt === null ? '' : ` since ${localTime(new Date(startedAt))}`
}

interface Column {
  readonly title: string
  readonly text: (forward: ForwardStatus) => string
  /** The higher, the sooner it is left out of a narrow terminal; 0 never. */
  readonly dispensable: number
}

const columns: readonly Column[] = [
  { title: 'NAME', text: ({ name }) => name, dispensable: 0 },
  { title: 'STATE', text: ({ state }) => state, dispensable: 0 },
  { title: 'LISTEN', text: listenText, dispensable: 0 },
  { title: 'TARGET', text: ({ target }) => target ?? '–', dispensable: 4 },
  { title: 'PID', text: ({ pid }) => orDash(pid), dispensable: 5 },
  { title: 'UP', text: ({ uptimeMs }) => (uptimeMs === null ? '–' : duration(uptimeMs)), dispensable: 6 },
  { title: 'RESTARTS', text: ({ restarts }) => String(restarts), dispensable: 2 },
  { title: 'FAILURES', text: ({ failures }) => String(failures), dispensable: 3 },
  {
    title: 'CONNECTIONS',
    text: ({ connections }) => (connections === null ? '–' : `${connections.open} of ${connections.total}`),
    dispensable: 7,
  },
  {
    title: 'CHECKED',
    text: ({ lastCheckAgeMs }) => (lastCheckAgeMs === null ? '–' : `${duration(lastCheckAgeMs)} ago`),
    dispensable: 8,
  },
]

function forwardTable(forwards: readonly ForwardStatus[], width: number, paint: Paint): string[] {
  const shown = fitting(forwards, width)
  const widths = shown.map((column) => columnWidth(column, forwards))
  const row = (cells: readonly string[]) => cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')
  const lines = [paint(`  ${row(shown.map(({ title }) => title)).trimEnd()}`, 'dim')]
  for (const forward of forwards) {
    const mark = forward.state === 'waiting' ? '…' : (['✓', '!', '✗'][severity(forward.state)] ?? '?')
    const colour = (['green', 'yellow', 'red'] as const)[severity(forward.state)]
    const text = row(shown.map((column) => column.text(forward))).trimEnd()
    lines.push(`${paint(mark, colour)} ${text.replace(forward.state, paint(forward.state, colour))}`)
    const notes = [forward.reason, nextTry(forward)].filter((note) => note !== null)
    if (notes.length > 0) lines.push(`    ${notes.join('; ')}`)
  }
  return lines
}

function fitting(forwards: readonly ForwardStatus[], width: number): readonly Column[] {
  let shown: readonly Column[] = columns
  const total = () => shown.reduce((sum, column) => sum + columnWidth(column, forwards) + 2, 0)
  while (total() > width) {
    const dispensable = Math.max(...shown.map((column) => column.dispensable))
    if (dispensable === 0) break
    shown = shown.filter((column) => column.dispensable !== dispensable)
  }
  return shown
}

function columnWidth({ title, text }: Column, forwards: readonly ForwardStatus[]): number {
  return Math.max(title.length, ...forwards.map((forward) => text(forward).length))
}

function listenText({ listen, port }: ForwardStatus): string {
  const [first, ...others] = listen
  if (first === undefined) return `${port} (closed)`
  return others.length === 0 ? first : `${first} +${others.length}`
}

function nextTry({ nextTryInMs }: ForwardStatus): string | null {
  return nextTryInMs === null ? null : `next try in ${duration(nextTryInMs)}`
}

function orDash(value: number | null): string {
  return value === null ? '–' : String(value)
}

function cut(line: string, width: number): string {
  return line.length > width ? `${line.slice(0, width - 1)}…` : line
}
