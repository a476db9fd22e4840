import type { ProcessIdentity } from '../../src/process/identity.ts'
import type { ProcessSummary } from '../../src/process/summary.ts'
import type { Observation } from '../../src/watch/decide/state.ts'
import type { Dependency, Fault, RunningProcess, Vocabulary } from '../../src/watch/unit.ts'

type Checked = Extract<Observation, { kind: 'checked' }>

export function identity(pid: number): ProcessIdentity {
  return { pid, startTime: `start of ${pid}`, bootId: 'this boot', pidNamespace: 'this one' }
}

/** A fault that brings its own words. */
export const spoken = (words: string): Fault & { readonly words: string } => ({ code: 'spoken', words })

/** The vocabulary of a forward, with faults that bring their own words. */
export const vocabulary: Vocabulary = {
  process: 'forwarder',
  work: 'connections',
  place: { kind: 'port', name: '6274' },
  dependency: { kind: 'target', name: 'localhost:6274' },
  fault: (fault) => (fault as ReturnType<typeof spoken>).words,
}

export function runningProcess(
  pid: number,
  supervisor: RunningProcess['supervisor'] = null,
  first = pid,
): RunningProcess {
  return { supervisor, identity: identity(pid), first: identity(first), predecessors: [], uptimeMs: 0 }
}

interface HealthyFacts {
  readonly target?: Dependency['state']
  readonly optionsMatch?: boolean
  readonly supervisor?: RunningProcess['supervisor']
  /** PID of the one with which its chain of handovers began; its own when left out. */
  readonly first?: number
  /** What it used, as a sample of the last round; none when left out. */
  readonly used?: { readonly memoryBytes?: number; readonly cpuPercent?: number }
}

export function healthyCheck(
  pid: number,
  { target = 'reachable', optionsMatch = true, supervisor, first, used }: HealthyFacts = {},
): Checked {
  const diagnosis = {
    condition: 'healthy',
    process: runningProcess(pid, supervisor, first),
    dependency: { state: target, lastError: 'refused' },
  } as const
  const usage = used && { pid, processes: 1, memoryBytes: 0, cpuPercent: 0, ...used }
  return { kind: 'checked', diagnosis, optionsMatch, usage }
}

/** A process as the system names it. */
export const summary = (pid: number, command: string): ProcessSummary => ({ pid, command })

/** @param leftBy PID of the process that is gone, when it has left another one behind. */
export function deadCheck(stale?: string, holder?: ProcessSummary, leftBy?: number): Checked {
  const fault = spoken('is not running')
  const diagnosis = {
    condition: 'dead',
    fault,
    stale: stale === undefined ? undefined : spoken(stale),
  } as const
  const leftBehind =
    leftBy === undefined ? undefined : { identity: identity(leftBy), processes: [summary(8, 'node worker')] }
  return { kind: 'checked', diagnosis, optionsMatch: true, holder, leftBehind }
}

export function faultyCheck(pid: number, words: string): Checked {
  const diagnosis = { condition: 'faulty', fault: spoken(words), identity: identity(pid) } as const
  return { kind: 'checked', diagnosis, optionsMatch: true }
}

export function unverifiableCheck(pid: number): Checked {
  const diagnosis = { condition: 'unverifiable', fault: spoken(`PID ${pid} may be a forwarder`) } as const
  return { kind: 'checked', diagnosis, optionsMatch: true }
}
