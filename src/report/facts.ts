import type { ChannelHealth } from '../alert/channel-health.ts'
import type { OpenIncident } from '../alert/open-incidents.ts'
import type { ProcessIdentity, ProcessVerdict } from '../os/process-identity.ts'
import type { WantedDown } from '../record/desired-state.ts'
import type { ForwarderHealth } from '../record/forwarder-health.ts'
import type { ForwardEvent, JournalEntry } from '../record/journal.ts'
import type { LogEntry } from '../record/log-entry.ts'
import type { ForwardRecord, StateReading } from '../record/runtime-state.ts'
import type { OwnPrograms } from './own-programs.ts'

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
