import type { ChannelHealth } from '../alert/channel-health.ts'
import type { OpenIncident } from '../alert/open-incidents.ts'
import type { PortHolder } from '../os/port-holder.ts'
import type { ProcessIdentity, ProcessVerdict } from '../os/process-identity.ts'
import type { WantedDown } from '../record/desired-state.ts'
import type { ForwarderHealth } from '../record/forwarder-health.ts'
import type { ForwardEvent, JournalEntry } from '../record/journal.ts'
import type { LogEntry } from '../record/log-entry.ts'
import type { ForwardRecord, StateReading } from '../record/runtime-state.ts'
import type { HourState } from './last-day.ts'
import type { OwnPrograms } from './own-programs.ts'
import type { BytesSample } from './rates.ts'

/** What was found about one forward, apart from what the monitor wrote of it. */
export interface ForwardFacts {
  readonly port: number
  readonly record: ForwardRecord | undefined
  /** What the forwarder itself answered just now. */
  readonly health: ForwarderHealth | undefined
  readonly control: 'answered' | 'silent' | 'absent'
  /** What the PID file says; undefined when there is none or it names nobody. */
  readonly process:
    | {
        readonly pid: number
        readonly verdict: ProcessVerdict
        /** The PID is one of another PID namespace: here it names nobody, or somebody else. */
        readonly isElsewhere?: boolean
      }
    | undefined
  /** The order that wants it down; undefined when there is none. */
  readonly wantedDown: WantedDown | undefined
  /** What its process had carried at an earlier look; undefined when nobody looked at that process before. */
  readonly bytesBefore?: BytesSample | undefined
  /** Who listens on the port of one that cannot be started; undefined when nobody does, or it was not asked. */
  readonly holder?: PortHolder | undefined
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
  /** Whether it answered on its control socket just now; `absent`: nobody holds that. Missing = it was not asked. */
  readonly monitorControl?: 'answered' | 'silent' | 'absent'
  readonly forwards: readonly ForwardFacts[]
  readonly alertChannels: readonly ChannelHealth[]
  readonly openIncidents: readonly OpenIncident[]
  readonly details: readonly DetailFacts[]
  readonly log: readonly LogEntry[]
}
