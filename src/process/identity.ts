import type { System } from '../os/backend.ts'
import { system } from '../os/system.ts'

/**
 * What makes a process that process. A PID alone is reused; together with the kernel's start time, the boot and the
 * PID namespace it names one process for ever.
 */
export interface ProcessIdentity {
  readonly pid: number
  /** As the system tells it, see `ProcessStat`; `unknown` when it does not. */
  readonly startTime: string
  readonly bootId: string
  /** The PID namespace in which `pid` is counted; `none` where the system has none. */
  readonly pidNamespace: string
  /**
   * The session whose processes belong to it although it does not lead it: their leader is gone, and it stands in its place. Missing = it leads
   * a session itself.
   */
  readonly session?: number
}

/**
 * - `alive`: the process of this identity runs (or sleeps).
 * - `zombie`: it ended and waits for its parent; `kill(pid, 0)` would still say it is there.
 * - `stopped`: it is there but SIGSTOP or a debugger holds it; its kernel backlog still accepts connections.
 * - `gone`: no process has this PID.
 * - `reused`: another process has this PID. It must never be signalled.
 * - `unverifiable`: a process has this PID and nothing proves whose it is.
 */
export type ProcessVerdict = 'alive' | 'zombie' | 'stopped' | 'gone' | 'reused' | 'unverifiable'

/** The identity of a living process, or undefined when there is none with this PID. */
export function identityOf(pid: number): ProcessIdentity | undefined {
  const stat = system.processStat(pid)
  return stat === undefined || stat === 'unreadable' ? undefined : identified(pid, stat.startTime)
}

let own: { readonly identity: ProcessIdentity; readonly by: System } | undefined

/** The identity of this process. */
export function ownIdentity(): ProcessIdentity {
  if (own?.by !== system) {
    own = { identity: identityOf(process.pid) ?? unprovenIdentity(process.pid), by: system }
  }
  return own.identity
}

/** The identity of a process whose start time cannot be read: no signal is ever sent by it. */
export function unprovenIdentity(pid: number): ProcessIdentity {
  return identified(pid, 'unknown')
}

function identified(pid: number, startTime: string): ProcessIdentity {
  return { pid, startTime, bootId: system.bootId(), pidNamespace: system.pidNamespace() }
}

/** Says what has become of the process that was recorded. Linux: one small read (about 40 µs). */
export function judgeProcess(recorded: ProcessIdentity): ProcessVerdict {
  const isOfThisBoot = recorded.bootId === system.bootId()
  if (isOfThisBoot && recorded.pidNamespace !== system.pidNamespace()) return 'unverifiable'
  const facts = system.processStat(recorded.pid)
  // Asked only here: it takes a call of its own.
  if (facts === undefined) return system.isBlind() ? 'unverifiable' : 'gone'
  // Whatever namespace it was in, it has not outlived the machine.
  if (!isOfThisBoot) return 'reused'
  if (facts === 'unreadable' || recorded.startTime === 'unknown') return 'unverifiable'
  if (facts.startTime !== recorded.startTime) return 'reused'
  if (facts.state === 'Z' || facts.state === 'X') return 'zombie'
  if (facts.state === 'T' || facts.state === 't') return 'stopped'
  return 'alive'
}

/**
 * True when a process is counted in another PID namespace than this one: its PID means nothing here, to the kernel as to a person who would
 * type it. False for one of another boot, which is gone, and where nobody can tell.
 */
export function isElsewhere({ bootId: boot, pidNamespace: namespace }: ProcessIdentity): boolean {
  return !system.isBlind() && boot === system.bootId() && namespace !== system.pidNamespace()
}

/**
 * Whether a process that looks alive is on its way out (PF_EXITING of its flags, field 9 of /proc/PID/stat). That takes
 * milliseconds; false where the system does not tell.
 */
export function isExiting({ pid, startTime }: Pick<ProcessIdentity, 'pid' | 'startTime'>): boolean {
  const facts = system.processStat(pid)
  return typeof facts === 'object' && facts.startTime === startTime && facts.isExiting
}

/** True when both name the same process. */
export function sameProcess(a: ProcessIdentity, b: ProcessIdentity): boolean {
  return (
    a.pid === b.pid &&
    a.startTime === b.startTime &&
    a.bootId === b.bootId &&
    a.pidNamespace === b.pidNamespace
  )
}

/**
 * Sends a signal to a process whose identity was proven an instant ago, and to nobody else.
 * @param group also to every member of its process group; asked for only when the process leads one.
 * @returns false when the process is no longer there or is not this process any more.
 */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals, group = false): boolean {
  const verdict = judgeProcess(identity)
  if (verdict !== 'alive' && verdict !== 'stopped') return false
  try {
    process.kill(group ? -identity.pid : identity.pid, signal)
    return true
  } catch {
    return false
  }
}
