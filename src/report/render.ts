import { printable } from '../os/printable.ts'
import type { IncidentStatus, MonitorCause, StatusReport } from '../record/shapes/status-report.ts'
import { alertChannelsText } from './alert-channels.ts'
import { incidentText } from './incidents.ts'
import { detailLines, entryLines } from './render-detail.ts'
import { summaryLines } from './render-summary.ts'
import {
  copiesLines,
  type ForwardLine,
  forwardLines,
  gateLines,
  stateWord,
  waitingLines,
} from './render-table.ts'
import { severity } from './status.ts'
import { asciiOnly, cutLine, type Line, painted, wrapLine } from './text.ts'
import { isAbout, unitRows } from './unit-rows.ts'

export interface RenderOptions {
  readonly colour: boolean
  /** Columns of the terminal; columns of the table that do not fit are left out, least important first. */
  readonly width: number
  /** False = nothing but ASCII is printed. */
  readonly unicode?: boolean
}

/** The report for people. No line is wider than the terminal. */
export function renderStatus(report: StatusReport, options: RenderOptions): string {
  return toText(
    statusLines(report, options.width).map(({ line }) => line),
    options,
  )
}

/** Lines as they are written, each with its newline. */
export function toText(lines: readonly Line[], { colour, width, unicode = true }: RenderOptions): string {
  const text = lines.map((line) => `${painted(cutLine(line, width), colour)}\n`).join('')
  return unicode ? text : asciiOnly(text)
}

/**
 * The report as lines, of which each that begins a forward's row names it.
 * @param folded forwards that wait for their target share one line; always so in a report that is printed once.
 */
export function statusLines(report: StatusReport, width: number, folded = true): ForwardLine[] {
  const isFolded = folded && report.details.length === 0
  const sections: (readonly ForwardLine[])[] = [
    summaryLines(report, width).map((line) => ({ line })),
    forwardLines(report, width, isFolded),
    [
      ...(isFolded ? waitingLines(report, width) : []),
      ...copiesLines(report, width),
      ...gateLines(report, width),
      ...alertLines(report, width),
    ].map((line) => ({ line })),
    incidentLines(report, width).map((line) => ({ line })),
    ...report.details.map((detail) => detailLines(detail, report, width).map((line) => ({ line }))),
    logLines(report, width).map((line) => ({ line })),
    stepLines(report, width).map((line) => ({ line })),
  ]
  return sections
    .filter((section) => section.length > 0)
    .flatMap((section, i) => (i === 0 ? section : [{ line: [] }, ...section]))
}

/** Open incidents that no row of the table shows: the forward is well at the moment, or no longer there. */
function incidentLines(report: StatusReport, width: number): Line[] {
  const { incidents, details } = report
  const rows = unitRows(report).filter(({ state }) => severity(state) > 0)
  const isShown = (incident: IncidentStatus) =>
    details.length === 0 && rows.some((row) => isAbout(incident, row))
  const unshown = incidents.filter((incident) => !isShown(incident))
  if (unshown.length === 0) return []
  const lines = unshown.flatMap((incident) =>
    wrapLine([{ text: `  ${printable(incidentText(incident))}` }], width, '    '),
  )
  return [[{ text: '  open incidents:', colour: 'bold' }], ...lines]
}

function alertLines({ alertChannels }: StatusReport, width: number): Line[] {
  const text = alertChannelsText(alertChannels)
  if (text === undefined) return []
  const isWell = alertChannels.every(({ state }) => state === 'ok' || state === 'untried')
  return wrapLine(
    [{ text: `  alerts: ${printable(text)}`, colour: isWell ? 'dim' : 'yellow' }],
    width,
    '          ',
  )
}

/** When the monitor itself has a problem, its last log lines may show why; a forward's reason stands in its row. */
const causesWithLog: ReadonlySet<MonitorCause | null> = new Set<MonitorCause>([
  'died',
  'suspended',
  'hangs',
  'no-checks',
  'unreadable',
  'corrupt',
  'newer',
])

/** Lines of the log that a report ends with at most. */
const entriesShown = 3

function logLines({ monitor, details, log }: StatusReport, width: number): Line[] {
  if (details.length > 0 || !causesWithLog.has(monitor.cause)) return []
  return log.slice(-entriesShown).flatMap((entry) => entryLines(entry, width))
}

/** Steps that are shown where there are many; all of them are in the JSON, and in the pages of the forwards. */
const stepsShown = 5

/** What to do in words stands in the forward's row already. */
function stepLines({ next, forwards }: StatusReport, width: number): Line[] {
  const advices = new Set(forwards.map(({ advice }) => advice))
  const commands = next.filter((step) => !advices.has(step))
  const shown = commands.length > stepsShown ? commands.slice(0, stepsShown - 1) : commands
  const lines = shown.flatMap((step) =>
    wrapLine([{ text: 'next:', colour: 'bold' }, { text: ` ${printable(step)}` }], width, '      '),
  )
  const left = commands.length - shown.length
  return left === 0
    ? lines
    : [
        ...lines,
        ...wrapLine(
          [{ text: `      and ${left} more: proxy-status NAME shows those of a forward` }],
          width,
          '      ',
        ),
      ]
}

/** One line for each fact whose change is worth telling, for a log: no ages, which always change. */
export function renderChanges({ monitor, forwards, programs }: StatusReport): string[] {
  const why = (reason: string | null) => (reason === null ? '' : `: ${printable(reason)}`)
  return [
    `port-watchdog ${monitor.state}${monitor.cause === null ? '' : ` (${monitor.cause})`}`,
    ...[...forwards, ...programs].map(
      ({ name, state, reason }) => `${name} ${stateWord(state)}${why(reason)}`,
    ),
  ]
}
