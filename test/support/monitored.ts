import { writeFileSync } from 'node:fs'
import { askControl } from '../../src/control/client.ts'
import { parseRuntimeState } from '../../src/record/runtime-state.ts'
import { processesWith } from './process-table.ts'
import { Resident } from './resident.ts'
import { command, type Watched } from './watched.ts'

/** One forward of a configuration, as a person writes it. */
export interface WantedForward {
  readonly name: string
  readonly listen: number
  readonly target: string
  readonly [option: string]: unknown
}

export interface MonitorWishes {
  readonly forwards: readonly WantedForward[]
  /** Between two rounds; short, for what only a round finds. */
  readonly interval?: string
  readonly restart?: object
  /** Further words of proxy-monitor. */
  readonly words?: readonly string[]
  readonly environment?: NodeJS.ProcessEnv
  /** What the command line begins with: `faketime …`, `script …`. */
  readonly under?: (argv: readonly string[]) => readonly string[]
}

/** The words that start a monitor for these wishes; its configuration file is written. */
export function monitorCommand(watched: Watched, wishes: MonitorWishes): string[] {
  const file = watched.file('configuration.json')
  const { forwards, interval = '400ms', restart = {} } = wishes
  // Every death is answered at once, however many a test asks for.
  const policy = { backoff: 0, resetAfter: 0, flappingRestarts: 0, ...restart }
  writeFileSync(file, JSON.stringify({ interval, restart: policy, forwards }))
  const words = ['--config', file, '--state-dir', watched.directory, ...(wishes.words ?? [])]
  const argv = command('proxy-monitor', ...words)
  return [...(wishes.under?.(argv) ?? argv)]
}

/** Starts a monitor and does not wait for anything. */
export function launchMonitor(watched: Watched, wishes: MonitorWishes): Resident {
  return watched.adopt(new Resident(monitorCommand(watched, wishes), wishes.environment ?? {}))
}

/** Starts a monitor and waits until it says so. */
export async function startMonitor(watched: Watched, wishes: MonitorWishes): Promise<Resident> {
  const monitor = launchMonitor(watched, wishes)
  await monitor.line(/Monitor started/)
  return monitor
}

/** PIDs of the forwarders of a port that run with this state directory, zombies left out, from the process table itself. */
export function forwardersOf(watched: Watched, port: number): number[] {
  return processesWith('tcp-proxy.cjs\0', `\0${watched.directory}\0`, `\0${port}\0`)
}

/** Waits until a forward is healthy, as another PID than `not`, and its monitor has seen that. */
export async function healthyAs(watched: Watched, port: number, not = 0, timeoutMs = 20_000) {
  const report = await watched.statusWhen(
    `port ${port} is healthy`,
    ({ forwards, monitor }) => {
      const forward = forwards.find((one) => one.port === port)
      const isSeen = monitor.state !== 'STARTING' && forward?.lastCheckAgeMs !== null
      return forward?.state === 'healthy' && forward.pid !== not && isSeen
    },
    timeoutMs,
  )
  const forward = report.forwards.find((one) => one.port === port)
  if (typeof forward?.pid !== 'number') throw new Error(JSON.stringify(report, null, 1))
  return { pid: forward.pid, forward, report }
}

/**
 * Restarts of a forward: after failures, unless the planned ones are asked for. The monitor itself is asked: its records on disk follow what
 * it logs and answers a moment later.
 */
export async function restartsOf(
  watched: Watched,
  port: number,
  kind: 'restarts' | 'plannedRestarts' = 'restarts',
): Promise<number> {
  const reading = parseRuntimeState(
    JSON.stringify(await askControl(watched.file('control.sock'), 'state', {}, 20_000)),
  )
  if (reading.kind !== 'read') throw new Error(`the state is ${JSON.stringify(reading)}`)
  const record = reading.state.forwards.find((one) => one.port === port)
  if (record === undefined) throw new Error(`no record of port ${port}`)
  return record[kind] ?? 0
}
