import type { ProcessVerdict } from '../process/identity.ts'
import { heartbeatIntervalMs } from '../record/runtime-state.ts'
import type { RuntimeState } from '../record/shapes/runtime-state.ts'
import type { MonitorCause, MonitorState, MonitorStatus } from '../record/shapes/status-report.ts'
import type { StatusFacts } from './facts.ts'

/** ms after which a heartbeat is too old for a monitor that does its work. */
const staleAfterMs = 30_000

/** What can be said of the monitor. Pure. */
export function assessMonitor(facts: StatusFacts): MonitorStatus {
  const { reading, nowMonotonicMs, stateDirectory, directoryExists, startingMonitor } = facts
  if (startingMonitor !== undefined) {
    const reason = `PID ${startingMonitor.pid} is starting and does not monitor yet`
    return { ...monitorStatus('STARTING', 'starting', reason), ...startingMonitor }
  }
  switch (reading.kind) {
    case 'missing':
      return monitorStatus(
        'STOPPED',
        'never-ran',
        directoryExists
          ? `no monitor has run with the state directory ${stateDirectory}`
          : `the folder ${stateDirectory} does not exist: no monitor has run with it`,
      )
    case 'unreadable':
    case 'corrupt':
      return monitorStatus('UNKNOWN', reading.kind, `runtime-state.json cannot be used: ${reading.why}`)
    case 'newer':
      return monitorStatus(
        'UNKNOWN',
        reading.kind,
        `runtime-state.json has schema ${reading.schemaVersion}, which is newer than this command`,
      )
    case 'read': {
      const { state } = reading
      const sameBoot = state.writer.identity.bootId === facts.bootId
      const { verdict, cause, reason } = monitorVerdict(state, facts)
      const age = (at: number | null) =>
        sameBoot && at !== null ? Math.max(0, Math.round(nowMonotonicMs - at)) : null
      return {
        state: verdict,
        cause,
        reason,
        pid: verdict === 'STOPPED' ? null : state.writer.identity.pid,
        version: state.writer.version,
        startedAt: state.writer.startedAt,
        uptimeMs: verdict === 'RUNNING' ? age(state.writer.startedAtMonotonicMs) : null,
        heartbeatAgeMs: age(state.writtenAtMonotonicMs),
        lastCheckAgeMs: age(state.lastRoundAt),
        intervalMs: state.intervalMs,
        lastRoundMs: state.lastRound?.ms ?? null,
        lastRoundForwards: state.lastRound?.forwards ?? null,
        configuration: state.writer.configuration,
        serviceManager: state.writer.serviceManager,
      }
    }
  }
}

function monitorStatus(state: MonitorState, cause: MonitorCause, reason: string): MonitorStatus {
  return {
    state,
    cause,
    reason,
    pid: null,
    version: null,
    startedAt: null,
    uptimeMs: null,
    heartbeatAgeMs: null,
    lastCheckAgeMs: null,
    intervalMs: null,
    lastRoundMs: null,
    lastRoundForwards: null,
    configuration: null,
    serviceManager: null,
  }
}

interface MonitorVerdict {
  readonly verdict: MonitorState
  readonly cause: MonitorCause | null
  readonly reason: string | null
}

/** Two facts make a verdict: what has become of the writer, and how old its last sign of life is. */
function monitorVerdict(state: RuntimeState, facts: StatusFacts): MonitorVerdict {
  const { pid, bootId } = state.writer.identity
  if (state.stopped !== null)
    return {
      verdict: 'STOPPED',
      cause: 'ended',
      reason: `ended by ${state.stopped.reason} at ${state.stopped.at}`,
    }
  if (bootId !== facts.bootId && facts.bootId !== 'unknown')
    return { verdict: 'STOPPED', cause: 'rebooted', reason: 'the machine was rebooted since it ran' }
  const age = Math.max(0, facts.nowMonotonicMs - state.writtenAtMonotonicMs)
  const stale = (cause: MonitorCause, reason: string): MonitorVerdict => ({ verdict: 'STALE', cause, reason })
  const ago = `its last sign of life is ${Math.round(age / 1000)} s old`
  const where = facts.writerIsElsewhere === true ? ' of another PID namespace' : ''
  switch (writerVerdict(facts)) {
    case 'refused':
      return stale('died', `it died: PID ${pid}${where} does not hold its control socket any more, ${ago}`)
    case undefined:
    case 'gone':
    case 'reused':
      return stale('died', `it died: PID ${pid} is gone, ${ago}`)
    case 'zombie':
      return stale('died', `it died: PID ${pid} is a zombie, ${ago}`)
    case 'stopped':
      return stale('suspended', `PID ${pid} is stopped (SIGSTOP), ${ago}`)
    case 'alive':
    case 'unverifiable': {
      if (age > staleAfterMs) return stale('hangs', `PID ${pid}${where} hangs: ${ago}`)
      const checkedAt = state.lastRoundAt ?? state.writer.startedAtMonotonicMs
      const checkAge = facts.nowMonotonicMs - checkedAt
      if (checkAge > staleAfterMs + state.intervalMs + heartbeatIntervalMs) {
        return stale(
          'no-checks',
          `PID ${pid}${where} lives but has finished no check for ${Math.round(checkAge / 1000)} s`,
        )
      }
      return runningVerdict(state)
    }
  }
}

/** An answer proves that it lives. For a process that cannot be inspected, a control socket without a holder proves its end. */
function writerVerdict({
  writerVerdict: verdict,
  monitorControl,
}: StatusFacts): ProcessVerdict | 'refused' | undefined {
  if (monitorControl === 'answered') return 'alive'
  return verdict === 'unverifiable' && monitorControl === 'absent' ? 'refused' : verdict
}

/** A monitor that watches, and what it complains of. */
function runningVerdict({ recordsProblem, configurationProblem }: RuntimeState): MonitorVerdict {
  if (recordsProblem !== null) {
    const { since, reason } = recordsProblem
    return {
      verdict: 'RUNNING',
      cause: 'records',
      reason: `its records cannot be written since ${since}: ${reason}`,
    }
  }
  if (configurationProblem !== null) {
    const { since, reason } = configurationProblem
    const text = `configuration file rejected at ${since}, still using the previous one: ${reason}`
    return { verdict: 'RUNNING', cause: 'configuration', reason: text }
  }
  return { verdict: 'RUNNING', cause: null, reason: null }
}
