import { type LogEntry, parseForPeople, parseFurtherLine } from '../log/entry.ts'

/** Lines of a log that belong together: one that begins an entry, and what follows it up to the next such line. */
export interface LineGroup {
  /** Undefined for lines before the first entry of a log. */
  readonly head: string | undefined
  readonly further: readonly string[]
}

/** True for a line that begins an entry. */
export function beginsEntry(line: string): boolean {
  return parseForPeople(line) !== undefined
}

/**
 * The entries that a group of lines holds. What was written past the log, such as the stack trace of a crash on stderr, becomes an entry
 * of its own right after the one before it, as an error: it has no time, and must not be lost.
 * @param strayTime the time for lines that follow no entry.
 */
export function entriesOf({ head, further }: LineGroup, source: string, strayTime: string): LogEntry[] {
  const begun = head === undefined ? undefined : parseForPeople(head)
  if (begun === undefined) return stray(further, source, strayTime)
  const isForeign = further.findIndex((line) => parseFurtherLine(line) === undefined)
  const own = isForeign < 0 ? further : further.slice(0, isForeign)
  const message = [begun.message, ...own.map((line) => parseFurtherLine(line) ?? line)].join('\n')
  const foreign = further.slice(own.length)
  return [
    { time: begun.time, level: begun.level, source, message, good: begun.good === true },
    ...stray(foreign, source, begun.time),
  ]
}

/** What was written past the log. Blank lines alone say nothing. */
function stray(lines: readonly string[], source: string, time: string): LogEntry[] {
  const message = lines.join('\n').replace(/^\n+/, '').trimEnd()
  return message === '' ? [] : [{ time, level: 'error', source, message, good: false }]
}
