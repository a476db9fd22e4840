import { fileURLToPath } from 'node:url'
import { monotonicMs } from '../os/clock.ts'
import { errorCode } from '../os/failure.ts'
import { isLinux } from '../os/platform.ts'
import { describeCommand } from '../os/port-holder.ts'
import {
  commandLine,
  judgeProcess,
  type ProcessIdentity,
  readProcStat,
  signalProcess,
} from '../os/process-identity.ts'
import { orphansOf, processTable, processTree, type TableEntry } from '../os/process-tree.ts'

/** ms between two looks at processes that were told to end. */
const lookEveryMs = 5

/** ms that the kernel may take to end a process after SIGKILL. */
const killTakesMs = 2000

/** A forwarder of another version or another place, as it is installed or run from its sources. */
export const forwarderProgram = /\/tcp-proxy(?:\.c?js)?$/

/** Where the programs of this package are. */
const ownPrograms = fileURLToPath(new URL('../../', import.meta.url))

/**
 * Ends a forwarder and everything it has started that has not left its session: SIGTERM, SIGCONT (a stopped process cannot handle the
 * first), after `killAfterMs` SIGKILL. It has ended when all of them have, not when the first one has.
 * @param leader proven to be ours. One that is gone may have left others behind, which are ended as well.
 * @returns those that are still there after all that, in words: `PID 4242 (node tcp-proxy.cjs)`.
 */
export async function endProcesses(leader: ProcessIdentity, killAfterMs: number): Promise<readonly string[]> {
  const processes = new LedProcesses(leader)
  processes.tell('SIGTERM')
  processes.tell('SIGCONT')
  if (!(await processes.haveEnded(killAfterMs, ['SIGTERM', 'SIGCONT']))) {
    processes.tell('SIGKILL')
    await processes.haveEnded(killTakesMs, ['SIGKILL'])
  }
  return processes.inWords()
}

/** What a forwarder that is gone has left behind and is proven to be ours, in words. */
export function leftBehind(leader: ProcessIdentity): readonly string[] {
  const verdict = judgeProcess(leader)
  if (verdict !== 'gone' && verdict !== 'zombie') return []
  return isGroupEmpty(leader) ? [] : new LedProcesses(leader).inWords()
}

/**
 * One call instead of a look at the whole process table, since a restart waits for the answer. A forwarder and what it starts are one
 * group; who has left it and kept the port is found by the start that fails.
 */
function isGroupEmpty({ pid }: ProcessIdentity): boolean {
  try {
    process.kill(-pid, 0)
    return false
  } catch (error) {
    return errorCode(error) === 'ESRCH'
  }
}

/** Waits until a process is gone, for so long at most. A process that is not our child gives no event. */
export async function hasEnded(identity: ProcessIdentity, withinMs: number): Promise<boolean> {
  for (let waited = 0; isThere(identity); waited += lookEveryMs) {
    if (waited >= withinMs) return false
    await new Promise((resolve) => setTimeout(resolve, lookEveryMs))
  }
  return true
}

function isThere(identity: ProcessIdentity): boolean {
  const verdict = judgeProcess(identity)
  return verdict === 'alive' || verdict === 'stopped' || verdict === 'unverifiable'
}

/** A process and those that belong to it, each of them proven. */
class LedProcesses {
  readonly #leader: ProcessIdentity
  /** Whoever was seen to belong to it while it was there, by PID and start time. */
  readonly #seen = new Set<string>()
  #there: readonly ProcessIdentity[] = []

  constructor(leader: ProcessIdentity) {
    this.#leader = leader
    this.#look()
  }

  inWords(): readonly string[] {
    return this.#there.filter(isThere).map(({ pid }) => `PID ${pid} (${describeCommand(pid)})`)
  }

  /** The group at once, so that none is forked past the signal; whoever is not in it, or has outlived its leader, one by one. */
  tell(signal: NodeJS.Signals, whom: readonly ProcessIdentity[] = this.#there): void {
    const leadsGroup = groupOf(this.#leader) === this.#leader.pid
    const isToldAsGroup = leadsGroup && whom === this.#there && signalProcess(this.#leader, signal, true)
    for (const identity of whom) {
      if (!isToldAsGroup || groupOf(identity) !== this.#leader.pid) signalProcess(identity, signal)
    }
  }

  /** Waits until all are gone, for so long at most. Whoever joins them meanwhile is told the same. */
  async haveEnded(withinMs: number, signals: readonly NodeJS.Signals[]): Promise<boolean> {
    const deadline = monotonicMs() + withinMs
    for (;;) {
      // Cheap: those that are known. The whole table is looked at only when they are gone.
      while (this.#there.some(isThere)) {
        if (monotonicMs() >= deadline) return false
        await new Promise((resolve) => setTimeout(resolve, lookEveryMs))
      }
      this.#look()
      if (this.#there.length === 0) return true
      for (const signal of signals) this.tell(signal, [...this.#there])
    }
  }

  #look(): void {
    const found = this.#find().filter(isThere)
    for (const identity of found) this.#seen.add(keyOf(identity))
    this.#there = found
  }

  #find(): readonly ProcessIdentity[] {
    const leader = this.#leader
    const verdict = judgeProcess(leader)
    // Its PID is another process’s now, so that none of its session is left; or nobody knows whose it is.
    if (verdict === 'reused') return []
    if (!isLinux || verdict === 'unverifiable') return verdict === 'gone' ? [] : [leader]
    const table = processTable()
    const identified = ({ pid, startTime }: TableEntry) => ({ ...leader, pid, startTime })
    // Empty when it has ended since it was judged.
    const led = processTree(leader, table)
    if (led.length > 0) return led.map(identified)
    return orphansOf(leader, table)
      .map(identified)
      .filter((identity) => this.#seen.has(keyOf(identity)) || isOwnProgram(identity.pid))
  }
}

function keyOf({ pid, startTime }: ProcessIdentity): string {
  return `${pid} ${startTime}`
}

/** A session whose leader is gone tells whose it was by what its members run. */
function isOwnProgram(pid: number): boolean {
  return (
    commandLine(pid)?.some((word) => word.startsWith(ownPrograms) || forwarderProgram.test(word)) === true
  )
}

function groupOf({ pid }: ProcessIdentity): number | undefined {
  const stat = isLinux ? readProcStat(pid) : undefined
  return typeof stat === 'object' ? stat.processGroup : undefined
}
