import type { LogEntry } from '../../log/entry.ts'
import type { ProcessIdentity } from '../../process/identity.ts'
import type { RecordedProcess } from '../../process/summary.ts'
import type { LimitedResource } from '../limit-words.ts'
import type { ChannelHealth, ChannelState, Subject } from './alerts.ts'
import type { ForwarderHealth, KnownBy, RefusalReason, TargetState } from './forwarder-health.ts'
import type { ForwardEventKind } from './journal.ts'

/**
 * How one hour was for clients, judged by the monitored part of it:
 * - `up`: the target could be reached.
 * - `partly`: it could not for less than half of the hour, because the forward or its target failed.
 * - `down`: it could not for half of the hour or more.
 * - `waiting`: for most of the hour the forward was open and its target had not answered yet.
 * - `stopped`: for most of the hour an order kept the forward down.
 * - `unknown`: not monitored.
 */
export type HourState = 'up' | 'partly' | 'down' | 'waiting' | 'stopped' | 'unknown'

/**
 * - `told`: all that was queued about it for this channel has been delivered.
 * - `waiting`: something about it is still to be delivered.
 * - `not-told`: nothing of it was ever queued, because the channel came later, or it was lost.
 */
export type Telling = 'told' | 'waiting' | 'not-told'

/** One alert channel, as a report shows it. Holds no URL. */
export interface AlertChannelStatus {
  readonly name: string
  readonly type: ChannelHealth['type']
  readonly state: ChannelState
  /** Changes that wait to be delivered. */
  readonly queued: number
  /** Changes lost because too many waited. */
  readonly dropped: number
  /** Messages delivered. */
  readonly delivered: number
  /** ISO 8601. */
  readonly lastDeliveredAt: string | null
  /** Without secrets; null when the last try was a success. */
  readonly lastError: string | null
  readonly retryInMs: number | null
}

/** An incident that is not over, as a report shows it. */
export interface IncidentStatus {
  readonly id: string
  readonly forward: string
  readonly port: number
  readonly subject: Subject
  /** What opened it, in words. */
  readonly message: string
  /** When the trouble began, ISO 8601. */
  readonly since: string
  readonly openForMs: number
  readonly flapping: boolean
  /** The channels that were notified, and those that were not yet. Empty when there is no channel. */
  readonly channels: readonly { readonly name: string; readonly state: Telling }[]
}

/** Bytes a second, averaged between two looks. */
export interface Rates {
  readonly fromClients: number
  readonly fromTarget: number
}

/** What a forward uses, and what it may. */
export interface ResourceStatus {
  /** What its processes used within the last round; null when nothing of it is limited, or it is not known. */
  readonly usage: {
    readonly memoryBytes: number
    /** In per cent of one core. */
    readonly cpuPercent: number
    /** Missing = not counted, because it is not limited. */
    readonly openFiles?: number
    readonly processes: number
  } | null
  /** null when it has none; in each, 0 = no limit. */
  readonly limits: {
    readonly memoryBytes: number
    readonly cpuPercent: number
    /** Missing = no limit. */
    readonly openFiles?: number
    readonly action: 'alert' | 'restart'
    /** Those that are exceeded, and for how long. */
    readonly exceeded: readonly { readonly resource: LimitedResource; readonly forMs: number }[]
  } | null
}

/** The version of the shape of `proxy-status --json`. It rises when something is taken away or changes its meaning. */
export const statusSchemaVersion = 1

/**
 * - `RUNNING`: the monitor lives and has checked lately.
 * - `STARTING`: its process is there and does not monitor yet.
 * - `STALE`: it left its records and is gone, suspended or hung: nothing is monitored.
 * - `STOPPED`: it ended in order, or has never run here, or ran before the machine was started anew.
 * - `UNKNOWN`: its records cannot be read or believed.
 */
export type MonitorState = 'RUNNING' | 'STARTING' | 'STALE' | 'STOPPED' | 'UNKNOWN'

/**
 * - `healthy`: connections get through to the target.
 * - `waiting`: the forward works and its target has never answered. No fault.
 * - `unreachable`: the forward works, its target answered before and does not now.
 * - `degraded`: it works, but not as it should: not on every address, or with more memory or CPU time than its limits allow.
 * - `exposed`: connections get through, and anybody who reaches it can start programs on this machine: an MCP Inspector without a login in front.
 * - `draining`: it was ordered to end and finishes its connections.
 * - `starting`, `backoff`, `flapping`, `blocked`: what the monitor is doing about a forward that is not there.
 * - `detached`: its process is gone and has left others behind; an order is to adopt or to end them.
 * - `hung`: its process is there and does not answer.
 * - `suspended`: its process is held by SIGSTOP.
 * - `dead`: its process is not there.
 * - `down`: ended by an order, or with the monitor.
 * - `unverifiable`: a process may be it, and nothing proves it.
 */
export const forwardStates = [
  'healthy',
  'waiting',
  'unreachable',
  'degraded',
  'exposed',
  'draining',
  'starting',
  'backoff',
  'flapping',
  'blocked',
  'detached',
  'hung',
  'suspended',
  'dead',
  'down',
  'unverifiable',
] as const

export type ForwardStatusState = (typeof forwardStates)[number]

/**
 * Why a monitor is not running as it should, in one stable word.
 * - `starting`: it will monitor in a moment.
 * - `never-ran`, `ended`, `rebooted`: it is not there, and that is in order.
 * - `died`, `suspended` (SIGSTOP), `hangs`, `no-checks` (it lives, and finishes no round): nothing is monitored.
 * - `unreadable`, `corrupt`, `newer`: its records cannot be used.
 * - `records`: it watches, and cannot write its records: the disk is full or read-only.
 * - `configuration`: it watches by an earlier configuration, because the file that is there now is not valid.
 */
export type MonitorCause =
  | 'starting'
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
  /** How long it has been so: the failure, or the silence of the target; null when nothing fails, or that is not known. */
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
  /** The state of the target, how it is known, how long it has lasted and how old the knowledge is; null when nothing is known. */
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

export interface ProgramStatus extends ResourceStatus {
  readonly name: string
  /** The program that it is a copy of; missing = none. */
  readonly group?: string
  readonly state: ForwardStatusState
  /** In words; null for a healthy one. */
  readonly reason: string | null
  /** How long it has failed; null when nothing fails, or that is not known. */
  readonly failingForMs: number | null
  /** What to do about it, where that is nothing to type; null when there is nothing to do. */
  readonly advice: string | null
  /** A monitor that runs looks after it. */
  readonly monitored: boolean
  /** The TCP port that makes it ready; null = none. */
  readonly port: number | null
  /** Program and arguments. */
  readonly command: string
  /** Missing = a program that the configuration describes. */
  readonly kind?: 'gateway'
  /** The process with which its session began; null when it is not there. */
  readonly pid: number | null
  readonly uptimeMs: number | null
  /** After a failure; those that were planned, and first starts, do not count. */
  readonly restarts: number
  readonly lastRestartAgeMs: number | null
  readonly plannedRestarts: number
  /** Failures in a row. */
  readonly failures: number
  /** How the last 24 hours were, the newest last; null when nothing is known of it. */
  readonly lastDay: readonly HourState[] | null
  readonly lastCheckAgeMs: number | null
  readonly nextTryInMs: number | null
  /** Since when an order wants it down, ISO 8601; null when none does. */
  readonly orderedDownAt: string | null
  /** What its process, which is gone, has left behind; missing = it is not `detached`. */
  readonly leftBehind?: readonly RecordedProcess[]
  /** The keys of its configuration that orders have set, such as `restart.backoff`. */
  readonly orderedKeys: readonly string[]
}

/** How many forwards and programs are how. */
export interface Summary {
  readonly healthy: number
  readonly waiting: number
  /** Anybody who reaches them can start programs on this machine. */
  readonly exposed: number
  /** Connections get through, or soon will again, but not all is as it should be. */
  readonly degraded: number
  /** Clients cannot get through. */
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
  readonly programs: readonly ProgramStatus[]
  /** The alert channels, and whether they work. Empty when none is configured. */
  readonly alertChannels: readonly AlertChannelStatus[]
  /** What was alerted and is not over, the oldest first. */
  readonly incidents: readonly IncidentStatus[]
  /** More about the forwards that were asked for by name; empty when none was. */
  readonly details: readonly ForwardDetail[]
  /** The last lines of the monitor's log, oldest first. */
  readonly log: readonly LogEntry[]
  /** What to type, or to do, about what is wrong; most urgent first. */
  readonly next: readonly string[]
  /** The same, with the order of the monitor that each is; missing in the report of an older version. */
  readonly steps?: readonly {
    readonly text: string
    /** Null = it is none. */
    readonly order: string | null
    /** The units that the order is about. */
    readonly units: readonly string[]
  }[]
}

/** What a person needs when one forward is wrong. */
export interface ForwardDetail {
  readonly name: string
  /** The identity of its process; null when none is known. */
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
