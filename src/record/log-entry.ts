export type LogLevel = 'info' | 'warn' | 'error'

/** One line of a log, before it is written for people or for machines. */
export interface LogEntry {
  /** Wall time, ISO 8601 in UTC. */
  readonly time: string
  readonly level: LogLevel
  /** Who speaks: `monitor`, or a forward's name. */
  readonly source: string
  readonly message: string
  /** True for good news: something works, or works again. */
  readonly good?: boolean
}

/** The line that operators read: local time, sign, message. */
export function formatForPeople({ time, level, message, good }: LogEntry): string {
  return `${localTime(new Date(time))} ${good === true ? '✓' : signs[level]} ${message}`
}

const signs: Readonly<Record<LogLevel, string>> = { info: '•', warn: '!', error: '✗' }

/** `2026-11-21 01:47:16` in this machine's time zone. */
export function localTime(date: Date): string {
  const two = (value: number) => String(value).padStart(2, '0')
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
}
