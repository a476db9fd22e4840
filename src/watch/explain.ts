import type { ResourceLimits } from '../config/resource-limits.ts'
import { preciseDuration } from '../os/duration.ts'
import type { ForwardEvent, ForwardEventKind, TargetCondition } from '../record/journal.ts'
import {
  amountInWords,
  excessInWords,
  type LimitedResource,
  limitedResources,
} from '../record/limit-words.ts'
import type { ResourceUsage } from '../record/runtime-state.ts'
import { amountUsed, isExceeded, limitOf } from './decide/limits.ts'
import type { Context, Decision, Effect, ForwardPhase, ForwardState, Observation } from './decide/state.ts'

/** A decision for the journal, without the forward's name. */
export type Explanation = Omit<ForwardEvent, 'event' | 'forward'>

/** What `explain` is told: what `decide` was told, and what came out. */
export interface Decided {
  readonly before: ForwardState
  readonly observation: Observation
  readonly decision: Decision
  readonly context: Context
}

/** Puts a decision into words; undefined for one that is no news: a round that found everything as it was. */
export function explain(decided: Decided): Explanation | undefined {
  const { before, decision, context } = decided
  const kind = kindOf(decided)
  if (kind === undefined) return undefined
  const after = decision.state
  return {
    kind,
    port: context.port,
    from: before.phase.id,
    to: after.phase.id,
    saw: saw(decided),
    ...decisionInWords(decided),
    did: decision.effects.flatMap(didInWords),
    pid: pidOf(after.phase) ?? pidOf(before.phase) ?? null,
    generation: after.generation,
    failures: after.failures,
    target: targetCondition(after),
  }
}

/** How a forward stands, for the journal, when events before were lost. */
export function explainStanding(state: ForwardState, port: number): Explanation {
  return {
    kind: 'noticed',
    port,
    from: state.phase.id,
    to: state.phase.id,
    saw: 'the journal can be written again',
    decided: 'went on watching',
    because: null,
    did: [],
    pid: pidOf(state.phase) ?? null,
    generation: state.generation,
    failures: state.failures,
    target: targetCondition(state),
  }
}

function kindOf({ before, observation, decision: { state: after } }: Decided): ForwardEventKind | undefined {
  const isNews = isChanged(before, after)
  switch (observation.kind) {
    case 'order':
      return 'order'
    case 'checked':
      return isNews ? kindOfCheck(before, observation, after) : undefined
    case 'woken':
      if (!isNews) return undefined
      return before.phase.id === 'starting' ? 'start-failed' : 'starting'
    case 'replaced':
      return isNews ? 'started' : undefined
    case 'replace-failed':
      return isNews || before.phase !== after.phase ? 'start-failed' : undefined
    case 'started':
    case 'start-failed':
    case 'died':
    case 'ended':
    case 'survived':
    case 'unseen':
      // An answer that belongs to an earlier start changes nothing.
      if (!isNews) return undefined
      return observation.kind === 'unseen' ? 'noticed' : observation.kind
  }
}

function kindOfCheck(
  before: ForwardState,
  { diagnosis }: Extract<Observation, { kind: 'checked' }>,
  after: ForwardState,
): ForwardEventKind {
  if (after.phase.id === 'blocked') return 'blocked'
  if (diagnosis.condition === 'faulty') return 'failed'
  if (after.failures > before.failures) return 'died'
  if (after.phase.id === 'starting') return 'starting'
  if (after.phase.id === 'stopping') return 'stopping'
  if (isBeingReplaced(after.phase) && !isBeingReplaced(before.phase)) return 'starting'
  if (hasOtherProcess(before, after)) return 'started'
  if (before.phase.id !== after.phase.id && after.phase.id === 'running') return 'adopted'
  if (before.failures > 0 && after.failures === 0) return 'recovered'
  if (areLimitsNews(before, after)) return exceededBy(after).length > 0 ? 'over-limit' : 'within-limit'
  if (targetCondition(before) === targetCondition(after)) return 'noticed'
  return targetCondition(after) === 'silent' ? 'target-down' : 'target-up'
}

/** Counters that rise while a fault goes on are no news. */
function isChanged(before: ForwardState, after: ForwardState): boolean {
  return (
    before.phase.id !== after.phase.id ||
    pidOf(before.phase) !== pidOf(after.phase) ||
    before.generation !== after.generation ||
    before.failures !== after.failures ||
    whyOf(before.phase) !== whyOf(after.phase) ||
    targetCondition(before) !== targetCondition(after) ||
    areLimitsNews(before, after)
  )
}

/** A limit is exceeded or kept that was not before, or what is done about it has changed. */
function areLimitsNews({ limits: before }: ForwardState, { limits: after }: ForwardState): boolean {
  return (
    before.restartNotBefore !== after.restartNotBefore ||
    limitedResources.some((resource) => isExceeded(before[resource]) !== isExceeded(after[resource]))
  )
}

/** Another process runs in the place of the one that was known. */
function hasOtherProcess({ phase: before }: ForwardState, { phase: after }: ForwardState): boolean {
  return before.id === 'running' && after.id === 'running' && before.identity.pid !== after.identity.pid
}

function exceededBy({ limits }: ForwardState): LimitedResource[] {
  return limitedResources.filter((resource) => isExceeded(limits[resource]))
}

function targetCondition({ target }: ForwardState): TargetCondition {
  if (target.failures > 0) return 'silent'
  return target.everAnswered ? 'answers' : 'unknown'
}

function saw({ before, observation, decision: { state: after }, context }: Decided): string {
  switch (observation.kind) {
    case 'checked':
      return sawInCheck(observation, before, after, context)
    case 'started':
      return `PID ${observation.identity.pid} was ready`
    case 'start-failed':
      return `the start failed: ${observation.message}`
    case 'replaced':
      return `PID ${observation.identity.pid} took over`
    case 'replace-failed':
      return `the replacement did not take over: ${observation.message}`
    case 'died':
      return `PID ${observation.identity.pid} ${observation.how}${ranFor(before.phase, context.now)}${leftInWords(observation.leftBehind)}`
    case 'ended': {
      const what = `PID ${observation.identity.pid} has ended, with all that it had started`
      const { portHolder } = observation
      return portHolder === undefined ? what : `${what}; the port is still held by ${portHolder}`
    }
    case 'survived':
      return `${observation.survivors.join(' and ')} did not end`
    case 'unseen':
      return `it could not be looked at: ${observation.why}`
    case 'woken':
      return before.phase.id === 'starting' ? 'the start was not ready in time' : 'the wait is over'
    case 'order':
      return `an order to ${observation.order} it: ${observation.why}`
  }
}

function sawInCheck(
  { diagnosis, portHolder, usage, leftBehind }: Extract<Observation, { kind: 'checked' }>,
  before: ForwardState,
  after: ForwardState,
  { target, limits }: Context,
): string {
  switch (diagnosis.condition) {
    case 'dead':
      if (leftBehind !== undefined) return `it ${diagnosis.fault.words}${leftInWords(leftBehind.processes)}`
      if (portHolder !== undefined) return `the port is held by ${portHolder}`
      return diagnosis.stalePidFile === undefined
        ? `it ${diagnosis.fault.words}`
        : `it ${diagnosis.fault.words} (${diagnosis.stalePidFile})`
    case 'faulty':
      return `it ${diagnosis.fault.words}`
    case 'unverifiable':
      return diagnosis.words
    case 'draining':
      return `PID ${diagnosis.health.identity.pid} was finishing its connections`
    case 'healthy': {
      const { identity, target: seen } = diagnosis.health
      const isOfLimits = usage !== undefined && areLimitsNews(before, after)
      if (hasOtherProcess(before, after)) {
        const isPlanned = after.plannedRestarts > before.plannedRestarts
        const earlier = pidOf(before.phase)
        return isPlanned
          ? `PID ${identity.pid} took over from PID ${earlier}: a planned restart that the monitor did not order`
          : `PID ${identity.pid} runs in the place of PID ${earlier}, which has ended`
      }
      const ofProcess = `PID ${identity.pid} ${isOfLimits ? usageInWords(usage, after, limits) : 'was healthy'}`
      if (targetCondition(before) === targetCondition(after)) return ofProcess
      return targetCondition(after) === 'silent'
        ? `${ofProcess}, target ${target} does not answer: ${seen.lastError ?? 'no reason known'}`
        : `${ofProcess}, target ${target} answers`
    }
  }
}

function usageInWords(usage: ResourceUsage, after: ForwardState, limits: ResourceLimits): string {
  const over = exceededBy(after).map((resource) => {
    return excessInWords(resource, amountUsed(resource, usage), limitOf(resource, limits))
  })
  if (over.length > 0) return `uses ${over.join(' and ')}`
  const amounts = limitedResources.filter((resource) => limitOf(resource, limits) > 0)
  return `keeps its limits: ${amounts.map((one) => amountInWords(one, amountUsed(one, usage))).join(', ')}`
}

function leftInWords(processes: readonly string[] | undefined): string {
  return processes === undefined || processes.length === 0
    ? ''
    : `, and left behind ${processes.join(' and ')}`
}

function ranFor(phase: ForwardPhase, now: number): string {
  return phase.id === 'running' ? ` after ${preciseDuration(Math.max(0, now - phase.since))}` : ''
}

function decisionInWords({ before, observation, decision, context }: Decided) {
  const { phase } = decision.state
  const { policy, now } = context
  const words = (decided: string, because: string | null = null) => ({ decided, because })
  switch (phase.id) {
    case 'unknown':
      return words('looked first')
    case 'starting': {
      const adopted = decision.effects.find(({ kind }) => kind === 'adopt')
      if (adopted !== undefined)
        return words('took over the forwarder that serves its port', 'it is one of ours')
      return words('started it', whyAtOnce(before, observation, context))
    }
    case 'running':
      return runningInWords(before, decision.state, observation, context)
    case 'stopping':
      return words(
        `ended ${phase.isRest === true ? `what PID ${phase.identity.pid} had left` : `PID ${phase.identity.pid}`}, ${afterStop[phase.afterwards]}`,
        phase.afterwards === 'restart' ? `it ${phase.why}` : phase.why,
      )
    case 'backoff':
      return words(
        `postponed the restart by ${preciseDuration(phase.until - now)}`,
        `restart ${decision.state.backoffLevel} without ${preciseDuration(policy.resetAfterMs)} of health in between: the longest wait doubles up to ${preciseDuration(policy.backoffLimitMs)}, and chance shortens each by up to half`,
      )
    case 'flapping':
      return words(
        `paused restarts for ${preciseDuration(phase.until - now)}`,
        `it is flapping: ${decision.state.recentRestarts.length} restarts within ${preciseDuration(policy.flappingWindowMs)}`,
      )
    case 'awaiting':
      return words('left the restart to systemd', 'systemd runs it')
    case 'blocked':
      return words('waited, looking every round', phase.why)
    case 'down':
      return words('left it down', 'somebody wants it down')
  }
}

const afterStop = { restart: 'to restart it', start: 'to start it again', stay: 'to leave it down' } as const

function whyAtOnce(before: ForwardState, observation: Observation, { policy }: Context): string | null {
  if (observation.kind === 'order') return 'it was ordered'
  switch (before.phase.id) {
    case 'unknown':
      if (observation.kind === 'checked' && before.generation === 0) return 'it was not running yet'
      return 'it was not running'
    case 'backoff':
    case 'flapping':
      return null
    case 'awaiting':
      return 'systemd has given its port up'
    case 'blocked':
      return 'the port was free'
    case 'stopping':
      if (before.phase.afterwards === 'start') return `it was ended for that: ${before.phase.why}`
      break
    case 'starting':
    case 'running':
    case 'down':
      break
  }
  return policy.backoffMs === 0 ? 'restarts never wait here' : 'the first restart in a row does not wait'
}

function isBeingReplaced(phase: ForwardPhase): boolean {
  return phase.id === 'running' && phase.replacement?.state === 'starting'
}

function runningInWords(
  before: ForwardState,
  after: ForwardState,
  observation: Observation,
  context: Context,
) {
  if (observation.kind === 'replaced' || hasOtherProcess(before, after)) {
    return { decided: 'watched it from then on', because: null }
  }
  if (observation.kind === 'replace-failed') return { decided: 'kept the previous process', because: null }
  if (isBeingReplaced(after.phase) && !isBeingReplaced(before.phase)) {
    const because = observation.kind === 'order' ? 'it was ordered' : replacementCause(after.phase)
    return { decided: 'started another one beside it, to take over', because }
  }
  if (observation.kind === 'order') return { decided: 'did nothing', because: 'it ran already' }
  if (observation.kind === 'started') return { decided: 'watched it from then on', because: null }
  if (before.phase.id !== 'running') {
    return { decided: 'adopted it', because: 'it ran already, started by an earlier monitor or by hand' }
  }
  if (targetCondition(before) !== 'silent' && targetCondition(after) === 'silent') {
    return { decided: 'left the forwarder alone', because: 'restarting it would not help' }
  }
  if (before.failures > 0 && after.failures === 0) {
    return { decided: 'reset the failure count', because: null }
  }
  if (areLimitsNews(before, after)) return aboutLimitsInWords(after, context)
  return { decided: 'went on watching', because: null }
}

function aboutLimitsInWords(after: ForwardState, { limits, now }: Context) {
  if (exceededBy(after).length === 0) return { decided: 'went on watching', because: null }
  const { restartNotBefore } = after.limits
  if (limits.action === 'alert')
    return { decided: 'left it running', because: 'its limits ask for an alert only' }
  if (after.supervisor !== undefined)
    return { decided: 'left it running', because: `${after.supervisor.by} runs it` }
  if (restartNotBefore === null || restartNotBefore <= now)
    return { decided: 'left it running', because: null }
  const wait = preciseDuration(restartNotBefore - now)
  return {
    decided: `left it running for at least ${wait}`,
    because: 'restarts because of its limits have not helped',
  }
}

function replacementCause(phase: ForwardPhase): string | null {
  return phase.id === 'running' && phase.replacement?.state === 'starting' ? phase.replacement.why : null
}

function didInWords(effect: Effect): string[] {
  switch (effect.kind) {
    case 'start':
      return [`start ${effect.generation}`]
    case 'replace':
      return [`start ${effect.generation}, beside the one that ran`]
    case 'adopt':
      return [`ordered PID ${effect.identity.pid} to hand over`]
    case 'ask-back':
      return [`asked PID ${effect.identity.pid} for its control socket (SIGHUP)`]
    case 'stop':
      return [
        `sent SIGTERM to PID ${effect.identity.pid} and all that it had started, SIGKILL to follow after ${preciseDuration(effect.killAfterMs)}`,
      ]
    case 'abandon-start':
      return ['killed the process that was not ready']
    case 'remove-pid-file':
      return ['removed the stale PID file']
    case 'alert':
      return [`alert ${effect.event} (${effect.subject})`]
    case 'check':
    case 'wake':
    case 'log':
      return []
  }
}

function pidOf(phase: ForwardPhase): number | undefined {
  return phase.id === 'running' || phase.id === 'stopping' ? phase.identity.pid : undefined
}

function whyOf(phase: ForwardPhase): string | undefined {
  return 'why' in phase ? phase.why : undefined
}
