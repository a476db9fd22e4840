/**
 * log/: the log lines of every process.
 *
 * Code anywhere gets a `Log` handed in and calls `log.warn({ pid }, 'text')`: the text is for people, the fields are for programs.
 * Two implementations: `pinoLog` (`pino-log.ts`) for the monitor and the processes of a server, `plainLog` (below) for a forwarder,
 * whose start must load no package. Both write before the call returns:
 *
 *   Log -> redaction -> entry -> line for people (`entry.ts`)  -> `LineLog`, the log file that operators know
 *                             -> line of JSON (pino only)      -> `RingLog`, the last 1,000 lines for programs
 *
 * A process that needs a log of its own opens a `LineLog` for its file and wraps it in one of the two. Another place for lines is
 * another option of `pinoLog`.
 */

/** The levels of pino. People tell three apart: `entryLevel` in `entry.ts`. */
export type Level = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'

/** What a line tells programs besides its text. */
export interface LogFields {
  /** The name of the unit that the line is about. */
  readonly unit?: string
  /** The part of the program that speaks, where it is not about one unit. */
  readonly component?: string
  readonly pid?: number
  /** Which start of the unit. */
  readonly generation?: number
  /** Good news: something works, or works again. */
  readonly good?: boolean
  /** An error; programs get its type, message, stack and code. */
  readonly err?: unknown
  readonly [name: string]: unknown
  /** These three are the line's own. */
  readonly level?: never
  readonly ts?: never
  readonly message?: never
}

/** As pino has it: fields first, if there are any. */
export interface LogMethod {
  (message: string): void
  (fields: LogFields, message: string): void
}

/** Where a part of the program writes what happens. Writing never throws and never waits. */
export interface Log extends Readonly<Record<Level, LogMethod>> {
  /** A log that adds these fields to every line. */
  child(fields: LogFields): Log
}

/**
 * A `Log` without a library. `trace` and `debug` are off.
 * @param write gets each line; synchronous.
 */
export function plainLog(
  write: (level: Level, message: string, fields: LogFields) => void,
  bound: LogFields = {},
): Log {
  const at =
    (level: Level): LogMethod =>
    (...[first, message]: [string] | [LogFields, string]) => {
      if (typeof first === 'string') write(level, first, bound)
      else write(level, message ?? '', { ...bound, ...first })
    }
  const off = () => {}
  return {
    trace: off,
    debug: off,
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    fatal: at('fatal'),
    child: (fields) => plainLog(write, { ...bound, ...fields }),
  }
}
