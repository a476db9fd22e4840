import type { ProcessIdentity } from '../../src/os/process-identity.ts'
import type { ForwarderHealth } from '../../src/record/forwarder-health.ts'
import type { Observation } from '../../src/watch/decide/state.ts'

type Checked = Extract<Observation, { kind: 'checked' }>

export function identity(pid: number): ProcessIdentity {
  return { pid, startTime: `start of ${pid}`, bootId: 'this boot', pidNamespace: 'this one' }
}

export function health(
  pid: number,
  state: ForwarderHealth['target']['state'] = 'reachable',
  supervisor: ForwarderHealth['supervisor'] = null,
  first = pid,
): ForwarderHealth {
  return {
    supervisor,
    identity: identity(pid),
    first: identity(first),
    predecessors: [],
    uptimeMs: 0,
    target: { state, lastError: 'refused' },
  } as unknown as ForwarderHealth
}

interface HealthyFacts {
  readonly target?: ForwarderHealth['target']['state']
  readonly optionsMatch?: boolean
  readonly supervisor?: ForwarderHealth['supervisor']
  /** PID of the one with which its chain of handovers began; its own when left out. */
  readonly first?: number
  /** What it used, as a sample of the last round; none when left out. */
  readonly used?: { readonly memoryBytes?: number; readonly cpuPercent?: number }
}

export function healthyCheck(
  pid: number,
  { target, optionsMatch = true, supervisor, first, used }: HealthyFacts = {},
): Checked {
  const diagnosis = {
    condition: 'healthy',
    health: health(pid, target, supervisor, first),
    stalePidFile: undefined,
  } as const
  const usage = used && { pid, processes: 1, memoryBytes: 0, cpuPercent: 0, ...used }
  return { kind: 'checked', diagnosis, optionsMatch, portHolder: undefined, usage }
}

/** @param leftBy PID of the process that is gone, when it has left another one behind. */
export function deadCheck(stalePidFile?: string, portHolder?: string, leftBy?: number): Checked {
  const fault = { reason: 'gone', words: 'is not running' } as const
  const diagnosis = { condition: 'dead', fault, stalePidFile } as const
  const leftBehind =
    leftBy === undefined ? undefined : { identity: identity(leftBy), processes: ['PID 8 (node worker)'] }
  return { kind: 'checked', diagnosis, optionsMatch: true, portHolder, leftBehind }
}

export function faultyCheck(pid: number, words: string): Checked {
  const fault = { reason: 'control_silent', words } as const
  const diagnosis = { condition: 'faulty', fault, identity: identity(pid) } as const
  return { kind: 'checked', diagnosis, optionsMatch: true, portHolder: undefined }
}

export function unverifiableCheck(pid: number): Checked {
  const diagnosis = { condition: 'unverifiable', pid, words: `PID ${pid} may be a forwarder` } as const
  return { kind: 'checked', diagnosis, optionsMatch: true, portHolder: undefined }
}
