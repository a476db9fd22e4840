// What a watchdog costs while nothing happens.
import { setTimeout as sleep } from 'node:timers/promises'
import { processCpuSeconds, processPssBytes, processRssBytes } from '../../forwarders/processes.ts'

export interface Rest {
  /** Of one core. */
  readonly cpuPercent: number
  /** Proportional set size, MB of 10^6 bytes. */
  readonly pssMB: number
  readonly rssMB: number
}

/** Until a start's last work is done and rest begins. */
const SETTLE_MS = 5000

export async function restOf(groups: readonly (readonly number[])[], seconds: number): Promise<Rest[]> {
  await sleep(SETTLE_MS)
  const cpu = () => groups.map((pids) => sum(pids, processCpuSeconds))
  const before = cpu()
  const began = performance.now()
  await sleep(seconds * 1000)
  const after = cpu()
  const took = (performance.now() - began) / 1000
  return groups.map((pids, index) => ({
    cpuPercent: (((after[index] ?? 0) - (before[index] ?? 0)) / took) * 100,
    pssMB: sum(pids, processPssBytes) / 1e6,
    rssMB: sum(pids, processRssBytes) / 1e6,
  }))
}

function sum(pids: readonly number[], of: (pid: number) => number): number {
  return pids.reduce((total, pid) => total + of(pid), 0)
}
