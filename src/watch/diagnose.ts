import type { ProcessIdentity, ProcessVerdict } from '../os/process-identity.ts'
import type { ForwarderHealth } from '../record/forwarder-health.ts'

/** What one look at a forward found. Plain facts; what they mean is said by `diagnose`. */
export interface ForwardCheck {
  readonly pidFile:
    | { readonly kind: 'missing' }
    /** This machine lacks what is needed to read it. */
    | { readonly kind: 'unreadable' }
    | { readonly kind: 'invalid'; readonly why: string }
    | {
        readonly kind: 'process'
        readonly pid: number
        readonly identity: ProcessIdentity | undefined
        readonly verdict: ProcessVerdict
      }
  /** `absent`: nobody holds the control socket. `silent`: it is held and nobody answers in time. */
  readonly control: 'answered' | 'silent' | 'absent'
  readonly health: ForwarderHealth | undefined
  /** The forwarder that answers, or that the PID file names, is counted in another PID namespace, another container's for example. */
  readonly isElsewhere: boolean
  /** False when the forwarder runs with other options than are wanted now. */
  readonly optionsMatch: boolean
  /** `unprobed`: no address is bound, or it was not worth trying. */
  readonly listener: 'accepting' | 'refused' | 'silent' | 'unprobed'
  /** Who listens on the port, in words, where that was looked up. */
  readonly portHolder: string | undefined
}

/** Reason codes: stable words for logs, JSON and tests. */
export type FaultReason =
  | 'pid_missing'
  | 'pid_invalid'
  | 'pid_reused'
  | 'gone'
  | 'zombie'
  | 'stopped'
  | 'control_silent'
  | 'control_absent'
  | 'not_listening'
  | 'listener_refused'
  | 'listener_silent'

export interface Fault {
  readonly reason: FaultReason
  /** What a person reads: completes "web …". */
  readonly words: string
}

export type Diagnosis =
  | {
      readonly condition: 'healthy'
      readonly health: ForwarderHealth
      readonly stalePidFile: string | undefined
    }
  /** It was told to end and finishes its connections. */
  | { readonly condition: 'draining'; readonly health: ForwarderHealth }
  /** No process: start one. `stalePidFile` says why the PID file that is there counts for nothing. */
  | { readonly condition: 'dead'; readonly fault: Fault; readonly stalePidFile: string | undefined }
  /** A proven process that does not do its work: end it, start one. */
  | { readonly condition: 'faulty'; readonly fault: Fault; readonly identity: ProcessIdentity }
  /** A process that may be a forwarder and is not proven to be: neither signalled nor joined by a second one. */
  | { readonly condition: 'unverifiable'; readonly pid: number; readonly words: string }

/** Says what the facts mean. The first fault in the order of the checks counts. */
export function diagnose(check: ForwardCheck): Diagnosis {
  if (check.health !== undefined) {
    const diagnosis = diagnoseAnswering(check, check.health)
    if (diagnosis.condition !== 'faulty' || !check.isElsewhere) return diagnosis
    const { pid } = diagnosis.identity
    return unproven(
      pid,
      `PID ${pid} of another PID namespace holds its control socket and ${diagnosis.fault.words}`,
    )
  }
  const { pidFile } = check
  switch (pidFile.kind) {
    case 'missing':
    case 'unreadable':
      return check.control === 'silent'
        ? unproven(
            0,
            'its control socket is held but does not answer, and there is no PID file to say which process holds it',
          )
        : dead('pid_missing', 'is not running', undefined)
    case 'invalid':
      return dead('pid_invalid', 'is not running', pidFile.why)
    case 'process':
      return diagnoseSilent(check, pidFile)
  }
}

function diagnoseAnswering(check: ForwardCheck, health: ForwarderHealth): Diagnosis {
  if (health.draining) return { condition: 'draining', health }
  const { identity, listen } = health
  const noAddress = listen.addresses.length === 0 && listen.paths.length === 0
  if (noAddress && listen.failed.length > 0) {
    const why = listen.failed.map(({ address, error }) => `${address}: ${error}`).join(', ')
    return faulty('not_listening', `listens on no address (${why})`, identity)
  }
  if (check.listener === 'refused')
    return faulty('listener_refused', 'refuses connections on its own address', identity)
  if (check.listener === 'silent') return faulty('listener_silent', 'does not accept connections', identity)
  return { condition: 'healthy', health, stalePidFile: strangePidFile(check, identity) }
}

/** Why the PID file is wrong although the forwarder answers; undefined when it is right, or missing and about to be written. */
function strangePidFile({ pidFile }: ForwardCheck, identity: ProcessIdentity): string | undefined {
  if (pidFile.kind === 'missing' || pidFile.kind === 'unreadable') return undefined
  if (pidFile.kind === 'invalid') return pidFile.why
  return pidFile.pid === identity.pid
    ? undefined
    : `it names PID ${pidFile.pid}, the forwarder is PID ${identity.pid}`
}

type NamedProcess = Extract<ForwardCheck['pidFile'], { kind: 'process' }>

function diagnoseSilent(check: ForwardCheck, { pid, identity, verdict }: NamedProcess): Diagnosis {
  switch (verdict) {
    case 'gone':
      return dead('gone', 'is not running', `PID ${pid} is gone`)
    case 'zombie':
      return dead('zombie', 'has ended and waits for its parent (zombie)', `PID ${pid} is a zombie`)
    case 'reused':
      return dead('pid_reused', 'is not running', `PID ${pid} is another process now`)
    case 'unverifiable':
      return diagnoseUnverifiable(check, pid, identity !== undefined)
    case 'stopped':
      return identity === undefined
        ? unproven(pid, `PID ${pid} is stopped and nothing proves that it is ours`)
        : faulty('stopped', `is stopped (SIGSTOP) as PID ${pid}`, identity)
    case 'alive':
      if (identity === undefined)
        return unproven(pid, `PID ${pid} may be a forwarder, but its identity cannot be verified`)
      return check.control === 'silent'
        ? faulty('control_silent', `hangs: PID ${pid} does not answer`, identity)
        : faulty('control_absent', `cannot be asked: PID ${pid} has lost its control socket`, identity)
  }
}

/** A forwarder of ours that lives holds its control socket, whatever namespace it is in. A script's has none. */
function diagnoseUnverifiable(
  { control, isElsewhere }: ForwardCheck,
  pid: number,
  isOurs: boolean,
): Diagnosis {
  if (!isOurs) return unproven(pid, `PID ${pid} may be a forwarder, but its identity cannot be verified`)
  const who = isElsewhere ? `PID ${pid} of another PID namespace` : `PID ${pid}`
  return control === 'absent'
    ? dead('gone', 'is not running', `${who} does not hold its control socket any more`)
    : unproven(pid, `${who} holds its control socket and does not answer`)
}

const dead = (reason: FaultReason, words: string, stalePidFile: string | undefined): Diagnosis => ({
  condition: 'dead',
  fault: { reason, words },
  stalePidFile,
})

const faulty = (reason: FaultReason, words: string, identity: ProcessIdentity): Diagnosis => ({
  condition: 'faulty',
  fault: { reason, words },
  identity,
})

const unproven = (pid: number, words: string): Diagnosis => ({ condition: 'unverifiable', pid, words })
