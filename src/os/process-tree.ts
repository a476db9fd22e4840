import { readdirSync } from 'node:fs'
import { isLinux } from './platform.ts'
import { type ProcessIdentity, type ProcessStat, readProcStat } from './process-identity.ts'

export interface TableEntry extends ProcessStat {
  readonly pid: number
}

/** Every process of this PID namespace that can be seen. About 10 µs a process. Empty where there is no /proc. */
export function processTable(): TableEntry[] {
  if (!isLinux) return []
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return []
    const pid = Number(entry)
    const stat = readProcStat(pid)
    // One that has ended since it was listed.
    return stat === undefined || stat === 'unreadable' ? [] : [{ pid, ...stat }]
  })
}

/**
 * A process and those that belong to it: the members of the session or process group that it leads, and its descendants within its own
 * session. One that has left with a session of its own, as the replacement of a forwarder does, is nobody's any more. Zombies are left out.
 */
export function processTree(
  { pid, startTime }: Pick<ProcessIdentity, 'pid' | 'startTime'>,
  table: readonly TableEntry[],
): TableEntry[] {
  const root = table.find((entry) => entry.pid === pid && entry.startTime === startTime)
  if (root === undefined) return []
  const members = new Set([pid])
  for (let before = 0; before < members.size; ) {
    before = members.size
    for (const entry of table) {
      if (entry.session === root.session && members.has(entry.parent)) members.add(entry.pid)
    }
  }
  return table.filter((entry) => {
    const isLed = entry.session === pid || (entry.processGroup === pid && entry.session === root.session)
    return (isLed || members.has(entry.pid)) && !isEnded(entry)
  })
}

/** It has ended, and its parent has not asked how. */
export function isEnded({ state }: TableEntry): boolean {
  return state === 'Z' || state === 'X'
}

/**
 * Processes of the session that a process led which is gone: they were started after it, and while they are there its PID is given to
 * nobody else. That they are whose they seem is for the caller to prove.
 */
export function orphansOf(
  { pid, startTime }: Pick<ProcessIdentity, 'pid' | 'startTime'>,
  table: readonly TableEntry[],
): TableEntry[] {
  return table.filter((entry) => {
    const isLed = entry.session === pid || entry.processGroup === pid
    return isLed && entry.pid !== pid && Number(entry.startTime) >= Number(startTime) && !isEnded(entry)
  })
}
