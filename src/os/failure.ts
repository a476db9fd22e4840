/** Exit codes of every command, from sysexits.h(3head) where it has one. */
export const exitCode = {
  ok: 0,
  /** An order was not carried out, or not for all that it named. */
  orderFailed: 1,
  noMonitor: 3,
  usage: 64,
  noInput: 66,
  unavailable: 69,
  internal: 70,
  /** What was asked for could not be written to stdout. */
  outputLost: 74,
  cannotCreate: 73,
  noPermission: 77,
  configuration: 78,
} as const

/**
 * Something a person must hear about: one line that says what happened, to what, why, and what to type next. A command
 * prints it on stderr without a stack trace and ends with its exit code.
 */
export class Failure extends Error {
  override readonly name = 'Failure'
  readonly exitCode: number

  constructor(message: string, code: number) {
    super(message)
    this.exitCode = code
  }
}

/** The system's error code (`ECONNREFUSED`), or undefined when there is none. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined
}

/** An error in words. An AggregateError has an empty message of its own: its parts are named instead. */
export function errorText(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(errorText).join('; ')
  if (error instanceof Error) return error.message
  return String(error)
}
