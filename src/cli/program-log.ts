/** What `proxy-log NAME` shows of a program: read from the files, so that it works without a monitor. */
import type { LogEntry, LogLevel } from '../log/entry.ts'
import { keptSegments } from '../program/output/kept-lines.ts'
import type { LogQuery } from '../program/output/line.ts'
import { logEntryOf } from '../program/output/log-entry.ts'
import { atOnce, readSteps } from '../program/output/reading.ts'

/** A person who asks for all of it gets it. */
const maxBytes = 256 * 1024 * 1024

/** Reads the lines of a program, and later those that came since. */
export class ProgramLog {
  readonly name: string
  readonly #directory: string
  readonly #level: LogLevel
  #cursor = 0

  constructor(directory: string, name: string, level: LogLevel) {
    this.#directory = directory
    this.name = name
    this.#level = level
  }

  /** @param tail 0 = all. */
  read(tail: number, since: string | undefined): readonly LogEntry[] {
    return this.#ask({ tail, since: since === undefined ? undefined : Date.parse(since) })
  }

  /** What came since it was read. */
  more(): readonly LogEntry[] {
    return this.#ask({ cursor: this.#cursor })
  }

  #ask(query: LogQuery): readonly LogEntry[] {
    const segments = keptSegments(this.#directory, this.name)
    const next = segments.at(-1)?.next ?? 1
    const steps = readSteps(
      { segments, next, unwritten: [] },
      { ...query, class: classesOf[this.#level], maxBytes },
    )
    const { lines, cursor } = atOnce(steps)
    this.#cursor = cursor
    return lines.map((line) => logEntryOf(this.name, line))
  }
}

/** Lines without a class, and those of a person's own, are information. */
const classesOf: Readonly<Record<LogLevel, readonly string[] | undefined>> = {
  info: undefined,
  warn: ['warning', 'error'],
  error: ['error'],
}

/** The newest lines of a program, for a report. */
export function lastEntries(directory: string, name: string, count: number): readonly LogEntry[] {
  return new ProgramLog(directory, name, 'info').read(count, undefined)
}
