import type { ResourceLimits } from '../../config/resource-limits.ts'
import type { RestartPolicy } from '../../config/restart-policy.ts'
import type { Shortage } from '../../os/shortage.ts'
import type { ProcessIdentity } from '../../process/identity.ts'
import type { ProcessEnd } from '../../process/start.ts'
import type { ProcessSummary } from '../../process/summary.ts'
import type { LimitedResource } from '../../record/limit-words.ts'
import { type LimitsMemory, phases, type ResourceUsage } from '../../record/shapes/runtime-state.ts'
import type { DetachedPolicy, Diagnosis, Fault, Stray } from '../unit.ts'
import type { Cause, Detached, News, Reason, Supervisor } from './cause.ts'

/** Where a unit stands. */
export type Phase =
  /**
   * The monitor has not looked yet. `stop`: why whatever the look finds is to be ended; undefined = it is to run. `drainMs` as in an order
   * to stop. `anew`: why what runs already is to be replaced.
   */
  | {
      readonly id: 'unknown'
      readonly stop?: Reason
      readonly drainMs?: number | undefined
      readonly anew?: Reason
    }
  | { readonly id: 'starting'; readonly deadline: number }
  | {
      readonly id: 'running'
      readonly identity: ProcessIdentity
      readonly since: number
      /** With which the chain of handovers began that led to it; itself when there was none, undefined when nobody knows. */
      readonly first?: ProcessIdentity | undefined
      /** A planned restart: another one is being started beside it, which it leaves its sockets to. */
      readonly replacement?: Replacement
    }
  | {
      readonly id: 'stopping'
      readonly identity: ProcessIdentity
      readonly afterwards: 'restart' | 'start' | 'stay'
      readonly why: Reason
      /** The process itself is gone; those that it has left behind are being ended. */
      readonly isRest?: boolean
      /** An order gives its work so many ms to finish, instead of the unit's own drain time. */
      readonly drainMs?: number | undefined
    }
  | { readonly id: 'backoff'; readonly until: number; readonly why: Reason }
  | { readonly id: 'flapping'; readonly until: number; readonly why: Reason }
  /**
   * Whoever runs it has to bring it back: looked at often until `until`, then every round. Or units that it depends on have to be ready first
   * (`waits-for`): looked at when they change, and every round.
   */
  | { readonly id: 'awaiting'; readonly until: number; readonly why: Reason }
  /** Something that is not ours stands in the way. Looked at again every round. */
  | {
      readonly id: 'blocked'
      readonly why: Reason
      /** A process that does the unit's work and cannot be asked just now, and since when. */
      readonly stray?: { readonly pid: number; readonly since: number }
    }
  /** Its process is gone, and others of its session are there, for which an order is waited: `fault` says why it is gone. */
  | {
      readonly id: 'detached'
      readonly identity: ProcessIdentity
      readonly fault: Reason
      readonly why: Detached
    }
  /** Ended because somebody wanted it. `heldBy`: who holds what it needs to itself all the same. */
  | { readonly id: 'down'; readonly heldBy?: ProcessSummary }

export type Replacement =
  /** `isHandOverOnly`: the one that runs is kept when it cannot hand over; else it is ended and started again. */
  | { readonly state: 'starting'; readonly why: Reason; readonly isHandOverOnly?: boolean }
  /** It could not take over; the one that runs goes on. Not tried again by itself before `until`. */
  | { readonly state: 'failed'; readonly until: number; readonly why: string }

export interface UnitState {
  readonly phase: Phase
  /** Rises at every start; an answer that belongs to an earlier start is nobody's any more. */
  readonly generation: number
  /** Failures in a row. Only a healthy check sets it to zero. */
  readonly failures: number
  /** Restarts after a failure since this unit was first watched. */
  readonly restarts: number
  /** Monotonic time of the last of them; undefined when there was none in this boot. */
  readonly lastRestartAt: number | undefined
  /** Restarts that somebody wanted, by an order, a signal or a change of options, and those because of a limit. */
  readonly plannedRestarts: number
  /** Monotonic times of the restarts within the flapping window. */
  readonly recentRestarts: readonly number[]
  /** How many waits have been doubled: 0 = the next restart does not wait. */
  readonly backoffLevel: number
  /** Since when every check has been healthy. */
  readonly healthySince: number | undefined
  /** When the failure that goes on began; undefined while there is none. */
  readonly failingSince: number | undefined
  /** Why it has failed the last time; undefined while it is well. */
  readonly lastFault: Reason | undefined
  /** What this machine lacks to start it; undefined while it lacks nothing. */
  readonly shortage: ShortageMemory | undefined
  readonly dependency: DependencyMemory
  readonly limits: LimitsMemory
  /** Who starts its process again; undefined = this monitor does. */
  readonly supervisor: Supervised | undefined
  /** It runs once, and has done its work; missing = no. */
  readonly completed?: true
}

/** Why a unit stands as it does; undefined while there is nothing to say. */
export function standingReason({
  phase,
  lastFault,
}: Pick<UnitState, 'phase' | 'lastFault'>): Reason | undefined {
  return 'why' in phase ? phase.why : lastFault
}

/** A shortage that keeps a unit from being started. */
export interface ShortageMemory extends Shortage {
  /** Monotonic time of the first start that failed for it. */
  readonly since: number
  /** Starts that have failed for it. */
  readonly tries: number
  readonly isAlerted: boolean
}

export interface Supervised {
  readonly by: Supervisor
  /** It was said that its options are not those that are configured. */
  readonly toldOfOptions: boolean
}

export interface DependencyMemory {
  /** A dependency that has never answered is waited for; that is no fault. */
  readonly everAnswered: boolean
  /** Checks in a row that found it unreachable after it had answered. */
  readonly failures: number
  readonly failingSince: number | undefined
}

const keptLimit = { over: 0, below: 0, exceededSince: null } as const

export const initialLimits: LimitsMemory = {
  pid: null,
  memory: keptLimit,
  cpu: keptLimit,
  backoffLevel: 0,
  restartedAt: [],
  restartNotBefore: null,
}

export const initialState: UnitState = {
  phase: { id: 'unknown' },
  generation: 0,
  failures: 0,
  restarts: 0,
  lastRestartAt: undefined,
  plannedRestarts: 0,
  recentRestarts: [],
  backoffLevel: 0,
  healthySince: undefined,
  failingSince: undefined,
  lastFault: undefined,
  shortage: undefined,
  dependency: { everAnswered: false, failures: 0, failingSince: undefined },
  limits: initialLimits,
  supervisor: undefined,
}

/** What a process that is gone has left behind. */
export interface LeftBehind {
  readonly identity: ProcessIdentity
  readonly processes: readonly ProcessSummary[]
}

/** What a trouble is about: the unit itself, what it depends on, or a limit. */
export type TroubleSubject = 'unit' | 'dependency' | LimitedResource

/** What was seen. `generation` is the start that the news belongs to. */
export type Observation =
  | {
      readonly kind: 'checked'
      readonly diagnosis: Diagnosis
      readonly optionsMatch: boolean
      /** Who holds what the unit needs to itself; undefined = nobody, or nobody has looked. */
      readonly holder?: ProcessSummary | undefined
      /** What it used within the last round; undefined when this look took no sample. */
      readonly usage?: ResourceUsage | undefined
      /** The process that is gone, and what it has left behind; undefined when that is nothing. */
      readonly leftBehind?: LeftBehind | undefined
      /** A process that does the unit's work without being the unit's; looked for when there is none. */
      readonly stray?: Stray | undefined
    }
  | { readonly kind: 'started'; readonly generation: number; readonly identity: ProcessIdentity }
  | {
      readonly kind: 'start-failed'
      readonly generation: number
      readonly fault: Fault
      /** Somebody else holds what the unit needs to itself. */
      readonly isBlocked: boolean
      /** Who that is, where it is known. */
      readonly holder?: ProcessSummary | undefined
      /** What this machine lacks for it, when that is why. */
      readonly shortage?: Shortage | undefined
      /** What its process printed last; missing = nothing, or nobody reads it. */
      readonly said?: string | undefined
    }
  /** The replacement took over, and the one before it only finishes its connections. */
  | { readonly kind: 'replaced'; readonly generation: number; readonly identity: ProcessIdentity }
  /**
   * It did not, and nothing has changed. `unsupported`: the process that runs knows no handover. `under-way`: another replacement is
   * being started, or it is ending; its end, or the one that takes over, is news of its own.
   */
  | {
      readonly kind: 'replace-failed'
      readonly generation: number
      readonly message: string
      readonly reason: 'failed' | 'unsupported' | 'under-way'
    }
  /** The process is proven to be gone. `leftBehind`: processes of its session that are proven to be ours. */
  | {
      readonly kind: 'died'
      readonly identity: ProcessIdentity
      /** Undefined = nobody saw how it ended. */
      readonly end?: ProcessEnd | undefined
      readonly leftBehind?: readonly ProcessSummary[]
      readonly said?: string | undefined
    }
  /**
   * A stop that was asked for has ended the process and all that it had started. `successor`: it had handed over to this one before it heard
   * of the stop. `holder`: who still holds what the unit needs to itself.
   */
  | {
      readonly kind: 'ended'
      readonly identity: ProcessIdentity
      readonly successor?: ProcessIdentity | undefined
      readonly holder?: ProcessSummary | undefined
    }
  /** A stop that was asked for could not end it, or not all that it had started: who is left. */
  | {
      readonly kind: 'survived'
      readonly identity: ProcessIdentity
      readonly survivors: readonly ProcessSummary[]
    }
  /** A look could not be taken: what is there is not known. */
  | { readonly kind: 'unseen'; readonly why: string }
  /** The time asked for by a `wake` has come. */
  | {
      readonly kind: 'woken'
      readonly said?: string | undefined
      /** What a start that is under way still lacks; missing = nobody knows, or none is under way. */
      readonly lacks?: Fault | undefined
    }
  | {
      readonly kind: 'order'
      readonly order: UnitOrder
      readonly why: string
      /** With `stop`, and `restart` of what is ended for it: ms that its work has to finish; undefined = the unit's own drain time. */
      readonly drainMs?: number | undefined
    }

/**
 * What can be ordered of a unit. `restart` replaces what runs, or starts what does not; `hand-over` only does the first, and never cuts a
 * connection; `retry` ends every wait. `renew`: what its process is made of has changed. One that runs, starts, waits for its next try or has
 * done its work is started again; one that somebody has stopped stays down.
 */
export type UnitOrder = 'start' | 'stop' | 'restart' | 'hand-over' | 'retry' | 'renew' | 'adopt' | 'end'

const [unknown, ...known] = phases

/** The columns of `transitions.ts`: the phases, the first one in two. `unwanted` = not looked at yet, and to be ended. */
export const columns = [unknown, 'unwanted', ...known] as const

export type Column = (typeof columns)[number]

interface Unwanted {
  readonly id: 'unknown'
  readonly stop: Reason
  readonly drainMs?: number | undefined
}

/** A unit in one of these columns. */
export type In<C extends Column> = Omit<UnitState, 'phase'> & {
  readonly phase: C extends 'unwanted' ? Unwanted : Extract<Phase, { id: C }>
}

/** One kind of observation. */
export type Seen<K extends Observation['kind']> = Extract<Observation, { kind: K }>

/** A look with one of these results. */
export type Looked<C extends Diagnosis['condition']> = Omit<Seen<'checked'>, 'diagnosis'> & {
  readonly diagnosis: Extract<Diagnosis, { condition: C }>
}

export type OrderSeen = Seen<'order'>

/** What is to be done, as data. */
export type Effect =
  | { readonly kind: 'start'; readonly generation: number }
  /** The process that runs starts its own replacement and hands over to it; answered by `replaced` or `replace-failed`. */
  | { readonly kind: 'replace'; readonly generation: number; readonly timeoutMs: number }
  /** A stray process hands over to one with this monitor's state directory; answered by `started` or `start-failed`. */
  | {
      readonly kind: 'adopt'
      readonly generation: number
      readonly identity: ProcessIdentity
      readonly stateDirectory: string
      readonly timeoutMs: number
    }
  /** What a process that is gone has left behind becomes the unit's; answered by `started` or `start-failed`. */
  | { readonly kind: 'take-rest'; readonly generation: number; readonly identity: ProcessIdentity }
  /** A stray process is asked to make its control socket anew. */
  | { readonly kind: 'ask-back'; readonly identity: ProcessIdentity }
  /**
   * SIGTERM and SIGCONT to it and all that it has started, then after `killAfterMs` SIGKILL; answered by `ended` or `survived`. `drainMs`:
   * first it takes no more work and gets that time to finish what it has.
   */
  | {
      readonly kind: 'stop'
      readonly identity: ProcessIdentity
      readonly killAfterMs: number
      readonly drainMs?: number | undefined
    }
  /** The process that was started and has not become ready is killed; nobody waits for it any more. */
  | { readonly kind: 'abandon-start' }
  | { readonly kind: 'remove-pid-file' }
  /** Look again now instead of at the next round. */
  | { readonly kind: 'check' }
  /** Come back with `woken` at this monotonic time. */
  | { readonly kind: 'wake'; readonly at: number }
  | { readonly kind: 'log'; readonly news: News }
  | {
      readonly kind: 'alert'
      readonly event: 'opened' | 'resolved' | 'flapping'
      readonly subject: TroubleSubject
      readonly news: News
    }

export interface Context {
  readonly policy: RestartPolicy
  readonly limits: ResourceLimits
  /** How long an ending process may take over its work, in ms. */
  readonly drainMs: number
  /** It runs once: an end with exit code 0 is no death. Missing = no. */
  readonly runsOnce?: boolean
  /** What becomes of processes that its own has left behind; missing = they are ended. */
  readonly onDetached?: DetachedPolicy
  /** Its process can hand over to another one; missing = yes. */
  readonly canHandOver?: boolean
  /** The units that must be ready before it is started and are not, by their names; missing = none. */
  readonly waitsFor?: readonly string[]
  /** The process of the start that is under way; missing = there is none. */
  readonly starting?: ProcessIdentity | undefined
  /** Monotonic ms. */
  readonly now: number
  /** From 0 up to 1; chosen anew for every decision. */
  readonly random: number
}

export interface Decision {
  readonly state: UnitState
  readonly effects: readonly Effect[]
  /** What it was and why, as data: what the journal tells. */
  readonly cause: Cause
}
