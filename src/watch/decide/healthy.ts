import { sameProcess } from '../../process/identity.ts'
import type { RunningProcess } from '../unit.ts'
import type { Reason, Well } from './cause.ts'
import { judgeDependency } from './dependency.ts'
import { judgeLimits, limitsNews } from './limits.ts'
import { isSteady } from './pace.ts'
import type { Context, Decision, Effect, In, Looked, Supervised, UnitState } from './state.ts'
import { alert, clearPidFile, followSuccessor, log, mayReplace, prepend, replace, stop } from './verbs.ts'

/** The process that answers, and how it stands to the one that was known. */
interface Found {
  readonly state: In<'running'>
  readonly effects: readonly Effect[]
  readonly as: Well['found']
}

/** It answers and does its work, and was not known to run. */
export function adopt(
  state: In<'unknown' | 'backoff' | 'flapping' | 'awaiting' | 'blocked' | 'detached'>,
  seen: Looked<'healthy'>,
  context: Context,
): Decision {
  const { process } = seen.diagnosis
  const phase = phaseOf(process, context)
  const effects = [log({ code: 'adopted', pid: process.identity.pid })]
  const adopted = judge(state, { state: { ...state, phase }, effects, as: 'adopted' }, seen, context)
  const anew = state.phase.id === 'unknown' ? state.phase.anew : undefined
  return anew === undefined ? adopted : startedAnew(adopted, anew, context)
}

/** Somebody has ordered another process before anybody knew that one runs. */
function startedAnew(adopted: Decision, why: Reason, context: Context): Decision {
  const { phase, supervisor } = adopted.state
  if (phase.id !== 'running' || phase.replacement !== undefined || supervisor !== undefined) return adopted
  const state = { ...adopted.state, phase }
  const next =
    context.canHandOver === false
      ? stop(state, phase.identity, 'start', why, context)
      : replace(state, why, context)
  return prepend(adopted.effects, next)
}

/** It answers and does its work, as before, or another process does in its place. */
export function judgeRunning(state: In<'running'>, seen: Looked<'healthy'>, context: Context): Decision {
  return judge(state, findRunning(state, seen.diagnosis.process, context), seen, context)
}

/** Counts it as well, and judges its dependency, its limits and its options. */
function judge(before: UnitState, found: Found, seen: Looked<'healthy'>, context: Context): Decision {
  const { now, policy } = context
  const { process, dependency, stale } = seen.diagnosis
  const healthySince = before.healthySince ?? now
  const isReset = isSteady(healthySince, { policy, now })
  const supervisor = supervisorNow(before, process)
  const depends = judgeDependency(before.dependency, dependency, context)
  const mayRestart = supervisor === undefined && mayReplace(found.state, now)
  const limits = judgeLimits(before.limits, seen.usage, mayRestart, context)
  const state: In<'running'> = {
    ...found.state,
    supervisor: supervisor && { ...supervisor, toldOfOptions: !seen.optionsMatch },
    failures: 0,
    failingSince: undefined,
    lastFault: undefined,
    shortage: undefined,
    healthySince,
    backoffLevel: isReset ? 0 : before.backoffLevel,
    dependency: depends.memory,
    limits: limits.memory,
  }
  const effects = [
    ...clearPidFile(stale),
    ...found.effects,
    ...recovered(before, context),
    ...depends.effects,
    ...limits.effects,
    ...otherOptions(supervisor, seen.optionsMatch),
  ]
  const why: Reason | undefined =
    limits.restart ?? (mayRestart && !seen.optionsMatch ? { code: 'other-options' } : undefined)
  // One that cannot hand over is ended first.
  const ended =
    why !== undefined && context.canHandOver === false
      ? stop(state, state.phase.identity, 'start', why, context)
      : undefined
  if (ended !== undefined) return prepend(effects, ended)
  const replaced = why && replace(state, why, context)
  const cause: Well = {
    code: 'well',
    found: found.as,
    before: before.phase.id === 'running' ? before.phase.identity.pid : undefined,
    hasRecovered: before.failures > 0,
    dependency: depends.news,
    limits: limitsNews(before.limits, limits.memory, seen.usage, supervisor?.by, context),
    replacing: why,
  }
  return {
    ...prepend(effects, replaced ?? { state, effects: [], cause }),
    cause: isNews(cause) ? cause : quiet,
  }
}

const quiet = { code: 'quiet' } as const

/** Counters that rise while a trouble goes on are no news. */
function isNews({ found, hasRecovered, dependency, limits, replacing }: Well): boolean {
  const news = [dependency, limits, replacing].some((part) => part !== undefined)
  return found !== 'known' || hasRecovered || news
}

function phaseOf({ identity, first, uptimeMs }: RunningProcess, { now }: Context): In<'running'>['phase'] {
  return { id: 'running', identity, since: now - uptimeMs, first }
}

/** The process that answers: known, the successor of the one that was known, or another one. */
function findRunning(state: In<'running'>, process: RunningProcess, context: Context): Found {
  const { phase } = state
  const { identity, first } = process
  if (phase.identity.pid === identity.pid) {
    const isKnown = first === undefined || (phase.first !== undefined && sameProcess(first, phase.first))
    return { state: isKnown ? state : { ...state, phase: { ...phase, first } }, effects: [], as: 'known' }
  }
  const met = phaseOf(process, context)
  if (hasTakenOver(phase, process))
    return { ...followSuccessor(state, identity, met.since, first), as: 'handed-over' }
  const line = log({ code: 'other-process', pid: identity.pid, before: phase.identity.pid })
  return {
    state: { ...state, phase: met, restarts: state.restarts + 1, lastRestartAt: context.now },
    effects: [line],
    as: 'other-process',
  }
}

/** Whether the process that answers now has its place by a handover, and not by a new start after the end of the one that was known. */
function hasTakenOver(
  known: In<'running'>['phase'],
  { identity, first, predecessors = [] }: RunningProcess,
): boolean {
  if (sameProcess(known.identity, identity)) return false
  if (first !== undefined && known.first !== undefined) return sameProcess(first, known.first)
  // One of an older version tells only of those that are still there.
  return predecessors.some((one) => sameProcess(one, known.identity))
}

function supervisorNow({ supervisor }: UnitState, process: RunningProcess): Supervised | undefined {
  const by = process.supervisor ?? undefined
  if (by === undefined || supervisor?.by === by) return by && supervisor
  return { by, toldOfOptions: false }
}

/** Only the author of its unit file can change its options: systemd would bring an ended process back as it was. */
function otherOptions(supervisor: Supervised | undefined, optionsMatch: boolean): Effect[] {
  if (supervisor === undefined || optionsMatch || supervisor.toldOfOptions) return []
  return [log({ code: 'other-options-of-supervisor', by: supervisor.by })]
}

function recovered(state: UnitState, { policy }: Context): Effect[] {
  const isTold = state.failures >= policy.failureThreshold || state.phase.id === 'flapping'
  if (!isTold && state.shortage?.isAlerted !== true) return []
  return [alert('resolved', 'unit', { code: 'recovered' })]
}
