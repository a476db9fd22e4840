import type { TableEntry } from '../os/backend.ts'
import { monotonicMs } from '../os/clock.ts'
import { errorCode } from '../os/failure.ts'
import { system } from '../os/system.ts'
import { judgeProcess, type ProcessIdentity, signalProcess } from './identity.ts'
import { type ProcessSummary, summarize } from './summary.ts'
import { nextProcessTable } from './table.ts'
import { orphansOf, processTree } from './tree.ts'

/** ms that the kernel may take to end a process after SIGKILL. */
const killTakesMs = 2000

/** Whether a process that has outlived the leader of its session is one of ours, by its command line or what else the system tells of it. */
export type Recognition = (words: readonly string[], pid: number) => boolean

/**
 * Ends a process and everything it has started that has not left its session: `signal`, SIGCONT (a stopped process cannot handle the
 * first), after `killAfterMs` SIGKILL. It has ended when all of them have, not when the first one has.
 * @param leader proven to be ours. One that is gone may have left others behind, which are ended as well.
 * @returns those that are still there after all that.
 */
export async function endProcesses(
  leader: ProcessIdentity,
  killAfterMs: number,
  isOurs: Recognition,
  signal: NodeJS.Signals = 'SIGTERM',
): Promise<readonly ProcessSummary[]> {
  const processes = new LedProcesses(leader, isOurs)
  processes.look(await nextProcessTable())
  processes.tell(signal)
  processes.tell('SIGCONT')
  if (!(await processes.haveEnded(killAfterMs, [signal, 'SIGCONT']))) {
    processes.tell('SIGKILL')
    await processes.haveEnded(killTakesMs, ['SIGKILL'])
  }
  return processes.summaries()
}

/**
 * Kills a process and everything it has started that has not left its session, at once: the signals are sent when this returns.
 * @returns resolves when they are gone, or after the time that the kernel may take; never rejects.
 */
export async function killProcesses(leader: ProcessIdentity, isOurs: Recognition): Promise<void> {
  const processes = new LedProcesses(leader, isOurs)
  processes.look(system.processTable())
  processes.tell('SIGKILL')
  await processes.haveEnded(killTakesMs, ['SIGKILL'])
}

/** What a process that is gone has left behind and is proven to be ours. */
export function leftBehind(leader: ProcessIdentity, isOurs: Recognition): readonly ProcessSummary[] {
  return restOf(leader, isOurs).map(({ pid }) => summarize(pid))
}

/** The same, each to be known again. */
export function restOf(leader: ProcessIdentity, isOurs: Recognition): readonly ProcessIdentity[] {
  const verdict = judgeProcess(leader)
  if (verdict !== 'gone' && verdict !== 'zombie') return []
  if (isGroupEmpty(leader)) return []
  const processes = new LedProcesses(leader, isOurs)
  processes.look(system.processTable())
  return processes.there
}

/**
 * One call instead of a look at the whole process table, since a restart waits for the answer. A process and what it starts are one
 * group; who has left it and kept the port is found by the start that fails.
 */
function isGroupEmpty({ pid, session = pid }: ProcessIdentity): boolean {
  try {
    process.kill(-session, 0)
    return false
  } catch (error) {
    return errorCode(error) === 'ESRCH'
  }
}

/** Waits until a process is gone, for so long at most. A process that is not our child gives no event. */
export async function hasEnded(identity: ProcessIdentity, withinMs: number): Promise<boolean> {
  // Counted in looks and not by the clock: this process may have stood still as well.
  for (let waited = 0; isThere(identity); waited += system.lookEveryMs) {
    if (waited >= withinMs) return false
    await lookPause()
  }
  return true
}

function lookPause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, system.lookEveryMs))
}

/** Looks by kill(2), which takes 2 µs, to one at the state of a process. */
const looksAState = 10

/** False = it is gone. One that has ended and is not waited for looks as if it were there. */
function mayBeThere({ pid }: ProcessIdentity): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return errorCode(error) !== 'ESRCH'
  }
}

function isThere(identity: ProcessIdentity): boolean {
  const verdict = judgeProcess(identity)
  return verdict === 'alive' || verdict === 'stopped' || verdict === 'unverifiable'
}

/** A process and those that belong to it, each of them proven; none before the first look. */
class LedProcesses {
  readonly #leader: ProcessIdentity
  readonly #isOurs: Recognition
  /** Whoever was seen to belong to it while it was there, by PID and start time. */
  readonly #seen = new Set<string>()
  #there: readonly ProcessIdentity[] = []

  constructor(leader: ProcessIdentity, isOurs: Recognition) {
    this.#leader = leader
    this.#isOurs = isOurs
  }

  get there(): readonly ProcessIdentity[] {
    return this.#there.filter(isThere)
  }

  summaries(): readonly ProcessSummary[] {
    return this.there.map(({ pid }) => summarize(pid))
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
      for (let looks = 0; this.#there.some(looks % looksAState === 0 ? isThere : mayBeThere); looks++) {
        if (monotonicMs() >= deadline) return false
        await lookPause()
      }
      this.look(await nextProcessTable())
      if (this.#there.length === 0) return true
      for (const signal of signals) this.tell(signal, [...this.#there])
    }
  }

  look(table: readonly TableEntry[]): void {
    const found = this.#find(table).filter(isThere)
    for (const identity of found) this.#seen.add(keyOf(identity))
    this.#there = found
  }

  #find(table: readonly TableEntry[]): readonly ProcessIdentity[] {
    const leader = this.#leader
    const verdict = judgeProcess(leader)
    // Its PID is another process’s now, so that none of its session is left; or nobody knows whose it is.
    if (verdict === 'reused') return []
    if (verdict === 'unverifiable') return [leader]
    const { session: _, ...here } = leader
    const identified = ({ pid, startTime }: TableEntry) => ({ ...here, pid, startTime })
    const led = processTree(leader, table)
    if (led.length > 0) return led.map(identified)
    const orphans = orphansOf(leader, table)
      .map(identified)
      .filter((identity) => this.#isProven(identity))
    // It has ended since it was judged, or the table cannot be read.
    return orphans.length === 0 && verdict !== 'gone' ? [leader] : orphans
  }

  /** A session whose leader is gone tells whose it was by what its members run. */
  #isProven(identity: ProcessIdentity): boolean {
    return (
      this.#seen.has(keyOf(identity)) || this.#isOurs(system.commandLine(identity.pid) ?? [], identity.pid)
    )
  }
}

function keyOf({ pid, startTime }: ProcessIdentity): string {
  return `${pid} ${startTime}`
}

function groupOf({ pid }: ProcessIdentity): number | undefined {
  const stat = system.processStat(pid)
  return typeof stat === 'object' ? stat.processGroup : undefined
}
