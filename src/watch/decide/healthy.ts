import { sameProcess } from '../../os/process-identity.ts'
import type { ForwarderHealth } from '../../record/forwarder-health.ts'
import type { ResourceUsage } from '../../record/runtime-state.ts'
import { judgeLimits } from './limits.ts'
import { hasTakenOver, mayReplace, replace, takenOver } from './replacing.ts'
import { staleEffects } from './stale-pid-file.ts'
import type { Context, Decision, Effect, ForwardPhase, ForwardState, Supervised } from './state.ts'
import { judgeSupervisedOptions } from './supervised.ts'
import { judgeTarget } from './target.ts'
import { alert, good, nothing, prepend, warn } from './words.ts'

/** The forwarder answers and accepts: adopted when it was not known, counted as well, its target judged. */
export function healthy(
  state: ForwardState,
  health: ForwarderHealth,
  optionsMatch: boolean,
  stalePidFile: string | undefined,
  usage: ResourceUsage | undefined,
  context: Context,
): Decision {
  const { name, now, policy } = context
  const effects: Effect[] = []
  if (stalePidFile !== undefined) effects.push(...staleEffects(stalePidFile, name))
  const found = findRunning(state, health, context)
  effects.push(...found.effects)
  const healthySince = state.healthySince ?? now
  const isReset = now - healthySince >= policy.resetAfterMs
  effects.push(...recovered(state, context))
  const supervisor = supervisorNow(state, health)
  const seen: ForwardState = {
    ...found.state,
    supervisor,
    failures: 0,
    failingSince: undefined,
    lastFault: undefined,
    shortage: undefined,
    healthySince,
    backoffLevel: isReset ? 0 : state.backoffLevel,
  }
  const withTarget = judgeTarget(seen, health, context)
  const limited = judgeLimits(withTarget.state, usage, context)
  const all = [...effects, ...withTarget.effects, ...limited.effects]
  if (supervisor !== undefined)
    return prepend(all, judgeSupervisedOptions(limited.state, supervisor, optionsMatch, context))
  if (optionsMatch || !mayReplace(limited.state.phase, now)) return { state: limited.state, effects: all }
  return prepend(all, replace(limited.state, 'its options have changed', context))
}

/** The process that answers: known, the successor of the one that was known, or met for the first time. */
function findRunning(state: ForwardState, health: ForwarderHealth, context: Context): Decision {
  const { phase } = state
  const { identity, first } = health
  const since = context.now - health.uptimeMs
  const met: ForwardPhase = { id: 'running', identity, since, first }
  if (phase.id !== 'running') {
    const line = good(`${context.name} is already running (PID: ${identity.pid}), adopted`)
    return { state: { ...state, phase: met }, effects: [line] }
  }
  if (phase.identity.pid === identity.pid) {
    const isKnown = first === undefined || (phase.first !== undefined && sameProcess(first, phase.first))
    return nothing(isKnown ? state : { ...state, phase: { ...phase, first } })
  }
  if (hasTakenOver(phase, health)) return takenOver(state, identity, since, first, context)
  const before = phase.identity.pid
  const line = warn(
    `${context.name} runs as PID ${identity.pid}: PID ${before} has ended, and somebody started another`,
  )
  const restarts = state.restarts + 1
  return { state: { ...state, phase: met, restarts, lastRestartAt: context.now }, effects: [line] }
}

function supervisorNow({ supervisor }: ForwardState, health: ForwarderHealth): Supervised | undefined {
  // A forwarder of an older version does not say.
  const by = health.supervisor ?? undefined
  if (by === undefined || supervisor?.by === by) return by && supervisor
  return { by, toldOfOptions: false }
}

function recovered(state: ForwardState, { name, policy }: Context): Effect[] {
  const isTold = state.failures >= policy.failureThreshold || state.phase.id === 'flapping'
  if (!isTold && state.shortage?.isAlerted !== true) return []
  return [alert('resolved', 'forward', `${name} works again`)]
}
