import { preciseDuration } from '../../os/duration.ts'
import { describeProcess, describeProcesses, type ProcessSummary } from '../../process/summary.ts'
import { amountInWords, excessInWords } from '../../record/limit-words.ts'
import type { ForwardEvent, ForwardEventKind, TargetCondition } from '../../record/shapes/journal.ts'
import type { AtOnce, Cause, LimitsNews, Well } from '../decide/cause.ts'
import type { Context, Decision, Effect, Observation, Phase, Seen, UnitState } from '../decide/state.ts'
import { alertSubject } from './incidents.ts'
import {
  dependencyOf,
  endInWords,
  failureInWords,
  listed,
  type Narrated,
  placeOf,
  processesInWords,
  reasonInWords,
  workOf,
} from './index.ts'

/** A decision for the journal, without what names the unit. */
export type Explanation = Omit<ForwardEvent, 'event' | 'unit' | 'forward' | 'port'>

/** What the narrator puts into words: the input of `decide` and its decision. */
interface Decided {
  readonly before: UnitState
  readonly observation: Observation
  readonly decision: Decision
  readonly context: Pick<Context, 'now'>
}

/** Puts a decision into words; undefined for one that is no news: a round that found everything as it was. */
export function explain(decided: Decided, unit: Narrated): Explanation | undefined {
  const { before, observation, decision } = decided
  const { cause, state: after, effects } = decision
  if (cause.code === 'quiet') return undefined
  return {
    kind: kindOf(observation, cause),
    from: before.phase.id,
    to: after.phase.id,
    saw: saw(decided, unit),
    ...decisionInWords(cause, observation, after.phase, unit),
    did: effects.flatMap((effect) => didInWords(effect, unit)),
    pid: pidOf(after.phase) ?? pidOf(before.phase) ?? null,
    generation: after.generation,
    failures: after.failures,
    target: dependencyCondition(after),
  }
}

/** How a unit stands, for the journal, when events before were lost. */
export function explainStanding(state: UnitState): Explanation {
  return {
    kind: 'noticed',
    from: state.phase.id,
    to: state.phase.id,
    saw: 'the journal can be written again',
    decided: 'went on watching',
    because: null,
    did: [],
    pid: pidOf(state.phase) ?? null,
    generation: state.generation,
    failures: state.failures,
    target: dependencyCondition(state),
  }
}

function kindOf(observation: Observation, cause: Cause): ForwardEventKind {
  switch (observation.kind) {
    case 'checked':
      return kindOfLook(observation, cause)
    case 'woken':
    case 'replace-failed':
      return 'start-failed'
    case 'replaced':
      return 'started'
    case 'unseen':
      return 'noticed'
    default:
      return observation.kind
  }
}

function kindOfLook({ diagnosis }: Seen<'checked'>, cause: Cause): ForwardEventKind {
  if (cause.code === 'well') return kindOfWell(cause)
  if (cause.code === 'blocked') return 'blocked'
  if (diagnosis.condition === 'faulty') return 'failed'
  if (cause.failure !== undefined) return 'died'
  if (cause.code === 'starting' || cause.code === 'adopting') return 'starting'
  return cause.code === 'stopping' ? 'stopping' : 'noticed'
}

function kindOfWell({ found, hasRecovered, replacing, limits, dependency }: Well): ForwardEventKind {
  if (replacing !== undefined) return 'starting'
  if (found === 'handed-over' || found === 'other-process') return 'started'
  if (found === 'adopted') return 'adopted'
  if (hasRecovered) return 'recovered'
  if (limits !== undefined) return limits.isExceeded ? 'over-limit' : 'within-limit'
  if (dependency === undefined) return 'noticed'
  return dependency === 'silent' ? 'target-down' : 'target-up'
}

function saw({ before, observation, decision, context }: Decided, unit: Narrated): string {
  switch (observation.kind) {
    case 'checked':
      return sawInLook(observation, decision.cause, unit)
    case 'started':
      return `PID ${observation.identity.pid} was ready`
    case 'start-failed':
      return `the start failed: ${unit.vocabulary.fault(observation.fault)}`
    case 'replaced':
      return `PID ${observation.identity.pid} took over`
    case 'replace-failed':
      return `the replacement did not take over: ${observation.message}`
    case 'died':
      return `PID ${observation.identity.pid} ${endInWords(observation.end)}${ranFor(before.phase, context.now)}${leftInWords(observation.leftBehind)}`
    case 'ended': {
      const what = `PID ${observation.identity.pid} has ended, with all that it had started`
      const { holder } = observation
      return holder === undefined
        ? what
        : `${what}; ${placeOf(unit)} is still held by ${describeProcess(holder)}`
    }
    case 'survived':
      return `${describeProcesses(observation.survivors)} did not end`
    case 'unseen':
      return `it could not be looked at: ${observation.why}`
    case 'woken':
      return 'the start was not ready in time'
    case 'order':
      return `an order to ${orderInWords(observation, unit)}: ${observation.why}`
  }
}

function orderInWords({ order, drainMs }: Seen<'order'>, unit: Narrated): string {
  if (order === 'hand-over') return 'hand it over'
  if (order === 'renew') return 'restart it'
  if (order === 'adopt' || order === 'end') return `${order} what is left of it`
  if (order === 'retry') return 'try it again at once'
  return drainMs === undefined
    ? `${order} it`
    : `stop it when ${workOf(unit)} ${unit.vocabulary.work === undefined ? 'has' : 'have'} ended`
}

function sawInLook({ diagnosis, holder, leftBehind }: Seen<'checked'>, cause: Cause, unit: Narrated): string {
  const { vocabulary } = unit
  switch (diagnosis.condition) {
    case 'dead': {
      const fault = `it ${vocabulary.fault(diagnosis.fault)}`
      if (leftBehind !== undefined) return `${fault}${leftInWords(leftBehind.processes)}`
      if (holder !== undefined) return `${placeOf(unit)} is held by ${describeProcess(holder)}`
      return diagnosis.stale === undefined ? fault : `${fault} (${vocabulary.fault(diagnosis.stale)})`
    }
    case 'faulty':
      return `it ${vocabulary.fault(diagnosis.fault)}`
    case 'unverifiable':
      return vocabulary.fault(diagnosis.fault)
    case 'draining':
      return `PID ${diagnosis.process.identity.pid} was finishing ${workOf(unit)}`
    case 'healthy': {
      const { process, dependency } = diagnosis
      const { pid } = process.identity
      if (cause.code !== 'well') return `PID ${pid} was healthy`
      if (cause.found === 'handed-over')
        return `PID ${pid} took over from PID ${cause.before}: a planned restart that the monitor did not order`
      if (cause.found === 'other-process')
        return `PID ${pid} runs in the place of PID ${cause.before}, which has ended`
      const ofProcess = `PID ${pid} ${limitsInWords(cause.limits)}`
      if (cause.dependency === undefined) return ofProcess
      return cause.dependency === 'silent'
        ? `${ofProcess}, ${dependencyOf(unit)} does not answer: ${dependency?.lastError ?? 'no reason known'}`
        : `${ofProcess}, ${dependencyOf(unit)} answers`
    }
  }
}

function limitsInWords(limits: LimitsNews | undefined): string {
  if (limits === undefined || limits.used.length === 0) return 'was healthy'
  const { exceeded, used } = limits
  if (exceeded.length === 0)
    return `keeps its limits: ${used.map(({ resource, amount }) => amountInWords(resource, amount)).join(', ')}`
  const over = exceeded.map(({ resource, amount, limit }) => excessInWords(resource, amount, limit))
  return `uses ${over.join(' and ')}`
}

function leftInWords(processes: readonly ProcessSummary[] | undefined): string {
  return processes === undefined || processes.length === 0
    ? ''
    : `, and left behind ${describeProcesses(processes)}`
}

function ranFor(phase: Phase, now: number): string {
  return phase.id === 'running' ? ` after ${preciseDuration(Math.max(0, now - phase.since))}` : ''
}

/** What was decided, and why so and not otherwise; null when the decision says it itself. */
type Told = Pick<ForwardEvent, 'decided' | 'because'>

const told = (decided: string, because: string | null = null): Told => ({ decided, because })

const afterStop = { restart: 'to restart it', start: 'to start it again', stay: 'to leave it down' } as const

function decisionInWords(cause: Cause, observation: Observation, phase: Phase, unit: Narrated): Told {
  switch (cause.code) {
    case 'quiet':
      return told('went on watching')
    case 'unchanged':
      return unchangedInWords(phase)
    case 'impossible':
      return told('did nothing', `while it is ${cause.phase}, this cannot be: ${cause.what}`)
    case 'well':
      return wellInWords(cause, unit)
    case 'watched':
      return told('watched it from then on')
    case 'looked-first':
      return told('looked first')
    case 'starting':
      return told('started it', whyAtOnce(cause.atOnce, unit))
    case 'adopting':
      return told(
        `took over the ${unit.vocabulary.process} that serves ${placeOf(unit, 'its')}`,
        'it is one of ours',
      )
    case 'stopping': {
      const { pid, isRest, afterwards, reason } = cause
      const because =
        afterwards === 'restart' ? `it ${failureInWords(reason, unit)}` : reasonInWords(reason, unit)
      return told(
        `ended ${isRest ? `what PID ${pid} had left` : `PID ${pid}`}, ${afterStop[afterwards]}`,
        because,
      )
    }
    case 'postponed':
      return told(
        `postponed the restart by ${preciseDuration(cause.delayMs)}`,
        `it is restart ${cause.level} since it was last healthy for ${preciseDuration(cause.resetAfterMs)}: waits double up to ${preciseDuration(cause.limitMs)}, less a random part of up to half`,
      )
    case 'short':
      return told(`tries again in ${preciseDuration(cause.delayMs)}`, cause.shortage.words)
    case 'paused':
      return told(
        `paused restarts for ${preciseDuration(cause.pauseMs)}`,
        `it is flapping: ${cause.restarts} restarts within ${preciseDuration(cause.windowMs)}`,
      )
    case 'left-to-supervisor':
      return told(`left the restart to ${cause.by}`, `${cause.by} runs it`)
    case 'waits-for':
      return told(`waits for ${listed(cause.units)}`, 'it depends on them')
    case 'detached':
      return told(
        'waited for an order to adopt or to end them',
        `${processesInWords(cause.processes, unit)} of its session are there`,
      )
    case 'taking-rest':
      return told(
        `took ${processesInWords(cause.processes, unit)} for the program`,
        'they are all that is left of its session',
      )
    case 'completed':
      return told('left it down', 'it runs once, and has done its work')
    case 'kept-by-supervisor':
      return told('left it running', `${cause.by} runs it`)
    case 'blocked':
      return told('waited, looking every round', reasonInWords(cause.reason, unit))
    case 'replacing':
      return told(
        'started another one beside it, to take over',
        observation.kind === 'order' ? 'it was ordered' : reasonInWords(cause.reason, unit),
      )
    case 'previous-kept':
      return told('kept the previous process')
    case 'down':
      return told('left it down', 'somebody wants it down')
  }
}

function unchangedInWords(phase: Phase): Told {
  switch (phase.id) {
    case 'running':
      return told('did nothing', 'it ran already')
    case 'down':
      return told('did nothing', 'it was down already')
    case 'starting':
      return told('did nothing', 'it was being started already')
    default:
      return told('went on as before')
  }
}

function whyAtOnce(atOnce: AtOnce, unit: Narrated): string | null {
  switch (atOnce.code) {
    case 'absent':
      return atOnce.isFirst ? 'it was not running yet' : 'it was not running'
    case 'free':
      return `${placeOf(unit)} was free`
    case 'waited':
      return null
    case 'ready-for-it':
      return 'what it depends on is ready'
    case 'given-up':
      return `${atOnce.by} has given ${placeOf(unit, 'its')} up`
    case 'planned':
      return `it was ended for that: ${reasonInWords(atOnce.reason, unit)}`
    case 'first-in-row':
      return atOnce.neverWaits ? 'restarts never wait here' : 'the first restart in a row does not wait'
  }
}

function wellInWords({ found, hasRecovered, dependency, limits, replacing }: Well, unit: Narrated): Told {
  if (found === 'handed-over' || found === 'other-process') return told('watched it from then on')
  if (replacing !== undefined)
    return told('started another one beside it, to take over', reasonInWords(replacing, unit))
  if (found === 'adopted')
    return told('adopted it', 'it ran already, started by an earlier monitor or by hand')
  if (dependency === 'silent')
    return told(`left the ${unit.vocabulary.process} alone`, 'restarting it would not help')
  if (hasRecovered) return told('reset the failure count')
  if (limits === undefined || !limits.isExceeded) return told('went on watching')
  switch (limits.goesOn?.code) {
    case 'alert-only':
      return told('left it running', 'its limits ask for an alert only')
    case 'supervised':
      return told('left it running', `${limits.goesOn.by} runs it`)
    case 'restarts-did-not-help':
      return told(
        `left it running for at least ${preciseDuration(limits.goesOn.waitMs)}`,
        'restarts because of its limits have not helped',
      )
    case undefined:
      return told('left it running')
  }
}

function didInWords(effect: Effect, unit: Narrated): string[] {
  switch (effect.kind) {
    case 'start':
      return [`start ${effect.generation}`]
    case 'replace':
      return [`start ${effect.generation}, beside the one that ran`]
    case 'adopt':
      return [`ordered PID ${effect.identity.pid} to hand over`]
    case 'take-rest':
      return [`watched what PID ${effect.identity.pid} had left`]
    case 'ask-back':
      return [`asked PID ${effect.identity.pid} for its control socket (SIGHUP)`]
    case 'stop':
      if (effect.drainMs !== undefined)
        return [
          `let PID ${effect.identity.pid} finish ${workOf(unit)} within ${preciseDuration(effect.drainMs)}, and end`,
        ]
      return [
        `sent SIGTERM to PID ${effect.identity.pid} and all that it had started, SIGKILL to follow after ${preciseDuration(effect.killAfterMs)}`,
      ]
    case 'abandon-start':
      return ['killed the process that was not ready']
    case 'remove-pid-file':
      return ['removed the stale PID file']
    case 'alert':
      return [`alert ${effect.event} (${alertSubject(effect.subject, unit)})`]
    case 'check':
    case 'wake':
    case 'log':
      return []
  }
}

function pidOf(phase: Phase): number | undefined {
  return phase.id === 'running' || phase.id === 'stopping' ? phase.identity.pid : undefined
}

/** The journal's word for how what the unit depends on stands. */
function dependencyCondition({ dependency }: UnitState): TargetCondition {
  if (dependency.failures > 0) return 'silent'
  return dependency.everAnswered ? 'answers' : 'waiting'
}
