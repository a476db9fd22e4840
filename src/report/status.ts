import type { ChannelHealth } from '../alert/channel-health.ts'
import type { OpenIncident } from '../alert/open-incidents.ts'
import type { ProcessIdentity, ProcessVerdict } from '../os/process-identity.ts'
import type { WantedDown } from '../record/desired-state.ts'
import type { ForwarderHealth, RefusalReason } from '../record/forwarder-health.ts'
import type { ForwardEvent, ForwardEventKind, JournalEntry } from '../record/journal.ts'
import type { LogEntry } from '../record/log-entry.ts'
import {
  type ForwardRecord,
  heartbeatIntervalMs,
  type RuntimeState,
  type StateReading,
} from '../record/runtime-state.ts'
import { type AlertChannelStatus, alertChannelSteps, assessAlertChannels } from './alert-channels.ts'
import { assessIncidents, type IncidentStatus } from './incidents.ts'
import { type OwnPrograms, shellWord } from './own-programs.ts'
import { excessInStatus, type ResourceStatus, resourceStatus } from './resource-status.ts'

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
 * - `degraded`: it works, but not as it should: not on every address, or with more memory or CPU time than its limits allow.
 * - `draining`: it was told to end and finishes its connections.
 * - `starting`, `backoff`, `flapping`, `blocked`: what the monitor is doing about a forward that is not there.
 * - `hung`: its process is there and does not answer.
 * - `suspended`: its process is held by SIGSTOP.
 * - `dead`: its process is not there.
 * - `down`: ended by an order, or with the monitor.
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

/**
 * Why a monitor is not running as it should, in one stable word.
 * - `never-ran`, `ended`, `rebooted`: it is not there, and that is in order.
 * - `died`, `suspended` (SIGSTOP), `hangs`, `no-checks` (it lives, and finishes no round): nobody watches.
 * - `unreadable`, `corrupt`, `newer`: its records cannot be used.
 * - `records`: it watches, and cannot write its records: the disk is full or read-only.
 * - `configuration`: it watches by an earlier configuration, because the file that is there now is not valid.
 */
export type MonitorCause =
  | 'never-ran'
  | 'ended'
  | 'rebooted'
  | 'died'
  | 'suspended'
  | 'hangs'
  | 'no-checks'
  | 'unreadable'
  | 'corrupt'
  | 'newer'
  | 'records'
  | 'configuration'

export interface MonitorStatus {
  readonly state: MonitorState
  /** null while it runs as it should. */
  readonly cause: MonitorCause | null
  /** The cause in words, with what is known of it; null while it runs as it should. */
  readonly reason: string | null
  readonly pid: number | null
  readonly version: string | null
  readonly startedAt: string | null
  readonly uptimeMs: number | null
  readonly heartbeatAgeMs: number | null
  readonly lastCheckAgeMs: number | null
  readonly intervalMs: number | null
  /** How long its last round of checks took, and how many forwards were in it. */
  readonly lastRoundMs: number | null
  readonly lastRoundForwards: number | null
  readonly configuration: string | null
  readonly serviceManager: 'systemd' | null
}

export interface ForwardStatus extends ResourceStatus {
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
  /** Addresses that should be listened on and are not, with the reason. */
  readonly notListening: readonly { readonly address: string; readonly error: string }[]
  readonly connections: {
    readonly open: number
    readonly total: number
    readonly limit: number
    readonly refused: number
    readonly refusedBy: Readonly<Record<RefusalReason, number>>
  } | null
  readonly targetError: { readonly message: string; readonly ageMs: number } | null
  readonly bytes: { readonly fromClients: number; readonly fromTarget: number } | null
  readonly admission: string | null
  /** Where the token of the gate is, in words; null where there is no gate. */
  readonly gateToken: string | null
  readonly lastCheckAgeMs: number | null
  readonly nextTryInMs: number | null
  /** Since when an order wants it down, ISO 8601; null when none does. */
  readonly orderedDownAt: string | null
}

export interface StatusReport {
  readonly schemaVersion: typeof statusSchemaVersion
  readonly takenAt: string
  readonly stateDirectory: string
  /** What the command ends with; see `statusExitCode`. */
  readonly exitCode: number
  readonly monitor: MonitorStatus
  readonly forwards: readonly ForwardStatus[]
  /** Where incidents are told, and whether that works. Empty when no channel is configured. */
  readonly alertChannels: readonly AlertChannelStatus[]
  /** What was alerted and is not over, the oldest first. */
  readonly incidents: readonly IncidentStatus[]
  /** More about the forwards that were asked for by name; empty when none was. */
  readonly details: readonly ForwardDetail[]
  /** The last lines of the monitor's log, oldest first. */
  readonly log: readonly LogEntry[]
  /** What to type, or to do, about what is wrong; most urgent first. */
  readonly next: readonly string[]
}

/** What a person needs when one forward is wrong. */
export interface ForwardDetail {
  readonly name: string
  /** What makes its process that process; null when nobody knows one. */
  readonly identity: ProcessIdentity | null
  readonly version: string | null
  readonly startedAt: string | null
  /** The processes that serve it together; null when it is one alone, or does not answer. */
  readonly workers: ForwarderHealth['workers']
  /** The last lines of the forwarder's own log, oldest first. */
  readonly log: readonly LogEntry[]
  /** The last events of the journal, oldest first. */
  readonly events: readonly {
    readonly time: string
    readonly kind: ForwardEventKind
    readonly saw: string
    readonly decided: string
  }[]
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
  /** The order that wants it down; undefined when there is none. */
  readonly wantedDown: WantedDown | undefined
}

/** What was read of the forwards that were asked for by name. */
export interface DetailFacts {
  readonly port: number
  readonly identity: ProcessIdentity | undefined
  readonly log: readonly LogEntry[]
  readonly events: readonly (JournalEntry & ForwardEvent)[]
}

export interface StatusFacts {
  readonly takenAt: string
  readonly stateDirectory: string
  readonly directoryExists: boolean
  readonly programs: OwnPrograms
  readonly nowMonotonicMs: number
  readonly bootId: string
  /** What the monitor itself answered just now, or else its file. */
  readonly reading: StateReading
  /** What has become of the monitor that wrote the state; undefined when there is no state. */
  readonly writerVerdict: ProcessVerdict | undefined
  readonly forwards: readonly ForwardFacts[]
  readonly alertChannels: readonly ChannelHealth[]
  readonly openIncidents: readonly OpenIncident[]
  readonly details: readonly DetailFacts[]
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
  const { reading } = facts
  const monitor = assessMonitor(facts)
  const times: Times = {
    now: facts.nowMonotonicMs,
    sameBoot: reading.kind === 'read' && reading.state.writer.identity.bootId === facts.bootId,
    watched: monitor.state === 'RUNNING',
    unwatched: monitor.state === 'STOPPED' || monitor.state === 'STALE',
    monitorEnded: monitor.cause === 'ended',
  }
  const forwards = facts.forwards
    .filter((forward) => !isLitter(forward, reading))
    .map((forward) => assessForward(forward, times))
    .sort((a, b) => severity(b.state) - severity(a.state) || a.port - b.port)
  const alertChannels = assessAlertChannels(facts.alertChannels, facts)
  return {
    schemaVersion: statusSchemaVersion,
    takenAt: facts.takenAt,
    stateDirectory: facts.stateDirectory,
    exitCode: exitCodeOf(monitor, forwards, alertChannels),
    monitor,
    forwards,
    alertChannels,
    incidents: assessIncidents(facts.openIncidents, facts),
    details: facts.details.flatMap((detail) => detailOf(detail, forwards, facts.forwards)),
    log: facts.log,
    next: [...nextSteps(monitor, forwards, facts), ...alertChannelSteps(alertChannels)],
  }
}

/** Monotonic times of the records say something only in the boot in which they were written. */
interface Times {
  readonly now: number
  readonly sameBoot: boolean
  /** A living monitor looks after the forwards. */
  readonly watched: boolean
  /** It is known that no monitor looks after anything. */
  readonly unwatched: boolean
  /** It ended in order. */
  readonly monitorEnded: boolean
}

/** Files of a forward that no monitor knows any more and nobody runs. */
function isLitter({ record, health, control, process }: ForwardFacts, reading: StateReading): boolean {
  const isRunning = process !== undefined && process.verdict !== 'gone' && process.verdict !== 'reused'
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
      workers: health?.workers ?? null,
      log,
      events: events.map(({ time, kind, saw, decided }) => ({ time, kind, saw, decided })),
    },
  ]
}

function assessMonitor(facts: StatusFacts): MonitorStatus {
  const { reading, nowMonotonicMs, stateDirectory, directoryExists } = facts
  switch (reading.kind) {
    case 'missing':
      return monitorStatus(
        'STOPPED',
        'never-ran',
        directoryExists
          ? `it has never run with the state directory ${stateDirectory}`
          : `the folder ${stateDirectory} does not exist: it has never run with it`,
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
  if (bootId !== facts.bootId)
    return { verdict: 'STOPPED', cause: 'rebooted', reason: 'the machine was started anew since it ran' }
  const age = Math.max(0, facts.nowMonotonicMs - state.writtenAtMonotonicMs)
  const stale = (cause: MonitorCause, reason: string): MonitorVerdict => ({ verdict: 'STALE', cause, reason })
  const ago = `its last sign of life is ${Math.round(age / 1000)} s old`
  switch (facts.writerVerdict) {
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
      if (age > staleAfterMs) return stale('hangs', `PID ${pid} hangs: ${ago}`)
      const checkedAt = state.lastRoundAt ?? state.writer.startedAtMonotonicMs
      const checkAge = facts.nowMonotonicMs - checkedAt
      if (checkAge > staleAfterMs + state.intervalMs + heartbeatIntervalMs) {
        return stale(
          'no-checks',
          `PID ${pid} lives but has finished no check for ${Math.round(checkAge / 1000)} s`,
        )
      }
      return runningVerdict(state)
    }
  }
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
    const text = `its configuration file is not used since ${since}, the one before goes on: ${reason}`
    return { verdict: 'RUNNING', cause: 'configuration', reason: text }
  }
  return { verdict: 'RUNNING', cause: null, reason: null }
}

function assessForward(facts: ForwardFacts, times: Times): ForwardStatus {
  const { record, health } = facts
  const { now, sameBoot, watched } = times
  const { state, reason } = forwardVerdict(facts, times)
  const lastCheckAt = sameBoot ? (record?.lastCheckAt ?? null) : null
  const nextTryAt = watched ? (record?.nextTryAt ?? null) : null
  return {
    name: record?.name ?? String(facts.port),
    port: facts.port,
    state,
    reason,
    listen: health === undefined ? [] : listenOf(health),
    notListening:
      health?.listen.failed.map(({ address, port, error }) => ({ address: joined(address, port), error })) ??
      [],
    target: record?.target ?? (health === undefined ? null : joined(health.target.host, health.target.port)),
    targetAddress: health?.target.address ?? null,
    targetError: health === undefined ? null : targetErrorOf(health),
    pid: health?.identity.pid ?? (isThere(facts) ? (facts.process?.pid ?? null) : null),
    uptimeMs: health?.uptimeMs ?? null,
    restarts: record?.restarts ?? 0,
    failures: record?.failures ?? 0,
    connections: health === undefined ? null : connectionsOf(health),
    bytes: health?.bytes ?? null,
    admission: health?.admission ?? null,
    gateToken: health?.gate?.tokenPlace ?? null,
    ...resourceStatus(facts, times),
    lastCheckAgeMs: lastCheckAt === null ? null : Math.max(0, Math.round(now - lastCheckAt)),
    nextTryInMs: nextTryAt === null ? null : Math.max(0, Math.round(nextTryAt - now)),
    orderedDownAt: state === 'down' ? (facts.wantedDown?.since ?? null) : null,
  }
}

function listenOf({ listen }: ForwarderHealth): string[] {
  const paths = listen.paths.map((path) => (path.startsWith('unix:') ? path : `unix:${path}`))
  return [...listen.addresses.map(({ address, port }) => joined(address, port)), ...paths]
}

function connectionsOf({ connections }: ForwarderHealth): ForwardStatus['connections'] {
  const { open, total, limit, refused } = connections
  const sum = Object.values(refused).reduce((all, count) => all + count, 0)
  return { open, total, limit, refused: sum, refusedBy: refused }
}

function targetErrorOf({ target }: ForwarderHealth): ForwardStatus['targetError'] {
  const { lastError, lastErrorAgeMs } = target
  return lastError === null || lastErrorAgeMs === null
    ? null
    : { message: lastError, ageMs: Math.max(0, Math.round(lastErrorAgeMs)) }
}

function isThere({ process }: ForwardFacts): boolean {
  return process !== undefined && process.verdict !== 'gone' && process.verdict !== 'reused'
}

/** A Unix socket has no port. */
function joined(host: string, port: number): string {
  if (port === 0) return host
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

interface Verdict {
  readonly state: ForwardStatusState
  readonly reason: string | null
}

function forwardVerdict(facts: ForwardFacts, times: Times): Verdict {
  if (facts.health !== undefined) {
    const verdict = withExcess(
      answeringVerdict(facts.health, facts.record, times.sameBoot),
      excessInStatus(resourceStatus(facts, times)),
    )
    if (!isLeftOver(facts, times)) return verdict
    const said = verdict.reason === null ? '' : `${verdict.reason}; `
    return { ...verdict, reason: `${said}nobody watches it` }
  }
  const doing = monitorsDoing(facts, times)
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
      if (control === 'silent') {
        return {
          state: 'hung',
          reason: 'its control socket is held, nobody answers, and no PID file says who it is',
        }
      }
      return doing ?? { state: 'dead', reason: 'no process' }
  }
}

/** A forward that uses more than it may is no more than degraded: connections get through. */
function withExcess(verdict: Verdict, excess: string | undefined): Verdict {
  if (excess === undefined) return verdict
  const reason = verdict.reason === null ? excess : `${verdict.reason}; ${excess}`
  const { state } = verdict
  return { state: state === 'healthy' || state === 'waiting' ? 'degraded' : state, reason }
}

/** It runs, and no monitor will bring it back when it dies. */
function isLeftOver({ record }: ForwardFacts, { watched, unwatched }: Times): boolean {
  return unwatched || (watched && record === undefined)
}

/**
 * What a living monitor is doing about a forward that does not answer; undefined when it does not know yet. That it is wanted down holds
 * without a monitor too.
 */
function monitorsDoing(
  { record, wantedDown }: ForwardFacts,
  { watched, monitorEnded }: Times,
): Verdict | undefined {
  if (record?.phase === 'down') {
    const held = record.heldBy == null ? '' : `; its port was still held by ${record.heldBy}`
    if (wantedDown !== undefined)
      return { state: 'down', reason: `ended by an order: ${wantedDown.why}${held}` }
    return {
      state: 'down',
      reason: `${monitorEnded ? 'ended with the monitor' : 'ended by an order'}${held}`,
    }
  }
  if (!watched) return undefined
  switch (record?.phase) {
    case 'starting':
    case 'backoff':
    case 'flapping':
    case 'blocked':
      return { state: record.phase, reason: record.reason ?? 'the monitor has it in hand' }
    case 'awaiting':
      return { state: record.failures > 1 ? 'dead' : 'starting', reason: record.reason ?? 'systemd runs it' }
    case 'stopping':
      return { state: 'draining', reason: record.reason ?? 'the monitor ends it' }
    case 'running':
    case 'unknown':
    case undefined:
      return undefined
  }
}

function answeringVerdict(
  health: ForwarderHealth,
  record: ForwardRecord | undefined,
  sameBoot: boolean,
): Verdict {
  const { listen, target, draining } = health
  const to = joined(target.host, target.port)
  if (draining) return { state: 'draining', reason: `${health.connections.open} connections may finish` }
  if (listen.addresses.length === 0 && listen.paths.length === 0) {
    const why = listen.failed.map(({ address, error }) => `${address}: ${error}`).join(', ')
    return { state: 'degraded', reason: why === '' ? 'this machine has no address but loopback' : why }
  }
  const answeredBefore = sameBoot && record?.targetMemory.everAnswered === true
  if (target.state === 'unreachable' || (target.state === 'waiting' && answeredBefore)) {
    return { state: 'unreachable', reason: `target ${to} does not answer: ${target.lastError}` }
  }
  if (target.state === 'waiting') return { state: 'waiting', reason: `nothing has listened at ${to} yet` }
  if (target.state === 'unknown') return { state: 'waiting', reason: `nobody has tried target ${to} yet` }
  const shortcoming = shortcomingOf(health)
  if (shortcoming !== undefined) return { state: 'degraded', reason: shortcoming }
  const warnings = health.admission === 'any' ? ['admits every source (--allow any)'] : []
  warnings.push(...health.warnings)
  return { state: 'healthy', reason: warnings.length === 0 ? null : warnings.join('; ') }
}

/** What is not as it should be although connections get through; undefined when all is. */
function shortcomingOf({ listen, targets, connections }: ForwarderHealth): string | undefined {
  const [missing] = listen.failed
  if (missing !== undefined) return `does not listen on ${missing.address}: ${missing.error}`
  if (connections.full !== null) {
    return `turns connections away (${connections.full}): ${connections.open} of ${connections.limit} are open`
  }
  const away = targets.filter(({ state }) => state === 'unreachable')
  if (away.length === 0) return undefined
  const names = away.map(({ host, port }) => joined(host, port)).join(', ')
  return `${away.length} of ${targets.length} targets do not answer: ${names}`
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
      const isWhole = cause === null && alertChannels.every((channel) => channel.state !== 'disabled')
      const worst = Math.max(isWhole ? 0 : 1, ...forwards.map((forward) => severity(forward.state)))
      return (
        [statusExitCode.fine, statusExitCode.degraded, statusExitCode.down][worst] ?? statusExitCode.unknown
      )
    }
  }
}

function nextSteps(monitor: MonitorStatus, forwards: readonly ForwardStatus[], facts: StatusFacts): string[] {
  const ofForwards = forwards.flatMap((forward) => forwardStep(forward, facts.programs) ?? [])
  const steps = [...monitorStep(monitor, facts), ...ofForwards, ...leftOverSteps(monitor, facts.forwards)]
  return [...new Set(steps)]
}

/** What no monitor knows, none that is started takes over: it ends only when somebody ends it. */
function leftOverSteps({ state }: MonitorStatus, forwards: readonly ForwardFacts[]): string[] {
  if (state === 'UNKNOWN') return []
  return forwards.flatMap(({ record, health, port }) =>
    record === undefined && health !== undefined
      ? [`kill ${health.identity.pid}   (ends the forward of port ${port}, when it is not wanted)`]
      : [],
  )
}

function monitorStep(
  { cause, pid, serviceManager, configuration }: MonitorStatus,
  { stateDirectory, programs }: StatusFacts,
): string[] {
  const directory = shellWord(stateDirectory)
  const configured = configuration === null ? '' : ` --config ${shellWord(configuration)}`
  const start = `${programs.monitor} --state-dir ${directory}${configured}`
  const isSystems = /^\/(?:var\/lib|run)\/(?!user\/)/.test(stateDirectory)
  const service = (verb: string) => `systemctl ${isSystems ? '' : '--user '}${verb} proxy-monitor`
  const isService = serviceManager === 'systemd'
  switch (cause) {
    case null:
      return []
    case 'never-ran':
    case 'ended':
    case 'rebooted':
    case 'died':
      return [isService ? service('start') : start]
    case 'suspended':
      return [`kill -CONT ${pid}`]
    case 'hangs':
    case 'no-checks':
      return [isService ? service('restart') : `kill -9 ${pid}; ${start}`]
    case 'unreadable':
    case 'newer':
      return [`ls -l ${directory}`]
    case 'corrupt':
      return [`${isService ? service('restart') : start}   (it keeps the corrupt file aside)`]
    case 'records':
      return [`df -h ${directory}; df -i ${directory}`]
    case 'configuration':
      return [`${programs.monitor} --check${configured}`]
  }
}

function forwardStep({ state, target, port, pid }: ForwardStatus, programs: OwnPrograms): string | undefined {
  switch (state) {
    case 'unreachable':
      return `start what listens at ${target}; port ${port} then works at once`
    case 'waiting':
      return `start what listens at ${target}, when it is wanted`
    case 'blocked':
      return `free port ${port}: ss -ltnp 'sport = :${port}'`
    case 'unverifiable':
      return `look at it: ps -fp ${pid}`
    case 'backoff':
    case 'flapping':
      return `see why: ${programs.log} --why ${port}`
    case 'healthy':
    case 'degraded':
    case 'draining':
    case 'starting':
    case 'hung':
    case 'suspended':
    case 'dead':
    case 'down':
      return undefined
  }
}
