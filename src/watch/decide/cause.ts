import type { Shortage } from '../../os/shortage.ts'
import type { ProcessEnd } from '../../process/start.ts'
import type { ProcessSummary } from '../../process/summary.ts'
import type { LimitedResource } from '../../record/limit-words.ts'
import type { Fault } from '../unit.ts'

// What a decision says of itself, as data: codes and values. `narrate/` puts all of it into words; nothing here is a sentence, but for what an
// order, a process or the system itself has said.

/** Why a unit does not run, or is not to run as it does. */
export type Reason =
  /** Somebody ordered it. */
  | { readonly code: 'ordered'; readonly why: string }
  /** A probe found it dead or faulty. */
  | { readonly code: 'faulty'; readonly fault: Fault }
  /** A probe found a process that may be the unit's. */
  | { readonly code: 'unproven'; readonly fault: Fault }
  /** `end` undefined = nobody saw how it ended. */
  | {
      readonly code: 'died'
      readonly pid: number
      readonly end: ProcessEnd | undefined
      /** What it printed last; missing = nothing, or nobody reads what it prints. */
      readonly said?: string
    }
  /** `holder`: who holds what the unit needs to itself, where the start has found that. */
  | {
      readonly code: 'start-failed'
      readonly fault: Fault
      readonly holder?: ProcessSummary | undefined
      readonly said?: string
    }
  /** `lacks`: what it lacked then; missing = nobody knows. */
  | {
      readonly code: 'start-timed-out'
      readonly withinMs: number
      readonly lacks?: Fault
      readonly said?: string
    }
  /** The start itself found that somebody else holds what the unit needs to itself, and not who. */
  | { readonly code: 'start-blocked'; readonly fault: Fault }
  | { readonly code: 'place-taken'; readonly holder: ProcessSummary }
  | { readonly code: 'shortage'; readonly shortage: Shortage }
  /** Not even SIGKILL ended them. */
  | { readonly code: 'survived'; readonly processes: readonly ProcessSummary[] }
  /** Another monitor, or systemd, keeps a process alive that does the unit's work. */
  | ({ readonly code: 'stray-watched' } & StrayProcess)
  /** A process that does the unit's work was asked to make its control socket again. */
  | ({ readonly code: 'stray-asked' } & StrayProcess)
  /** A process that does the unit's work hands nothing over, or does not make its control socket again. */
  | { readonly code: 'stray-keeps' | 'stray-silent' }
  | { readonly code: 'supervised'; readonly by: Supervisor }
  | WaitsFor
  | Completed
  | Detached
  | { readonly code: 'not-restarted'; readonly by: Supervisor; readonly holder: ProcessSummary }
  | { readonly code: 'other-options' }
  | ({ readonly code: 'over-limit' } & Excess)

/** Who starts a unit's process when it is not this monitor. */
export type Supervisor = 'systemd'

/** It is started when these units are ready, by their names. */
export interface WaitsFor {
  readonly code: 'waits-for'
  readonly units: readonly string[]
}

/** Its process is gone and has left these behind; nothing is started beside them. */
export interface Detached {
  readonly code: 'detached'
  readonly pid: number
  readonly processes: readonly ProcessSummary[]
}

/** Those become its process. */
export interface TakingRest {
  readonly code: 'taking-rest'
  readonly pid: number
  readonly processes: readonly ProcessSummary[]
}

interface StrayProcess {
  readonly pid: number
  readonly stateDirectory: string
}

/** How much is used of what is limited: bytes, or per cent of one core. */
export interface Amount {
  readonly resource: LimitedResource
  readonly amount: number
}

export interface Excess extends Amount {
  readonly limit: number
}

/** A restart that waits. */
export interface Postponed {
  readonly code: 'postponed'
  readonly delayMs: number
  /** How often waits have been doubled, this one included. */
  readonly level: number
  readonly resetAfterMs: number
  readonly limitMs: number
}

/** Restarts that pause because there were too many. */
export interface Paused {
  readonly code: 'paused'
  readonly restarts: number
  readonly windowMs: number
  readonly pauseMs: number
  readonly reason: Reason
}

/** A start that waits for what this machine lacks. */
export interface Short {
  readonly code: 'short'
  readonly shortage: Shortage
  readonly delayMs: number
}

/** Something stands in the way. */
export interface Blocked {
  readonly code: 'blocked'
  readonly reason: Reason
  readonly failures: number
}

/** It has done its work: a unit that runs once. */
export interface Completed {
  readonly code: 'completed'
  readonly pid: number
}

export interface LeftToSupervisor {
  readonly code: 'left-to-supervisor'
  readonly by: Supervisor
}

/** An order that its supervisor would undo. */
export interface KeptBySupervisor {
  readonly code: 'kept-by-supervisor'
  readonly by: Supervisor
}

/** One failure more in a row. */
export interface Failed {
  readonly code: 'failed'
  readonly reason: Reason
  readonly failures: number
}

export interface Replacing {
  readonly code: 'replacing'
  readonly reason: Reason
}

/** A stray process is asked to hand over. */
export type Adopting = { readonly code: 'adopting' } & StrayProcess

/** This program contradicts itself. */
export interface Impossible {
  readonly code: 'impossible'
  /** The phase, and what cannot be in it. */
  readonly phase: string
  readonly what: string
}

/** What is decided, and told as it is. */
type ToldAct =
  | Blocked
  | Postponed
  | Paused
  | Short
  | LeftToSupervisor
  | KeptBySupervisor
  | WaitsFor
  | Completed
  | Replacing
  | Adopting
  | Detached
  | TakingRest
  | Impossible

/** What an effect `log` or `alert` tells. */
export type News =
  | Failed
  | ToldAct
  /** Those that were waited for are gone. */
  | { readonly code: 'rest-gone'; readonly pid: number }
  /** It has never run. */
  | { readonly code: 'absent' }
  | { readonly code: 'started' | 'adopted' | 'handed-over'; readonly pid: number }
  /** Another process runs in the place of the one that was known, which has not handed over. */
  | { readonly code: 'other-process'; readonly pid: number; readonly before: number }
  | { readonly code: 'recovered' }
  | { readonly code: 'stale-pid-file'; readonly fault: Fault }
  | { readonly code: 'left-behind'; readonly pid: number; readonly processes: readonly ProcessSummary[] }
  /** `isRest`: what a process that was gone had left. */
  | { readonly code: 'ended'; readonly pid: number; readonly isRest: boolean; readonly reason: Reason }
  | { readonly code: 'ended-behind'; readonly pid: number; readonly successor: number }
  | { readonly code: 'place-held'; readonly holder: ProcessSummary }
  /** It cannot be looked at, for a reason that was not told yet; or it can again. */
  | { readonly code: 'unseen'; readonly why: string }
  | { readonly code: 'seen-again' }
  /** It was to be ended, and is not proven to be the unit's, or could not be looked at. */
  | { readonly code: 'not-ended'; readonly fault: Fault }
  | { readonly code: 'not-seen'; readonly why: string }
  | { readonly code: 'replacement-failed'; readonly pid: number; readonly message: string }
  | { readonly code: 'replacement-under-way'; readonly message: string }
  | ({ readonly code: 'stray-asked' } & StrayProcess)
  | { readonly code: 'given-up-by-supervisor'; readonly by: Supervisor }
  | { readonly code: 'other-options-of-supervisor'; readonly by: Supervisor }
  /** It comes and goes, and somebody else starts it again. */
  | {
      readonly code: 'flapping-supervised'
      readonly by: Supervisor
      readonly restarts: number
      readonly windowMs: number
      readonly reason: Reason
    }
  | { readonly code: 'dependency-silent'; readonly error: string | null; readonly failures: number }
  | { readonly code: 'dependency-answers'; readonly afterMs: number | undefined }
  | ({ readonly code: 'over-limit'; readonly samples: number } & Excess)
  /** `amount` undefined = there is no limit any more. */
  | {
      readonly code: 'within-limit'
      readonly resource: LimitedResource
      readonly amount: number | undefined
      readonly afterMs: number | undefined
    }
  | ({
      readonly code: 'over-limit-again'
      readonly restarts: number
      readonly windowMs: number
      readonly pauseMs: number
    } & Excess)

/** Why a start is at once. */
export type AtOnce =
  /** `isFirst`: it has never run. */
  | { readonly code: 'absent'; readonly isFirst: boolean }
  /** What stood in the way is gone. */
  | { readonly code: 'free' }
  | { readonly code: 'waited' }
  /** What it depends on is ready. */
  | { readonly code: 'ready-for-it' }
  | { readonly code: 'given-up'; readonly by: Supervisor }
  /** It was ended for that. */
  | { readonly code: 'planned'; readonly reason: Reason }
  /** The first restart in a row does not wait; `neverWaits`: none does. */
  | { readonly code: 'first-in-row'; readonly neverWaits: boolean }

/** What a look at a process that is well has changed; undefined = nothing. */
export interface Well {
  readonly code: 'well'
  readonly found: 'known' | 'adopted' | 'handed-over' | 'other-process'
  /** The process that was known before, when that was another one. */
  readonly before: number | undefined
  readonly hasRecovered: boolean
  readonly dependency: 'silent' | 'answers' | undefined
  readonly limits: LimitsNews | undefined
  /** It is being replaced from now on. */
  readonly replacing: Reason | undefined
}

/** A limit is exceeded, or kept again, or what is done about it has changed. */
export interface LimitsNews {
  readonly isExceeded: boolean
  /** What is used of those; none when there was no sample. */
  readonly exceeded: readonly Excess[]
  /** What is used of everything that is limited; none when there was no sample. */
  readonly used: readonly Amount[]
  /** Why what exceeds a limit goes on; undefined = it does not, or nothing holds its restart back. */
  readonly goesOn:
    | { readonly code: 'alert-only' }
    | { readonly code: 'supervised'; readonly by: Supervisor }
    | { readonly code: 'restarts-did-not-help'; readonly waitMs: number }
    | undefined
}

/** What was decided and why. */
type Act =
  /** Nothing worth telling: late news, nothing to do, or an outcome that comes by itself. */
  | { readonly code: 'quiet' }
  /** An order changes nothing. */
  | { readonly code: 'unchanged' }
  | ToldAct
  | Well
  | { readonly code: 'looked-first' }
  | { readonly code: 'starting'; readonly atOnce: AtOnce }
  | {
      readonly code: 'stopping'
      readonly pid: number
      readonly isRest: boolean
      readonly afterwards: 'restart' | 'start' | 'stay'
      readonly reason: Reason
    }
  | { readonly code: 'down' }
  /** A process that has just become the unit's is watched. */
  | { readonly code: 'watched' }
  /** A replacement did not take over. */
  | { readonly code: 'previous-kept' }

/** What a decision was and why; the journal is made from it. `failure`: what it counted as one. */
export type Cause = Act & { readonly failure?: Reason }
