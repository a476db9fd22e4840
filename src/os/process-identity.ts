import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, readlinkSync } from 'node:fs'
import { bootId } from './clock.ts'
import { isLinux } from './platform.ts'

/**
 * What makes a process that process. A PID alone is reused; together with the kernel's start time, the boot and the
 * PID namespace it names one process for ever.
 */
export interface ProcessIdentity {
  readonly pid: number
  /** Linux: clock ticks from boot to the start, field 22 of /proc/PID/stat (proc(5)). macOS: `ps -o lstart`. */
  readonly startTime: string
  readonly bootId: string
  /** The PID namespace in which `pid` is counted (pid_namespaces(7)); `none` where the system has none. */
  readonly pidNamespace: string
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

interface ProcessFacts {
  readonly state: string
  readonly startTime: string
  /** The kernel is taking it apart: its state does not say so yet, but descriptors go before the process does. */
  readonly isExiting: boolean
}

/** One line of the process table. */
export interface ProcessStat extends ProcessFacts {
  readonly parent: number
  readonly processGroup: number
  readonly session: number
  /** CPU time used so far, in user and kernel mode, in clock ticks: hundredths of a second. Ended children are not in it. */
  readonly cpuTicks: number
}

/** The identity of a living process, or undefined when there is none with this PID. */
export function identityOf(pid: number): ProcessIdentity | undefined {
  const facts = readFacts(pid)
  if (facts === undefined || facts === 'unreadable') return undefined
  return { pid, startTime: facts.startTime, bootId: bootId(), pidNamespace: pidNamespace() }
}

let knownOwnIdentity: ProcessIdentity | undefined

/** The identity of this process. */
export function ownIdentity(): ProcessIdentity {
  knownOwnIdentity ??= identityOf(process.pid) ?? unprovenIdentity(process.pid)
  return knownOwnIdentity
}

/** The identity of a process whose start time cannot be read: no signal is ever sent by it. */
export function unprovenIdentity(pid: number): ProcessIdentity {
  return { pid, startTime: 'unknown', bootId: bootId(), pidNamespace: pidNamespace() }
}

/** Says what has become of the process that was recorded. Costs one small read on Linux (about 40 µs). */
export function judgeProcess(recorded: ProcessIdentity): ProcessVerdict {
  // Without /proc nothing is known of any process, and nobody is gone.
  if (isBlind()) return 'unverifiable'
  const isOfThisBoot = recorded.bootId === bootId()
  if (isOfThisBoot && recorded.pidNamespace !== pidNamespace()) return 'unverifiable'
  const facts = readFacts(recorded.pid)
  if (facts === undefined) return 'gone'
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
  return !isBlind() && boot === bootId() && namespace !== pidNamespace()
}

/** /proc is not mounted, in a chroot for example. */
function isBlind(): boolean {
  return isLinux && !existsSync('/proc/self/stat')
}

/**
 * Whether a process that looks alive is on its way out (PF_EXITING of its flags, field 9 of /proc/PID/stat). That takes
 * milliseconds; false where the system does not tell.
 */
export function isExiting({ pid, startTime }: Pick<ProcessIdentity, 'pid' | 'startTime'>): boolean {
  const facts = readFacts(pid)
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

/**
 * The user that a process acts as, when all four of its user IDs are the same. The owner of /proc/PID tells the effective one alone, which a
 * set-user-ID program has whoever started it, with whatever words.
 * @returns undefined when they differ, when the process is gone, or without /proc.
 */
export function userOf(pid: number): number | undefined {
  try {
    const ids = /^Uid:((?:\s+\d+){4})$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    const [first, ...others] = (ids ?? '').trim().split(/\s+/)
    return first !== undefined && first !== '' && others.every((id) => id === first)
      ? Number(first)
      : undefined
  } catch {
    return undefined
  }
}

/** The words a process was started with, or undefined when they cannot be read. */
export function commandLine(pid: number): string[] | undefined {
  try {
    if (!isLinux) return ps(pid, 'args=')?.split(' ')
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    words.pop()
    return words.length > 0 ? words : undefined
  } catch {
    return undefined
  }
}

function readFacts(pid: number): ProcessFacts | 'unreadable' | undefined {
  return isLinux ? readProcStat(pid) : readFromPs(pid)
}

/** What /proc says of a process; undefined when there is none with this PID. Linux only. */
export function readProcStat(pid: number): ProcessStat | 'unreadable' | undefined {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    return code === 'ENOENT' || code === 'ESRCH' ? undefined : 'unreadable'
  }
  return parseProcStat(text) ?? 'unreadable'
}

/** Reads one line of /proc/PID/stat. The name in brackets may itself hold brackets and spaces: the last `)` ends it. */
export function parseProcStat(text: string): ProcessStat | undefined {
  const nameEnd = text.lastIndexOf(')')
  if (nameEnd < 0) return undefined
  const fields = text.slice(nameEnd + 2).split(' ')
  // Fields of proc(5) count from 1; the state, field 3, is the first one here.
  const field = (number: number) => fields[number - 3]
  const state = field(3)
  const startTime = field(22)
  if (!state || !startTime || !/^\d+$/.test(startTime)) return undefined
  return {
    state,
    startTime,
    isExiting: (Number(field(9)) & exitingFlag) !== 0,
    parent: Number(field(4)),
    processGroup: Number(field(5)),
    session: Number(field(6)),
    cpuTicks: Number(field(14)) + Number(field(15)),
  }
}

/** PF_EXITING of linux/sched.h. */
const exitingFlag = 0x4

/** What `ps` says of a process, where there is no /proc. Its words must not depend on locale or time zone: start times are compared. */
export function readFromPs(pid: number): ProcessFacts | undefined {
  const line = ps(pid, 'stat=,lstart=')
  if (line === undefined) return undefined
  const [stat = '', ...start] = line.trim().split(/\s+/)
  return { state: stat.charAt(0), startTime: start.join(' '), isExiting: false }
}

function ps(pid: number, columns: string): string | undefined {
  try {
    const options = { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' } } as const
    return execFileSync('ps', ['-o', columns, '-p', String(pid)], options).trim() || undefined
  } catch {
    return undefined
  }
}

let knownPidNamespace: string | undefined

function pidNamespace(): string {
  if (knownPidNamespace === undefined) {
    try {
      knownPidNamespace = isLinux ? readlinkSync('/proc/self/ns/pid') : 'none'
    } catch {
      knownPidNamespace = 'none'
    }
  }
  return knownPidNamespace
}
