import { preciseDuration } from '../os/duration.ts'
import { printable } from '../os/printable.ts'
import { localTime } from '../record/log-entry.ts'
import type { ForwardHistory, History, Period } from './history.ts'
import { cut, wrap } from './text.ts'

interface Column {
  readonly title: string
  readonly text: (period: Period) => string
  /** The higher, the sooner it is left out of a narrow terminal. */
  readonly dispensable: number
}

const columns: readonly Column[] = [
  { title: 'AVAILABLE', text: ({ availability }) => percent(availability), dispensable: 0 },
  { title: 'FAILURES', text: ({ failures }) => String(failures), dispensable: 0 },
  { title: 'DOWN', text: ({ downMs }) => length(downMs), dispensable: 3 },
  {
    title: 'MEAN RECOVERY',
    text: ({ meanTimeToRecoveryMs: mean }) => (mean === null ? '–' : preciseDuration(mean)),
    dispensable: 2,
  },
  { title: 'UNKNOWN', text: ({ unknownMs }) => length(unknownMs), dispensable: 1 },
  { title: 'STOPPED', text: ({ wantedDownMs }) => length(wantedDownMs), dispensable: 5 },
  { title: 'TARGET AWAY', text: targetAway, dispensable: 4 },
]

/** The history for people. No line is wider than the terminal. */
export function renderHistory(history: History, width: number): string {
  if (history.since === null) return 'The journal is empty: nothing is known yet.\n'
  const { since } = history
  const isKnown = ({ to }: Period) => to > since
  const parts = history.forwards.flatMap((forward) => {
    const [days, weeks] = [forward.days.filter(isKnown), forward.weeks.filter(isKnown)]
    return [...forwardLines({ ...forward, days, weeks }, width), '']
  })
  const note =
    `The journal begins at ${localTime(new Date(history.since))}. AVAILABLE counts only time that was watched; ` +
    'UNKNOWN is time that nobody watched, and counts neither way.'
  return `${[...parts, ...wrap(note, width)].join('\n')}\n`
}

function forwardLines({ name, port, days, weeks, lastFailure }: ForwardHistory, width: number): string[] {
  const thisWeek = weeks.at(-1)
  const times = (count: number) => `${count} ${count === 1 ? 'time' : 'times'}`
  const { failures = 0, targetFailures = 0 } = thisWeek ?? {}
  const last =
    lastFailure === null
      ? ''
      : `; last failure ${localTime(new Date(lastFailure.at))}: ${printable(lastFailure.saw)}`
  const own =
    lastFailure === null && failures === 0 ? 'has not failed' : `failed ${times(failures)} this week`
  const ofTarget = targetFailures === 0 ? '' : `; its target was away ${times(targetFailures)} this week`
  const rows = [
    ...days.map((day) => ({ label: dayLabel(day), period: day })),
    ...weeks.map((week) => ({
      label: `week of ${localTime(new Date(week.from)).slice(5, 10)}`,
      period: week,
    })),
  ]
  const table = tableLines(rows, width)
  return [
    ...wrap(`${name} (port ${port}) ${own}${last}${ofTarget}`, width, '  '),
    ...table.slice(0, days.length + 1),
    '',
    ...table.slice(days.length + 1),
  ]
}

function tableLines(rows: readonly { label: string; period: Period }[], width: number): string[] {
  const labelWidth = Math.max(...rows.map(({ label }) => label.length))
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
    return cut(`  ${[label.padEnd(labelWidth), ...padded].join('  ')}`, width)
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
function percent(availability: number | null): string {
  if (availability === null) return 'unknown'
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
