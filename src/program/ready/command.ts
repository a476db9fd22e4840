import { killProcesses } from '../../process/ending.ts'
import { describeEnd, startProcess } from '../../process/start.ts'

/** How a command is run: as the program that it asks about. */
export interface CommandRun {
  readonly command: readonly [string, ...string[]]
  readonly cwd: string
  readonly environment: NodeJS.ProcessEnv
}

/**
 * Runs a command once, in a session of its own; what it prints is dropped.
 * @param signal kills it, with all that it has started.
 * @returns what is wrong, in words; undefined = it has ended with 0.
 */
export async function askCommand(
  { command, cwd, environment }: CommandRun,
  signal: AbortSignal,
): Promise<string | undefined> {
  const [program, ...words] = command
  const ready = async () => ({ ready: true }) as const
  const plan = { program, words, cwd, environment, output: 'ignore', ready } as const
  const { process: running, outcome } = startProcess(plan)
  if (running === undefined) {
    const failed = await outcome
    const why = !failed.ok && failed.failure.code === 'not-run' ? failed.failure.message : 'it cannot be run'
    return `${program} cannot be run: ${why}`
  }
  const over = new AbortController()
  const aborted = new Promise<undefined>((resolve) => {
    if (signal.aborted) resolve(undefined)
    else signal.addEventListener('abort', () => resolve(undefined), { once: true, signal: over.signal })
  })
  const end = await Promise.race([running.ended, aborted])
  // A program that is not ready is asked hundreds of times with one signal.
  over.abort()
  if (end !== undefined)
    return end.kind === 'exited' && end.code === 0 ? undefined : `${program} ${describeEnd(end)}`
  await killProcesses(running.identity, () => false)
  return `${program} does not end`
}
