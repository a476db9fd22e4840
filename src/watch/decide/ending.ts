import type { ProcessIdentity } from '../../os/process-identity.ts'
import { blocked } from './blocked.ts'
import { countFailure, failAndRestart, planRestart } from './restarting.ts'
import { start } from './starting.ts'
import type { Context, Decision, Effect, ForwardState, LeftBehind, Observation } from './state.ts'
import { info, nothing, prepend, warn } from './words.ts'

/** A process that nobody told to end is gone. */
export function died(
  state: ForwardState,
  seen: Extract<Observation, { kind: 'died' }>,
  context: Context,
): Decision {
  // One that is being ended has ended when all that it had started has: the stop itself tells.
  if (state.phase.id !== 'running' || state.phase.identity.pid !== seen.identity.pid) return nothing(state)
  const { identity, how, leftBehind = [] } = seen
  const words = `is not running: PID ${identity.pid} ${how}`
  if (leftBehind.length > 0 && state.supervisor === undefined) {
    return endRest(state, { identity, processes: leftBehind }, words, context)
  }
  return prepend([{ kind: 'remove-pid-file' }], failAndRestart(state, words, context))
}

/** Its process is gone and has left others behind, which keep the port or what else the next one needs: they are ended first. */
export function endRest(
  state: ForwardState,
  { identity, processes }: LeftBehind,
  words: string,
  context: Context,
): Decision {
  const failed = countFailure(state, words, context)
  const line = warn(`PID ${identity.pid} has left behind ${processes.join(' and ')}: ended first`)
  const stopping = stop(failed.state, identity, 'restart', words, context)
  return prepend([...failed.effects, line], asRest(stopping))
}

function asRest({ state, effects }: Decision): Decision {
  const { phase } = state
  return phase.id === 'stopping'
    ? { state: { ...state, phase: { ...phase, isRest: true } }, effects }
    : { state, effects }
}

/** A stop has done its work. */
export function ended(
  state: ForwardState,
  seen: Extract<Observation, { kind: 'ended' }>,
  context: Context,
): Decision {
  const { phase } = state
  if (phase.id !== 'stopping' || phase.identity.pid !== seen.identity.pid) return nothing(state)
  if (seen.successor !== undefined) return endedBehind(state, phase, seen.successor, context)
  const effects: Effect[] = [
    { kind: 'remove-pid-file' },
    info(
      phase.isRest === true
        ? `What PID ${seen.identity.pid} of ${context.name} had left behind has ended`
        : `${context.name} was ended (PID: ${seen.identity.pid}): ${phase.why}`,
    ),
  ]
  const heldBy = seen.portHolder
  if (heldBy !== undefined) effects.push(warn(`Port ${context.port} is still held by ${heldBy}`))
  switch (phase.afterwards) {
    case 'stay':
      return {
        state: {
          ...state,
          phase: { id: 'down', ...(heldBy === undefined ? {} : { heldBy }) },
          healthySince: undefined,
        },
        effects,
      }
    case 'start':
      return prepend(effects, start(state, context, 'plan'))
    case 'restart':
      return prepend(effects, planRestart(state, phase.why, context))
  }
}

/** What was ended had handed over already: the one that serves now is meant by the stop as well, or is what was to be started. */
function endedBehind(
  state: ForwardState,
  { identity, afterwards, why }: Extract<ForwardState['phase'], { id: 'stopping' }>,
  successor: ProcessIdentity,
  context: Context,
): Decision {
  const line = info(
    `PID ${identity.pid} of ${context.name} had handed over to PID ${successor.pid} and has ended`,
  )
  if (afterwards === 'stay') return prepend([line], stop(state, successor, 'stay', why, context))
  return { state: { ...state, phase: { id: 'unknown' } }, effects: [line, { kind: 'check' }] }
}

/** A stop has not: the process, or one that it had started, is still there after SIGKILL. */
export function survived(
  state: ForwardState,
  seen: Extract<Observation, { kind: 'survived' }>,
  context: Context,
): Decision {
  if (state.phase.id !== 'stopping' || state.phase.identity.pid !== seen.identity.pid) return nothing(state)
  const { survivors } = seen
  const who = survivors.length === 1 ? 'does not end' : 'do not end'
  return blocked(state, `${survivors.join(' and ')} ${who}, not even by SIGKILL`, context)
}

/** Ends a process. `afterwards` says what comes when it is gone: `restart` counts as a failure did, `start` and `stay` were wanted. */
export function stop(
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
