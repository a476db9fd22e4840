import { exitCode, Failure } from '../os/failure.ts'
import { system } from '../os/system.ts'
import { judgeProcess, ownIdentity, type ProcessIdentity } from './identity.ts'

/** A listening socket that this process was started with. */
export interface InheritedSocket {
  readonly descriptor: number
  /** For messages: what the service manager calls it, or where it listens. */
  readonly name: string
}

/**
 * Listening sockets that were there before this process.
 * - `none`: there are none; every address is bound by this process.
 * - `activation`: a service manager, or whoever holds the port, chose where they listen: they are all that is listened on.
 * - `handover`: the process before this one shares its own; addresses that are wanted besides are bound, unless they are fixed.
 */
export type Inheritance =
  | { readonly kind: 'none' }
  | { readonly kind: 'activation'; readonly sockets: readonly InheritedSocket[] }
  | {
      readonly kind: 'handover'
      /** The sockets came from a service manager once: nothing is bound besides. */
      readonly fixed: boolean
      /** Who starts the unit again when it dies: it was told of the new process. Null = whoever started the first one. */
      readonly supervisor: 'systemd' | null
      /** `name` is the address that the socket is bound to. */
      readonly sockets: readonly InheritedSocket[]
      /** The process with which the chain of handovers began; missing when one of an older version handed over. */
      readonly first?: ProcessIdentity
      /** Processes before this one that still finish their work. */
      readonly predecessors: readonly ProcessIdentity[]
      /** What the forwarder before this one knew of its targets, in its own version's words. */
      readonly targets?: { readonly atMonotonicMs: number; readonly facts: readonly unknown[] }
      /** Which processes of the program that it leads to it was told to be ready; missing = none was named. */
      readonly instances?: unknown
    }

/** Whether the addresses were chosen by a service manager: then nothing is bound beside them, however often it is handed over. */
export function isFixed(inheritance: Inheritance): boolean {
  return inheritance.kind === 'activation' || (inheritance.kind === 'handover' && inheritance.fixed)
}

/** The process with which the chain of handovers began that led to this one; this one itself when there was none. */
export function firstOf(inheritance: Inheritance): ProcessIdentity {
  if (inheritance.kind !== 'handover') return ownIdentity()
  return inheritance.first ?? inheritance.predecessors[0] ?? ownIdentity()
}

/** Processes before this one that still finish their work. */
export function livingPredecessors(inheritance: Inheritance): readonly ProcessIdentity[] {
  if (inheritance.kind !== 'handover') return []
  return inheritance.predecessors.filter((identity) => {
    const verdict = judgeProcess(identity)
    return verdict === 'alive' || verdict === 'stopped'
  })
}

/** True while the process that started this one, to be replaced by it, is there. */
export function isHeir(inheritance: Inheritance): boolean {
  if (inheritance.kind !== 'handover') return false
  const predecessor = inheritance.predecessors.at(-1)
  return (
    predecessor !== undefined && judgeProcess(predecessor) === 'alive' && process.ppid === predecessor.pid
  )
}

/** Where one process leaves for the next what it hands over, as JSON of an `Inheritance`. */
export const inheritanceVariable = 'PORT_WATCHDOG_INHERIT'

/** The first descriptor that a service manager passes: SD_LISTEN_FDS_START of sd_listen_fds(3). */
const firstActivated = 3

/** More than anybody's unit has; a number that is garbage is told as such. */
const mostActivated = 1024

/**
 * Reads what this process inherits, and takes it out of the environment, so that no child takes it for its own.
 * @throws Failure when the variables of sd_listen_fds(3) make no sense.
 */
export function takeInheritance(environment: NodeJS.ProcessEnv, pid: number): Inheritance {
  const { [inheritanceVariable]: ours, LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = environment
  for (const name of [inheritanceVariable, 'LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) {
    delete environment[name]
  }
  if (ours !== undefined) return JSON.parse(ours) as Inheritance
  // Meant for another process, which this one is a child of.
  if (LISTEN_FDS === undefined || LISTEN_PID !== String(pid)) return { kind: 'none' }
  const count = /^\d{1,4}$/.test(LISTEN_FDS) ? Number(LISTEN_FDS) : Number.NaN
  if (!(count <= mostActivated)) {
    throw new Failure(`LISTEN_FDS is no number of sockets: ${LISTEN_FDS}`, exitCode.configuration)
  }
  if (count === 0) return { kind: 'none' }
  const names = LISTEN_FDNAMES?.split(':') ?? []
  const sockets = Array.from({ length: count }, (_, index) => ({
    descriptor: firstActivated + index,
    // Without FileDescriptorName= every socket has the name of its unit.
    name: names[index] || 'unknown',
  }))
  return { kind: 'activation', sockets }
}

/** Sockets that were passed on, by the port they listen on. What is no listening TCP socket is left out. */
export function socketsByPort(inheritance: Inheritance): ReadonlyMap<number, readonly InheritedSocket[]> {
  const found = new Map<number, InheritedSocket[]>()
  if (inheritance.kind === 'none') return found
  for (const socket of inheritance.sockets) {
    const port = system.listeningPortOf(socket.descriptor)
    if (port !== undefined) found.set(port, [...(found.get(port) ?? []), socket])
  }
  return found
}
