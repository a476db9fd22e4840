/**
 * ready/: what is asked of a program from outside: whether it has started, and whether it is well while it runs.
 *
 *   `Probe` (config/) -> `port.ts`, `http.ts`, `command.ts`, `log.ts`, each asking once or until it knows -> `readyProbe` for a start, `HealthWatch` for
 *   what runs
 *
 * To add a probe, write such a file, give it a kind in `config/program-configuration.ts` and a key in `config/program-schema.ts`, and choose it
 * here.
 */
import { setTimeout as after } from 'node:timers/promises'
import { type Probe, portOf, type ReadyCondition } from '../../config/program-configuration.ts'
import type { Recognition } from '../../process/ending.ts'
import type { ProcessIdentity } from '../../process/identity.ts'
import type { ReadyProbe, StartedProcess } from '../../process/start.ts'
import type { ProgramOutput } from '../output/index.ts'
import { askCommand } from './command.ts'
import { askHttp } from './http.ts'
import { lineIsPrinted } from './log.ts'
import { askPort, portIsReady } from './port.ts'

/** The program that is asked. */
export interface Asked {
  readonly cwd: string
  readonly environment: NodeJS.ProcessEnv
  /** Whether a process outside of its session belongs to it. */
  readonly isOurs: Recognition
}

/** ms that a program without a condition must run: one that ends at once has not started. */
const runsForMs = 1000

/**
 * What asks whether a program has started.
 * @param condition undefined = it has when it has run for a second.
 * @param answered gets what was wrong with each answer of a probe that asks again and again.
 */
export function readyProbe(
  condition: ReadyCondition | undefined,
  asked: Asked & { readonly output: ProgramOutput },
  answered: (problem: string | undefined) => void,
): ReadyProbe<StartedProcess> {
  if (condition === undefined) {
    return (_process, signal) => after(runsForMs, { ready: true } as const, { signal }).catch(() => undefined)
  }
  const { probe, intervalMs } = condition
  if (probe.kind === 'log') return (_process, signal) => lineIsPrinted(probe.pattern, asked.output, signal)
  const port = portOf(probe)
  return async (process, signal) => {
    // Whoever else answers there is not the program.
    const listens = port === undefined ? undefined : await portIsReady(port, process, asked.isOurs, signal)
    if (probe.kind === 'port' || listens?.ready === false) return listens
    while (!signal.aborted) {
      const problem = await ask(probe, process.identity, asked, signal)
      if (problem === undefined) return { ready: true }
      answered(problem)
      await after(intervalMs, undefined, { signal }).catch(() => {})
    }
    return undefined
  }
}

/** Asks a program once. @returns what is wrong, in words; undefined = it is well. */
export async function ask(
  probe: Probe,
  identity: ProcessIdentity,
  { cwd, environment, isOurs }: Asked,
  signal: AbortSignal,
): Promise<string | undefined> {
  switch (probe.kind) {
    case 'port':
      return askPort(probe.port, identity, isOurs)
    case 'http':
      return askHttp(probe.url, signal)
    case 'command':
      return askCommand({ command: probe.command, cwd, environment }, signal)
  }
}
