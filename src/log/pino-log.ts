import { pino } from 'pino'
import { wallTime } from '../os/clock.ts'
import { entryLevel, formatForPeople } from './entry.ts'
import type { Level, Log } from './index.ts'
import type { LineLog } from './line-log.ts'
import { redactedFields, redactPatterns } from './redaction.ts'
import type { RingLog } from './ring-log.ts'

export interface PinoLogOptions {
  /** The log that people read. */
  readonly lines: LineLog
  /** The last lines as JSON. */
  readonly ring: RingLog
  /** Gets what people read too, for standard output. */
  readonly echo: (line: string) => void
  /** Takes known secrets out of a text. What looks like a secret is taken out anyway. */
  readonly redact: (text: string) => string
  /** Lines below it are dropped. */
  readonly level?: Level
}

/** A log whose level can be set while it is used; logs that were made of it before (`child`) keep theirs. */
export interface LeveledLog extends Log {
  level: Level
}

/** What pino hands over: one line of JSON. */
type PinoLine = { readonly level: Level; readonly ts: string; readonly message: string } & Readonly<
  Record<string, unknown>
>

/**
 * A `Log` on pino, which brings levels, children, serializers and the redaction of fields. Its destination is ours and synchronous: each line
 * is in the files when the call returns. What people read is made of the line of JSON, after redaction, so that both say the same.
 */
export function pinoLog({ lines, ring, echo, redact, level = 'info' }: PinoLogOptions): LeveledLog {
  const clean = (key: string, value: unknown) =>
    typeof value === 'string' && key !== 'ts' && key !== 'level' ? redactPatterns(redact(value)) : value
  const write = (json: string) => {
    const { level, ts, message, ...fields } = JSON.parse(json, clean) as PinoLine
    const people = { time: ts, level: entryLevel(level), source: '', message, good: fields.good === true }
    const line = formatForPeople(people)
    lines.write(line)
    ring.write({ ts, level, message, ...fields })
    echo(line)
  }
  const log = pino(
    {
      level,
      // No PID and host name of the writer: the files are this process's, and `pid` is the unit's.
      base: null,
      messageKey: 'message',
      // As text, so that both read without a table: pino's own are numbers.
      timestamp: () => `,"ts":"${wallTime()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: redactedFields,
    },
    // No transport and no file of pino's: those write in another thread, or buffer, and lose the last lines at a kill.
    { write },
  )
  return log as typeof log & LeveledLog
}
