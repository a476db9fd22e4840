import { redactPatterns } from '../log/redaction.ts'
import { errorCode, errorText, exitCode, Failure } from '../os/failure.ts'
import { oneLine, printable } from '../os/printable.ts'
import { chooseSystem } from '../os/system.ts'

let isOutputLog = false

/** What this process prints is also in its log: that it cannot be printed any more is no reason to end otherwise. */
export function outputIsLog(): void {
  isOutputLog = true
}

/**
 * Runs a command and ends the process with its exit code. Every error becomes one line on stderr.
 * @param isVerbose asked when something went wrong: whether a stack trace is wanted too.
 */
export async function runToEnd(
  name: string,
  run: () => Promise<number> | number,
  isVerbose: () => boolean = () => false,
): Promise<void> {
  let lost: string | undefined
  process.stdout.on('error', (error) => {
    // A reader that went away (`proxy-log | head`) is no error; a full disk is one, because somebody wants what was printed.
    if (errorCode(error) === 'EPIPE' || isOutputLog || lost !== undefined) return
    lost = errorText(error)
    process.stderr.write(`${name}: the output cannot be written: ${oneLine(lost)}\n`)
    process.exitCode = exitCode.outputLost
  })
  process.stderr.on('error', () => {})
  // Node would print it raw, and its text may hold what others have sent: no line of it may look like an entry of the log.
  process.on('uncaughtException', (error) => {
    const text = `${name}: a fault in port-watchdog: ${oneLine(errorText(error))}\n${stackOf(error)}`
    process.stderr.write(redactPatterns(text))
    process.exit(exitCode.internal)
  })
  try {
    await chooseSystem()
    const code = await run()
    process.exitCode = lost === undefined ? code : exitCode.outputLost
  } catch (error) {
    process.stderr.write(`${name}: ${oneLine(errorText(error))}\n`)
    if (isVerbose()) process.stderr.write(stackOf(error))
    process.exitCode = error instanceof Failure ? error.exitCode : exitCode.internal
  }
}

/**
 * Aborted when a command that goes on telling things is to end: by SIGINT, SIGTERM, or a reader that goes away. To be called before the
 * first line is printed: its reader may send a signal at once.
 * @param further signals that mean the same.
 */
export function endOfReading(...further: readonly NodeJS.Signals[]): AbortSignal {
  const ended = new AbortController()
  const end = () => ended.abort()
  for (const signal of ['SIGINT', 'SIGTERM', ...further] as const) process.once(signal, end)
  process.stdout.once('error', end)
  return ended.signal
}

/** No line of a stack trace, which goes to a log too, may look like an entry of the log. */
function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  return `${printable(error.stack ?? '').replaceAll(/^/gm, '    ')}\n`
}
