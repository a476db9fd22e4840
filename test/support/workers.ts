import { judgeProcess } from '../../src/process/identity.ts'
import type { ForwarderHealth, WorkerFacts } from '../../src/record/shapes/forwarder-health.ts'
import { type ForwarderProcess, startTcpProxy } from './forwarder-process.ts'
import { until } from './tools.ts'

/** `tcp-proxy --workers N` with all of its processes up. The parameters are those of `startTcpProxy`. */
export async function startWithWorkers(
  target: string,
  workers: number,
  options: readonly string[] = [],
  limits?: string,
): Promise<ForwarderProcess> {
  const forward = await startTcpProxy(target, ['--workers', String(workers), ...options], limits)
  await healthOnce(forward, 'every process serves', (health) => servingOf(health).length === workers)
  return forward
}

export function healthOnce(
  forward: Pick<ForwarderProcess, 'health'>,
  what: string,
  isWanted: (health: ForwarderHealth) => boolean,
): Promise<ForwarderHealth> {
  return until(what, async () => {
    const health = await forward.health()
    if (isWanted(health)) return health
    throw new Error(JSON.stringify(health, null, 1))
  })
}

/** The processes that take new connections, the one with the control socket first. */
export function servingOf({ workers }: ForwarderHealth): readonly WorkerFacts[] {
  return workers?.processes.filter(({ state }) => state === 'serving') ?? []
}

/** Resolves when none of these processes is there any more. */
export async function allGone(workers: readonly WorkerFacts[], withinMs?: number): Promise<void> {
  const gone = async () => {
    const left = workers.filter(
      ({ identity }) => !['gone', 'zombie', 'reused'].includes(judgeProcess(identity)),
    )
    if (left.length === 0) return true
    throw new Error(`still there: ${left.map(({ identity }) => identity.pid).join(', ')}`)
  }
  await until('the workers are gone', gone, withinMs)
}
