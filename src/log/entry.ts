import { printable } from '../os/printable.ts'
import type { Level } from './index.ts'

/** The levels that people tell apart. */
export type LogLevel = 'info' | 'warn' | 'error'

/** What people read of a level: they see no difference between what failed and what ends the process. */
export function entryLevel(level: Level): LogLevel {
  if (level === 'fatal' || level === 'error') return 'error'
  return level === 'warn' ? 'warn' : 'info'
}

/** One line of a log, before it is written for people or for machines. */
export interface LogEntry {
  /** Wall time, ISO 8601 in UTC. */
  readonly time: string
  readonly level: LogLevel
  /** Who speaks: `monitor`, or a unit's name. */
  readonly source: string
  readonly message: string
  /** True for good news: something works, or works again. */
  readonly good?: boolean
  /** What the watchdog says among the lines of a program. */
  readonly note?: true | undefined
}

/**
 * The line that operators read: local time, sign, message. The time carries its offset from UTC, so that the hour that comes twice when
 * summer time ends is told apart and logs of several processes can be merged. Further lines of a message are indented: what
 * looks like a line of the log is one. What a stranger put into a message, escape sequences say, works on no terminal.
 */
export function formatForPeople({ time, message, ...entry }: LogEntry): string {
  const sign = signOf(entry)
  return `${localStamp(new Date(time))} ${sign} ${printable(message.replaceAll(/\r\n?/g, '\n')).replaceAll('\n', `\n${indent}`)}`
}

/** The sign of an entry: ✓ good news, • information, ! warning, ✗ error, » what the watchdog says: no program can write its own sign. */
export function signOf({ level, good, note }: Pick<LogEntry, 'level' | 'good' | 'note'>): string {
  if (note === true) return noteSign
  return good === true ? goodSign : signs[level]
}

const signs: Readonly<Record<LogLevel, string>> = { info: '•', warn: '!', error: '✗' }
const goodSign = '✓'
const noteSign = '»'
const indent = '    '

/**
 * Reads a line that `formatForPeople` wrote, or undefined when it is none: the further line of a message, or what a crash wrote past the
 * log. A time without offset, as versions before 0.1 wrote it, counts as this machine's.
 */
export function parseForPeople(line: string): Omit<LogEntry, 'source'> | undefined {
  const match = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d{3})?)([+-]\d\d:\d\d)? ([✓•!✗]) (.*)$/su.exec(line)
  if (match === null) return undefined
  const [, day, clock, offset = '', sign, message = ''] = match
  const time = new Date(`${day}T${clock}${offset}`)
  if (Number.isNaN(time.getTime())) return undefined
  const good = sign === goodSign
  return { time: time.toISOString(), level: levelOf(sign), message, good }
}

function levelOf(sign: string | undefined): LogLevel {
  if (sign === signs.error) return 'error'
  return sign === signs.warn ? 'warn' : 'info'
}

/** The further line of a message, or undefined when it belongs to none. */
export function parseFurtherLine(line: string): string | undefined {
  return line.startsWith(indent) ? line.slice(indent.length) : undefined
}

/** `2026-11-21 01:47:16` in this machine's time zone. */
export function localTime(date: Date): string {
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
}

/** `2026-11-21 01:47:16.482+01:00`: local time that names one instant. */
export function localStamp(date: Date): string {
  const offset = -date.getTimezoneOffset()
  const sign = offset < 0 ? '-' : '+'
  const minutes = Math.abs(offset)
  const zone = `${sign}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`
  return `${localTime(date)}.${String(date.getMilliseconds()).padStart(3, '0')}${zone}`
}

function two(value: number): string {
  return String(value).padStart(2, '0')
}
