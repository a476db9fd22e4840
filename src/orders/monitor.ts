import type { AlertConfiguration } from '../config/alert-options.ts'
import type { ConfigurationChange } from '../config/compare.ts'
import type { Configuration } from '../config/configuration.ts'
import type { ConfigurationSource } from '../config/load.ts'
import type { ProgramUnit } from '../program/index.ts'
import type { ApiKeys } from '../record/api-keys.ts'
import type { AuditEntry } from '../record/audit.ts'
import type { ConfigurationChanges } from '../record/configuration-changes.ts'
import type { HistoryEntry } from '../record/configuration-history.ts'
import type { WantedDown } from '../record/desired-state.ts'
import type { NamedEvent } from '../record/journal.ts'
import type { JournalEntry, OrderEvent } from '../record/shapes/journal.ts'
import type { ForwardRecord, ProgramRecord, RuntimeState } from '../record/shapes/runtime-state.ts'
import type { UnitOrder } from '../watch/decide/state.ts'

/** What orders see of a monitor, and how they reach it. `monitor/ordering.ts` is the one that runs. */
export interface OrderedMonitor {
  readonly stateDirectory: string
  /** False = it shows a part of its units, those that a principal is bound to; see principal.ts. */
  readonly isWhole: boolean
  /** The monitor is ending and refuses orders about its units. */
  readonly isEnding: boolean
  /** In the order of the configuration. */
  units(): readonly OrderedUnit[]
  /** Its records as they are now, of all units, whoever asks: an order that tells of them leaves out what its principal may not see. */
  state(): RuntimeState
  /** Calls back whenever the state of some unit has changed. @returns what ends that. */
  onChange(changed: () => void): () => void
  configuration(): OrderedConfiguration
  /** Reads the configuration file again. Resolves when it has taken effect, or is refused. @param by whose order it is, in words. */
  reload(order: string, by: string): Promise<ReloadOutcome>
  /** The programs that the file describes, for orders about how many copies run. */
  scalable(): readonly ScalableProgram[]
  alerts(): AlertConfiguration
  /** Begins to end the monitor. `by`: who ordered it, in words. */
  end(stopForwards: boolean, by: string): void
  /** Writes an order that was carried out to the journal and, in words, to the log. */
  journal(event: OrderEvent, line: string): void
  /** Writes who has asked for what to the audit. */
  audit(entry: AuditEntry): void
  keys(): ApiKeys
  /** Calls back with every event from now on. @returns what ends that. */
  follow(seen: (event: NamedEvent) => void): () => void
  /** What happened until now, oldest first. `isEnough` as in `readJournal`. */
  past(isEnough: (entries: readonly JournalEntry[], parts: number) => boolean): Promise<readonly NamedEvent[]>
}

/** The configuration of a monitor, as orders see it. */
export interface OrderedConfiguration {
  /** What is in force. */
  readonly running: Configuration
  /** What that was read from; undefined = there is no file. */
  readonly source: ConfigurationSource | undefined
  /** What was in force last, the newest first. */
  readonly history: readonly HistoryEntry[]
  /** What orders have changed. */
  readonly changes: ConfigurationChanges
}

/** What orders can do with a program besides. */
export type OrderedProgram = Pick<
  ProgramUnit,
  'configuration' | 'environment' | 'wordsAsUser' | 'output' | 'input' | 'terminal' | 'actions' | 'signal'
>

/** A program of the file, which may stand for several units. */
export interface ScalableProgram {
  readonly name: string
  /** Copies that may run; undefined = it has none, and is one unit. */
  readonly most: number | undefined
  /** How many are configured now. */
  current(): number
  /** Why so many cannot be: a port that another unit has; undefined = they can. */
  conflict(count: number): string | undefined
  /** So many from now on. Settles when the new ones were looked at once. `by`: who wants it. @returns false when it could not be saved. */
  scale(count: number, by: string): Promise<boolean>
}

/** One unit, as orders see it. */
export interface OrderedUnit {
  readonly name: string
  /** The program that it is a copy of; undefined = none. */
  readonly group?: string | undefined
  /** ms that its connections have when it leaves for good, or is restarted while others take its place; undefined = no forward leads to it. */
  readonly leavesWithinMs?: number | undefined
  /** Undefined = it is no program. */
  readonly program?: OrderedProgram | undefined
  /** As it is now. */
  record(): OrderedRecord
  /** Of the planned replacement that was begun last; undefined = there is none, or it took over. */
  replacement():
    | { readonly state: 'starting' }
    | { readonly state: 'failed'; readonly why: string }
    | undefined
  wantedDown(): WantedDown | undefined
  /** Remembers what is wanted of it, for the next monitor. @returns false when it could not be saved. */
  want(wanted: 'up' | Omit<WantedDown, 'since'>): boolean
  /** Puts an order into its mailbox. `why`: whose it is, in words. */
  order(order: UnitOrder, why: string, drainMs?: number): void
}

/** What is known of a unit that orders can be about. */
export type OrderedRecord = ForwardRecord | ProgramRecord

export type ReloadOutcome =
  | { readonly kind: 'no-file' }
  | { readonly kind: 'refused'; readonly file: string; readonly problem: string }
  | {
      readonly kind: 'read'
      readonly file: string
      readonly change: ConfigurationChange
      /** Undefined = nothing has changed. */
      readonly words: string | undefined
    }
