import { localTime } from '../log/entry.ts'
import { preciseDuration } from '../os/duration.ts'
import { printable } from '../os/printable.ts'
import type { HourState } from '../record/shapes/status-report.ts'
import { barLegend, barOf } from './bar.ts'
import type { ForwardHistory, History, Period } from './history.ts'
import { hourState } from './last-day.ts'
import { columnsOf, cut, type Line, plain, wrapLine } from './text.ts'

interface Column {
  readonly title: string
  readonly text: (period: Period) => string
  /** The higher, the sooner it is left out of a narrow terminal. */
  readonly dispensable: number
}

const columns: readonly Column[] = [
  { title: 'AVAILABLE', text: availabilityText, dispensable: 0 },
  { title: 'FAILURES', text: ({ failures }) => String(failures), dispensable: 0 },
  { title: 'DOWN', text: ({ downMs }) => length(downMs), dispensable: 3 },
  {
    title: 'MEAN RECOVERY',
    text: ({ meanTimeToRecoveryMs: mean }) => (mean === null ? '–' : preciseDuration(mean)),
    dispensable: 2,
  },
  { title: 'UNKNOWN', text: ({ unknownMs }) => length(unknownMs), dispensable: 1 },
  { title: 'WAITING', text: ({ waitingMs }) => length(waitingMs), dispensable: 6 },
  { title: 'STOPPED', text: ({ wantedDownMs }) => length(wantedDownMs), dispensable: 5 },
  { title: 'TARGET AWAY', text: targetAway, dispensable: 4 },
]

/** The history for people. No line is wider than the terminal. */
export function historyLines(history: History, width: number): Line[] {
  if (history.since === null)
    return wrapLine([{ text: 'The journal is empty: nothing is known yet.' }], width)
  const parts = history.forwards.flatMap((forward) => [...forwardLines(forward, width), []])
  const note =
    `The journal begins at ${localTime(new Date(history.since))}. AVAILABLE counts only the time in which a forward was monitored and its ` +
    'target had answered before. WAITING is the time before that, UNKNOWN the time without a monitor.'
  return [
    ...parts,
    ...wrapLine([{ text: barLegend, colour: 'dim' }], width),
    ...wrapLine([{ text: note, colour: 'dim' }], width),
  ]
}

function forwardLines(
  { name, since, hours, days, weeks, lastFailure }: ForwardHistory,
  width: number,
): Line[] {
  const isKnown = ({ to }: Period) => to > since
  const shownDays = days.filter(isKnown)
  // A week of which one day alone is known would say the same again.
  const shownWeeks = weeks.filter((week) => isKnown(week) && !shownDays.some((day) => isSame(day, week)))
  const { failures = 0, targetFailures = 0 } = weeks.at(-1) ?? {}
  const last =
    lastFailure === null
      ? ''
      : `; last failure ${localTime(new Date(lastFailure.at))}: ${printable(lastFailure.saw)}`
  const own =
    failures > 0
      ? `failed ${times(failures)} this week`
      : lastFailure === null
        ? 'has not failed'
        : 'has not failed this week'
  const ofTarget = targetFailures === 0 ? '' : `; its target was away ${times(targetFailures)} this week`
  const rows = [
    ...shownDays.map((day) => ({ label: dayLabel(day), period: day })),
    ...shownWeeks.map((week) => ({
      label: `week of ${localTime(new Date(week.from)).slice(5, 10)}`,
      period: week,
    })),
  ]
  const table = tableLines(rows, width)
  return [
    ...wrapLine([{ text: name, colour: 'bold' }, { text: ` ${own}${last}${ofTarget}` }], width, '  '),
    ...barLines(hours, days, width),
    ...table.slice(0, shownDays.length + 1),
    ...(shownWeeks.length === 0 ? [] : [[], ...table.slice(shownDays.length + 1)]),
  ]
}

/** Both bars on one line where they fit. */
function barLines(hours: readonly HourState[], days: readonly Period[], width: number): Line[] {
  const ofDays = days.map(({ upMs, waitingMs, downMs, wantedDownMs, targetDownMs }) =>
    hourState({
      openMs: Math.max(0, upMs - targetDownMs),
      waitingMs,
      awayMs: downMs + targetDownMs,
      wantedDownMs,
    }),
  )
  const day: Line = [{ text: '  24 h  ', colour: 'dim' }, ...barOf(hours)]
  const week: Line = [{ text: `  ${days.length} days  `, colour: 'dim' }, ...barOf(ofDays)]
  const both = [...day, ...week]
  return columnsOf(plain(both)) <= width
    ? [both]
    : [...wrapLine(day, width, '  '), ...wrapLine(week, width, '  ')]
}

function isSame(day: Period, week: Period): boolean {
  const counted = ({ upMs, waitingMs, downMs, wantedDownMs, unknownMs, failures, targetFailures }: Period) =>
    [upMs, waitingMs, downMs, wantedDownMs, unknownMs, failures, targetFailures].join()
  return counted(day) === counted(week)
}

function times(count: number): string {
  return count === 1 ? 'once' : count === 2 ? 'twice' : `${count} times`
}

function tableLines(rows: readonly { label: string; period: Period }[], width: number): Line[] {
  const labelWidth = Math.max(0, ...rows.map(({ label }) => label.length))
  const columnWidth = ({ title, text }: Column) =>
    Math.max(title.length, ...rows.map(({ period }) => text(period).length))
  let shown = columns
  const total = () => shown.reduce((sum, column) => sum + columnWidth(column) + 2, labelWidth + 2)
  while (total() > width) {
    const dispensable = Math.max(...shown.map((column) => column.dispensable))
    if (dispensable === 0) break
    shown = shown.filter((column) => column.dispensable !== dispensable)
  }
  const line = (label: string, cells: readonly string[]) => {
    const padded = cells.map((cell, i) =>
      cell.padStart(columnWidth(shown[i] ?? { title: '', text: () => '', dispensable: 0 })),
    )
    return [{ text: cut(`  ${[label.padEnd(labelWidth), ...padded].join('  ')}`, width) }]
  }
  return [
    line(
      '',
      shown.map(({ title }) => title),
    ),
    ...rows.map(({ label, period }) =>
      line(
        label,
        shown.map(({ text }) => text(period)),
      ),
    ),
  ]
}

function dayLabel({ from }: Period): string {
  const date = new Date(from)
  const day = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'][date.getDay()]
  return `${day} ${localTime(date).slice(5, 10)}`
}

/** Never rounded up to 100 %: that stands for not one failure. */
function availabilityText({ availability, waitingMs }: Period): string {
  if (availability === null) return waitingMs > 0 ? '–' : 'unknown'
  if (availability === 1) return '100 %'
  return `${Math.min(99.999, Math.floor(availability * 100_000) / 1000).toFixed(3)} %`
}

function length(ms: number): string {
  return ms === 0 ? '–' : preciseDuration(ms)
}

function targetAway({ targetFailures, targetDownMs }: Period): string {
  return targetFailures === 0 && targetDownMs === 0
    ? '–'
    : `${preciseDuration(targetDownMs)} (${targetFailures}×)`
}
