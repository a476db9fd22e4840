/**
 * watch/: keeps units alive, whatever they are. A unit is a thing that is kept alive: a forward, a program, the gateway. `watch/` judges every
 * unit alike and knows it only through this file. A kind of unit implements `Unit` in its own room (`forward/unit/` is the first); the monitor
 * makes the units that are configured and hands them to a `UnitWatcher` each. To add a kind, implement `Unit` and let the monitor make it:
 * nothing in `watch/` changes.
 */

import type { ResourceLimits } from '../config/resource-limits.ts'
import type { RestartPolicy } from '../config/restart-policy.ts'
import type { LogLevel } from '../log/entry.ts'
import type { Shortage } from '../os/shortage.ts'
import type { Recognition } from '../process/ending.ts'
import type { ProcessIdentity } from '../process/identity.ts'
import type { ProcessEnd } from '../process/start.ts'
import type { ProcessSummary } from '../process/summary.ts'
import type { Subject } from '../record/shapes/alerts.ts'

/** Something that is wrong, as data. The unit's vocabulary puts it into words. */
export interface Fault {
  /** Stable, in kebab-case; each kind of unit has its own. */
  readonly code: string
}

/** A process that answers as the unit. */
export interface RunningProcess {
  readonly identity: ProcessIdentity
  readonly uptimeMs: number
  /** The process with which its chain of handovers began; itself when there was none, undefined when that is not known. */
  readonly first?: ProcessIdentity | undefined
  /** Processes that it has replaced and that still finish their work. */
  readonly predecessors?: readonly ProcessIdentity[] | undefined
  /** Processes that belong to it and lead sessions of their own. */
  readonly workers?: readonly ProcessIdentity[] | undefined
  /** Who starts it again when it ends; null = the monitor. */
  readonly supervisor: 'systemd' | null
}

/** What a unit needs from elsewhere and what no restart of the unit can mend: a forward's target. */
export interface Dependency {
  /** `unknown`: nobody has looked. `waiting`: it has never answered. */
  readonly state: 'unknown' | 'waiting' | 'unreachable' | 'reachable'
  /** Why it did not answer the last time, in words of the system; null = it answered. */
  readonly lastError: string | null
}

/** What a probe means. */
export type Diagnosis<Wrong extends Fault = Fault> =
  | {
      readonly condition: 'healthy'
      readonly process: RunningProcess
      /** Undefined = the unit depends on nothing. */
      readonly dependency?: Dependency | undefined
      /** Why the PID file that is there counts for nothing. */
      readonly stale?: Wrong | undefined
    }
  /** It was told to end and finishes its work. */
  | { readonly condition: 'draining'; readonly process: RunningProcess }
  /** No process: start one. */
  | {
      readonly condition: 'dead'
      readonly fault: Wrong
      readonly stale?: Wrong | undefined
      /** The process that is gone, when the unit's files name one. */
      readonly identity?: ProcessIdentity | undefined
      /** That process is a child of this one, and its exit is yet to be read. */
      readonly isZombie?: boolean
    }
  /** A proven process that does not do its work: end it, start one. */
  | { readonly condition: 'faulty'; readonly fault: Wrong; readonly identity: ProcessIdentity }
  /** A process that may be the unit's and is not proven to be: neither signalled nor joined by a second one. */
  | { readonly condition: 'unverifiable'; readonly fault: Wrong }

/** A process of this kind and this user that does the unit's work, and that the unit's own files do not lead to. */
export interface Stray {
  readonly identity: ProcessIdentity
  /** Where it keeps its files. */
  readonly stateDirectory: string
  /**
   * - `answers`: it can be asked to hand over.
   * - `silent`: nobody answers on the control socket that it should have.
   * - `watched`: another monitor, or systemd, keeps it alive.
   */
  readonly state: 'answers' | 'silent' | 'watched'
}

/** What a probe is to find out beside the unit's own condition. Looking takes its time, so it is asked for only where the answer counts. */
export interface ProbeRequest {
  /** Who holds what the unit needs to itself. */
  readonly holder: boolean
  /** When no process is found, whether a stray one does the unit's work. */
  readonly stray: boolean
}

/** What a probe found. */
export interface Probed<Health> {
  readonly diagnosis: Diagnosis
  /** What the process says of itself; undefined = nobody answered. Only the unit's own kind reads it. */
  readonly health: Health | undefined
  /** False when the process runs with other options than are configured now. */
  readonly optionsMatch: boolean
  /** Who holds what the unit needs to itself; undefined = nobody, or nobody has looked. */
  readonly holder?: ProcessSummary | undefined
  readonly stray?: Stray | undefined
}

/** What became of a start. */
export type StartOutcome =
  | { readonly ok: true; readonly identity: ProcessIdentity }
  | {
      readonly ok: false
      /** Why; the unit's vocabulary has the words for it. */
      readonly fault: Fault
      /** Somebody else holds what the unit needs to itself: waited for, instead of tried again. */
      readonly isBlocked: boolean
      /** Who that is, where it is known; the fault's words do not name it. */
      readonly holder?: ProcessSummary | undefined
      /** What this machine lacks for it, when that is why. */
      readonly shortage?: Shortage | undefined
    }

/** A start under way. */
export interface Start {
  /** Its process; undefined when nothing could be run at all, or nothing is yet. */
  readonly identity: ProcessIdentity | undefined
  /** Settles when the process is ready, or when it is certain that it will not be. Never rejects. */
  readonly outcome: Promise<StartOutcome>
  /** Resolves when the process has ended, with how; undefined when that is not known, or nothing was run. */
  readonly exited: Promise<ProcessEnd | undefined>
  /** Kills it, with all that it has started. */
  abandon(): void
  /** Whoever calls ends its process: what comes of the start clears nothing away. Missing = it never does. */
  letGo?(): void
}

/** What became of a replacement; see the observations `replaced` and `replace-failed`. */
export type ReplaceOutcome =
  | { readonly ok: true; readonly identity: ProcessIdentity }
  | {
      readonly ok: false
      readonly message: string
      readonly reason: 'failed' | 'unsupported' | 'under-way'
    }

/** A planned restart that interrupts nobody: the new process takes over from the one that runs. */
export interface Handover {
  /** Never rejects. */
  replace(timeoutMs: number): Promise<ReplaceOutcome>
  /** Who answers in the place of this process, when that is another one. Never rejects. */
  successorOf(identity: ProcessIdentity): Promise<ProcessIdentity | undefined>
  /** Whether this process has left its place: the unit's files name another one, alive or not, or it has said that it takes no more work. */
  hasLeft(identity: ProcessIdentity): boolean
}

/** How a stray process becomes the unit's. */
export interface Adoption {
  /** It hands over to a process with this monitor's state directory. Never rejects. */
  adopt(stray: Pick<Stray, 'identity' | 'stateDirectory'>, timeoutMs: number): Promise<StartOutcome>
  /** Asks a stray that does not answer to make its control socket again. */
  askBack(identity: ProcessIdentity): void
}

/** What a kind of unit contributes to sentences. */
export interface Vocabulary {
  /** What its process is called: `forwarder`. */
  readonly process: string
  /** What its process finishes before it ends, in the plural: `connections`. Undefined = its work. */
  readonly work?: string | undefined
  /** What it needs to itself, by kind and by name: `port`, `6274`. Undefined = nothing. */
  readonly place?: { readonly kind: string; readonly name: string } | undefined
  /** What it depends on, by kind and by name: `target`, `localhost:6274`. Undefined = nothing. */
  readonly dependency?: { readonly kind: string; readonly name: string } | undefined
  /**
   * A fault of this kind of unit. That of a dead or faulty one completes its name (`is not running`); any other stands alone
   * (`PID 7 is gone`), that of a start, too.
   */
  fault(fault: Fault): string
  /** What such an end may mean for this unit, and what to do then; undefined = nothing is known. Missing = nothing ever is. */
  endHint?(end: ProcessEnd): string | undefined
}

/** One line for the log. */
export interface Told {
  readonly level: LogLevel
  readonly message: string
  readonly good: boolean
}

/** A trouble of its own that a kind of unit knows beside being down, its dependency and its limits: somebody guesses at a login. */
export interface Trouble {
  readonly subject: Subject
  readonly condition: 'failing' | 'well' | 'unclear'
  readonly message: string
  /** What a sentence calls it; missing = its subject, of the unit. */
  readonly title?: string
}

export type DetachedPolicy = 'end' | 'adopt' | 'wait'

/** What the configuration says about keeping a unit alive. */
export interface UnitPolicy {
  readonly restart: RestartPolicy
  readonly limits: ResourceLimits
  /** ms that an ending process may take over its work before it is killed. */
  readonly drainMs: number
  /** It runs once: its end with exit code 0 is no death. Missing = no. */
  readonly runsOnce?: boolean
  /**
   * What becomes of processes that its own has left behind in its session: they are ended, or are its process from then on, or wait for an order;
   * meanwhile nothing is started beside them. Missing = ended.
   */
  readonly onDetached?: DetachedPolicy
  /** The signal that asks its process to end; missing = SIGTERM. */
  readonly stopSignal?: NodeJS.Signals
}

/** What records and alerts carry beside a unit's name. */
export interface UnitLabels {
  /** The TCP port by which people know it; missing = it has none. */
  readonly port?: number
}

/** The names of the unit's files in the state directory. Missing = it has none. */
export interface UnitFiles {
  /** How often it has failed in a row, as one number. */
  readonly failures?: string
}

/**
 * One unit, as its kind brings it.
 * @typeParam Health what its process says of itself; `watch/` keeps it and never looks into it.
 */
export interface Unit<Health = unknown> {
  /** Never changes, and names the unit's files and records: `forward-6274`. */
  readonly id: string
  /** `forward`, `program`, `gateway`. */
  readonly kind: string
  /** What the configuration calls it now: how every message names it. */
  readonly name: string
  readonly policy: UnitPolicy
  readonly vocabulary: Vocabulary
  readonly files: UnitFiles
  /** What readers show beside its name. */
  readonly labels: UnitLabels
  /** ms that its process may take over its work when it is no longer configured; missing = it is ended at once. */
  readonly leavesWithinMs?: number | undefined
  /** Whether its process goes on when the monitor ends, as it runs now. */
  readonly outlivesMonitor: boolean
  /** False = it is not started before somebody orders it; missing = true. */
  readonly startsByItself?: boolean
  /** Whether a monitor before this one has started it and it was to go on: then it is not asked whether it starts by itself. Missing = no. */
  readonly runsAlready?: boolean
  /** The names of units that must be ready before each of its starts, or must have done their work; missing = none. */
  readonly dependsOn?: readonly string[]
  /** The name under which several units are one: the program that this one is a copy of; missing = its own name. */
  readonly group?: string | undefined
  /** Whether a process that has outlived the leader of its session is the unit's; missing = it runs a program of this package. */
  readonly recognises?: Recognition
  readonly handover?: Handover | undefined
  readonly adoption?: Adoption | undefined

  /**
   * Calls `lost` whenever something suggests that its process has just ended: before the next round looks.
   * @param renew called when what its process is made of has changed, with what: it is started anew, and what depends on it after it.
   */
  attach(lost: () => void, renew: (why: string) => void): void
  /** Starts its process. Never throws: what prevents the start is its outcome. */
  start(): Start
  /**
   * Looks at it once: alive, doing its work, what it needs.
   * @throws when this monitor is unable to look: that says nothing about the unit.
   */
  probe(request: ProbeRequest): Promise<Probed<Health>>
  /**
   * Tells its process to take no more work, and to end when it has finished what it has. Resolves when it has ended, and also when it will not
   * within so many ms. Never rejects. Missing = the kind finishes nothing.
   */
  drain?(withinMs: number): Promise<void>
  /**
   * The line of its process's output that tells most of its end; undefined = none does. Missing = nobody reads what it prints.
   * @param end how it has ended; undefined = it has not, or nobody knows.
   */
  lastWords?(end?: ProcessEnd): string | undefined
  /** Resolves when what its process printed last is kept, after its end. Never rejects. Missing = nobody reads what it prints. */
  settled?(): Promise<void>
  /** What the start under way still lacks to be ready; undefined = nobody knows. Missing = nobody ever does. */
  lacks?(): Fault | undefined
  /**
   * Takes what its process, which is gone, has left behind in its session for its process from now on. Missing = the kind cannot.
   * @returns who of them stands for all of them.
   */
  takeRest?(gone: ProcessIdentity): StartOutcome
  /** Its process reads again what it reads itself, because somebody asked for that. Never rejects. Missing = it reads nothing. */
  reread?(): Promise<void>
  /** Who holds what it needs to itself; undefined = nobody, or this process for it. */
  findHolder(): ProcessSummary | undefined
  /** Removes its PID file unless that names a living process of ours. */
  removeStalePidFile(): void
  /** Further troubles that its last health report shows, each an incident of its own. */
  troubles(health: Health | undefined): readonly Trouble[]
  /** What is said once when it first answers: where it can be reached. Undefined = that cannot be said yet. */
  introduction(health: Health): readonly Told[] | undefined
  /** What its records hold beside what those of every unit hold; plain JSON. */
  record(health: Health | undefined): Readonly<Record<string, unknown>>
  /** It is down, because somebody wants it so or its work is done: lets go of what is held for its process. Missing = nothing is. */
  atRest?(): void
  /** Lets go of whatever it holds open; its process goes on. */
  close(): void
}
