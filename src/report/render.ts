import { duration, preciseDuration } from '../os/duration.ts'
import { printable } from '../os/printable.ts'
import type { KnownBy } from '../record/forwarder-health.ts'
import { amountInWords } from '../record/limit-words.ts'
import { formatForPeople, type LogEntry, localTime } from '../record/log-entry.ts'
import { alertChannelsText } from './alert-channels.ts'
import { incidentText } from './incidents.ts'
import {
  type ForwardDetail,
  type ForwardStatus,
  type MonitorStatus,
  type StatusReport,
  severity,
} from './status.ts'
import { columnsOf, cut, noBreak, pad, wrap } from './text.ts'

export interface RenderOptions {
  readonly colour: boolean
  /** Columns of the terminal; columns that do not fit are left out, least important first. */
  readonly width: number
}

type Paint = (text: string, colour: keyof typeof codes) => string

const codes = { red: 31, yellow: 33, green: 32, dim: 2, bold: 1 } as const

/** The report for people. No line is wider than the terminal. */
export function renderStatus(report: StatusReport, { colour, width }: RenderOptions): string {
  const paint: Paint = (text, name) => (colour ? `\u001b[${codes[name]}m${text}\u001b[0m` : text)
  const parts = monitorLines(report.monitor, width, paint)
  if (report.forwards.length > 0) parts.push('', ...forwardTable(report, width, paint))
  if (report.incidents.length > 0) parts.push('', ...incidentLines(report, width, paint))
  const alerts = alertChannelsText(report.alertChannels)
  if (alerts !== undefined) parts.push('', ...wrap(`  alerts: ${printable(alerts)}`, width, '          '))
  for (const detail of report.details) parts.push('', ...detailLines(detail, report, width, paint))
  // Whoever asks for one forward wants its log, not everybody's.
  if (report.details.length === 0 && report.log.length > 0) {
    parts.push('', ...report.log.flatMap((entry) => logLines(entry, width, paint)))
  }
  const steps = report.next.flatMap((step) => wrap(`next: ${printable(step)}`, width, '      '))
  if (steps.length > 0) parts.push('', ...steps.map((line) => line.replace(/^next:/, paint('next:', 'bold'))))
  return `${parts.join('\n')}\n`
}

function incidentLines({ incidents }: StatusReport, width: number, paint: Paint): string[] {
  const lines = incidents.flatMap((incident) => wrap(`  ${printable(incidentText(incident))}`, width, '    '))
  return [paint(cut('  open incidents:', width), 'bold'), ...lines]
}

/** One line a fact that can be shown of a change, for a log: no ages, which always change. */
export function renderChanges(report: StatusReport): string[] {
  const { monitor, forwards } = report
  const why = (reason: string | null) => (reason === null ? '' : `: ${printable(reason)}`)
  return [
    `proxy-monitor ${monitor.state}${monitor.cause === null ? '' : ` (${monitor.cause})`}`,
    ...forwards.map(({ name, port, state, reason }) => `${name} (${port}) ${state}${why(reason)}`),
  ]
}

/** Lines that one entry may take; the whole of it stands in the log. */
const linesOfEntry = 3

function logLines(entry: LogEntry, width: number, paint: Paint): string[] {
  const [line = ''] = formatForPeople(entry).split('\n')
  const time = localTime(new Date(entry.time))
  // Milliseconds and offset are for the log itself; on a narrow terminal the day is too.
  const text = line.replace(/^\S+ \S+/, width < 80 ? time.slice(11) : time)
  const lines = wrap(`  ${printable(text)}`, width, '    ')
  const shown = lines.slice(0, linesOfEntry)
  const last = shown.at(-1)
  if (lines.length > shown.length && last !== undefined) shown.splice(-1, 1, cut(`${last} …`, width))
  return shown.map((shownLine) => paint(shownLine, 'dim'))
}

function monitorLines(monitor: MonitorStatus, width: number, paint: Paint): string[] {
  const colour = { RUNNING: 'green', STALE: 'red', STOPPED: 'yellow', UNKNOWN: 'red' } as const
  const facts: string[] = []
  const { pid, uptimeMs, lastCheckAgeMs, intervalMs, serviceManager, reason } = monitor
  if (pid !== null) facts.push(solid(`pid ${pid}`))
  if (uptimeMs !== null) facts.push(`${solid(`up ${duration(uptimeMs)}`)}${sinceText(monitor)}`)
  if (lastCheckAgeMs !== null) facts.push(solid(`last check ${duration(lastCheckAgeMs)} ago`))
  if (monitor.state === 'RUNNING' && intervalMs !== null) facts.push(solid(`every ${duration(intervalMs)}`))
  const slow = slowRoundText(monitor)
  if (slow !== null) facts.push(solid(slow))
  if (serviceManager !== null) facts.push(serviceManager)
  if (reason !== null) facts.push(withLocalTimes(printable(reason)))
  const painted = monitor.state === 'RUNNING' && monitor.cause !== null ? 'yellow' : colour[monitor.state]
  const text = wrapSolid(`● proxy-monitor ${monitor.state}  ${facts.join(' · ')}`, width, '  ')
  const [first = '', ...others] = text
  return [
    first.replace('●', paint('●', painted)).replace(monitor.state, paint(monitor.state, painted)),
    ...others,
  ]
}

/** Worth a word when it leaves little of the interval: what is not looked at in time is found late. */
function slowRoundText({ state, lastRoundMs, lastRoundForwards, intervalMs }: MonitorStatus): string | null {
  if (state !== 'RUNNING' || lastRoundMs === null || intervalMs === null) return null
  if (lastRoundMs <= intervalMs / 2) return null
  return `a round of ${lastRoundForwards} forwards took ${preciseDuration(lastRoundMs)}`
}

function sinceText({ startedAt }: MonitorStatus): string {
  return startedAt === null ? '' : ` ${solid(`since ${localTime(new Date(startedAt))}`)}`
}

/** Stays on one line. */
function solid(text: string): string {
  return text.replaceAll(' ', noBreak)
}

/** The lines of a text with solid parts. */
function wrapSolid(text: string, width: number, indent: string): string[] {
  return wrap(text, width, indent)
}

/** Times as the log has them, none of them broken. */
function withLocalTimes(text: string): string {
  return text.replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, (time) =>
    solid(localTime(new Date(time))),
  )
}

function detailLines(detail: ForwardDetail, report: StatusReport, width: number, paint: Paint): string[] {
  const forward = report.forwards.find(({ name }) => name === detail.name)
  const facts = forward === undefined ? [] : factsOf(forward, detail)
  const label = Math.max(...facts.map(([name]) => name.length))
  const lines = facts.flatMap(([name, text]) =>
    wrap(`  ${name.padEnd(label)}  ${printable(text)}`, width, ' '.repeat(label + 4)),
  )
  const title = (text: string) => paint(cut(text, width), 'bold')
  if (detail.events.length > 0) {
    lines.push('', title(`${detail.name}: last events`))
    for (const { time, saw, decided } of detail.events) {
      const at = localTime(new Date(time)).slice(width < 80 ? 11 : 0)
      lines.push(...wrap(`  ${at} ${printable(saw)}; ${printable(decided)}`, width, '    '))
    }
  }
  if (detail.log.length > 0) {
    lines.push('', title(`${detail.name}: last lines of its log`))
    lines.push(...detail.log.flatMap((entry) => logLines(entry, width, paint)))
  }
  return [title(detail.name), ...lines]
}

function factsOf(forward: ForwardStatus, detail: ForwardDetail): (readonly [string, string])[] {
  const { identity } = detail
  const facts: (readonly [string, string])[] = []
  if (identity !== null) {
    facts.push([
      'process',
      `PID ${identity.pid}, kernel start time ${identity.startTime}, boot ${identity.bootId}`,
    ])
  }
  if (detail.startedAt !== null) {
    facts.push(['started', `${localTime(new Date(detail.startedAt))}, version ${detail.version}`])
  }
  facts.push(...workersFacts(detail))
  facts.push(['listens', forward.listen.length === 0 ? 'nowhere' : forward.listen.join(', ')])
  for (const { address, error } of forward.notListening) facts.push(['not on', `${address}: ${error}`])
  if (forward.target !== null) facts.push(['target', targetText(forward)])
  if (forward.targetError !== null) {
    const { message, ageMs } = forward.targetError
    facts.push(['last error', `${message}, ${duration(ageMs)} ago`])
  }
  if (forward.admission !== null) facts.push(['admits', forward.admission])
  if (forward.connections !== null) {
    const { open, total, limit, refused, refusedBy } = forward.connections
    facts.push(['connections', `${open} open of ${limit} at most, ${total} in all`])
    const reasons = Object.entries(refusedBy).filter(([, count]) => count > 0)
    const by = reasons.map(([reason, count]) => `${count} ${reason}`).join(', ')
    facts.push(['refused', refused === 0 ? 'none' : by])
  }
  if (forward.usage !== null) facts.push(['uses', usageText(forward.usage)])
  if (forward.limits !== null) facts.push(['limits', limitsText(forward.limits)])
  facts.push(['restarts', `${forward.restarts}, failures in a row: ${forward.failures}`])
  return facts
}

function usageText({ memoryBytes, cpuPercent, processes }: NonNullable<ForwardStatus['usage']>): string {
  const by = processes === 1 ? '' : `, in ${processes} processes`
  return `${amountInWords('memory', memoryBytes)}, ${amountInWords('cpu', cpuPercent)}${by}`
}

function limitsText({ memoryBytes, cpuPercent, action }: NonNullable<ForwardStatus['limits']>): string {
  const limits = [
    memoryBytes === 0 ? [] : [amountInWords('memory', memoryBytes)],
    cpuPercent === 0 ? [] : [amountInWords('cpu', cpuPercent)],
  ].flat()
  return `${limits.join(', ')}; more is ${action === 'alert' ? 'alerted' : 'alerted, and it is restarted'}`
}

function workersFacts({ workers }: ForwardDetail): (readonly [string, string])[] {
  if (workers === null) return []
  const { wanted, lost, processes } = workers
  const serving = processes.filter(({ state }) => state === 'serving').length
  const lostText = lost === 0 ? '' : `, ${lost} lost since the start`
  return [
    ['processes', `${serving} of ${wanted} serve${lostText}`],
    ...processes.map(({ number, identity, state, open, total }) => {
      const name = number === 0 ? 'main' : `worker ${number}`
      return ['', `${name}: PID ${identity.pid}, ${state}, ${open} open, ${total} in all`] as const
    }),
  ]
}

function targetText({ target, targetAddress, targetKnown }: ForwardStatus): string {
  if (targetKnown === null)
    return targetAddress === null ? `${target}` : `${target}, last at ${targetAddress}`
  const { state, by, ageMs, stateForMs } = targetKnown
  const seen = `${duration(ageMs)} ago (${knownByWords[by]})`
  if (state !== 'reachable') return `${target}, away for ${duration(stateForMs)}, last tried ${seen}`
  const what = by === 'listener-table' ? 'listening' : 'answered'
  return `${target}, ${what} ${seen}${targetAddress === null ? '' : ` at ${targetAddress}`}`
}

const knownByWords: Readonly<Record<KnownBy, string>> = {
  'listener-table': 'listener table',
  traffic: 'traffic',
  knock: 'knock',
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
  { title: 'LISTEN', text: listenText, dispensable: 1 },
  { title: 'TARGET', text: ({ target }) => target ?? '–', dispensable: 2 },
  { title: 'PID', text: ({ pid }) => orDash(pid), dispensable: 5 },
  { title: 'UP', text: ({ uptimeMs }) => (uptimeMs === null ? '–' : duration(uptimeMs)), dispensable: 6 },
  { title: 'RESTARTS', text: ({ restarts }) => String(restarts), dispensable: 3 },
  { title: 'FAILURES', text: ({ failures }) => String(failures), dispensable: 4 },
  { title: 'OPEN', text: ({ connections }) => orDash(connections?.open ?? null), dispensable: 7 },
  { title: 'TOTAL', text: ({ connections }) => orDash(connections?.total ?? null), dispensable: 8 },
  {
    title: 'CHECKED',
    text: ({ lastCheckAgeMs }) => (lastCheckAgeMs === null ? '–' : `${duration(lastCheckAgeMs)} ago`),
    dispensable: 9,
  },
]

/** In the place of LISTEN where there is no room for it. */
const portColumn: Column = { title: 'PORT', text: ({ port }) => String(port), dispensable: 0 }

function forwardTable(report: StatusReport, width: number, paint: Paint): string[] {
  const { forwards } = report
  const shown = fitting(forwards, width)
  const widths = shown.map((column) => columnWidth(column, forwards))
  const row = (cells: readonly string[]) =>
    cut(
      cells
        .map((cell, i) => pad(cell, widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
      width - 2,
    )
  const lines = [paint(`  ${row(shown.map(({ title }) => title))}`, 'dim')]
  for (const forward of forwards) {
    const { mark, colour } = signOf(forward)
    const text = row(shown.map((column) => column.text(forward)))
    // Behind the name, which may hold the same word.
    const state = text.indexOf(` ${forward.state}`, forward.name.length) + 1
    const end = state + forward.state.length
    const painted =
      state === 0 ? text : `${text.slice(0, state)}${paint(forward.state, colour)}${text.slice(end)}`
    lines.push(`${paint(mark, colour)} ${painted}`)
    const notes = [reasonText(forward, report), nextTry(forward), gateNote(forward)].filter(
      (note) => note !== null,
    )
    if (notes.length > 0)
      lines.push(...wrapSolid(`    ${withLocalTimes(printable(notes.join('; ')))}`, width, '    '))
  }
  return lines
}

/** A tick stands for a port that is open, nothing else. */
function signOf({ state }: ForwardStatus): { readonly mark: string; readonly colour: keyof typeof codes } {
  if (state === 'down') return { mark: '–', colour: 'dim' }
  if (state === 'waiting') return { mark: '…', colour: 'green' }
  const signs = [
    { mark: '✓', colour: 'green' },
    { mark: '!', colour: 'yellow' },
    { mark: '✗', colour: 'red' },
  ] as const
  return signs[severity(state)]
}

function reasonText({ reason, orderedDownAt }: ForwardStatus, { takenAt }: StatusReport): string | null {
  if (reason === null || orderedDownAt === null) return reason
  const ms = Date.parse(takenAt) - Date.parse(orderedDownAt)
  return Number.isNaN(ms) ? reason : `${reason}, ${duration(Math.max(0, ms))} ago`
}

function fitting(forwards: readonly ForwardStatus[], width: number): readonly Column[] {
  let shown: readonly Column[] = columns
  const total = () => shown.reduce((sum, column) => sum + columnWidth(column, forwards) + 2, 0)
  while (total() > width) {
    const dispensable = Math.max(...shown.map((column) => column.dispensable))
    if (dispensable === 0) break
    shown = shown.filter((column) => column.dispensable !== dispensable)
  }
  if (shown.some(({ title }) => title === 'LISTEN')) return shown
  const withPort = [...shown, portColumn]
  return withPort.reduce((sum, column) => sum + columnWidth(column, forwards) + 2, 0) > width
    ? shown
    : withPort
}

function columnWidth({ title, text }: Column, forwards: readonly ForwardStatus[]): number {
  return Math.max(title.length, ...forwards.map((forward) => columnsOf(text(forward))))
}

function listenText({ listen, port }: ForwardStatus): string {
  const [first, ...others] = listen
  if (first === undefined) return `${port} (closed)`
  return others.length === 0 ? first : `${first} +${others.length}`
}

function gateNote({ gateToken }: ForwardStatus): string | null {
  return gateToken === null ? null : `behind a gate; its token is in ${gateToken}`
}

function nextTry({ nextTryInMs }: ForwardStatus): string | null {
  return nextTryInMs === null ? null : `next try in ${duration(nextTryInMs)}`
}

function orDash(value: number | null): string {
  return value === null ? '–' : String(value)
}
