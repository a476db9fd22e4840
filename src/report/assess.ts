import type { StateReading } from '../record/runtime-state.ts'
import {
  type AlertChannelStatus,
  type ForwardDetail,
  type ForwardStatus,
  type ForwardStatusState,
  type MonitorStatus,
  type ProgramStatus,
  type StatusReport,
  type Summary,
  statusSchemaVersion,
} from '../record/shapes/status-report.ts'
import { nextSteps } from './advice.ts'
import { assessAlertChannels } from './alert-channels.ts'
import type { DetailFacts, ForwardFacts, StatusFacts } from './facts.ts'
import { assessForward, type Times } from './forward-verdict.ts'
import { assessIncidents } from './incidents.ts'
import { assessMonitor } from './monitor-verdict.ts'
import { assessProgram } from './program-verdict.ts'
import { severity, statusExitCode } from './status.ts'

/** Turns facts into the report. Pure: the same facts always give the same report. */
export function assess(facts: StatusFacts): StatusReport {
  const { reading } = facts
  const monitor = assessMonitor(facts)
  const times: Times = {
    now: facts.nowMonotonicMs,
    sameBoot: reading.kind === 'read' && reading.state.writer.identity.bootId === facts.bootId,
    watched: monitor.state === 'RUNNING',
    monitorEnded: monitor.cause === 'ended',
    isFirstRound:
      monitor.state === 'STARTING' || (monitor.state === 'RUNNING' && monitor.lastCheckAgeMs === null),
  }
  const forwards = facts.forwards
    .filter((forward) => !isLitter(forward, reading))
    .map((forward) => assessForward(forward, times, facts))
    .sort((a, b) => severity(b.state) - severity(a.state) || a.port - b.port)
  const programs = (facts.programFacts ?? [])
    .map((program) => assessProgram(program, times, facts))
    .sort((a, b) => severity(b.state) - severity(a.state))
  const units = [...forwards, ...programs]
  const alertChannels = assessAlertChannels(facts.alertChannels, facts)
  const steps = nextSteps(monitor, forwards, programs, alertChannels, facts)
  return {
    schemaVersion: statusSchemaVersion,
    takenAt: facts.takenAt,
    stateDirectory: facts.stateDirectory,
    exitCode: exitCodeOf(monitor, units, alertChannels),
    monitor,
    summary: summaryOf(units),
    forwards,
    programs,
    alertChannels,
    incidents: assessIncidents(facts.openIncidents, facts),
    details: facts.details.flatMap((detail) => detailOf(detail, units, facts)),
    log: facts.log,
    next: steps.map(({ text }) => text),
    steps,
  }
}

/** A unit that has been judged. */
type Assessed = Pick<ForwardStatus | ProgramStatus, 'name' | 'port' | 'state'>

/** Files of a forward that no monitor knows and no process serves. */
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
  { port, program, identity, log, events }: DetailFacts,
  units: readonly Assessed[],
  { forwards }: Pick<StatusFacts, 'forwards'>,
): ForwardDetail[] {
  const unit = units.find((status) =>
    program === undefined ? status.port === port : status.name === program,
  )
  const health = program === undefined ? forwards.find((fact) => fact.port === port)?.health : undefined
  if (unit === undefined) return []
  return [
    {
      name: unit.name,
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
  units: readonly Assessed[],
  alertChannels: readonly AlertChannelStatus[],
): number {
  switch (state) {
    case 'STALE':
      return statusExitCode.stale
    case 'STOPPED':
      return statusExitCode.stopped
    case 'UNKNOWN':
      return statusExitCode.unknown
    case 'STARTING':
    case 'RUNNING': {
      const isWhole =
        cause === null && alertChannels.every(({ state }) => state !== 'disabled' && state !== 'retrying')
      const worst = Math.max(isWhole ? 0 : 1, ...units.map((unit) => severity(unit.state)))
      return (
        [statusExitCode.fine, statusExitCode.degraded, statusExitCode.down][worst] ?? statusExitCode.unknown
      )
    }
  }
}

function summaryOf(units: readonly Assessed[]): Summary {
  const count = (fits: (state: ForwardStatusState) => boolean) =>
    units.filter((unit) => fits(unit.state)).length
  return {
    healthy: count((state) => state === 'healthy'),
    waiting: count((state) => state === 'waiting'),
    exposed: count((state) => state === 'exposed'),
    degraded: count((state) => severity(state) === 1 && state !== 'exposed'),
    down: count((state) => severity(state) === 2),
    stopped: count((state) => state === 'down'),
  }
}
