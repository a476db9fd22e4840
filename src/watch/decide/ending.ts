import type { ProcessIdentity } from '../../os/process-identity.ts'
import { blocked } from './blocked.ts'
import { failAndRestart, planRestart } from './restarting.ts'
import { staleEffects } from './stale-pid-file.ts'
import { start } from './starting.ts'
import type { Context, Decision, Effect, ForwardState, Observation } from './state.ts'
import { info, nothing, prepend } from './words.ts'

/** A process that nobody told to end is gone. */
export function died(
  state: ForwardState,
  seen: Extract<Observation, { kind: 'died' }>,
  context: Context,
): Decision {
  if (state.phase.id === 'stopping') return ended(state, { kind: 'ended', identity: seen.identity }, context)
  if (state.phase.id !== 'running' || state.phase.identity.pid !== seen.identity.pid) return nothing(state)
  const cleared = staleEffects(`PID ${seen.identity.pid} ${seen.how}`, context.port)
  return prepend(
    cleared,
    failAndRestart(state, `is not running: PID ${seen.identity.pid} ${seen.how}`, context),
  )
}

/** A stop has done its work. */
export function ended(
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

/** A stop has not: the process is still there after SIGKILL. */
export function survived(
  state: ForwardState,
  seen: Extract<Observation, { kind: 'survived' }>,
  context: Context,
): Decision {
  if (state.phase.id !== 'stopping' || state.phase.identity.pid !== seen.identity.pid) return nothing(state)
  return blocked(state, `PID ${seen.identity.pid} does not end, not even by SIGKILL`, context)
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
