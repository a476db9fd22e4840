import type { Subject } from '../../alert/incident-record.ts'
import type { ResourceLimits } from '../../config/resource-limits.ts'
import type { RestartPolicy } from '../../config/restart-policy.ts'
import type { ProcessIdentity } from '../../os/process-identity.ts'
import type { Shortage } from '../../os/shortage.ts'
import type { LogLevel } from '../../record/log-entry.ts'
import type { LimitsMemory, ResourceUsage } from '../../record/runtime-state.ts'
import type { Diagnosis } from '../diagnose.ts'
import type { Stray } from '../stray.ts'

/** Where a forward stands. */
export type ForwardPhase =
  /** The monitor has not looked yet. `stopWhy`: why whatever the look finds is to be ended; undefined = it is to run. */
  | { readonly id: 'unknown'; readonly stopWhy?: string }
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
      readonly why: string
      /** The process itself is gone; those that it has left behind are being ended. */
      readonly isRest?: boolean
    }
  | { readonly id: 'backoff'; readonly until: number; readonly why: string }
  | { readonly id: 'flapping'; readonly until: number; readonly why: string }
  /** Whoever runs it has to bring it back. Looked at often until `until`, then every round. */
  | { readonly id: 'awaiting'; readonly until: number; readonly why: string }
  /** Something that is not ours stands in the way. Looked at again every round. */
  | {
      readonly id: 'blocked'
      readonly why: string
      /** A forwarder of ours that cannot be asked just now, and since when. */
      readonly stray?: { readonly pid: number; readonly since: number }
    }
  /** Ended because somebody wanted it. `heldBy`: who holds its port all the same. */
  | { readonly id: 'down'; readonly heldBy?: string }

export type Replacement =
  | { readonly state: 'starting'; readonly why: string }
  /** It could not take over; the one that runs goes on. Not tried again by itself before `until`. */
  | { readonly state: 'failed'; readonly until: number }

export interface ForwardState {
  readonly phase: ForwardPhase
  /** Rises at every start; an answer that belongs to an earlier start is nobody's any more. */
  readonly generation: number
  /** Failures in a row. Only a healthy check sets it to zero. */
  readonly failures: number
  /** Restarts after a failure since this forward was first watched. */
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
  readonly lastFault: string | undefined
  /** What this machine lacks to start it; undefined while it lacks nothing. */
  readonly shortage: ShortageMemory | undefined
  readonly target: TargetMemory
  readonly limits: LimitsMemory
  /** Who starts its process again; undefined = this monitor does. */
  readonly supervisor: Supervised | undefined
}

/** A shortage that keeps a forward from being started. */
export interface ShortageMemory extends Shortage {
  /** Monotonic time of the first start that failed for it. */
  readonly since: number
  /** Starts that have failed for it. */
  readonly tries: number
  readonly isAlerted: boolean
}

export interface Supervised {
  readonly by: 'systemd'
  /** It was said that its options are not those that are configured. */
  readonly toldOfOptions: boolean
}

export interface TargetMemory {
  /** A target that has never answered is waited for; that is no fault. */
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

export const initialState: ForwardState = {
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
  target: { everAnswered: false, failures: 0, failingSince: undefined },
  limits: initialLimits,
  supervisor: undefined,
}

export interface LeftBehind {
  readonly identity: ProcessIdentity
  /** In words: `PID 4242 (node tcp-proxy.cjs)`. */
  readonly processes: readonly string[]
}

/** What was seen. `generation` is the start that the news belongs to. */
export type Observation =
  | {
      readonly kind: 'checked'
      readonly diagnosis: Diagnosis
      readonly optionsMatch: boolean
      readonly portHolder: string | undefined
      /** What it used within the last round; undefined when this look took no sample. */
      readonly usage?: ResourceUsage | undefined
      /** The process that is gone, and what it has left behind; undefined when that is nothing. */
      readonly leftBehind?: LeftBehind | undefined
      /** A forwarder of ours that serves the port without being this forward's; looked for when none is. */
      readonly stray?: Stray | undefined
    }
  | { readonly kind: 'started'; readonly generation: number; readonly identity: ProcessIdentity }
  | {
      readonly kind: 'start-failed'
      readonly generation: number
      readonly message: string
      readonly portTaken: boolean
      /** What this machine lacks for it, when that is why. */
      readonly shortage?: Shortage | undefined
    }
  /** The replacement took over, and the one before it only finishes its connections. */
  | { readonly kind: 'replaced'; readonly generation: number; readonly identity: ProcessIdentity }
  /**
   * It did not, and nothing has changed. `unsupported`: the forwarder that runs knows no handover. `under-way`: another replacement is
   * being started, or it is ending; its end, or the one that takes over, is news of its own.
   */
  | {
      readonly kind: 'replace-failed'
      readonly generation: number
      readonly message: string
      readonly reason: 'failed' | 'unsupported' | 'under-way'
    }
  /** The process is proven to be gone. `leftBehind`: processes of its session that are proven to be ours, in words. */
  | {
      readonly kind: 'died'
      readonly identity: ProcessIdentity
      readonly how: string
      readonly leftBehind?: readonly string[]
    }
  /**
   * A stop that was asked for has ended the process and all that it had started. `successor`: it had handed over to this one before it heard
   * of the stop. `portHolder`: who listens on its port still.
   */
  | {
      readonly kind: 'ended'
      readonly identity: ProcessIdentity
      readonly successor?: ProcessIdentity | undefined
      readonly portHolder?: string | undefined
    }
  /** A stop that was asked for could not end it, or not all that it had started: who is left, in words. */
  | { readonly kind: 'survived'; readonly identity: ProcessIdentity; readonly survivors: readonly string[] }
  /** A look could not be taken: what is there is not known. */
  | { readonly kind: 'unseen'; readonly why: string }
  /** The time asked for by a `wake` has come. */
  | { readonly kind: 'woken' }
  | { readonly kind: 'order'; readonly order: 'start' | 'stop' | 'restart'; readonly why: string }

/** What is to be done, as data. */
export type Effect =
  | { readonly kind: 'start'; readonly generation: number }
  /** The forwarder that runs starts its own replacement and hands over to it; answered by `replaced` or `replace-failed`. */
  | { readonly kind: 'replace'; readonly generation: number; readonly timeoutMs: number }
  /** Another forwarder of ours hands over to one with this monitor's state directory; answered by `started` or `start-failed`. */
  | {
      readonly kind: 'adopt'
      readonly generation: number
      readonly identity: ProcessIdentity
      readonly stateDirectory: string
      readonly timeoutMs: number
    }
  /** A forwarder of ours is asked (SIGHUP) to make its control socket anew. */
  | { readonly kind: 'ask-back'; readonly identity: ProcessIdentity }
  /** SIGTERM and SIGCONT to it and all that it has started, then after `killAfterMs` SIGKILL; answered by `ended` or `survived`. */
  | { readonly kind: 'stop'; readonly identity: ProcessIdentity; readonly killAfterMs: number }
  /** The process that was started and has not become ready is killed; nobody waits for it any more. */
  | { readonly kind: 'abandon-start' }
  | { readonly kind: 'remove-pid-file' }
  /** Look again now instead of at the next round. */
  | { readonly kind: 'check' }
  /** Come back with `woken` at this monotonic time. */
  | { readonly kind: 'wake'; readonly at: number }
  | { readonly kind: 'log'; readonly level: LogLevel; readonly message: string; readonly good: boolean }
  | {
      readonly kind: 'alert'
      readonly event: 'opened' | 'resolved' | 'flapping'
      readonly subject: Subject
      readonly message: string
    }

export interface Context {
  /** What the configuration calls the forward: how every message names it. */
  readonly name: string
  readonly port: number
  readonly target: string
  readonly policy: RestartPolicy
  readonly limits: ResourceLimits
  /** How long an ending forwarder may take over its connections, in ms. */
  readonly drainMs: number
  /** Monotonic ms. */
  readonly now: number
  /** From 0 up to 1; chosen anew for every decision. */
  readonly random: number
}

export interface Decision {
  readonly state: ForwardState
  readonly effects: readonly Effect[]
}
