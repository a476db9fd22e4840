import type { OpenIncident } from '../alert/open-incidents.ts'
import type { LogEntry } from '../log/entry.ts'
import type { ProcessIdentity, ProcessVerdict } from '../process/identity.ts'
import type { ProcessSummary } from '../process/summary.ts'
import type { WantedDown } from '../record/desired-state.ts'
import type { StateReading } from '../record/runtime-state.ts'
import type { ChannelHealth } from '../record/shapes/alerts.ts'
import type { ForwarderHealth } from '../record/shapes/forwarder-health.ts'
import type { UnitDecision } from '../record/shapes/journal.ts'
import type { ForwardRecord, ProgramRecord } from '../record/shapes/runtime-state.ts'
import type { HourState } from '../record/shapes/status-report.ts'
import type { OwnPrograms } from './own-programs.ts'
import type { BytesSample } from './rates.ts'

/** What was found about one forward, apart from what the monitor wrote of it. */
export interface ForwardFacts {
  readonly port: number
  readonly record: ForwardRecord | undefined
  /** What the forwarder itself answered just now. */
  readonly health: ForwarderHealth | undefined
  readonly control: 'answered' | 'silent' | 'absent'
  /** What the PID file says; undefined when there is none, or it names no process. */
  readonly process:
    | {
        readonly pid: number
        readonly verdict: ProcessVerdict
        /** The PID belongs to another PID namespace: here it names no process, or a different one. */
        readonly isElsewhere?: boolean
      }
    | undefined
  /** The order that wants it down; undefined when there is none. */
  readonly wantedDown: WantedDown | undefined
  /** What its process had carried at an earlier look; undefined when there was none. */
  readonly bytesBefore?: BytesSample | undefined
  /** The process that holds the port of a forward that cannot be started; undefined when there is none, or it was not looked up. */
  readonly holder?: ProcessSummary | undefined
}

/** What was found about one program, apart from what the monitor wrote of it. */
export interface ProgramFacts {
  readonly record: ProgramRecord
  /** The process that its PID file names, or else the record, and what has become of it; undefined when neither names one. */
  readonly process: { readonly identity: ProcessIdentity; readonly verdict: ProcessVerdict } | undefined
  /** The order that wants it down; undefined when there is none. */
  readonly wantedDown: WantedDown | undefined
  /** Who holds the port of one that cannot be started; undefined when there is nobody, or it was not looked up. */
  readonly holder?: ProcessSummary | undefined
}

/** What was read of the units that were asked for by name. */
export interface DetailFacts {
  /** Of a forward; null for a program. */
  readonly port: number | null
  /** Of a program; missing for a forward. */
  readonly program?: string
  readonly identity: ProcessIdentity | undefined
  readonly log: readonly LogEntry[]
  readonly events: readonly UnitDecision[]
}

/** A monitor that does not monitor yet. */
export interface StartingMonitor {
  readonly pid: number
  /** What it answered on its control socket; null when it does not hold that yet. */
  readonly version: string | null
  readonly startedAt: string | null
}

export interface StatusFacts {
  readonly takenAt: string
  readonly stateDirectory: string
  readonly directoryExists: boolean
  readonly programs: OwnPrograms
  /** What our other commands need to find this state directory, with a blank before it; empty when they find it by themselves. */
  readonly directoryOption: string
  /** Of this process; see `ProcessIdentity`. */
  readonly pidNamespace: string
  readonly nowMonotonicMs: number
  /** The addresses of this machine, loopback included. */
  readonly machineAddresses: readonly string[]
  /** How the last 24 hours of each forward were, by name; of one that is missing nothing is known. */
  readonly lastDay: ReadonlyMap<string, readonly HourState[]>
  readonly bootId: string
  /** What the monitor itself answered just now, or else its file. */
  readonly reading: StateReading
  /** What has become of the monitor that wrote the state; undefined when there is no state. */
  readonly writerVerdict: ProcessVerdict | undefined
  /** That monitor is counted in another PID namespace. Missing = no. */
  readonly writerIsElsewhere?: boolean
  /** Whether it answered on its control socket just now; `absent`: no process holds that. Missing = it was not asked. */
  readonly monitorControl?: 'answered' | 'silent' | 'absent'
  /** A monitor that is being started and has no records yet, so that the records are those of the one before. Missing = there is none. */
  readonly startingMonitor?: StartingMonitor | undefined
  readonly forwards: readonly ForwardFacts[]
  /** Missing = none. */
  readonly programFacts?: readonly ProgramFacts[]
  readonly alertChannels: readonly ChannelHealth[]
  readonly openIncidents: readonly OpenIncident[]
  readonly details: readonly DetailFacts[]
  readonly log: readonly LogEntry[]
}
