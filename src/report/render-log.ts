import { formatForPeople, type LogEntry, type LogLevel, localStamp, signOf } from '../log/entry.ts'
import { printable } from '../os/printable.ts'
import { type Colour, columnsOf, type Line, pad, plain, wrapLine } from './text.ts'

/** An entry as a line of JSON, with its newline. */
export function jsonEntry(entry: LogEntry): string {
  return `${JSON.stringify({ ...entry, good: entry.good === true })}\n`
}

/**
 * An entry for files and programs, with its newline: the whole stamp in each line, nothing wrapped.
 * @param sourceWidth characters for the name of who speaks; 0 leaves it out.
 */
export function plainEntry(entry: LogEntry, sourceWidth: number): string {
  const name = sourceWidth === 0 ? '' : `${entry.source.padEnd(sourceWidth)} `
  return `${printable(formatForPeople({ ...entry, message: `${name}${entry.message}` }))}\n`
}

const colours: Readonly<Record<LogLevel, Colour | undefined>> = {
  info: undefined,
  warn: 'yellow',
  error: 'red',
}

export interface LogLayout {
  readonly width: number
  /** Columns for the name of who speaks; 0 leaves it out. */
  readonly sourceWidth: number
  /** Milliseconds behind the seconds. */
  readonly milliseconds: boolean
}

/** Below this width what does not fit goes on near the margin, not below the message. */
const roomForHanging = 60

/** Lays out entries one after the other: the date once a day, then clock, sign, name and message, wrapped below each other. */
export class LogLines {
  readonly #layout: () => LogLayout
  #day = ''

  /** @param layout asked for each entry: a terminal may be resized. */
  constructor(layout: () => LogLayout) {
    this.#layout = layout
  }

  lines(entries: readonly LogEntry[]): Line[] {
    return entries.flatMap((entry) => this.#lines(entry))
  }

  #lines(entry: LogEntry): Line[] {
    const { width, sourceWidth, milliseconds } = this.#layout()
    const [day = '', clock = ''] = localStamp(new Date(entry.time)).split(' ')
    const time = clock.slice(0, milliseconds ? 12 : 8)
    const name = sourceWidth === 0 ? [] : [{ text: `${pad(entry.source, sourceWidth)} ` }]
    const colour: Colour | undefined = entry.good === true ? 'green' : colours[entry.level]
    const head: Line = [
      { text: time, colour: 'dim' },
      { text: ' ' },
      { text: signOf(entry), colour },
      { text: ' ' },
      ...name,
    ]
    const indent = ' '.repeat(width < roomForHanging ? 4 : columnsOf(plain(head)))
    const [first = '', ...further] = printable(entry.message.replaceAll(/\r\n?/g, '\n')).split('\n')
    const lines = [
      ...wrapLine([...head, { text: first }], width, indent),
      ...further.flatMap((text) => wrapLine([{ text: `${indent}${text}` }], width, indent)),
    ]
    if (day === this.#day) return lines
    this.#day = day
    return [...wrapLine([{ text: `${day} (UTC${clock.slice(12)})`, colour: 'dim' }], width), ...lines]
  }
}

/** The story of a restart on a terminal: what does not fit goes on below what it belongs to. */
export function storyLines(text: string, width: number): Line[] {
  const hanging = ' '.repeat(width < roomForHanging ? 4 : storyIndent)
  return text
    .trimEnd()
    .split('\n')
    .flatMap((line) => wrapLine([{ text: printable(line) }], width, line.startsWith('  ') ? hanging : ''))
}

/** Where the words begin behind clock and label. */
const storyIndent = '  00:00:00.000  decided  '.length
