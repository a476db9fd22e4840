import { duration, roughDuration, shortDuration } from '../os/duration.ts'
import { printable } from '../os/printable.ts'
import type { ForwardStatusState, StatusReport } from '../record/shapes/status-report.ts'
import { barOf } from './bar.ts'
import { notifiedText } from './incidents.ts'
import { solid, withLocalTimes } from './render-summary.ts'
import { severity } from './status.ts'
import { type Colour, columnsOf, type Line, pad, plain, shortenedTo, wrapLine } from './text.ts'
import { isAbout, type UnitRow, unitRows } from './unit-rows.ts'

/** A line of a report. */
export interface ForwardLine {
  readonly line: Line
  /** Set on the line that is a forward's row. */
  readonly forward?: string
}

/** What one column shows of a unit. */
interface Column {
  readonly title: string
  readonly cell: (forward: UnitRow) => Line
  /** Columns that are kept free for it, so that the table does not jump between two looks. */
  readonly least: number
  readonly side?: 'left' | 'right'
}

const text = (of: (forward: UnitRow) => string) => (forward: UnitRow) => [{ text: of(forward) }]

/** As long as the longest state that is common. */
const stateWidth = 'unreachable'.length

const nameColumn: Column = { title: 'NAME', cell: text(({ name }) => name), least: 4 }
const stateColumn: Column = {
  title: 'STATE',
  cell: (forward) => [{ text: stateWord(forward.state), colour: signOf(forward).colour }],
  least: stateWidth,
}
const portColumn: Column = { title: 'PORT', cell: text(({ port }) => orDash(port)), least: 5 }
const addressColumn: Column = { title: 'OPEN AT', cell: text(addressText), least: 7 }
const targetColumn: Column = { title: 'TARGET', cell: text(targetText), least: 6 }
const barColumn: Column = { title: 'LAST 24 H', cell: ({ lastDay }) => barOf(lastDay), least: 24 }
const openColumn: Column = {
  title: 'OPEN',
  cell: text(({ connections }) => orDash(connections?.open ?? null)),
  least: 4,
  side: 'right',
}
const inColumn: Column = {
  title: 'IN',
  cell: text(({ bytesPerSecond }) => rateText(bytesPerSecond?.fromClients)),
  least: 8,
  side: 'right',
}
const outColumn: Column = {
  title: 'OUT',
  cell: text(({ bytesPerSecond }) => rateText(bytesPerSecond?.fromTarget)),
  least: 8,
  side: 'right',
}
const restartsColumn: Column = { title: 'RESTARTS', cell: text(restartsText), least: 14 }
const shortRestartsColumn: Column = { title: 'RESTARTS', cell: text(shortRestartsText), least: 8 }
const upColumn: Column = {
  title: 'UP',
  cell: text(({ uptimeMs }) => (uptimeMs === null ? '–' : shortDuration(uptimeMs))),
  least: 6,
}
const pidColumn: Column = { title: 'PID', cell: text(({ pid }) => orDash(pid)), least: 7 }

/** In the order in which they stand. */
const columns: readonly Column[] = [
  nameColumn,
  stateColumn,
  portColumn,
  addressColumn,
  targetColumn,
  barColumn,
  openColumn,
  inColumn,
  outColumn,
  restartsColumn,
  shortRestartsColumn,
  upColumn,
  pidColumn,
]

/** What is added as long as there is room, the most important first, and what it replaces. */
const additions: readonly (readonly Column[])[] = [
  [portColumn],
  [addressColumn],
  [openColumn],
  [barColumn],
  [shortRestartsColumn],
  [inColumn, outColumn],
  [restartsColumn],
  [targetColumn],
  [upColumn],
  [pidColumn],
]
const replaces: ReadonlyMap<Column, Column> = new Map([
  [addressColumn, portColumn],
  [restartsColumn, shortRestartsColumn],
])

const gap = 2

/** The table of forwards and programs, and below each row why it is as it is. */
export function forwardLines(report: StatusReport, width: number, folded: boolean): ForwardLine[] {
  const rows = unitRows(report)
  const shown = folded ? rows.filter(({ state }) => state !== 'waiting') : rows
  if (shown.length === 0) return []
  const chosen = fitting(rows, width)
  if (chosen === undefined) return shown.flatMap((forward) => stacked(forward, report, width))
  const widths = chosen.map((column) => columnWidth(column, rows))
  const row = (mark: Line, cells: readonly Line[]): Line => [
    ...mark,
    ...cells.flatMap((cell, i) => {
      const { side } = chosen[i] ?? {}
      const blanks = ' '.repeat(Math.max(0, (widths[i] ?? 0) - columnsOf(plain(cell))))
      const padded = side === 'right' ? [{ text: blanks }, ...cell] : [...cell, { text: blanks }]
      return i === 0 ? padded : [{ text: ' '.repeat(gap) }, ...padded]
    }),
  ]
  const titles = chosen.map(({ title, side }, i) => [
    { text: pad(title, side === 'right' ? (widths[i] ?? 0) : 0, 'right'), colour: 'dim' as const },
  ])
  return [
    { line: trimmed(row([{ text: '  ' }], titles)) },
    ...shown.flatMap((forward) => {
      const { mark, colour } = signOf(forward)
      const cells = chosen.map((column) => column.cell(forward))
      const line = trimmed(row([{ text: mark, colour }, { text: ' ' }], cells))
      return [{ line, forward: forward.name }, ...noteLines(forward, report, width)]
    }),
  ]
}

/** On a terminal that is too narrow for a table. */
function stacked(forward: UnitRow, report: StatusReport, width: number): ForwardLine[] {
  const { mark, colour } = signOf(forward)
  const words = [
    { text: mark, colour },
    { text: ` ${forward.name} ` },
    { text: stateWord(forward.state), colour },
    { text: ` ${addressText(forward)}` },
  ]
  const [first = [], ...others] = wrapLine(words, width, '  ')
  return [
    { line: first, forward: forward.name },
    ...others.map((line) => ({ line })),
    ...noteLines(forward, report, width),
  ]
}

function trimmed(line: Line): Line {
  const last = line.findLastIndex((span) => span.text.trim() !== '')
  return line
    .slice(0, last + 1)
    .map((span, i) => (i === last ? { ...span, text: span.text.trimEnd() } : span))
}

/** Columns that only a forward fills: without one they would only take room. */
const ofForwards: readonly Column[] = [openColumn, inColumn, outColumn]

/** undefined when not even name and state fit. */
function fitting(forwards: readonly UnitRow[], width: number): readonly Column[] | undefined {
  let chosen: readonly Column[] = [nameColumn, stateColumn]
  const total = (some: readonly Column[]) =>
    some.reduce((sum, column) => sum + columnWidth(column, forwards) + gap, 0)
  if (total(chosen) > width) return undefined
  const hasForwards = forwards.some(({ kind }) => kind === 'forward')
  for (const added of additions) {
    if (!hasForwards && added.some((column) => ofForwards.includes(column))) continue
    const replaced = added.map((column) => replaces.get(column))
    const next = [...chosen.filter((column) => !replaced.includes(column)), ...added]
    if (total(next) <= width) chosen = next
  }
  return columns.filter((column) => chosen.includes(column))
}

function columnWidth({ title, cell, least }: Column, forwards: readonly UnitRow[]): number {
  const widest = Math.max(...forwards.map((forward) => columnsOf(plain(cell(forward)))))
  return Math.max(title.length, least, widest)
}

/** The state for people: `down` in the data means stopped by an order or with the monitor. */
export function stateWord(state: ForwardStatusState): string {
  return state === 'down' ? 'stopped' : state
}

/** In which colour a state is told. */
export function stateColour(state: ForwardStatusState): Colour {
  return signOf({ state }).colour
}

/** A tick stands for a port that is open, or a program that is ready, nothing else. */
function signOf({ state }: Pick<UnitRow, 'state'>): { readonly mark: string; readonly colour: Colour } {
  if (state === 'down') return { mark: '–', colour: 'dim' }
  if (state === 'waiting') return { mark: '…', colour: 'green' }
  const signs = [
    { mark: '✓', colour: 'green' },
    { mark: '!', colour: 'yellow' },
    { mark: '✗', colour: 'red' },
  ] as const
  return signs[severity(state)]
}

function addressText({ openAt, port }: UnitRow): string {
  return openAt[0] ?? (port === null ? '–' : `port ${port}`)
}

/** Columns that a program's command takes at most. */
const commandWidth = 30

function targetText({ kind, target }: UnitRow): string {
  if (target === null) return '–'
  const text = printable(target)
  return kind !== 'forward' && text.length > commandWidth ? `${text.slice(0, commandWidth - 1)}…` : text
}

function restartsText({ restarts, lastRestartAgeMs }: UnitRow): string {
  return lastRestartAgeMs === null || restarts === 0
    ? String(restarts)
    : `${restarts} (${roughDuration(lastRestartAgeMs)} ago)`
}

function shortRestartsText({ restarts, lastRestartAgeMs }: UnitRow): string {
  return lastRestartAgeMs === null || restarts === 0
    ? String(restarts)
    : `${restarts} (${roughDuration(lastRestartAgeMs).replace(/ (.).*/, '$1')})`
}

/** `40 kB/s`: at most 8 characters up to 999 TB/s. */
export function rateText(bytesPerSecond: number | undefined): string {
  if (bytesPerSecond === undefined) return '–'
  return bytesPerSecond === 0 ? '0' : `${amountText(bytesPerSecond)}/s`
}

/** `40 kB`, to the base 1000. */
export function amountText(bytes: number): string {
  if (bytes === 0) return '0 B'
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  const power = Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3))
  const value = bytes / 1000 ** power
  return `${power > 0 && value < 9.95 ? value.toFixed(1).replace('.0', '') : Math.round(value)} ${units[power]}`
}

/** Lines below a row at most: the whole of it is on the forward's page. */
const noteLinesShown = 2

function noteLines(forward: UnitRow, report: StatusReport, width: number): ForwardLine[] {
  const { failingForMs, nextTryInMs } = forward
  const isStray = report.monitor.state === 'RUNNING' && !forward.monitored
  const notified = report.incidents
    .filter((incident) => isAbout(incident, forward))
    .flatMap(({ channels }) => channels)
  const notes = [
    reasonText(forward, report),
    failingForMs === null ? null : solid(`for ${duration(failingForMs)}`),
    nextTryInMs === null ? null : solid(`next try in ${duration(nextTryInMs)}`),
    isStray ? 'not monitored' : null,
    forward.advice,
    notified.length === 0 || severity(forward.state) === 0 ? null : notifiedText(notified),
  ].filter((note) => note !== null)
  if (notes.length === 0) return []
  const lines = wrapLine([{ text: `    ${withLocalTimes(printable(notes.join(' · ')))}` }], width, '    ')
  const isWhole = report.details.length > 0 || width < 100
  return (isWhole ? lines : shortenedTo(noteLinesShown, lines, width)).map((line) => ({ line }))
}

function reasonText({ reason, orderedDownAt }: UnitRow, { takenAt }: StatusReport): string | null {
  if (reason === null || orderedDownAt === null) return reason
  const ms = Date.parse(takenAt) - Date.parse(orderedDownAt)
  return Number.isNaN(ms) ? reason : `${reason}, ${duration(Math.max(0, ms))} ago`
}

/** All forwards whose target has never answered, quietly: `… waiting for an app on localhost:6274 (inspector), …`. */
export function waitingLines({ forwards }: StatusReport, width: number): Line[] {
  const waiting = forwards.filter(({ state }) => state === 'waiting')
  if (waiting.length === 0) return []
  const apps = waiting.map(({ name, target }) => solid(`${target} (${name})`)).join(', ')
  return wrapLine([{ text: `… waiting for an app on ${apps}`, colour: 'dim' }], width, '  ')
}

/** A line for each program that runs as several copies: how many are how. */
export function copiesLines({ programs }: StatusReport, width: number): Line[] {
  const groups = [...new Set(programs.flatMap(({ group }) => group ?? []))]
  return groups.flatMap((group) => {
    const states = programs.filter((one) => one.group === group).map(({ state }) => stateWord(state))
    const counts = [...new Set(states)].map(
      (state) => `${states.filter((one) => one === state).length} ${state}`,
    )
    const copies = `${states.length} ${states.length === 1 ? 'copy' : 'copies'}`
    const text = `  ${group}: ${[copies, ...counts].map(solid).join(', ')}`
    return wrapLine([{ text, colour: 'dim' }], width, '    ')
  })
}

/** Where to find the token of each login, once for all forwards that share it. */
export function gateLines({ forwards }: StatusReport, width: number): Line[] {
  const places = new Map<string, string[]>()
  for (const { name, gateToken } of forwards) {
    if (gateToken !== null) places.set(gateToken, [...(places.get(gateToken) ?? []), name])
  }
  const tokens = [...places].flatMap(([place, names]) =>
    wrapLine(
      [{ text: `  login token of ${names.join(', ')}: ${printable(place)}`, colour: 'dim' }],
      width,
      '    ',
    ),
  )
  const wrong = forwards.flatMap(({ name, gateWrongTokens }) => {
    const { lastHour = 0, lastFrom = null } = gateWrongTokens ?? {}
    if (lastHour === 0) return []
    const last = lastFrom === null ? '' : `, last from ${printable(lastFrom)}`
    const text = `  ! ${name}: gate: ${lastHour} wrong ${lastHour === 1 ? 'token' : 'tokens'} in the last hour${last}`
    return wrapLine([{ text, colour: 'yellow' }], width, '    ')
  })
  return [...tokens, ...wrong]
}

function orDash(value: number | null): string {
  return value === null ? '–' : String(value)
}
