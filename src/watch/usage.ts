import { hasLimits, type ResourceLimits } from '../config/resource-limits.ts'
import { monotonicMs } from '../os/clock.ts'
import { system } from '../os/system.ts'
import type { ProcessIdentity } from '../process/identity.ts'
import { processTableOfTurn } from '../process/table.ts'
import { processTree } from '../process/tree.ts'
import type { ResourceUsage } from '../record/shapes/runtime-state.ts'
import type { RunningProcess } from './unit.ts'

/** What the processes of a unit use at one moment. */
export interface Measurement {
  readonly pid: number
  readonly memoryBytes: number
  /** Undefined = not counted. */
  readonly openFiles?: number | undefined
  /** CPU ticks used so far, by process: PID and start time. */
  readonly cpuTicks: ReadonlyMap<string, number>
  readonly monotonicMs: number
  readonly wallMs: number
}

/** A process with its workers; undefined when it is gone, or the system does not tell. */
function measureUsage(
  leader: ProcessIdentity,
  workers: readonly ProcessIdentity[],
  countsFiles: boolean,
): Measurement | undefined {
  if (!system.measuresUsage) return undefined
  const table = processTableOfTurn()
  const led = processTree(leader, table)
  if (led.length === 0) return undefined
  // Workers lead sessions of their own.
  const all = [...led, ...workers.flatMap((worker) => processTree(worker, table))]
  const processes = [...new Map(all.map((process) => [process.pid, process])).values()]
  return {
    pid: leader.pid,
    memoryBytes: processes.reduce((sum, { pid }) => sum + (system.memoryOf(pid) ?? 0), 0),
    ...(countsFiles ? { openFiles: openFilesOf(processes) } : {}),
    cpuTicks: new Map(processes.map(({ pid, startTime, cpuTicks }) => [`${pid} ${startTime}`, cpuTicks])),
    monotonicMs: monotonicMs(),
    wallMs: Date.now(),
  }
}

/** One that is gone meanwhile has none. */
function openFilesOf(processes: readonly { readonly pid: number }[]): number {
  return processes.reduce((sum, { pid }) => sum + (system.figuresOf(pid).descriptors ?? 0), 0)
}

const ticksPerSecond = 100

/** Two clocks that go apart by more ms than this, and more than slewing does, between two rounds: the machine slept, or one was set. */
const clockToleranceMs = 500
const slewing = 0.001

/**
 * What two measurements a round apart say. Undefined = they make no sample: of two processes, too far apart because this process did not
 * run, or across a suspend or a clock that was set.
 */
export function usageBetween(
  before: Measurement,
  now: Measurement,
  intervalMs: number,
): ResourceUsage | undefined {
  const elapsedMs = now.monotonicMs - before.monotonicMs
  const drift = Math.abs(now.wallMs - before.wallMs - elapsedMs)
  const isInTime = elapsedMs > 0 && elapsedMs <= 2 * intervalMs + clockToleranceMs
  if (before.pid !== now.pid || !isInTime || drift > clockToleranceMs + elapsedMs * slewing) return undefined
  let ticks = 0
  // A process that is new has used all its ticks since; one that is gone takes its last ones with it.
  for (const [process, used] of now.cpuTicks) ticks += Math.max(0, used - (before.cpuTicks.get(process) ?? 0))
  return {
    pid: now.pid,
    processes: now.cpuTicks.size,
    memoryBytes: now.memoryBytes,
    ...(now.openFiles === undefined ? {} : { openFiles: now.openFiles }),
    cpuPercent: Math.round((ticks / ticksPerSecond / (elapsedMs / 1000)) * 1000) / 10,
  }
}

/** Takes a sample of one unit's processes in every round. A look between two rounds takes none. */
export class UsageMeter {
  #before: Measurement | undefined
  #last: ResourceUsage | undefined

  /** The last sample; undefined while none was taken, or nothing is limited. */
  get last(): ResourceUsage | undefined {
    return this.#last
  }

  /**
   * Measures a unit that has limits; one without costs nothing here.
   * @param process undefined = none runs.
   * @returns the sample that this look made; undefined = none.
   */
  measure(
    process: RunningProcess | undefined,
    limits: ResourceLimits,
    intervalMs: number,
  ): ResourceUsage | undefined {
    if (process === undefined || !hasLimits(limits)) {
      this.#last = undefined
      return undefined
    }
    const { identity, workers = [] } = process
    const usage = this.#sample(identity, workers, intervalMs, (limits.openFiles ?? 0) > 0)
    if (usage !== undefined || this.#last?.pid !== identity.pid) this.#last = usage
    return usage
  }

  #sample(
    identity: ProcessIdentity,
    workers: readonly ProcessIdentity[],
    intervalMs: number,
    countsFiles: boolean,
  ): ResourceUsage | undefined {
    const before = this.#before
    const isSame = before?.pid === identity.pid
    if (isSame && monotonicMs() - before.monotonicMs < intervalMs / 2) return undefined
    const now = measureUsage(identity, workers, countsFiles)
    this.#before = now
    return before === undefined || now === undefined ? undefined : usageBetween(before, now, intervalMs)
  }
}
