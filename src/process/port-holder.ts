import type { HeldListener } from '../os/backend.ts'
import { isInTheWay } from '../os/interfaces.ts'
import { system } from '../os/system.ts'
import { commandOf, type ProcessSummary, shortCommand } from './summary.ts'

/**
 * Who listens on a TCP port so that one of these addresses cannot be bound: on the address itself or on all of them. The first address that
 * is held counts. Reads every process's descriptors (25 ms and more), so it is asked only when something failed.
 * @param addresses to be bound; 0.0.0.0 or :: asks for any listener of the port.
 * @returns undefined when this process sees no listener there.
 */
export function findPortHolder(port: number, ...addresses: readonly string[]): ProcessSummary | undefined {
  const listeners = system.holdersOf(port)
  for (const address of addresses) {
    const inTheWay = listeners.filter((one) => isInTheWay(one.address, address))
    if (inTheWay.length > 0) return holderAmong(inTheWay)
  }
  return undefined
}

function holderAmong(listeners: readonly HeldListener[]): ProcessSummary {
  // The one with the lowest PID: a forwarder rather than its workers, which hold the same socket.
  const [found] = listeners
    .flatMap(({ pids, address }) => pids.map((pid) => ({ pid, address })))
    .sort((a, b) => a.pid - b.pid)
  if (found !== undefined) return { ...found, command: commandOf(found.pid), uid: system.userOf(found.pid) }
  const [unseen] = listeners
  return { pid: undefined, command: undefined, uid: unseen?.uid, address: unseen?.address ?? '' }
}

/**
 * Every process that holds a listening socket of this port, whatever its address.
 * @returns `hasUnseen`: a listening socket is there whose holder cannot be seen: a process of another user, or one that is just ending.
 */
export function portHolders(port: number): {
  readonly pids: ReadonlySet<number>
  readonly hasUnseen: boolean
} {
  const listeners = system.holdersOf(port)
  return {
    pids: new Set(listeners.flatMap(({ pids }) => pids)),
    hasUnseen: listeners.some(({ pids }) => pids.length === 0),
  }
}

/**
 * As {@link findPortHolder}, for a person who waits for the answer: where that does not name a process, find-process is asked, which runs
 * `ss`, `netstat` or `lsof`, of which one may have more rights than this process.
 * @param isHeld a bind has failed, so that the address is held even when this process sees no listener.
 */
export async function identifyPortHolder(
  port: number,
  address: string,
  isHeld: boolean,
): Promise<ProcessSummary | undefined> {
  const seen = findPortHolder(port, address)
  if (seen?.pid !== undefined || (seen === undefined && !isHeld)) return seen
  // find-process tells one holder of the port, whatever the address: with several, that may be another one.
  if (system.holdersOf(port).length > 1) return seen
  try {
    const { findByPort } = await import('../os/portable/libraries.ts')
    const found = await findByPort(port)
    return found === undefined ? seen : { ...seen, pid: found.pid, command: shortCommand(found.command) }
  } catch {
    return seen
  }
}
