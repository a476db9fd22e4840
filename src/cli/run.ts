import { errorText, exitCode, Failure } from '../os/failure.ts'
import { oneLine, printable } from '../os/printable.ts'

/**
 * Runs a command and ends the process with its exit code. Every error becomes one line on stderr.
 * @param isVerbose asked when something went wrong: whether a stack trace is wanted too.
 */
export async function runToEnd(
  name: string,
  run: () => Promise<number> | number,
  isVerbose: () => boolean = () => false,
): Promise<void> {
  // A reader that went away (`proxy-log | head`) is no error.
  process.stdout.on('error', () => {})
  process.stderr.on('error', () => {})
  try {
    process.exitCode = await run()
  } catch (error) {
    process.stderr.write(`${name}: ${oneLine(errorText(error))}\n`)
    if (isVerbose() && error instanceof Error)
      process.stderr.write(`${indented(printable(error.stack ?? ''))}\n`)
    process.exitCode = error instanceof Failure ? error.exitCode : exitCode.internal
  }
}

/** No line of a stack trace, which goes to a log too, may look like an entry of the log. */
function indented(text: string): string {
  return text.replaceAll(/^/gm, '    ')
}
