import type { StateReading } from '../record/runtime-state.ts'
import { nextSteps } from './advice.ts'
import { type AlertChannelStatus, assessAlertChannels } from './alert-channels.ts'
import type { DetailFacts, ForwardFacts, StatusFacts } from './facts.ts'
import { assessForward, type Times } from './forward-verdict.ts'
import { assessIncidents } from './incidents.ts'
import { assessMonitor } from './monitor-verdict.ts'
import {
  type ForwardDetail,
  type ForwardStatus,
  type ForwardStatusState,
  type MonitorStatus,
  type StatusReport,
  type Summary,
  severity,
  statusExitCode,
  statusSchemaVersion,
} from './status.ts'

/** Turns facts into the report. Pure: the same facts always give the same report. */
export function assess(facts: StatusFacts): StatusReport {
  const { reading } = facts
  const monitor = assessMonitor(facts)
  const times: Times = {
    now: facts.nowMonotonicMs,
    sameBoot: reading.kind === 'read' && reading.state.writer.identity.bootId === facts.bootId,
    watched: monitor.state === 'RUNNING',
    monitorEnded: monitor.cause === 'ended',
  }
  const forwards = facts.forwards
    .filter((forward) => !isLitter(forward, reading))
    .map((forward) => assessForward(forward, times, facts))
    .sort((a, b) => severity(b.state) - severity(a.state) || a.port - b.port)
  const alertChannels = assessAlertChannels(facts.alertChannels, facts)
  return {
    schemaVersion: statusSchemaVersion,
    takenAt: facts.takenAt,
    stateDirectory: facts.stateDirectory,
    exitCode: exitCodeOf(monitor, forwards, alertChannels),
    monitor,
    summary: summaryOf(forwards),
    forwards,
    alertChannels,
    incidents: assessIncidents(facts.openIncidents, facts),
    details: facts.details.flatMap((detail) => detailOf(detail, forwards, facts.forwards)),
    log: facts.log,
    next: nextSteps(monitor, forwards, alertChannels, facts),
  }
}

/** Files of a forward that no monitor knows any more and nobody runs. */
function isLitter({ record, health, control, process }: ForwardFacts, reading: StateReading): boolean {
  const isLost = process?.verdict === 'unverifiable' && process.isElsewhere === true
  const isRunning =
    process !== undefined && process.verdict !== 'gone' && process.verdict !== 'reused' && !isLost
  return (
    reading.kind === 'read' &&
    record === undefined &&
    health === undefined &&
    control === 'absent' &&
    !isRunning
  )
}

function detailOf(
  { port, identity, log, events }: DetailFacts,
  forwards: readonly ForwardStatus[],
  facts: readonly ForwardFacts[],
): ForwardDetail[] {
  const forward = forwards.find((status) => status.port === port)
  const health = facts.find((fact) => fact.port === port)?.health
  if (forward === undefined) return []
  return [
    {
      name: forward.name,
      identity: health?.identity ?? identity ?? null,
      version: health?.version ?? null,
      startedAt: health?.startedAt ?? null,
      relay: health?.relay ?? null,
      workers: health?.workers ?? null,
      log,
      events: events.map(({ time, kind, saw, decided }) => ({ time, kind, saw, decided })),
    },
  ]
}

function exitCodeOf(
  { state, cause }: MonitorStatus,
  forwards: readonly ForwardStatus[],
  alertChannels: readonly AlertChannelStatus[],
): number {
  switch (state) {
    case 'STALE':
      return statusExitCode.stale
    case 'STOPPED':
      return statusExitCode.stopped
    case 'UNKNOWN':
      return statusExitCode.unknown
    case 'RUNNING': {
      const isWhole =
        cause === null && alertChannels.every(({ state }) => state !== 'disabled' && state !== 'retrying')
      const worst = Math.max(isWhole ? 0 : 1, ...forwards.map((forward) => severity(forward.state)))
      return (
        [statusExitCode.fine, statusExitCode.degraded, statusExitCode.down][worst] ?? statusExitCode.unknown
      )
    }
  }
}

function summaryOf(forwards: readonly ForwardStatus[]): Summary {
  const count = (fits: (state: ForwardStatusState) => boolean) =>
    forwards.filter((forward) => fits(forward.state)).length
  return {
    healthy: count((state) => state === 'healthy'),
    waiting: count((state) => state === 'waiting'),
    exposed: count((state) => state === 'exposed'),
    degraded: count((state) => severity(state) === 1 && state !== 'exposed'),
    down: count((state) => severity(state) === 2),
    stopped: count((state) => state === 'down'),
  }
}
