import { errorCode, errorText, exitCode, Failure } from '../os/failure.ts'
import { oneLine, printable } from '../os/printable.ts'

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
    process.stderr.write(`${name}: a fault in port-watchdog: ${oneLine(errorText(error))}\n${stackOf(error)}`)
    process.exit(exitCode.internal)
  })
  try {
    const code = await run()
    process.exitCode = lost === undefined ? code : exitCode.outputLost
  } catch (error) {
    process.stderr.write(`${name}: ${oneLine(errorText(error))}\n`)
    if (isVerbose()) process.stderr.write(stackOf(error))
    process.exitCode = error instanceof Failure ? error.exitCode : exitCode.internal
  }
}

/** No line of a stack trace, which goes to a log too, may look like an entry of the log. */
function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  return `${printable(error.stack ?? '').replaceAll(/^/gm, '    ')}\n`
}
