import type { HourState } from '../record/shapes/status-report.ts'
import { hoursOfDay } from './last-day.ts'
import type { Colour, Line } from './text.ts'

const cells: Readonly<Record<HourState, { readonly text: string; readonly colour: Colour }>> = {
  up: { text: '▇', colour: 'green' },
  partly: { text: '▄', colour: 'yellow' },
  down: { text: '▁', colour: 'red' },
  waiting: { text: '░', colour: 'green' },
  stopped: { text: '–', colour: 'dim' },
  unknown: { text: '·', colour: 'dim' },
}

/** What the cells of a bar mean. */
export const barLegend = '▇ up, ▄ partly down, ▁ down, ░ waiting, – stopped, · not monitored'

/** A bar with a cell for each hour, the newest last; null = nothing is known. */
export function barOf(hours: readonly HourState[] | null): Line {
  return (hours ?? Array.from({ length: hoursOfDay }, () => 'unknown' as const)).map((hour) => cells[hour])
}
