import type { ProcessIdentity } from '../os/process-identity.ts'
import type { ForwarderHealth, KnownBy, RefusalReason, TargetState } from '../record/forwarder-health.ts'
import type { ForwardEventKind } from '../record/journal.ts'
import type { LogEntry } from '../record/log-entry.ts'
import type { AlertChannelStatus } from './alert-channels.ts'
import type { IncidentStatus } from './incidents.ts'
import type { HourState } from './last-day.ts'
import type { Rates } from './rates.ts'
import type { ResourceStatus } from './resource-status.ts'

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
 * - `exposed`: connections get through, and whoever comes can start programs on this machine: an MCP Inspector without a login in front.
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
  | 'exposed'
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
  /** How long it has been so: the failure, or the silence of the target; null when nothing fails, or nobody knows. */
  readonly failingForMs: number | null
  /** What to do about it, where that is nothing to type; null when there is nothing to do. */
  readonly advice: string | null
  /** A monitor that runs looks after it. */
  readonly monitored: boolean
  readonly listen: readonly string[]
  /** The same as typed or pasted, URLs where it speaks HTTP; the one to try first first. */
  readonly openAt: readonly string[]
  readonly target: string | null
  /** The target's address that answered last. */
  readonly targetAddress: string | null
  readonly pid: number | null
  readonly uptimeMs: number | null
  /** After a failure; those that were planned, and first starts, do not count. */
  readonly restarts: number
  /** Since the last of them; null when there was none in this boot. */
  readonly lastRestartAgeMs: number | null
  /** By an order, a signal, other options or a limit. */
  readonly plannedRestarts: number
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
  /** What is known of the target, how, for how long it has been so and how old that knowledge is; null when nothing is. */
  readonly targetKnown: {
    readonly state: TargetState
    readonly by: KnownBy
    readonly ageMs: number
    readonly stateForMs: number
  } | null
  readonly bytes: { readonly fromClients: number; readonly fromTarget: number } | null
  /** Averaged since an earlier look; null when there was none. */
  readonly bytesPerSecond: Rates | null
  /** How the last 24 hours were, the newest last; null when nothing is known of it. */
  readonly lastDay: readonly HourState[] | null
  readonly admission: string | null
  /** Where the token of the gate is, in words; null where there is no gate. */
  readonly gateToken: string | null
  /** Wrong tokens given at the gate; null where there is no gate, or nothing is known. */
  readonly gateWrongTokens: { readonly lastHour: number; readonly lastFrom: string | null } | null
  readonly lastCheckAgeMs: number | null
  readonly nextTryInMs: number | null
  /** Since when an order wants it down, ISO 8601; null when none does. */
  readonly orderedDownAt: string | null
}

/** How many forwards are how. */
export interface Summary {
  readonly healthy: number
  readonly waiting: number
  /** Whoever comes can start programs on this machine. */
  readonly exposed: number
  /** Connections get through, or soon will again, but not all is as it should be. */
  readonly degraded: number
  /** Somebody cannot get through. */
  readonly down: number
  /** By an order, or with the monitor. */
  readonly stopped: number
}

export interface StatusReport {
  readonly schemaVersion: typeof statusSchemaVersion
  readonly takenAt: string
  readonly stateDirectory: string
  /** What the command ends with; see `statusExitCode`. */
  readonly exitCode: number
  readonly monitor: MonitorStatus
  readonly summary: Summary
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
  /** How it moves bytes; null when that is not known. */
  readonly relay: NonNullable<ForwarderHealth['relay']> | null
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

/** How bad a state is: 0 nothing to do, 1 not all as it should be, 2 somebody cannot get through. */
export function severity(state: ForwardStatusState): 0 | 1 | 2 {
  switch (state) {
    case 'healthy':
    case 'waiting':
    case 'down':
      return 0
    case 'degraded':
    case 'exposed':
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
