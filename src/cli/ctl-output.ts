/** What `proxy-ctl` prints, and what it ends with. */

import type { LogEntry } from '../log/entry.ts'
import type { TestedChannel } from '../orders/monitor-orders.ts'
import { actorInWords, type OrderAnswer, type OrderError } from '../orders/order.ts'
import type { ScaleOutput } from '../orders/scale-order.ts'
import type { UnitsOutput } from '../orders/unit-orders.ts'
import type { UnitResult } from '../orders/unit-result.ts'
import type { UnitState } from '../orders/unit-state.ts'
import type { Waited } from '../orders/wait-order.ts'
import { duration } from '../os/duration.ts'
import { exitCode } from '../os/failure.ts'
import { oneLine, printable } from '../os/printable.ts'
import { describeProcess } from '../process/summary.ts'
import type { ForwardEventKind, JournalEntry } from '../record/shapes/journal.ts'
import type { StatusReport } from '../record/shapes/status-report.ts'
import { renderStatus, toText } from '../report/render.ts'
import { LogLines, plainEntry } from '../report/render-log.ts'
import { stateColour, stateWord } from '../report/render-table.ts'
import { looksOf, widthOf } from '../report/terminal.ts'
import { type Colour, type Line, pad, wrapLine } from '../report/text.ts'
import { timedOut } from '../report/wait.ts'
import { fitted, tableLayout } from './ctl-table.ts'

const exitCodes: Partial<Readonly<Record<OrderError['code'], number>>> = {
  'invalid-input': exitCode.usage,
  'unknown-order': exitCode.usage,
  'unknown-unit': exitCode.usage,
  'unknown-channel': exitCode.usage,
  'unknown-key': exitCode.usage,
  'unknown-action': exitCode.usage,
  'invalid-argument': exitCode.usage,
  'not-a-program': exitCode.usage,
  'records-unusable': exitCode.configuration,
  'no-output': exitCode.usage,
  'not-permitted': exitCode.noPermission,
  'not-ready': exitCode.unavailable,
  ending: exitCode.unavailable,
  'no-configuration-file': exitCode.configuration,
  'invalid-configuration': exitCode.configuration,
  'unknown-configuration': exitCode.usage,
  'change-denied': exitCode.noPermission,
  'file-not-writable': exitCode.cannotCreate,
  'no-alert-channel': exitCode.configuration,
  internal: exitCode.internal,
}

export function exitCodeOf(answer: OrderAnswer): number {
  if ('error' in answer) return exitCodes[answer.error.code] ?? exitCode.orderFailed
  if (answer.done) return exitCode.ok
  const { units = [] } = answer.output as Partial<UnitsOutput>
  const failed = units.flatMap(({ error }) => error ?? [])
  const isLate = failed.length > 0 && failed.every(({ code }) => code === 'timed-out')
  return isLate ? timedOut : exitCode.orderFailed
}

/** For stderr: what is wrong, and what to do about it. */
export function errorText({ message, next }: OrderError): string {
  return `proxy-ctl: ${oneLine(message)}${next === null ? '' : `; ${oneLine(next)}`}\n`
}

/** What became of an order, a line for each unit. */
export function unitsText({ units }: UnitsOutput): string {
  if (units.length === 0) return 'There are no forwards and no programs.\n'
  const nameWidth = Math.max(...units.map(({ state }) => state.name.length))
  return toText(
    units.flatMap((result) => resultLines(result, nameWidth)),
    looks(),
  )
}

/** How many copies of a program run now, with a line for each that came or went. */
export function scaledText(scaled: ScaleOutput): string {
  const { program, before, instances, outcome, units } = scaled
  const copies = `${instances} ${instances === 1 ? 'copy' : 'copies'}`
  if (outcome === 'already') return `✓ ${program} has ${copies} already\n`
  const head = `${program}: ${copies}${before === instances ? '' : `, ${before} before`}\n`
  const nameWidth = Math.max(...units.map(({ state }) => state.name.length))
  return (
    head +
    toText(
      units.flatMap((result) => resultLines(result, nameWidth)),
      looks(),
    )
  )
}

function resultLines({ outcome, error, remembered, state }: UnitResult, nameWidth: number): Line[] {
  const { width } = looks()
  const isFailed = outcome === 'failed'
  const sign = isFailed ? '✗' : outcome === 'ordered' ? '•' : '✓'
  const colour: Colour | undefined = isFailed ? 'red' : outcome === 'ordered' ? undefined : 'green'
  const indent = ' '.repeat(nameWidth + 4)
  const text = error === null ? `${outcomeText[outcome]}${stateText(state)}` : error.message
  const lines = wrapLine(
    [{ text: sign, colour }, { text: ` ${pad(state.name, nameWidth)}  ${printable(text)}` }],
    width,
    indent,
  )
  if (error?.next != null)
    lines.push(...wrapLine([{ text: `${indent}next: ${printable(error.next)}` }], width, indent))
  if (!remembered) {
    const warning = '! this could not be saved: a monitor that is started later will not know of it'
    lines.push(...wrapLine([{ text: `${indent}${warning}`, colour: 'yellow' }], width, indent))
  }
  return lines
}

/** What became of a wait, a line for each forward, with the last lines of the log of those that failed. */
export function waitedText({ units }: { readonly units: readonly Waited[] }): string {
  const nameWidth = Math.max(...units.map(({ state }) => state.name.length))
  return toText(
    units.flatMap((waited) => {
      const result = { ...waited, remembered: true }
      return [...resultLines(result, nameWidth), ...lastLines(waited.lines)]
    }),
    looks(),
  )
}

/** As `proxy-ctl logs` shows them. */
function lastLines(entries: Waited['lines']): Line[] {
  const told = entries.map((entry) => ({ ...entry, good: false }))
  const out = process.stdout
  if (!out.isTTY) return told.map((entry) => [{ text: plainEntry(entry, 0).trimEnd() }])
  return new LogLines(() => ({ width: widthOf(out), sourceWidth: 0, milliseconds: false })).lines(told)
}

const outcomeText: Readonly<Record<UnitResult['outcome'], string>> = {
  done: '',
  already: 'already ',
  ordered: 'ordered; now ',
  failed: '',
}

/** How a forward stands, in one phrase. */
function stateText(state: UnitState): string {
  const { phase, pid, port, target, targetState, reason, nextTryInMs, openConnections, portHeldBy } = state
  const why = reason === null ? '' : `: ${reason}`
  switch (phase) {
    case 'running': {
      if (state.kind !== 'forward')
        return `running (PID ${pid})${port === null ? '' : `, ${state.kind === 'gateway' ? 'serving' : 'ready'} on port ${port}`}`
      const of = `running (PID ${pid}), port ${port} to ${target}`
      if (targetState === 'waiting') return `${of}, where nothing listens yet`
      return targetState === 'unreachable' ? `${of}, which does not answer` : of
    }
    case 'down':
      return `down${stoppedText(state)}${portHeldBy === null ? '' : `; port ${port} is still held by ${describeProcess(portHeldBy)}`}`
    case 'stopping':
      return openConnections === null ? 'stopping' : `stopping, ${openConnections} connections open`
    case 'backoff':
    case 'flapping':
      return `${phase}, next try in ${duration(nextTryInMs ?? 0)}${why}`
    case 'unknown':
      return 'being looked at'
    case 'starting':
    case 'awaiting':
    case 'blocked':
    case 'detached':
      return `${phase}${why}`
  }
}

function stoppedText({ stopped }: UnitState): string {
  if (stopped === null) return ''
  const ms = Math.max(0, Date.now() - Date.parse(stopped.since))
  return `, stopped by ${stopped.by ?? 'an order'}${Number.isNaN(ms) || ms < 2000 ? '' : ` ${duration(ms)} ago`}`
}

const columns = ['NAME', 'STATE', 'PID', 'PORT', 'TARGET', 'OPEN', 'FAILURES', 'RESTARTS'] as const

/** Columns that a command takes at most. */
const commandWidth = 40

function shortened(command: string): string {
  return command.length > commandWidth ? `${command.slice(0, commandWidth - 1)}…` : command
}

/** One row for each unit; why one does not run stands below it. */
export function listText({ units }: { readonly units: readonly UnitState[] }): string {
  if (units.length === 0) return 'There are no forwards and no programs.\n'
  const rows = units.map((unit) => [
    unit.name,
    stateWord(unit.state),
    String(unit.pid ?? '–'),
    String(unit.port ?? '–'),
    printable(unit.target ?? shortened(unit.command ?? '–')),
    String(unit.openConnections ?? '–'),
    String(unit.failures),
    String(unit.restarts),
  ])
  const { widths, gap } = tableLayout(columns, rows, looks().width, columns.indexOf('TARGET'))
  const cells = (row: readonly string[]) =>
    row.map((cell, i) => `${pad(fitted(cell, widths[i] ?? 0), widths[i] ?? 0)}${' '.repeat(gap)}`)
  const lines: Line[] = [[{ text: cells(columns).join('').trimEnd(), colour: 'bold' }]]
  for (const [i, row] of rows.entries()) {
    const unit = units[i]
    if (unit === undefined) continue
    const [name = '', state = '', ...rest] = cells(row)
    lines.push([
      { text: name },
      { text: state, colour: stateColour(unit.state) },
      { text: rest.join('').trimEnd() },
    ])
    const note = noteOf(unit)
    if (note !== undefined)
      lines.push(...wrapLine([{ text: `    ${printable(note)}` }], looks().width, '    '))
  }
  return toText(lines, looks())
}

/** What the row of a forward does not say. */
function noteOf(unit: UnitState): string | undefined {
  if (unit.phase === 'running') return unit.reason ?? undefined
  const text = stateText(unit)
  return text === unit.state ? undefined : text
}

export function statusText(report: StatusReport): string {
  return renderStatus(report, looks())
}

export function reloadText({
  file,
  change,
}: {
  readonly file: string
  readonly change: string | null
}): string {
  return `${oneLine(file)} was read again: ${change === null ? 'nothing has changed' : oneLine(change)}\n`
}

export function testedText({ channels }: { readonly channels: readonly TestedChannel[] }): string {
  return channels
    .map(
      ({ name, problem }) => `${name}: ${problem === null ? 'delivered' : `failed: ${oneLine(problem)}`}\n`,
    )
    .join('')
}

/** Prints events as they come: on a terminal laid out, elsewhere a line each, as `proxy-log` does. */
export function eventPrinter(json: boolean): (event: unknown) => void {
  const write = (text: string) => void (text !== '' && process.stdout.write(text))
  if (json) return (event) => write(`${JSON.stringify(event)}\n`)
  const sourceWidth = 12
  const laidOut = new LogLines(() => ({ width: widthOf(process.stdout), sourceWidth, milliseconds: false }))
  return (event) => {
    const entries = entryOf(event as JournalEntry)
    if (!process.stdout.isTTY) write(entries.map((entry) => plainEntry(entry, sourceWidth)).join(''))
    else write(toText(laidOut.lines(entries), looks()))
  }
}

const bad: ReadonlySet<ForwardEventKind> = new Set([
  'died',
  'failed',
  'start-failed',
  'survived',
  'blocked',
  'target-down',
  'over-limit',
])

const good: ReadonlySet<ForwardEventKind> = new Set([
  'started',
  'adopted',
  'recovered',
  'target-up',
  'within-limit',
])

/** An event as an entry of a log; nothing for one of a version to come. */
function entryOf(event: JournalEntry): LogEntry[] {
  const entry = (source: string, message: string, level: LogEntry['level'] = 'info', isGood = false) => [
    { time: event.time, level, source, message, good: isGood },
  ]
  switch (event.event) {
    case 'forward':
    case 'unit': {
      const because = event.because === null ? '' : `, because ${event.because}`
      const message = `${event.saw}; ${event.decided}${because}`
      return entry(
        event.event === 'forward' ? event.forward : event.name,
        message,
        bad.has(event.kind) ? 'warn' : 'info',
        good.has(event.kind),
      )
    }
    case 'incident': {
      const isOver = event.change === 'resolved'
      return entry(event.name, `incident ${event.change}: ${event.message}`, isOver ? 'info' : 'warn', isOver)
    }
    case 'order': {
      const what = [event.order, ...event.units].join(' ')
      const message = `order of ${actorInWords(event.actor)}: ${what}: ${event.message ?? 'done'}`
      return entry('monitor', message, event.outcome === 'done' ? 'info' : 'warn')
    }
    case 'monitor-started':
      return entry('monitor', `the monitor started (PID ${event.pid})`, 'info', true)
    case 'monitor-stopped':
      return entry('monitor', `the monitor ended by ${event.reason}`)
    case 'monitor-gap':
      return entry('monitor', `nothing was monitored since ${event.from}: ${event.reason}`, 'warn')
    case 'configuration-changed':
      return entry('monitor', `the configuration changed: ${event.reason}`)
    case 'events-lost':
      return entry('monitor', `${event.count} events since ${event.from} were lost`, 'warn')
    default:
      return []
  }
}

function looks() {
  return looksOf(process.stdout, process.env)
}
