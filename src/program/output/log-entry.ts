import type { LogEntry } from '../../log/entry.ts'
import type { OutputLine } from './line.ts'
import { plainText } from './patterns.ts'

/** A line of a program as an entry of a log, for who shows it among others: without its colours. */
export function logEntryOf(source: string, { at, class: name, stream, text }: OutputLine): LogEntry {
  const level = name === 'error' ? 'error' : name === 'warning' ? 'warn' : 'info'
  const plain = plainText(text)
  const entry = { time: new Date(at).toISOString(), level, source, message: plain } as const
  return stream === 'watchdog' ? { ...entry, note: true } : entry
}
