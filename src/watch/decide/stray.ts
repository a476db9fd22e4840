import type { Stray } from '../unit.ts'
import type { Context, Decision, In, UnitState } from './state.ts'
import { block, log, nothing, prepend, stop } from './verbs.ts'

/** ms that a process which has lost its control socket has for making it anew; it does so by itself, and when asked at once. */
const patienceMs = 10_000

/** ms between two looks meanwhile. */
const lookEveryMs = 500

/** Handovers that may fail before a stray is ended instead. */
const mostFailures = 3

/**
 * A process of this user does the unit's work, and this monitor does not have it: it is taken over without cutting a connection where it can be
 * asked, ended where it cannot, and left alone when somebody else keeps it alive.
 */
export function metStray(
  state: In<'unknown' | 'running' | 'blocked'>,
  stray: Stray,
  context: Context,
): Decision {
  const { now, policy } = context
  const { identity, stateDirectory } = stray
  const who = { pid: identity.pid, stateDirectory }
  if (stray.state === 'watched') {
    const { phase } = state
    const isKnown = phase.id === 'blocked' && phase.why.code === 'stray-watched' && phase.why.pid === who.pid
    return block(state, { code: 'stray-watched', ...who }, isKnown, context)
  }
  if (stray.state === 'silent') return awaitStray(state, stray, context)
  if (state.failures >= mostFailures) return stop(state, identity, 'start', { code: 'stray-keeps' }, context)
  const generation = state.generation + 1
  const deadline = now + policy.startTimeoutMs
  const cause = { code: 'adopting', ...who } as const
  return {
    state: { ...state, generation, phase: { id: 'starting', deadline } },
    effects: [
      log(cause),
      { kind: 'adopt', generation, identity, stateDirectory, timeoutMs: policy.startTimeoutMs },
      { kind: 'wake', at: deadline },
    ],
    cause,
  }
}

function awaitStray(state: UnitState, { identity, stateDirectory }: Stray, context: Context): Decision {
  const { phase } = state
  const { now } = context
  const { pid } = identity
  const since = phase.id === 'blocked' && phase.stray?.pid === pid ? phase.stray.since : undefined
  if (since !== undefined && now - since >= patienceMs) {
    return stop(state, identity, 'start', { code: 'stray-silent' }, context)
  }
  const wake = { kind: 'wake', at: now + lookEveryMs } as const
  if (since !== undefined) return prepend([wake], nothing(state))
  const why = { code: 'stray-asked', pid, stateDirectory } as const
  return {
    state: { ...state, phase: { id: 'blocked', why, stray: { pid, since: now } } },
    effects: [log(why), { kind: 'ask-back', identity }, wake],
    cause: { code: 'blocked', reason: why, failures: state.failures },
  }
}
