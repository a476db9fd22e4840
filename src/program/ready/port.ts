import { setTimeout as after } from 'node:timers/promises'
import { monotonicMs } from '../../os/clock.ts'
import { exitCode } from '../../os/failure.ts'
import { system } from '../../os/system.ts'
import { ownUid } from '../../os/trusted-path.ts'
import type { Recognition } from '../../process/ending.ts'
import type { ProcessIdentity } from '../../process/identity.ts'
import { findPortHolder, identifyPortHolder, portHolders } from '../../process/port-holder.ts'
import type { StartedProcess } from '../../process/start.ts'
import type { StartReport } from '../../process/start-report.ts'
import type { ProcessSummary } from '../../process/summary.ts'
import { processTree } from '../../process/tree.ts'

/** ms between two looks at the table of listeners: at first, and for a program that takes its time. */
const lookEveryMs = 20
const lookLaterEveryMs = 100
const quickLooks = 150

/**
 * Where a look takes long, the pause after it is so many times as long, up to `lookLaterEveryMs`. Linux goes through all of its table of
 * connections, however few there are, to say that nobody listens: 5 ms, which took a third of a processor.
 */
const pausePerLook = 10

/**
 * Resolves when a process of the program listens on a TCP port, or somebody else does, so that it will not. It does not connect: a program
 * sees no strange client.
 */
export async function portIsReady(
  port: number,
  { identity }: StartedProcess,
  isOurs: Recognition,
  signal: AbortSignal,
): Promise<StartReport | undefined> {
  for (let looks = 0; !signal.aborted; looks++) {
    const from = monotonicMs()
    const { isOwn, pids } = listenersOf(port, identity, isOurs)
    if (isOwn) return { ready: true }
    const holder = pids.size === 0 ? undefined : holderOfLoopback(port)
    if (holder?.pid !== undefined && pids.has(holder.pid)) {
      return { ready: false, message: takenInWords(port), exitCode: exitCode.unavailable }
    }
    const pauseMs = looks < quickLooks ? pausePerLook * (monotonicMs() - from) : lookLaterEveryMs
    const within = Math.min(Math.max(pauseMs, lookEveryMs), lookLaterEveryMs)
    await after(within, undefined, { signal }).catch(() => {})
  }
  return undefined
}

const nobody: ReadonlySet<number> = new Set()

/**
 * Who listens on the port. The descriptors of other processes than the program's are read only when none of its own does: there may be a thousand
 * of them.
 * @returns `pids` of all who do, where it is none of the program's.
 */
function listenersOf(
  port: number,
  identity: ProcessIdentity,
  isOurs: Recognition,
): { readonly isOwn: boolean; readonly pids: ReadonlySet<number> } {
  const listener = system.firstTcpListener((one) => one.port === port)
  if (listener === null) return { isOwn: false, pids: nobody }
  // Where there is no such table, one look at all of them is cheaper than two.
  if (listener !== undefined && listensInTree(port, identity)) return { isOwn: true, pids: nobody }
  const { pids } = portHolders(port)
  return { isOwn: isOwnAmong(pids, identity, isOurs), pids }
}

/** First by the process that most often is it. */
function listensInTree(port: number, identity: ProcessIdentity): boolean {
  if (system.listeningPorts([identity.pid]).includes(port)) return true
  const tree = processTree(identity, system.processTable()).map(({ pid }) => pid)
  const others = tree.filter((pid) => pid !== identity.pid)
  return others.length > 0 && system.listeningPorts(others).includes(port)
}

function isOwnAmong(pids: ReadonlySet<number>, identity: ProcessIdentity, isOurs: Recognition): boolean {
  if (pids.size === 0) return false
  const own = new Set(processTree(identity, system.processTable()).map(({ pid }) => pid))
  return [...pids].some((pid) => own.has(pid) || isOurs([], pid))
}

/** The ports on which the program listens, in ascending order. */
export function portsOf(identity: ProcessIdentity, isOurs: Recognition): readonly number[] {
  const table = system.processTable()
  const own = new Set(processTree(identity, table).map(({ pid }) => pid))
  const outside = table.filter(({ pid }) => !own.has(pid) && isOurs([], pid)).map(({ pid }) => pid)
  return system.listeningPorts([...own, ...outside])
}

/** Looks once. @returns what is wrong, in words; undefined = a process of the program listens. */
export function askPort(port: number, identity: ProcessIdentity, isOurs: Recognition): string | undefined {
  return listenersOf(port, identity, isOurs).isOwn ? undefined : `it does not listen on port ${port}`
}

/** Who listens where a program that binds loopback, or all addresses, could not; undefined = nobody. */
export function holderOfLoopback(port: number): ProcessSummary | undefined {
  const holder = mayBeHeld(port) ? findPortHolder(port, '127.0.0.1', '::1') : undefined
  // A socket of this user that no process has open belongs to one that is just ending.
  return holder?.pid === undefined && holder?.uid === ownUid() ? undefined : holder
}

/**
 * As {@link holderOfLoopback}, once a start has failed, for a person: another tool may see a holder that this process does not.
 */
export async function identifyHolderOfLoopback(port: number): Promise<ProcessSummary | undefined> {
  const seen = holderOfLoopback(port)
  if (seen?.pid !== undefined || !mayBeHeld(port)) return seen
  return (await identifyPortHolder(port, '127.0.0.1', system.tcpListeners() === undefined)) ?? seen
}

/** Without who has it: that is told beside it. */
export function takenInWords(port: number): string {
  return `port ${port} is taken`
}

/** Quick where the system has a table of listeners: who holds one is looked up only when there is one. */
function mayBeHeld(port: number): boolean {
  return system.firstTcpListener((listener) => listener.port === port) !== null
}
