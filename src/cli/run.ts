import { errorText, exitCode, Failure } from '../os/failure.ts'

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
    process.stderr.write(`${name}: ${errorText(error)}\n`)
    if (isVerbose() && error instanceof Error) process.stderr.write(`${error.stack}\n`)
    process.exitCode = error instanceof Failure ? error.exitCode : exitCode.internal
  }
}
