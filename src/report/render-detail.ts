import { formatForPeople, type LogEntry, localTime } from '../log/entry.ts'
import { duration } from '../os/duration.ts'
import { printable } from '../os/printable.ts'
import { amountInWords } from '../record/limit-words.ts'
import type { KnownBy } from '../record/shapes/forwarder-health.ts'
import type {
  ForwardDetail,
  ForwardStatus,
  ProgramStatus,
  StatusReport,
} from '../record/shapes/status-report.ts'
import { barLegend, barOf } from './bar.ts'
import { amountText, rateText } from './render-table.ts'
import { type Line, shortenedTo, wrapLine } from './text.ts'

/** The page of one forward: everything that is known of it. */
export function detailLines(detail: ForwardDetail, report: StatusReport, width: number): Line[] {
  const forward = report.forwards.find(({ name }) => name === detail.name)
  const program = report.programs.find(({ name }) => name === detail.name)
  const facts =
    forward !== undefined
      ? factsOf(forward, detail)
      : program !== undefined
        ? factsOfProgram(program, detail)
        : []
  const label = Math.max(0, ...facts.map(([name]) => name.length))
  const lines: Line[] = facts.flatMap(([name, value]) =>
    wrapLine(
      [
        { text: `  ${name.padEnd(label)}  `, colour: 'dim' },
        ...(typeof value === 'string' ? [{ text: printable(value) }] : value),
      ],
      width,
      ' '.repeat(label + 4),
    ),
  )
  const title = (text: string): Line => [{ text, colour: 'bold' }]
  if (detail.events.length > 0) {
    lines.push([], title(`${detail.name}: last events`))
    for (const { time, saw, decided } of detail.events) {
      const at = localTime(new Date(time)).slice(width < 80 ? 11 : 0)
      const text = `${printable(saw)}; ${printable(decided)}`
      lines.push(...wrapLine([{ text: `  ${at}`, colour: 'dim' }, { text: ` ${text}` }], width, '    '))
    }
  }
  if (detail.log.length > 0) {
    lines.push([], title(`${detail.name}: last lines of its log`))
    lines.push(...detail.log.flatMap((entry) => entryLines(entry, width)))
  }
  return [title(detail.name), ...lines]
}

/** Lines that one entry may take; the whole of it stands in the log. */
const linesOfEntry = 3

/** An entry of a log, below a report. */
export function entryLines(entry: LogEntry, width: number): Line[] {
  const [text = ''] = formatForPeople(entry).split('\n')
  const time = localTime(new Date(entry.time))
  // Milliseconds and offset are for the log itself; on a narrow terminal the day is too.
  const shortened = text.replace(/^\S+ \S+/, width < 80 ? time.slice(11) : time)
  return shortenedTo(
    linesOfEntry,
    wrapLine([{ text: `  ${printable(shortened)}`, colour: 'dim' }], width, '    '),
    width,
  )
}

type Fact = readonly [string, string | Line]

function factsOf(forward: ForwardStatus, detail: ForwardDetail): Fact[] {
  const { identity } = detail
  const facts: Fact[] = []
  facts.push(...processFacts(identity))
  if (detail.startedAt !== null) {
    facts.push(['started', `${localTime(new Date(detail.startedAt))}, version ${detail.version}`])
  }
  facts.push(...workersFacts(detail))
  if (forward.openAt.length > 0 && forward.listen.length > 0)
    facts.push(['open at', forward.openAt.join(', ')])
  facts.push(['listens', forward.listen.length === 0 ? 'nowhere' : forward.listen.join(', ')])
  for (const { address, error } of forward.notListening) facts.push(['not on', `${address}: ${error}`])
  if (forward.target !== null) facts.push(['target', targetText(forward)])
  // Where the target is away, this is the reason in its row.
  if (forward.targetError !== null && forward.advice === null) {
    const { message, ageMs } = forward.targetError
    facts.push(['last error', `${message}, ${duration(ageMs)} ago`])
  }
  if (forward.admission !== null) facts.push(['admits', forward.admission])
  if (forward.connections !== null) {
    const { open, total, limit, refused, refusedBy } = forward.connections
    facts.push(['connections', `${open} open (limit ${limit}), ${total} since the process started`])
    const reasons = Object.entries(refusedBy).filter(([, count]) => count > 0)
    const by = reasons.map(([reason, count]) => `${count} ${reason}`).join(', ')
    facts.push(['refused', refused === 0 ? 'none' : by])
  }
  if (forward.bytesPerSecond !== null) {
    const { fromClients, fromTarget } = forward.bytesPerSecond
    facts.push([
      'traffic',
      `in ${perSecond(fromClients)}, out ${perSecond(fromTarget)}${carriedText(forward)}`,
    ])
  }
  if (detail.relay !== null) facts.push(['relay', relayText(detail.relay)])
  if (forward.usage !== null) facts.push(['uses', usageText(forward.usage)])
  if (forward.limits !== null) facts.push(['limits', limitsText(forward.limits)])
  facts.push(['restarts', restartsText(forward)])
  facts.push(['last 24 h', [...barOf(forward.lastDay), { text: `  ${barLegend}`, colour: 'dim' as const }]])
  if (forward.gateToken !== null) facts.push(['login', `token: ${forward.gateToken}`])
  if (forward.gateWrongTokens !== null) facts.push(['wrong tokens', wrongTokensText(forward.gateWrongTokens)])
  return facts
}

function processFacts(identity: ForwardDetail['identity']): Fact[] {
  if (identity === null) return []
  const { pid, startTime, bootId } = identity
  return [['process', `PID ${pid}, kernel start time ${startTime}, boot ${bootId}`]]
}

function factsOfProgram(program: ProgramStatus, { identity }: ForwardDetail): Fact[] {
  return [
    ['command', program.command],
    ...processFacts(identity),
    ...(program.uptimeMs === null ? [] : [['runs for', duration(program.uptimeMs)] as const]),
    ...(program.port === null
      ? []
      : [
          [
            program.kind === 'gateway' ? 'serves' : 'ready',
            program.kind === 'gateway'
              ? `on port ${program.port}`
              : `when it listens on port ${program.port}`,
          ] as const,
        ]),
    ...(program.usage === null ? [] : [['uses', usageText(program.usage)] as const]),
    ...(program.limits === null ? [] : [['limits', limitsText(program.limits)] as const]),
    ['restarts', restartsText(program)],
    ...(program.orderedKeys.length === 0 ? [] : [['by order', program.orderedKeys.join(', ')] as const]),
    ['last 24 h', [...barOf(program.lastDay), { text: `  ${barLegend}`, colour: 'dim' as const }]],
  ]
}

const perSecond = (rate: number): string => (rate === 0 ? '0 B/s' : rateText(rate))

/** Totals as well as rates: at most moments nothing moves. */
function carriedText({ bytes }: ForwardStatus): string {
  if (bytes === null) return ''
  return ` now; in ${amountText(bytes.fromClients)}, out ${amountText(bytes.fromTarget)} since the process started`
}

/** @returns `12 in the last hour, last from 192.0.2.9`. */
export function wrongTokensText({
  lastHour,
  lastFrom,
}: NonNullable<ForwardStatus['gateWrongTokens']>): string {
  if (lastHour === 0) return 'none in the last hour'
  return `${lastHour} in the last hour${lastFrom === null ? '' : `, last from ${lastFrom}`}`
}

function relayText({ kind, reason }: NonNullable<ForwardDetail['relay']>): string {
  const way = kind === 'bare' ? 'bare: by the system’s sockets' : 'stream: by Node’s sockets'
  return reason === null ? way : `${way}, because ${reason}`
}

function restartsText({
  restarts,
  lastRestartAgeMs,
  plannedRestarts,
  failures,
}: ForwardStatus | ProgramStatus): string {
  const last =
    lastRestartAgeMs === null || restarts === 0 ? '' : ` (the last ${duration(lastRestartAgeMs)} ago)`
  return `${restarts} after a failure${last}, ${plannedRestarts} planned; failures in a row: ${failures}`
}

function usageText({
  memoryBytes,
  cpuPercent,
  openFiles,
  processes,
}: NonNullable<ForwardStatus['usage']>): string {
  const by = processes === 1 ? '' : `, in ${processes} processes`
  const files = openFiles === undefined ? '' : `, ${amountInWords('openFiles', openFiles)}`
  return `${amountInWords('memory', memoryBytes)}, ${amountInWords('cpu', cpuPercent)}${files}${by}`
}

function limitsText({
  memoryBytes,
  cpuPercent,
  openFiles = 0,
  action,
}: NonNullable<ForwardStatus['limits']>): string {
  const limits = [
    memoryBytes === 0 ? [] : [amountInWords('memory', memoryBytes)],
    cpuPercent === 0 ? [] : [amountInWords('cpu', cpuPercent)],
    openFiles === 0 ? [] : [amountInWords('openFiles', openFiles)],
  ].flat()
  return `${limits.join(', ')}; above: ${action === 'alert' ? 'alert' : 'alert and restart'}`
}

function workersFacts({ workers }: ForwardDetail): Fact[] {
  if (workers === null) return []
  const { wanted, lost, processes } = workers
  const serving = processes.filter(({ state }) => state === 'serving').length
  const lostText = lost === 0 ? '' : `, ${lost} lost since it started`
  return [
    ['processes', `${serving} of ${wanted} serving${lostText}`],
    ...processes.map(({ number, identity, state, open, total }) => {
      const name = number === 0 ? 'main' : `worker ${number}`
      return ['', `${name}: PID ${identity.pid}, ${state}, ${open} open, ${total} in total`] as const
    }),
  ]
}

function targetText({ target, targetAddress, targetKnown }: ForwardStatus): string {
  if (targetKnown === null)
    return targetAddress === null ? `${target}` : `${target}, last answered at ${targetAddress}`
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
