import { setTimeout as after, setImmediate as breath } from 'node:timers/promises'
import type { TableEntry } from '../os/backend.ts'
import { monotonicMs } from '../os/clock.ts'
import { system } from '../os/system.ts'
import type { ProcessIdentity } from './identity.ts'
import { processTree } from './tree.ts'

/** One process of a tree. */
export interface MeasuredProcess {
  readonly pid: number
  readonly parent: number
  /** The first letter of `ps -o stat`. */
  readonly state: string
  /** PSS in bytes; null = it is gone, or another user's. */
  readonly memoryBytes: number | null
  /** In per cent of one core, over the last half second; null = it began or ended meanwhile. */
  readonly cpuPercent: number | null
  readonly threads: number | null
  readonly descriptors: number | null
}

/** Over which time CPU use is measured, in ms: the kernel counts in hundredths of a second. */
const spanMs = 500

const ticksPerSecond = 100

/**
 * Measures trees of processes, for a person or an agent who asks. It takes half a second, and lets other work go on between two processes.
 * @param trees the leaders of each tree.
 * @returns the processes of each, in the order of `trees`; an empty list where none is there.
 */
export async function measureTrees(
  trees: readonly (readonly ProcessIdentity[])[],
): Promise<readonly (readonly MeasuredProcess[])[]> {
  const before = ticksOf(system.processTable())
  const from = monotonicMs()
  await after(spanMs)
  const table = system.processTable()
  const seconds = (monotonicMs() - from) / 1000
  const cpuOf = (entry: TableEntry) => {
    const ticks = before.get(keyOf(entry))
    if (ticks === undefined) return null
    return Math.round(((entry.cpuTicks - ticks) / ticksPerSecond / seconds) * 1000) / 10
  }
  const measured: MeasuredProcess[][] = []
  for (const leaders of trees) {
    const members = leaders.flatMap((leader) => processTree(leader, table))
    const tree: MeasuredProcess[] = []
    for (const entry of new Map(members.map((member) => [member.pid, member])).values()) {
      const { pid, parent, state } = entry
      const { threads = null, descriptors = null } = system.figuresOf(pid)
      const memoryBytes = system.memoryOf(pid) ?? null
      tree.push({ pid, parent, state, memoryBytes, cpuPercent: cpuOf(entry), threads, descriptors })
      await breath()
    }
    measured.push(tree)
  }
  return measured
}

function ticksOf(table: readonly TableEntry[]): ReadonlyMap<string, number> {
  return new Map(table.map((entry) => [keyOf(entry), entry.cpuTicks]))
}

const keyOf = ({ pid, startTime }: TableEntry) => `${pid} ${startTime}`
