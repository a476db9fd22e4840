import type { ForwarderHealth } from '../control/forwarder-health.ts'
import type { ProcessVerdict } from '../os/process-identity.ts'
import type { LogEntry } from '../record/log-entry.ts'
import {
  type ForwardRecord,
  heartbeatIntervalMs,
  type RuntimeState,
  type StateReading,
} from '../record/runtime-state.ts'

/** The version of the shape of `proxy-status --json`. It rises when something is taken away or changes its meaning. */
export const statusSchemaVersion = 1

/**
 * - `RUNNING`: the monitor lives and has checked lately.
 * - `STALE`: it left its records and is gone, stopped or hung: nobody watches.
 * - `STOPPED`: it ended in order, or has never run here, or ran before the machine was started anew.
 * - `UNKNOWN`: its records cannot be read or believed.
 */
export type MonitorState = 'RUNNING' | 'STALE' | 'STOPPED' | 'UNKNOWN'

/**
 * - `healthy`: connections get through to the target.
 * - `waiting`: the forward works and its target has never answered. No fault.
 * - `unreachable`: the forward works, its target answered before and does not now.
 * - `degraded`: it works, but not on every address it should.
 * - `draining`: it was told to end and finishes its connections.
 * - `starting`, `backoff`, `flapping`, `blocked`: what the monitor is doing about a forward that is not there.
 * - `hung`: its process is there and does not answer.
 * - `suspended`: its process is held by SIGSTOP.
 * - `dead`: its process is not there.
 * - `down`: ended because somebody wanted it.
 * - `unverifiable`: a process may be it, and nothing proves it.
 */
export type ForwardStatusState =
  | 'healthy'
  | 'waiting'
  | 'unreachable'
  | 'degraded'
  | 'draining'
  | 'starting'
  | 'backoff'
  | 'flapping'
  | 'blocked'
  | 'hung'
  | 'suspended'
  | 'dead'
  | 'down'
  | 'unverifiable'

export interface MonitorStatus {
  readonly state: MonitorState
  /** Why, in words; null while it runs as it should. */
  readonly reason: string | null
  readonly pid: number | null
  readonly version: string | null
  readonly startedAt: string | null
  readonly uptimeMs: number | null
  readonly heartbeatAgeMs: number | null
  readonly lastCheckAgeMs: number | null
  readonly intervalMs: number | null
  readonly configuration: string | null
  readonly serviceManager: 'systemd' | null
}

export interface ForwardStatus {
  readonly name: string
  readonly port: number
  readonly state: ForwardStatusState
  /** In words; null for a healthy one. */
  readonly reason: string | null
  readonly listen: readonly string[]
  readonly target: string | null
  /** The target's address that answered last. */
  readonly targetAddress: string | null
  readonly pid: number | null
  readonly uptimeMs: number | null
  readonly restarts: number
  /** Failures in a row, the forward's own. */
  readonly failures: number
  readonly connections: { readonly open: number; readonly total: number; readonly refused: number } | null
  readonly bytes: { readonly fromClients: number; readonly fromTarget: number } | null
  readonly admission: string | null
  readonly lastCheckAgeMs: number | null
  readonly nextTryInMs: number | null
}

export interface StatusReport {
  readonly schemaVersion: typeof statusSchemaVersion
  readonly takenAt: string
  readonly stateDirectory: string
  /** What the command ends with; see `statusExitCode`. */
  readonly exitCode: number
  readonly monitor: MonitorStatus
  readonly forwards: readonly ForwardStatus[]
  /** The last lines of the monitor's log, oldest first. */
  readonly log: readonly LogEntry[]
  /** What to type, or to do, about what is wrong; most urgent first. */
  readonly next: readonly string[]
}

/** What was found about one forward, apart from what the monitor wrote of it. */
export interface ForwardFacts {
  readonly port: number
  readonly record: ForwardRecord | undefined
  /** What the forwarder itself answered just now. */
  readonly health: ForwarderHealth | undefined
  readonly control: 'answered' | 'silent' | 'absent'
  /** What the PID file says; undefined when there is none or it names nobody. */
  readonly process: { readonly pid: number; readonly verdict: ProcessVerdict } | undefined
}

export interface StatusFacts {
  readonly takenAt: string
  readonly stateDirectory: string
  readonly nowMonotonicMs: number
  readonly bootId: string
  readonly reading: StateReading
  /** What has become of the monitor that wrote the state; undefined when there is no state. */
  readonly writerVerdict: ProcessVerdict | undefined
  readonly forwards: readonly ForwardFacts[]
  readonly log: readonly LogEntry[]
}

/** ms after which a heartbeat is too old for a monitor that does its work. */
export const staleAfterMs = 30_000

/** Exit codes of `proxy-status`: LSB's for a service, and from 150 on, which LSB leaves to applications. */
export const statusExitCode = {
  fine: 0,
  stale: 1,
  stopped: 3,
  unknown: 4,
  /** Watched, and somebody cannot get through. */
  down: 150,
  /** Watched, and everybody gets through, but not all is as it should be. */
  degraded: 151,
} as const

/** Turns facts into the report. Pure: the same facts always give the same report. */
export function assess(facts: StatusFacts): StatusReport {
  const monitor = assessMonitor(facts)
  const forwards = facts.forwards
    .map((forward) => assessForward(forward, monitor.state === 'RUNNING', facts.nowMonotonicMs))
    .sort((a, b) => severity(b.state) - severity(a.state) || a.port - b.port)
  return {
    schemaVersion: statusSchemaVersion,
    takenAt: facts.takenAt,
    stateDirectory: facts.stateDirectory,
    exitCode: exitCodeOf(monitor.state, forwards),
    monitor,
    forwards,
    log: facts.log,
    next: nextSteps(monitor, forwards, facts.stateDirectory),
  }
}

function assessMonitor(facts: StatusFacts): MonitorStatus {
  const { reading, nowMonotonicMs, stateDirectory } = facts
  switch (reading.kind) {
    case 'missing':
      return monitorStatus('STOPPED', `it has never run with the state directory ${stateDirectory}`)
    case 'unreadable':
    case 'corrupt':
      return monitorStatus('UNKNOWN', `runtime-state.json cannot be used: ${reading.why}`)
    case 'newer':
      return monitorStatus(
        'UNKNOWN',
        `runtime-state.json has schema ${reading.schemaVersion}, which is newer than this command`,
      )
    case 'read': {
      const { state } = reading
      const sameBoot = state.writer.identity.bootId === facts.bootId
      const { verdict, reason } = monitorVerdict(state, facts)
      const age = (at: number | null) =>
        sameBoot && at !== null ? Math.max(0, Math.round(nowMonotonicMs - at)) : null
      return {
        state: verdict,
        reason,
        pid: verdict === 'STOPPED' ? null : state.writer.identity.pid,
        version: state.writer.version,
        startedAt: state.writer.startedAt,
        uptimeMs: verdict === 'RUNNING' ? age(state.writer.startedAtMonotonicMs) : null,
        heartbeatAgeMs: age(state.writtenAtMonotonicMs),
        lastCheckAgeMs: age(state.lastRoundAt),
        intervalMs: state.intervalMs,
        configuration: state.writer.configuration,
        serviceManager: state.writer.serviceManager,
      }
    }
  }
}

function monitorStatus(state: MonitorState, reason: string): MonitorStatus {
  return {
    state,
    reason,
    pid: null,
    version: null,
    startedAt: null,
    uptimeMs: null,
    heartbeatAgeMs: null,
    lastCheckAgeMs: null,
    intervalMs: null,
    configuration: null,
    serviceManager: null,
  }
}

/** Two facts make a verdict: what has become of the writer, and how old its last sign of life is. */
function monitorVerdict(
  state: RuntimeState,
  facts: StatusFacts,
): { verdict: MonitorState; reason: string | null } {
  const { pid, bootId } = state.writer.identity
  if (state.stopped !== null)
    return { verdict: 'STOPPED', reason: `ended by ${state.stopped.reason} at ${state.stopped.at}` }
  if (bootId !== facts.bootId)
    return { verdict: 'STOPPED', reason: 'the machine was started anew since it ran' }
  const age = facts.nowMonotonicMs - state.writtenAtMonotonicMs
  const stale = (reason: string) => ({ verdict: 'STALE' as const, reason })
  const ago = `its last sign of life is ${Math.round(age / 1000)} s old`
  switch (facts.writerVerdict) {
    case undefined:
    case 'gone':
    case 'reused':
      return stale(`it died: PID ${pid} is gone, ${ago}`)
    case 'zombie':
      return stale(`it died: PID ${pid} is a zombie, ${ago}`)
    case 'stopped':
      return stale(`PID ${pid} is stopped (SIGSTOP), ${ago}`)
    case 'alive':
    case 'unverifiable': {
      if (age > staleAfterMs) return stale(`PID ${pid} hangs: ${ago}`)
      const checkedAt = state.lastRoundAt ?? state.writer.startedAtMonotonicMs
      const checkAge = facts.nowMonotonicMs - checkedAt
      if (checkAge > staleAfterMs + state.intervalMs + heartbeatIntervalMs) {
        return stale(`PID ${pid} writes but has finished no check for ${Math.round(checkAge / 1000)} s`)
      }
      return { verdict: 'RUNNING', reason: null }
    }
  }
}

function assessForward(facts: ForwardFacts, watched: boolean, now: number): ForwardStatus {
  const { record, health } = facts
  const { state, reason } = forwardVerdict(facts, watched)
  const refused =
    health === undefined ? 0 : Object.values(health.connections.refused).reduce((sum, n) => sum + n, 0)
  return {
    name: record?.name ?? String(facts.port),
    port: facts.port,
    state,
    reason,
    listen: health?.listen.addresses.map(({ address, port }) => joined(address, port)) ?? [],
    target: record?.target ?? (health === undefined ? null : joined(health.target.host, health.target.port)),
    targetAddress: health?.target.address ?? null,
    pid: health?.identity.pid ?? (isThere(facts) ? (facts.process?.pid ?? null) : null),
    uptimeMs: health?.uptimeMs ?? null,
    restarts: record?.restarts ?? 0,
    failures: record?.failures ?? 0,
    connections:
      health === undefined
        ? null
        : { open: health.connections.open, total: health.connections.total, refused },
    bytes: health?.bytes ?? null,
    admission: health?.admission ?? null,
    lastCheckAgeMs: record?.lastCheckAt == null ? null : Math.max(0, Math.round(now - record.lastCheckAt)),
    nextTryInMs:
      watched && record?.nextTryAt != null ? Math.max(0, Math.round(record.nextTryAt - now)) : null,
  }
}

function isThere({ process }: ForwardFacts): boolean {
  return process !== undefined && process.verdict !== 'gone' && process.verdict !== 'reused'
}

function joined(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

interface Verdict {
  readonly state: ForwardStatusState
  readonly reason: string | null
}

function forwardVerdict(facts: ForwardFacts, watched: boolean): Verdict {
  if (facts.health !== undefined) return answeringVerdict(facts.health, facts.record)
  const doing = watched ? monitorsDoing(facts.record) : undefined
  const { process, control } = facts
  switch (process?.verdict) {
    case 'alive':
      return control === 'silent'
        ? { state: 'hung', reason: `PID ${process.pid} does not answer` }
        : { state: 'hung', reason: `PID ${process.pid} has no control socket` }
    case 'stopped':
      return { state: 'suspended', reason: `PID ${process.pid} is held by SIGSTOP` }
    case 'unverifiable':
      return { state: 'unverifiable', reason: `PID ${process.pid} may be the forwarder; nothing proves it` }
    case 'zombie':
      return (
        doing ?? { state: 'dead', reason: `PID ${process.pid} has ended and waits for its parent (zombie)` }
      )
    case 'gone':
      return doing ?? { state: 'dead', reason: `PID ${process.pid} is gone` }
    case 'reused':
      return doing ?? { state: 'dead', reason: `PID ${process.pid} is another process now` }
    case undefined:
      return doing ?? { state: 'dead', reason: 'no process' }
  }
}

/** What a living monitor is doing about a forward that does not answer; undefined when it does not know yet. */
function monitorsDoing(record: ForwardRecord | undefined): Verdict | undefined {
  switch (record?.phase) {
    case 'starting':
    case 'backoff':
    case 'flapping':
    case 'blocked':
    case 'down':
      return { state: record.phase, reason: record.reason }
    case 'stopping':
      return { state: 'draining', reason: record.reason }
    case 'running':
    case 'unknown':
    case undefined:
      return undefined
  }
}

function answeringVerdict(health: ForwarderHealth, record: ForwardRecord | undefined): Verdict {
  const { listen, target, draining } = health
  const to = joined(target.host, target.port)
  if (draining) return { state: 'draining', reason: `${health.connections.open} connections may finish` }
  if (listen.addresses.length === 0) {
    const why = listen.failed.map(({ address, error }) => `${address}: ${error}`).join(', ')
    return { state: 'degraded', reason: why === '' ? 'this machine has no address but loopback' : why }
  }
  const answeredBefore = record?.targetMemory.everAnswered === true
  if (target.state === 'unreachable' || (target.state === 'waiting' && answeredBefore)) {
    return { state: 'unreachable', reason: `target ${to} does not answer: ${target.lastError}` }
  }
  if (target.state === 'waiting') return { state: 'waiting', reason: `nothing has listened at ${to} yet` }
  const [missing] = listen.failed
  if (missing !== undefined) {
    return { state: 'degraded', reason: `does not listen on ${missing.address}: ${missing.error}` }
  }
  return { state: 'healthy', reason: health.admission === 'any' ? 'admits every source (--allow any)' : null }
}

/** How bad a state is: 0 nothing to do, 1 not all as it should be, 2 somebody cannot get through. */
export function severity(state: ForwardStatusState): 0 | 1 | 2 {
  switch (state) {
    case 'healthy':
    case 'waiting':
    case 'down':
      return 0
    case 'degraded':
    case 'draining':
    case 'starting':
      return 1
    case 'unreachable':
    case 'backoff':
    case 'flapping':
    case 'blocked':
    case 'hung':
    case 'suspended':
    case 'dead':
    case 'unverifiable':
      return 2
  }
}

function exitCodeOf(monitor: MonitorState, forwards: readonly ForwardStatus[]): number {
  switch (monitor) {
    case 'STALE':
      return statusExitCode.stale
    case 'STOPPED':
      return statusExitCode.stopped
    case 'UNKNOWN':
      return statusExitCode.unknown
    case 'RUNNING': {
      const worst = Math.max(0, ...forwards.map(({ state }) => severity(state)))
      return (
        [statusExitCode.fine, statusExitCode.degraded, statusExitCode.down][worst] ?? statusExitCode.unknown
      )
    }
  }
}

function nextSteps(
  monitor: MonitorStatus,
  forwards: readonly ForwardStatus[],
  stateDirectory: string,
): string[] {
  const steps: string[] = []
  const configured = monitor.configuration === null ? '' : ` --config ${monitor.configuration}`
  const start = `proxy-monitor --state-dir ${stateDirectory}${configured}`
  switch (monitor.state) {
    case 'STOPPED':
      steps.push(start)
      break
    case 'STALE':
      steps.push(staleStep(monitor, start))
      break
    case 'UNKNOWN':
      steps.push(`ls -l ${stateDirectory}`)
      break
    case 'RUNNING':
      break
  }
  for (const { state, target, port, pid } of forwards) {
    if (state === 'unreachable')
      steps.push(`start what listens at ${target}; port ${port} then works at once`)
    if (state === 'waiting') steps.push(`start what listens at ${target}, when it is wanted`)
    if (state === 'blocked') steps.push(`free port ${port}: ss -ltnp 'sport = :${port}'`)
    if (state === 'unverifiable') steps.push(`look at it: ps -fp ${pid}`)
  }
  return steps
}

function staleStep({ pid, serviceManager, reason }: MonitorStatus, start: string): string {
  if (serviceManager === 'systemd') return 'systemctl restart proxy-monitor'
  const isThere = reason?.includes('SIGSTOP') === true || reason?.includes('hangs') === true
  if (reason?.includes('SIGSTOP') === true) return `kill -CONT ${pid}`
  return isThere ? `kill -9 ${pid}; ${start}` : start
}
