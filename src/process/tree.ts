import type { TableEntry } from '../os/backend.ts'
import { system } from '../os/system.ts'
import type { ProcessIdentity } from './identity.ts'

type Led = Pick<ProcessIdentity, 'pid' | 'startTime' | 'session'>

/**
 * A process and those that belong to it: the members of the session that it leads, or stands for, or of the process group that it leads, and its
 * descendants within its own session. One that has left with a session of its own, as the replacement of a forwarder does, is nobody's any more. Zombies are left out.
 */
export function processTree(
  { pid, startTime, session = pid }: Led,
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
    const isOfSession = entry.session === session && (session === pid || root.session === session)
    const isLed = isOfSession || (entry.processGroup === pid && entry.session === root.session)
    return (isLed || members.has(entry.pid)) && !isEnded(entry)
  })
}

/** It has ended, and its parent has not asked how. */
export function isEnded({ state }: TableEntry): boolean {
  return state === 'Z' || state === 'X'
}

/**
 * Processes of the session that a process led, or stood for, which is gone: they were started after it, and while they are there its PID is given to
 * nobody else. That they are whose they seem is for the caller to prove.
 */
export function orphansOf(
  { pid, startTime, session = pid }: Led,
  table: readonly TableEntry[],
): TableEntry[] {
  const startedAt = system.startOrder(startTime)
  return table.filter((entry) => {
    const isLed = entry.session === session || entry.processGroup === session
    const isLater = system.startOrder(entry.startTime) >= startedAt
    return isLed && entry.pid !== pid && isLater && !isEnded(entry)
  })
}
