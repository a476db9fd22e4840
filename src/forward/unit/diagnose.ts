import type { ProcessIdentity, ProcessVerdict } from '../../process/identity.ts'
import type { ForwarderHealth } from '../../record/shapes/forwarder-health.ts'
import type { Diagnosis, RunningProcess } from '../../watch/unit.ts'
import type { ForwardFault } from './vocabulary.ts'

/** What one look at a forward found: facts only. `diagnose` interprets them. */
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
}

/** Says what the facts mean. The first fault in the order of the checks counts. */
export function diagnose(check: ForwardCheck): Diagnosis<ForwardFault> {
  if (check.health !== undefined) {
    const diagnosis = diagnoseAnswering(check, check.health)
    if (diagnosis.condition !== 'faulty' || !check.isElsewhere) return diagnosis
    const { pid } = diagnosis.identity
    return unproven({ code: 'faulty-elsewhere', pid, fault: diagnosis.fault })
  }
  const { pidFile } = check
  switch (pidFile.kind) {
    case 'missing':
    case 'unreadable':
      return check.control === 'silent'
        ? unproven({ code: 'silent-and-unnamed' })
        : { condition: 'dead', fault: { code: 'not-running' } }
    case 'invalid':
      return {
        condition: 'dead',
        fault: { code: 'not-running' },
        stale: { code: 'pid-file-invalid', why: pidFile.why },
      }
    case 'process':
      return diagnoseSilent(check, pidFile)
  }
}

function diagnoseAnswering(check: ForwardCheck, health: ForwarderHealth): Diagnosis<ForwardFault> {
  const process = runningProcess(health)
  if (health.draining) {
    const { open } = health.connections
    // What systemd runs it starts again itself, after the end of the one before. Without connections the end follows at once.
    if (health.endedBySignal !== true || health.supervisor === 'systemd' || open === 0)
      return { condition: 'draining', process }
    const { pid } = health.identity
    return { condition: 'dead', fault: { code: 'ended-by-signal', pid, connections: open } }
  }
  const { identity, listen } = health
  const noAddress = listen.addresses.length === 0 && listen.paths.length === 0
  if (noAddress && listen.failed.length > 0) {
    return { condition: 'faulty', identity, fault: { code: 'not-listening', failed: listen.failed } }
  }
  if (check.listener === 'refused')
    return { condition: 'faulty', identity, fault: { code: 'listener-refuses' } }
  if (check.listener === 'silent')
    return { condition: 'faulty', identity, fault: { code: 'listener-silent' } }
  const { state, lastError } = health.target
  return {
    condition: 'healthy',
    process,
    dependency: { state, lastError },
    stale: strangePidFile(check, identity),
  }
}

/** The process that a health report is of. */
export function runningProcess(health: ForwarderHealth): RunningProcess {
  return {
    identity: health.identity,
    uptimeMs: health.uptimeMs,
    first: health.first,
    // A forwarder of an older version says neither of these.
    predecessors: health.predecessors ?? [],
    workers: (health.workers?.processes ?? []).map(({ identity }) => identity),
    supervisor: health.supervisor ?? null,
  }
}

/** Why the PID file is wrong although the forwarder answers; undefined when it is right, or missing and about to be written. */
function strangePidFile({ pidFile }: ForwardCheck, identity: ProcessIdentity): ForwardFault | undefined {
  if (pidFile.kind === 'missing' || pidFile.kind === 'unreadable') return undefined
  if (pidFile.kind === 'invalid') return { code: 'pid-file-invalid', why: pidFile.why }
  // A living process that is named there is about to take over: it writes its name first and answers then.
  const isSuccessor =
    pidFile.identity !== undefined && (pidFile.verdict === 'alive' || pidFile.verdict === 'stopped')
  return pidFile.pid === identity.pid || isSuccessor
    ? undefined
    : { code: 'pid-file-names-another', pid: pidFile.pid, forwarder: identity.pid }
}

type NamedProcess = Extract<ForwardCheck['pidFile'], { kind: 'process' }>

function diagnoseSilent(
  check: ForwardCheck,
  { pid, identity, verdict }: NamedProcess,
): Diagnosis<ForwardFault> {
  const dead = { condition: 'dead', identity } as const
  switch (verdict) {
    case 'gone':
      return { ...dead, fault: { code: 'not-running' }, stale: { code: 'pid-gone', pid } }
    case 'zombie':
      return { ...dead, fault: { code: 'zombie' }, stale: { code: 'pid-zombie', pid }, isZombie: true }
    case 'reused':
      return { ...dead, fault: { code: 'not-running' }, stale: { code: 'pid-reused', pid } }
    case 'unverifiable':
      return diagnoseUnverifiable(check, pid, identity)
    case 'stopped':
      return identity === undefined
        ? unproven({ code: 'stopped-unproven', pid })
        : { condition: 'faulty', fault: { code: 'stopped', pid }, identity }
    case 'alive':
      if (identity === undefined) return unproven({ code: 'identity-unproven', pid })
      return check.control === 'silent'
        ? { condition: 'faulty', fault: { code: 'control-silent', pid }, identity }
        : { condition: 'faulty', fault: { code: 'control-absent', pid }, identity }
  }
}

/** A forwarder of ours that lives holds its control socket, whatever namespace it is in. A script's has none. */
function diagnoseUnverifiable(
  { control, isElsewhere }: ForwardCheck,
  pid: number,
  identity: ProcessIdentity | undefined,
): Diagnosis<ForwardFault> {
  if (identity === undefined) return unproven({ code: 'identity-unproven', pid })
  return control === 'absent'
    ? {
        condition: 'dead',
        identity,
        fault: { code: 'not-running' },
        stale: { code: 'control-given-up', pid, isElsewhere },
      }
    : unproven({ code: 'control-held', pid, isElsewhere })
}

const unproven = (fault: ForwardFault): Diagnosis<ForwardFault> => ({ condition: 'unverifiable', fault })
