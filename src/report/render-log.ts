import { printable } from '../os/printable.ts'
import { formatForPeople, type LogEntry, type LogLevel } from '../record/log-entry.ts'

export interface LogStyle {
  readonly json: boolean
  readonly colour: boolean
  /** Characters for the name of who speaks; 0 leaves it out. */
  readonly sourceWidth: number
}

const colours: Readonly<Record<LogLevel, number>> = { info: 0, warn: 33, error: 31 }
const green = 32

/** An entry as it is printed, with its last newline. */
export function renderEntry(entry: LogEntry, { json, colour, sourceWidth }: LogStyle): string {
  if (json) return `${JSON.stringify({ ...entry, good: entry.good === true })}\n`
  const name = sourceWidth === 0 ? '' : `${entry.source.padEnd(sourceWidth)} `
  const text = printable(formatForPeople({ ...entry, message: `${name}${entry.message}` }))
  const code = entry.good === true ? green : colours[entry.level]
  return colour && code !== 0 ? `\u001b[${code}m${text}\u001b[0m\n` : `${text}\n`
}
