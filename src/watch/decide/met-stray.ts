import type { Stray } from '../stray.ts'
import { blocked } from './blocked.ts'
import { stop } from './ending.ts'
import type { Context, Decision, ForwardState } from './state.ts'
import { info, warn } from './words.ts'

/** ms that a forwarder which has lost its control socket has for making it anew; it does so by itself, and at SIGHUP at once. */
const patienceMs = 10_000

/** ms between two looks meanwhile. */
const lookEveryMs = 500

/** Handovers that may fail before a forwarder is ended instead. */
const mostFailures = 3

/**
 * A forwarder of this user serves the port, and this monitor does not have it: it is taken over without cutting a connection where it can be
 * asked, ended where it cannot, and left alone when somebody else keeps it alive.
 */
export function metStray(state: ForwardState, stray: Stray, context: Context): Decision {
  const { name, now, policy } = context
  const { identity, stateDirectory } = stray
  const who = `PID ${identity.pid} (a forwarder with state directory ${stateDirectory})`
  if (stray.state === 'watched') {
    return blocked(
      state,
      `the port is served by ${who}, which another monitor or systemd keeps alive`,
      context,
    )
  }
  if (stray.state === 'answers' && state.failures < mostFailures) {
    const generation = state.generation + 1
    const deadline = now + policy.startTimeoutMs
    return {
      state: { ...state, generation, phase: { id: 'starting', deadline } },
      effects: [
        info(`${name} is served by ${who}: taking it over`),
        { kind: 'adopt', generation, identity, stateDirectory, timeoutMs: policy.startTimeoutMs },
        { kind: 'wake', at: deadline },
      ],
    }
  }
  return stray.state === 'answers'
    ? stop(state, identity, 'start', 'it does not hand over', context)
    : awaitStray(state, stray, who, context)
}

function awaitStray(state: ForwardState, { identity }: Stray, who: string, context: Context): Decision {
  const { phase } = state
  const { name, now } = context
  const since = phase.id === 'blocked' && phase.stray?.pid === identity.pid ? phase.stray.since : undefined
  if (since !== undefined && now - since >= patienceMs) {
    return stop(state, identity, 'start', 'it cannot be asked on its control socket', context)
  }
  const why = `the port is served by ${who}, which has lost its control socket and was asked to make it again`
  const wake = { kind: 'wake', at: now + lookEveryMs } as const
  if (since !== undefined) return { state, effects: [wake] }
  return {
    state: { ...state, phase: { id: 'blocked', why, stray: { pid: identity.pid, since: now } } },
    effects: [warn(`${name} is not started yet: ${why}`), { kind: 'ask-back', identity }, wake],
  }
}
