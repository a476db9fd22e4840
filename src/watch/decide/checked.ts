import type { ProcessIdentity } from '../../os/process-identity.ts'
import type { Diagnosis, Fault } from '../diagnose.ts'
import { blocked } from './blocked.ts'
import { endRest, stop } from './ending.ts'
import { healthy } from './healthy.ts'
import { metStray } from './met-stray.ts'
import { countFailure, failAndRestart } from './restarting.ts'
import { clearStale } from './stale-pid-file.ts'
import { awaitSupervisor, start, startIfDue } from './starting.ts'
import { type Context, type Decision, type ForwardState, initialState, type Observation } from './state.ts'
import { leftToSupervisor, stillAwaited } from './supervised.ts'
import { info, nothing, prepend, warn } from './words.ts'

/** What a look at the forward means, by the phase it is in. */
export function checked(
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
      if (state.phase.stopWhy !== undefined) return endFound(state, seen, state.phase.stopWhy, context)
      return judged(state, seen, context)
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
  const { diagnosis, optionsMatch, usage } = seen
  switch (diagnosis.condition) {
    case 'draining':
      return nothing(state)
    case 'healthy':
      return healthy(state, diagnosis.health, optionsMatch, diagnosis.stalePidFile, usage, context)
    case 'faulty':
      return faulty(state, diagnosis.fault, diagnosis.identity, context)
    case 'unverifiable':
      return blocked(state, diagnosis.words, context)
    case 'dead':
      return foundDead(state, diagnosis, seen, context)
  }
}

/** A target that had answered under an earlier forwarder is waited for by a new one; only a trouble that goes on is remembered. */
function forgetTarget(state: ForwardState): ForwardState {
  return state.target.failures > 0 ? state : { ...state, target: initialState.target }
}

/** It was ordered down before anybody had looked: what is there is ended. */
function endFound(
  state: ForwardState,
  { diagnosis, leftBehind, stray }: Extract<Observation, { kind: 'checked' }>,
  why: string,
  context: Context,
): Decision {
  const down: ForwardState = { ...state, phase: { id: 'down' }, healthySince: undefined }
  switch (diagnosis.condition) {
    case 'healthy':
    case 'draining': {
      const { identity, supervisor } = diagnosis.health
      if (supervisor)
        return leftToSupervisor(state, { by: supervisor, toldOfOptions: false }, 'stop', context)
      return stop(state, identity, 'stay', why, context)
    }
    case 'faulty':
      return stop(state, diagnosis.identity, 'stay', why, context)
    case 'dead':
      if (stray !== undefined && stray.state !== 'watched')
        return stop(state, stray.identity, 'stay', why, context)
      if (leftBehind !== undefined) return stop(state, leftBehind.identity, 'stay', why, context)
      return clearStale(down, diagnosis.stalePidFile, context)
    case 'unverifiable':
      return { state: down, effects: [warn(`${context.name} was not ended: ${diagnosis.words}`)] }
  }
}

/** ms after a look that could not be taken until the next one, for a forward that does not run. */
const lookAgainMs = 2000

function isWait(
  phase: ForwardState['phase'],
): phase is Extract<ForwardState['phase'], { id: 'backoff' | 'flapping' }> {
  return phase.id === 'backoff' || phase.id === 'flapping'
}

/** A look could not be taken. Who waits for an end is not kept waiting for ever. */
export function unseen(state: ForwardState, why: string, { name, now }: Context): Decision {
  const { phase } = state
  if (phase.id !== 'unknown' || phase.stopWhy === undefined) {
    // What is running is looked at in the next round; what is down is not kept waiting for that long.
    const isDue = phase.id === 'unknown' || phase.id === 'blocked' || (isWait(phase) && now >= phase.until)
    return isDue ? { state, effects: [{ kind: 'wake', at: now + lookAgainMs }] } : nothing(state)
  }
  const line = warn(`${name} could not be looked at (${why}), so it was not ended if it runs`)
  return { state: { ...state, phase: { id: 'down' } }, effects: [line] }
}

function faulty(state: ForwardState, fault: Fault, identity: ProcessIdentity, context: Context): Decision {
  const failed = countFailure(state, fault.words, context)
  return prepend(failed.effects, stop(failed.state, identity, 'restart', fault.words, context))
}

/** What systemd runs it clears up itself, and what waits for its start is looked at then. */
function mayEndRest({ phase, supervisor }: ForwardState): boolean {
  return (
    supervisor === undefined && (phase.id === 'unknown' || phase.id === 'running' || phase.id === 'blocked')
  )
}

function foundDead(
  state: ForwardState,
  { fault, stalePidFile }: Extract<Diagnosis, { condition: 'dead' }>,
  { portHolder, leftBehind, stray }: Extract<Observation, { kind: 'checked' }>,
  context: Context,
): Decision {
  if (stray !== undefined && mayEndRest(state)) {
    return prepend(clearStale(state, stalePidFile, context).effects, metStray(state, stray, context))
  }
  if (leftBehind !== undefined && mayEndRest(state)) return endRest(state, leftBehind, fault.words, context)
  const cleared = clearStale(state, stalePidFile, context)
  switch (state.phase.id) {
    case 'unknown':
      if (state.supervisor !== undefined)
        return prepend(cleared.effects, awaitSupervisor(state, state.supervisor, context))
      // Never started is no failure; a PID file that was left behind tells of one.
      if (stalePidFile === undefined) {
        const line = info(`${context.name} is not running, starting it`)
        return prepend([...cleared.effects, line], start(forgetTarget(state), context, 'none'))
      }
      return prepend(cleared.effects, failAndRestart(state, fault.words, context))
    case 'running':
      return prepend(cleared.effects, failAndRestart(state, fault.words, context))
    case 'blocked':
      if (portHolder === undefined) return prepend(cleared.effects, start(state, context, 'none'))
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
