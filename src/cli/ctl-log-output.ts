/** What `proxy-ctl logs` and `search-logs` print. */
import { type LogEntry, localTime } from '../log/entry.ts'
import type { CountsOutput } from '../orders/log-count-order.ts'
import type { LogLine, LogsOutput, SearchOutput } from '../orders/log-orders.ts'
import { oneLine } from '../os/printable.ts'
import { toText } from '../report/render.ts'
import { LogLines, plainEntry } from '../report/render-log.ts'
import { looksOf, widthOf } from '../report/terminal.ts'

export function logsText({ lines, dropped, truncated }: LogsOutput, units: readonly string[]): string {
  const notes = [
    ...(dropped > 0 ? [`(${dropped} lines are no longer kept, or were lost)`] : []),
    ...(truncated ? ['(more lines match: name a class, a text or a time)'] : []),
  ]
  if (lines.length === 0) return ['No lines match.', ...notes, ''].join('\n')
  return notes.map((note) => `${note}\n`).join('') + printed(lines, widthOfNames(lines, units))
}

export function searchText({ lines: found, matches, searched, truncated }: SearchOutput): string {
  const where = `${truncated ? 'the newest ' : ''}${countedLines(searched)}`
  if (found.length === 0) return `None of ${where} has one of these words.\n`
  const text = printed(
    found.map((line) =>
      line.similar === 0 ? line : { ...line, text: `${line.text} (and ${line.similar} like it)` },
    ),
    widthOfNames(found, []),
  )
  return `${text}${matches} of ${where} ${matches === 1 ? 'has' : 'have'} one of these words; the best come first.\n`
}

export function countsText({ units }: CountsOutput, window: string): string {
  const lines = units.flatMap(({ unit, lines, since, classes, lost, problem }) => {
    const from = since === null ? '' : ` since ${localTime(new Date(since))}`
    const width = Math.max(0, ...classes.map(({ class: name }) => name.length))
    return [
      `${unit}: ${countedLines(lines)}${from}`,
      ...classes.map(({ class: name, count, recent, last }) => {
        const sample = last === null ? '' : `; last: ${oneLine(last.text)}`
        return `  ${name.padEnd(width)}  ${count}, ${recent} within ${window}${sample}`
      }),
      ...(lost.lines > 0 ? [`  ${lost.lines} lines are lost: the disk did not take them`] : []),
      ...(problem === null ? [] : [`  lines cannot be kept at present: ${oneLine(problem)}`]),
    ]
  })
  return `${lines.join('\n')}\n`
}

function countedLines(count: number): string {
  return `${count} ${count === 1 ? 'line' : 'lines'}`
}

function widthOfNames(lines: readonly LogLine[], units: readonly string[]): number {
  return units.length === 1 ? 0 : Math.max(0, ...lines.map(({ unit }) => unit.length))
}

/** Prints lines as they come. */
export function linePrinter(json: boolean, units: readonly string[]): (line: unknown) => void {
  const write = (text: string) => void (text !== '' && process.stdout.write(text))
  if (json) return (line) => write(`${JSON.stringify(line)}\n`)
  const sourceWidth = units.length === 1 ? 0 : 12
  const layOut = layout(sourceWidth)
  return (line) => write(layOut([line as LogLine]))
}

function printed(lines: readonly LogLine[], sourceWidth: number): string {
  return layout(sourceWidth)(lines)
}

/** On a terminal laid out, elsewhere a line each, as `proxy-log` does. */
function layout(sourceWidth: number): (lines: readonly LogLine[]) => string {
  const out = process.stdout
  if (!out.isTTY) return (lines) => lines.map((line) => plainEntry(entryOf(line), sourceWidth)).join('')
  const laidOut = new LogLines(() => ({ width: widthOf(out), sourceWidth, milliseconds: false }))
  return (lines) => toText(laidOut.lines(lines.map(entryOf)), looksOf(out, process.env))
}

function entryOf({ unit, at, class: name, stream, text }: LogLine): LogEntry {
  const level = name === 'error' ? 'error' : name === 'warning' ? 'warn' : 'info'
  const entry = { time: at, level, source: unit, message: text } as const
  return stream === 'watchdog' ? { ...entry, note: true } : entry
}
