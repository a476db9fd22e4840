import { localTime } from '../log/entry.ts'
import { duration, preciseDuration } from '../os/duration.ts'
import { printable } from '../os/printable.ts'
import type { MonitorStatus, StatusReport } from '../record/shapes/status-report.ts'
import { type Colour, columnsOf, type Line, noBreak, plain, wrapLine } from './text.ts'

/**
 * The line that a glance is for: `● port-watchdog RUNNING 3 h 7 min · checked 4 s ago · 3 healthy · 1 down   state: DIR`, and the reason
 * below it when the monitor is not as it should be.
 */
export function summaryLines({ monitor, summary, stateDirectory }: StatusReport, width: number): Line[] {
  const colour = colourOf(monitor)
  const uptime = monitor.uptimeMs === null ? '' : ` ${duration(monitor.uptimeMs)}`
  const facts = [...monitorFacts(monitor), ...countFacts(summary)].map((fact) => ` · ${solid(fact)}`)
  const head: Line = [
    { text: '●', colour },
    { text: ' port-watchdog ' },
    { text: monitor.state, colour },
    { text: `${solid(uptime)}${facts.join('')}` },
  ]
  const place = `state: ${printable(stateDirectory)}`
  const isOneLine = columnsOf(plain(head)) + 3 + columnsOf(place) <= width
  const lines = isOneLine
    ? [[...head, { text: '   ' }, { text: place, colour: 'dim' as const }]]
    : [...wrapLine(head, width, '  '), ...wrapLine([{ text: `  ${place}`, colour: 'dim' }], width, '  ')]
  const oneLine = lines.map((line) =>
    line.map((span) => ({ ...span, text: span.text.replaceAll(noBreak, ' ') })),
  )
  if (monitor.reason === null) return oneLine
  return [
    ...oneLine,
    ...wrapLine([{ text: `  ${withLocalTimes(printable(monitor.reason))}`, colour }], width, '  '),
  ]
}

function colourOf({ state, cause }: MonitorStatus): Colour {
  if (state === 'RUNNING') return cause === null ? 'green' : 'yellow'
  return state === 'STOPPED' || state === 'STARTING' ? 'yellow' : 'red'
}

function monitorFacts({
  state,
  lastCheckAgeMs,
  lastRoundMs,
  lastRoundForwards,
  intervalMs,
}: MonitorStatus): string[] {
  const facts = lastCheckAgeMs === null ? [] : [`checked ${duration(lastCheckAgeMs)} ago`]
  // Worth a word when it leaves little of the interval: what is not looked at in time is found late.
  const isSlow =
    state === 'RUNNING' && lastRoundMs !== null && intervalMs !== null && lastRoundMs > intervalMs / 2
  if (isSlow) facts.push(`slow: checking ${lastRoundForwards} forwards took ${preciseDuration(lastRoundMs)}`)
  return facts
}

function countFacts(summary: StatusReport['summary']): string[] {
  return Object.entries(summary).flatMap(([state, count]) => (count === 0 ? [] : [`${count} ${state}`]))
}

/** Stays on one line. */
export function solid(text: string): string {
  return text.replaceAll(' ', noBreak)
}

/** Times in this machine's zone, none of them broken. */
export function withLocalTimes(text: string): string {
  return text.replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, (time) =>
    solid(localTime(new Date(time))),
  )
}
