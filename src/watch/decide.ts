import type { RestartPolicy } from '../config/restart-policy.ts'
import type { ProcessIdentity } from '../os/process-identity.ts'
import type { ForwarderHealth } from '../record/forwarder-health.ts'
import type { LogLevel } from '../record/log-entry.ts'
import type { Diagnosis, Fault } from './diagnose.ts'

/**
 * All judgement about one forward, as a pure function: what is known and what was seen go in, what is known now and what is to be
 * done come out. Time and chance are values. Nothing else starts, ends or counts anything.
 *
 *                    ┌────────────── healthy ──────────────┐
 *                    │                                     ▼
 *   unknown ──dead──▶ starting ──started──▶ running ──order stop──▶ stopping ──▶ down
 *      │                ▲  │       (replace)──▶│ ▲                    │
 *      │ (adopts)       │  │ start failed      │ └─ order restart ────┤
 *      └──healthy──▶ running                   │                      │
 *                       │  ▼            dead   ▼  faulty              │
 *                    backoff ◀──────────── (failure) ──▶ stopping ────┘
 *                    flapping ◀─ too many restarts      blocked ◀─ port taken, or a process that is not proven
 *
 * A forward whose process systemd runs is watched all the same, but started by systemd alone: every road to `starting` leads to
 * `awaiting` instead, and an order that would end it for good is not carried out.
 */
export type ForwardPhase =
  /** The monitor has not looked yet. */
  | { readonly id: 'unknown' }
  | { readonly id: 'starting'; readonly deadline: number }
  | {
      readonly id: 'running'
      readonly identity: ProcessIdentity
      readonly since: number
      /** A planned restart: another one is being started beside it, which it leaves its sockets to. */
      readonly replacement?: Replacement
    }
  | {
      readonly id: 'stopping'
      readonly identity: ProcessIdentity
      readonly afterwards: 'restart' | 'start' | 'stay'
      readonly why: string
    }
  | { readonly id: 'backoff'; readonly until: number; readonly why: string }
  | { readonly id: 'flapping'; readonly until: number; readonly why: string }
  /** Whoever runs it has to bring it back. Looked at often until `until`, then every round. */
  | { readonly id: 'awaiting'; readonly until: number; readonly why: string }
  /** Something that is not ours stands in the way. Looked at again every round. */
  | { readonly id: 'blocked'; readonly why: string }
  /** Ended because somebody wanted it. */
  | { readonly id: 'down' }

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
  /** Restarts since this forward was first watched. */
  readonly restarts: number
  /** Monotonic times of the restarts within the flapping window. */
  readonly recentRestarts: readonly number[]
  /** How many waits have been doubled: 0 = the next restart does not wait. */
  readonly backoffLevel: number
  /** Since when every check has been healthy. */
  readonly healthySince: number | undefined
  /** When the failure that goes on began; undefined while there is none. */
  readonly failingSince: number | undefined
  readonly lastFault: string | undefined
  readonly target: TargetMemory
  /** Who starts its process again; undefined = this monitor does. */
  readonly supervisor: Supervised | undefined
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

export const initialState: ForwardState = {
  phase: { id: 'unknown' },
  generation: 0,
  failures: 0,
  restarts: 0,
  recentRestarts: [],
  backoffLevel: 0,
  healthySince: undefined,
  failingSince: undefined,
  lastFault: undefined,
  target: { everAnswered: false, failures: 0, failingSince: undefined },
  supervisor: undefined,
}

/** ms between two looks for a process that somebody else is about to start. */
const lookForItEveryMs = 250

/** What was seen. `generation` is the start that the news belongs to. */
export type Observation =
  | {
      readonly kind: 'checked'
      readonly diagnosis: Diagnosis
      readonly optionsMatch: boolean
      readonly portHolder: string | undefined
    }
  | { readonly kind: 'started'; readonly generation: number; readonly identity: ProcessIdentity }
  | {
      readonly kind: 'start-failed'
      readonly generation: number
      readonly message: string
      readonly portTaken: boolean
    }
  /** The replacement took over, and the one before it only finishes its connections. */
  | { readonly kind: 'replaced'; readonly generation: number; readonly identity: ProcessIdentity }
  /** It did not, and nothing has changed. `unsupported`: the forwarder that runs knows no handover. */
  | {
      readonly kind: 'replace-failed'
      readonly generation: number
      readonly message: string
      readonly unsupported: boolean
    }
  /** The process is proven to be gone. */
  | { readonly kind: 'died'; readonly identity: ProcessIdentity; readonly how: string }
  /** A stop that was asked for has ended the process. */
  | { readonly kind: 'ended'; readonly identity: ProcessIdentity }
  /** A stop that was asked for could not end it. */
  | { readonly kind: 'survived'; readonly identity: ProcessIdentity }
  /** The time asked for by a `wake` has come. */
  | { readonly kind: 'woken' }
  | { readonly kind: 'order'; readonly order: 'start' | 'stop' | 'restart'; readonly why: string }

/** What is to be done, as data. */
export type Effect =
  | { readonly kind: 'start'; readonly generation: number }
  /** The forwarder that runs starts its own replacement and hands over to it; answered by `replaced` or `replace-failed`. */
  | { readonly kind: 'replace'; readonly generation: number; readonly timeoutMs: number }
  /** SIGTERM and SIGCONT, then after `killAfterMs` SIGKILL; answered by `ended` or `survived`. */
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
      readonly subject: 'forward' | 'target'
      readonly message: string
    }

export interface Context {
  readonly port: number
  readonly target: string
  readonly policy: RestartPolicy
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

export function decide(state: ForwardState, observation: Observation, context: Context): Decision {
  switch (observation.kind) {
    case 'checked':
      return checked(state, observation, context)
    case 'started':
      return started(state, observation, context)
    case 'start-failed':
      return startFailed(state, observation, context)
    case 'replaced':
      return replaced(state, observation, context)
    case 'replace-failed':
      return replaceFailed(state, observation, context)
    case 'died':
      return died(state, observation, context)
    case 'ended':
      return ended(state, observation, context)
    case 'survived':
      return survived(state, observation, context)
    case 'woken':
      return woken(state, context)
    case 'order':
      return ordered(state, observation, context)
  }
}

function checked(
  state: ForwardState,
  seen: Extract<Observation, { kind: 'checked' }>,
  context: Context,
): Decision {
  const { diagnosis } = seen
  switch (state.phase.id) {
    // The outcome of a start or a stop is an event of its own.
    case 'starting':
    case 'stopping':
      return nothing(state)
    case 'down':
      return diagnosis.condition === 'dead'
        ? clearStale(state, diagnosis.stalePidFile, context)
        : nothing(state)
    case 'unknown':
    case 'running':
    case 'backoff':
    case 'flapping':
    case 'awaiting':
    case 'blocked':
      return judged(state, seen, context)
  }
}

function judged(
  state: ForwardState,
  seen: Extract<Observation, { kind: 'checked' }>,
  context: Context,
): Decision {
  const { diagnosis, optionsMatch, portHolder } = seen
  switch (diagnosis.condition) {
    case 'draining':
      return nothing(state)
    case 'healthy':
      return healthy(state, diagnosis.health, optionsMatch, diagnosis.stalePidFile, context)
    case 'faulty':
      return faulty(state, diagnosis.fault, diagnosis.identity, context)
    case 'unverifiable':
      return blocked(state, diagnosis.words, context)
    case 'dead':
      return foundDead(state, diagnosis.fault, diagnosis.stalePidFile, portHolder, context)
  }
}

function healthy(
  state: ForwardState,
  health: ForwarderHealth,
  optionsMatch: boolean,
  stalePidFile: string | undefined,
  context: Context,
): Decision {
  const { port, now, policy } = context
  const known = state.phase.id === 'running' && state.phase.identity.pid === health.identity.pid
  const effects: Effect[] = []
  if (stalePidFile !== undefined) effects.push(...staleEffects(stalePidFile, port))
  if (!known) {
    effects.push(good(`Proxy for port ${port} is already running (PID: ${health.identity.pid}), adopted`))
  }
  const phase: ForwardPhase = known
    ? state.phase
    : { id: 'running', identity: health.identity, since: now - health.uptimeMs }
  const healthySince = state.healthySince ?? now
  const isReset = now - healthySince >= policy.resetAfterMs
  effects.push(...recovered(state, context))
  const supervisor = supervisorNow(state, health)
  const seen: ForwardState = {
    ...state,
    supervisor,
    phase,
    failures: 0,
    failingSince: undefined,
    lastFault: undefined,
    healthySince,
    backoffLevel: isReset ? 0 : state.backoffLevel,
  }
  const withTarget = judgeTarget(seen, health, context)
  const all = [...effects, ...withTarget.effects]
  if (supervisor !== undefined)
    return prepend(all, judgeSupervisedOptions(withTarget.state, supervisor, optionsMatch, context))
  if (optionsMatch || !mayReplace(phase, now)) return { state: withTarget.state, effects: all }
  return prepend(all, replace(withTarget.state, 'its options have changed', context))
}

function supervisorNow({ supervisor }: ForwardState, health: ForwarderHealth): Supervised | undefined {
  // A forwarder of an older version does not say.
  const by = health.supervisor ?? undefined
  if (by === undefined || supervisor?.by === by) return by && supervisor
  return { by, toldOfOptions: false }
}

/** What its unit says is for whoever wrote the unit to change: ending it would bring it back as it was. */
function judgeSupervisedOptions(
  state: ForwardState,
  supervisor: Supervised,
  optionsMatch: boolean,
  { port }: Context,
): Decision {
  if (optionsMatch === !supervisor.toldOfOptions) return nothing(state)
  return {
    state: { ...state, supervisor: { ...supervisor, toldOfOptions: !optionsMatch } },
    effects: optionsMatch
      ? []
      : [
          warn(
            `Proxy for port ${port} is run by ${supervisor.by} with other options than are configured here; they are its unit's and left as they are`,
          ),
        ],
  }
}

function recovered(state: ForwardState, { port, now, policy }: Context): Effect[] {
  if (state.failures < policy.failureThreshold && state.phase.id !== 'flapping') return []
  const lasted = state.failingSince === undefined ? '' : ` after ${seconds(now - state.failingSince)}`
  return [alert('resolved', 'forward', `Proxy for port ${port} works again${lasted}`)]
}

/** A target that refuses is said and alerted; the forwarder is left alone, because a restart cannot mend it. */
function judgeTarget(state: ForwardState, health: ForwarderHealth, context: Context): Decision {
  const { port, target, now, policy } = context
  const memory = state.target
  switch (health.target.state) {
    case 'unknown':
      return nothing(state)
    case 'reachable': {
      const lasted = memory.failingSince === undefined ? '' : ` after ${seconds(now - memory.failingSince)}`
      const effects: Effect[] = []
      if (memory.failures >= policy.failureThreshold) {
        effects.push(alert('resolved', 'target', `Target ${target} of port ${port} answers again${lasted}`))
      } else if (memory.failures > 0) {
        effects.push(good(`Target ${target} of port ${port} answers again${lasted}`))
      }
      return {
        state: { ...state, target: { everAnswered: true, failures: 0, failingSince: undefined } },
        effects,
      }
    }
    case 'waiting':
    case 'unreachable': {
      if (!memory.everAnswered && health.target.state === 'waiting') return nothing(state)
      const failures = memory.failures + 1
      const failingSince = memory.failingSince ?? now
      const what = `Target ${target} of port ${port} does not answer: ${health.target.lastError} (failure #${failures})`
      const effects: Effect[] = failures <= policy.failureThreshold ? [bad(what)] : []
      if (failures === policy.failureThreshold) {
        effects.push(alert('opened', 'target', `${what}; the forwarder works, the target must be started`))
      }
      return { state: { ...state, target: { everAnswered: true, failures, failingSince } }, effects }
    }
  }
}

function faulty(state: ForwardState, fault: Fault, identity: ProcessIdentity, context: Context): Decision {
  const failed = countFailure(state, fault.words, context)
  return prepend(failed.effects, stop(failed.state, identity, 'restart', fault.words, context))
}

function foundDead(
  state: ForwardState,
  fault: Fault,
  stalePidFile: string | undefined,
  portHolder: string | undefined,
  context: Context,
): Decision {
  const cleared = clearStale(state, stalePidFile, context)
  switch (state.phase.id) {
    case 'unknown':
      if (state.supervisor !== undefined)
        return prepend(cleared.effects, awaitSupervisor(state, state.supervisor, context))
      // Never started is no failure; a PID file that was left behind tells of one.
      if (stalePidFile === undefined) {
        const line = info(`Proxy for port ${context.port} is not running, starting it`)
        return prepend([...cleared.effects, line], start(state, context, 'first'))
      }
      return prepend(cleared.effects, failAndRestart(state, fault.words, context))
    case 'running':
      return prepend(cleared.effects, failAndRestart(state, fault.words, context))
    case 'blocked':
      if (portHolder === undefined) return prepend(cleared.effects, start(state, context))
      return prepend(
        cleared.effects,
        blocked(
          state,
          state.phase.why.includes(portHolder) ? state.phase.why : `the port is taken by ${portHolder}`,
          context,
        ),
      )
    case 'backoff':
    case 'flapping':
      return prepend(cleared.effects, startIfDue(state, state.phase.until, context))
    case 'awaiting':
      return prepend(cleared.effects, stillAwaited(state, state.phase, portHolder, context))
    case 'starting':
    case 'stopping':
    case 'down':
      return cleared
  }
}

function started(
  state: ForwardState,
  seen: Extract<Observation, { kind: 'started' }>,
  context: Context,
): Decision {
  if (state.phase.id !== 'starting' || seen.generation !== state.generation) return nothing(state)
  const { pid } = seen.identity
  return {
    state: {
      ...state,
      phase: { id: 'running', identity: seen.identity, since: context.now },
      healthySince: undefined,
    },
    effects: [good(`Proxy for port ${context.port} started successfully (PID: ${pid})`), { kind: 'check' }],
  }
}

function startFailed(
  state: ForwardState,
  seen: Extract<Observation, { kind: 'start-failed' }>,
  context: Context,
): Decision {
  if (state.phase.id !== 'starting' || seen.generation !== state.generation) return nothing(state)
  const failed = countFailure(state, `could not be started: ${seen.message}`, context)
  if (seen.portTaken) {
    // The failure has been told; that it is looked at again every round stands in the status.
    return {
      state: { ...failed.state, phase: { id: 'blocked', why: seen.message } },
      effects: failed.effects,
    }
  }
  return prepend(failed.effects, planRestart(failed.state, seen.message, context))
}

/** Not while one is under way, nor soon again after one that failed. */
function mayReplace(phase: ForwardPhase, now: number): boolean {
  if (phase.id !== 'running' || phase.replacement === undefined) return phase.id === 'running'
  return phase.replacement.state === 'failed' && now >= phase.replacement.until
}

/** A planned restart: the new one is started beside the old one, which ends only when the new one works. Nobody is refused. */
function replace(state: ForwardState, why: string, { port, policy }: Context): Decision {
  if (state.phase.id !== 'running') return nothing(state)
  const generation = state.generation + 1
  return {
    state: { ...state, generation, phase: { ...state.phase, replacement: { state: 'starting', why } } },
    effects: [
      info(`Proxy for port ${port} is being replaced: ${why}`),
      { kind: 'replace', generation, timeoutMs: policy.startTimeoutMs },
    ],
  }
}

function replaced(
  state: ForwardState,
  seen: Extract<Observation, { kind: 'replaced' }>,
  context: Context,
): Decision {
  const { phase } = state
  if (seen.generation !== state.generation) return nothing(state)
  // It was ordered down in the same instant.
  if (phase.id === 'stopping' && phase.afterwards === 'stay') {
    return stop(state, seen.identity, 'stay', phase.why, context)
  }
  if (phase.id !== 'running' && phase.id !== 'stopping') return nothing(state)
  return {
    state: {
      ...state,
      phase: { id: 'running', identity: seen.identity, since: context.now },
      restarts: state.restarts + 1,
      healthySince: undefined,
    },
    effects: [
      good(`Proxy for port ${context.port} was handed over to PID ${seen.identity.pid}`),
      { kind: 'check' },
    ],
  }
}

function replaceFailed(
  state: ForwardState,
  seen: Extract<Observation, { kind: 'replace-failed' }>,
  context: Context,
): Decision {
  const { phase } = state
  if (phase.id !== 'running' || phase.replacement?.state !== 'starting') return nothing(state)
  if (seen.generation !== state.generation) return nothing(state)
  if (seen.unsupported) return stop(state, phase.identity, 'start', phase.replacement.why, context)
  const until = context.now + context.policy.backoffLimitMs
  return {
    state: { ...state, phase: { ...phase, replacement: { state: 'failed', until } } },
    effects: [
      bad(
        `Proxy for port ${context.port} could not be replaced: ${seen.message}; PID ${phase.identity.pid} goes on as it is`,
      ),
    ],
  }
}

function died(state: ForwardState, seen: Extract<Observation, { kind: 'died' }>, context: Context): Decision {
  if (state.phase.id === 'stopping') return ended(state, { kind: 'ended', identity: seen.identity }, context)
  if (state.phase.id !== 'running' || state.phase.identity.pid !== seen.identity.pid) return nothing(state)
  const cleared = staleEffects(`PID ${seen.identity.pid} ${seen.how}`, context.port)
  return prepend(
    cleared,
    failAndRestart(state, `is not running: PID ${seen.identity.pid} ${seen.how}`, context),
  )
}

function ended(
  state: ForwardState,
  seen: Extract<Observation, { kind: 'ended' }>,
  context: Context,
): Decision {
  const { phase } = state
  if (phase.id !== 'stopping' || phase.identity.pid !== seen.identity.pid) return nothing(state)
  const effects: Effect[] = [
    { kind: 'remove-pid-file' },
    info(`Proxy for port ${context.port} was ended (PID: ${seen.identity.pid}): ${phase.why}`),
  ]
  switch (phase.afterwards) {
    case 'stay':
      return { state: { ...state, phase: { id: 'down' }, healthySince: undefined }, effects }
    case 'start':
      return prepend(effects, start(state, context))
    case 'restart':
      return prepend(effects, planRestart(state, phase.why, context))
  }
}

function survived(
  state: ForwardState,
  seen: Extract<Observation, { kind: 'survived' }>,
  context: Context,
): Decision {
  if (state.phase.id !== 'stopping' || state.phase.identity.pid !== seen.identity.pid) return nothing(state)
  return blocked(state, `PID ${seen.identity.pid} does not end, not even by SIGKILL`, context)
}

function woken(state: ForwardState, context: Context): Decision {
  switch (state.phase.id) {
    case 'backoff':
    case 'flapping':
      return startIfDue(state, state.phase.until, context)
    case 'starting':
      if (context.now < state.phase.deadline) return nothing(state)
      return startTimedOut(state, context)
    case 'awaiting':
      return lookForIt(state, state.phase.until, context)
    case 'blocked':
    case 'unknown':
    case 'running':
    case 'stopping':
    case 'down':
      return nothing(state)
  }
}

function startTimedOut(state: ForwardState, context: Context): Decision {
  const { generation } = state
  const message = `not ready within ${seconds(context.policy.startTimeoutMs)}`
  const failed = startFailed(state, { kind: 'start-failed', generation, message, portTaken: false }, context)
  return prepend([{ kind: 'abandon-start' }], failed)
}

function ordered(
  state: ForwardState,
  seen: Extract<Observation, { kind: 'order' }>,
  context: Context,
): Decision {
  switch (seen.order) {
    case 'start':
      return startOnOrder(state, context)
    case 'stop':
    case 'restart':
      return endOnOrder(state, seen.order, seen.why, context)
  }
}

function startOnOrder(state: ForwardState, context: Context): Decision {
  if (state.phase.id === 'down') return start(state, context)
  // It is still ending: what was ordered last counts.
  if (state.phase.id === 'stopping' && state.phase.afterwards === 'stay') {
    return { state: { ...state, phase: { ...state.phase, afterwards: 'start' } }, effects: [] }
  }
  return nothing(state)
}

function endOnOrder(state: ForwardState, order: 'stop' | 'restart', why: string, context: Context): Decision {
  const afterwards = order === 'stop' ? 'stay' : 'start'
  switch (state.phase.id) {
    case 'running':
      if (state.supervisor !== undefined) return leftToSupervisor(state, state.supervisor, order, context)
      if (order === 'stop') return stop(state, state.phase.identity, 'stay', why, context)
      return state.phase.replacement?.state === 'starting' ? nothing(state) : replace(state, why, context)
    case 'stopping':
      return { state: { ...state, phase: { ...state.phase, afterwards, why } }, effects: [] }
    case 'starting':
      if (order === 'restart') return nothing(state)
      return { state: { ...state, phase: { id: 'down' } }, effects: [{ kind: 'abandon-start' }] }
    case 'unknown':
    case 'awaiting':
    case 'blocked':
      // Whether a process is there is not known: looking comes before starting.
      if (order === 'restart') return { state, effects: [{ kind: 'check' }] }
      return { state: { ...state, phase: { id: 'down' } }, effects: [] }
    case 'backoff':
    case 'flapping':
    case 'down':
      return order === 'restart'
        ? start(state, context)
        : { state: { ...state, phase: { id: 'down' } }, effects: [] }
  }
}

/** It would be back at once: whoever wants it down, or anew, tells systemd. */
function leftToSupervisor(
  state: ForwardState,
  { by }: Supervised,
  order: 'stop' | 'restart',
  { port }: Context,
): Decision {
  const line = info(`Proxy for port ${port} is run by ${by} and goes on; systemctl ends or restarts it`)
  if (order === 'restart') return { state, effects: [line] }
  return { state: { ...state, phase: { id: 'down' }, healthySince: undefined }, effects: [line] }
}

function awaitSupervisor(state: ForwardState, { by }: Supervised, { now, port, policy }: Context): Decision {
  const until = now + policy.startTimeoutMs
  return {
    state: { ...state, phase: { id: 'awaiting', until, why: `${by} runs it and starts it again` } },
    effects: [
      info(`Proxy for port ${port} is run by ${by}, which starts it again`),
      { kind: 'wake', at: Math.min(until, now + lookForItEveryMs) },
    ],
  }
}

function lookForIt(state: ForwardState, until: number, { now }: Context): Decision {
  const next: Effect[] = now < until ? [{ kind: 'wake', at: Math.min(until, now + lookForItEveryMs) }] : []
  return { state, effects: [{ kind: 'check' }, ...next] }
}

/** While somebody holds the port, starting it is not for this monitor. A port that is free has been given up. */
function stillAwaited(
  state: ForwardState,
  phase: Extract<ForwardPhase, { id: 'awaiting' }>,
  portHolder: string | undefined,
  context: Context,
): Decision {
  const { now, policy, port } = context
  if (now < phase.until || state.supervisor === undefined) return nothing(state)
  const { by } = state.supervisor
  if (portHolder === undefined) {
    const line = warn(
      `Proxy for port ${port} was not started again by ${by}, and the port is free: starting it here`,
    )
    return prepend([line], start({ ...state, supervisor: undefined }, context))
  }
  const failed = countFailure(state, `was not started again by ${by}`, context)
  const why = `${by} has not started it again; the port is held by ${portHolder}`
  return {
    state: { ...failed.state, phase: { id: 'awaiting', until: now + policy.startTimeoutMs, why } },
    effects: failed.effects,
  }
}

function failAndRestart(state: ForwardState, words: string, context: Context): Decision {
  const failed = countFailure(state, words, context)
  return prepend(failed.effects, planRestart(failed.state, words, context))
}

function countFailure(state: ForwardState, words: string, context: Context): Decision {
  const { port, now, policy } = context
  const failures = state.failures + 1
  const what = `Proxy for port ${port} ${words} (failure #${failures})`
  const effects: Effect[] = [bad(what)]
  if (failures === policy.failureThreshold) effects.push(alert('opened', 'forward', what))
  return {
    state: {
      ...state,
      failures,
      failingSince: state.failingSince ?? now,
      healthySince: undefined,
      lastFault: words,
    },
    effects,
  }
}

/** The first restart is at once; those that follow wait longer and longer; too many pause. There is always a next one. */
function planRestart(state: ForwardState, why: string, context: Context): Decision {
  const { policy, now, port, random } = context
  const recentRestarts = state.recentRestarts.filter((at) => now - at < policy.flappingWindowMs)
  const pruned = { ...state, recentRestarts }
  // How soon and how often is for it to say.
  if (pruned.supervisor !== undefined) return start(pruned, context)
  if (policy.flappingRestarts > 0 && recentRestarts.length >= policy.flappingRestarts) {
    const until = now + policy.flappingPauseMs
    const message =
      `Proxy for port ${port} is flapping: ${recentRestarts.length} restarts within ` +
      `${seconds(policy.flappingWindowMs)}; restarts pause for ${seconds(policy.flappingPauseMs)}, ${why}`
    return {
      state: { ...pruned, phase: { id: 'flapping', until, why } },
      effects: [alert('flapping', 'forward', message), { kind: 'wake', at: until }],
    }
  }
  const delay = backoffDelay(state.backoffLevel, policy, random)
  const next = { ...pruned, backoffLevel: state.backoffLevel + 1 }
  if (delay === 0) return start(next, context)
  const until = now + delay
  return {
    state: { ...next, phase: { id: 'backoff', until, why } },
    effects: [
      info(`Proxy for port ${port} is started again in ${seconds(delay)}`),
      { kind: 'wake', at: until },
    ],
  }
}

/** Doubling with jitter between one half and the whole, so that many that died together do not come back together. */
function backoffDelay(level: number, policy: RestartPolicy, random: number): number {
  if (level === 0 || policy.backoffMs === 0) return 0
  const whole = Math.min(policy.backoffLimitMs, policy.backoffMs * 2 ** Math.min(level - 1, 30))
  return Math.max(1, Math.round(whole * (0.5 + random / 2)))
}

function startIfDue(state: ForwardState, until: number, context: Context): Decision {
  return context.now < until ? nothing(state) : start(state, context)
}

/** @param count whether it follows a failure or an order, and so counts as a restart. */
function start(state: ForwardState, context: Context, count: 'first' | 'again' = 'again'): Decision {
  const { now, policy } = context
  const isFirst = count === 'first'
  const counted: ForwardState = {
    ...state,
    restarts: isFirst ? state.restarts : state.restarts + 1,
    recentRestarts: isFirst ? state.recentRestarts : [...state.recentRestarts, now],
  }
  if (state.supervisor !== undefined) return awaitSupervisor(counted, state.supervisor, context)
  const generation = state.generation + 1
  const deadline = now + policy.startTimeoutMs
  return {
    state: { ...counted, generation, phase: { id: 'starting', deadline } },
    effects: [
      { kind: 'start', generation },
      { kind: 'wake', at: deadline },
    ],
  }
}

function stop(
  state: ForwardState,
  identity: ProcessIdentity,
  afterwards: 'restart' | 'start' | 'stay',
  why: string,
  { policy, drainMs }: Context,
): Decision {
  // One that is hung will not finish its connections; one that is well may.
  const killAfterMs = afterwards === 'restart' ? policy.killAfterMs : drainMs + policy.killAfterMs
  return {
    state: { ...state, phase: { id: 'stopping', identity, afterwards, why } },
    effects: [{ kind: 'stop', identity, killAfterMs }],
  }
}

/** Something stands in the way: every round that finds it there is a failure, said once and alerted as any other. */
function blocked(state: ForwardState, why: string, { port, now, policy }: Context): Decision {
  const isNews = state.phase.id !== 'blocked' || state.phase.why !== why
  const failures = state.failures + 1
  const what = `Proxy for port ${port} cannot be started: ${why}`
  const effects: Effect[] = isNews ? [bad(`${what}; looking again every round (failure #${failures})`)] : []
  if (failures === policy.failureThreshold)
    effects.push(alert('opened', 'forward', `${what} (failure #${failures})`))
  return {
    state: {
      ...state,
      phase: { id: 'blocked', why },
      failures,
      failingSince: state.failingSince ?? now,
      healthySince: undefined,
      lastFault: `cannot be started: ${why}`,
    },
    effects,
  }
}

function clearStale(state: ForwardState, why: string | undefined, { port }: Context): Decision {
  return { state, effects: why === undefined ? [] : staleEffects(why, port) }
}

function staleEffects(why: string, port: number): Effect[] {
  return [
    {
      kind: 'log',
      level: 'warn',
      message: `Stale PID file found for port ${port}, removing... (${why})`,
      good: false,
    },
    { kind: 'remove-pid-file' },
  ]
}

const nothing = (state: ForwardState): Decision => ({ state, effects: [] })

const prepend = (effects: readonly Effect[], decision: Decision): Decision => ({
  state: decision.state,
  effects: [...effects, ...decision.effects],
})

const warn = (message: string): Effect => ({ kind: 'log', level: 'warn', message, good: false })
const info = (message: string): Effect => ({ kind: 'log', level: 'info', message, good: false })
const good = (message: string): Effect => ({ kind: 'log', level: 'info', message, good: true })
const bad = (message: string): Effect => ({ kind: 'log', level: 'error', message, good: false })
const alert = (
  event: 'opened' | 'resolved' | 'flapping',
  subject: 'forward' | 'target',
  message: string,
): Effect => ({ kind: 'alert', event, subject, message })

function seconds(ms: number): string {
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`
}
