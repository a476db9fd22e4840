import { isDeepStrictEqual } from 'node:util'
import type { ProcessIdentity } from '../../process/identity.ts'
import type { ProcessSummary } from '../../process/summary.ts'
import type { Reason } from './cause.ts'
import type { Context, Decision, Effect, In, Looked, OrderSeen, UnitState } from './state.ts'
import { alert, clearPidFile, endRest, fail, log, nothing, planRestart, prepend, stop } from './verbs.ts'

// A process that is gone has left others of its session behind. What becomes of them says the policy of the unit, or a person.

/** Its process is gone, and others are there: they are ended, or become the unit, or wait for an order. Nothing is started beside them. */
export function metRest(
  state: UnitState,
  identity: ProcessIdentity,
  processes: readonly ProcessSummary[],
  why: Reason,
  context: Context,
): Decision {
  switch (context.onDetached ?? 'end') {
    case 'end':
      return endRest(state, identity, processes, why, context)
    case 'adopt':
      return fail(state, why, context, (failed) => takeRest(failed, identity, processes, context))
    case 'wait':
      return fail(state, why, context, (failed) => detach(failed, identity, processes, why))
  }
}

function detach(
  state: UnitState,
  identity: ProcessIdentity,
  processes: readonly ProcessSummary[],
  fault: Reason,
): Decision {
  const why = { code: 'detached', pid: identity.pid, processes } as const
  return {
    state: { ...state, phase: { id: 'detached', identity, fault, why } },
    effects: [log(why)],
    cause: why,
  }
}

/** Those that are left are the unit's process from now on. */
function takeRest(
  state: UnitState,
  identity: ProcessIdentity,
  processes: readonly ProcessSummary[],
  { now, policy }: Context,
): Decision {
  const generation = state.generation + 1
  const deadline = now + policy.startTimeoutMs
  const cause = { code: 'taking-rest', pid: identity.pid, processes } as const
  return {
    state: { ...state, generation, phase: { id: 'starting', deadline } },
    effects: [log(cause), { kind: 'take-rest', generation, identity }, { kind: 'wake', at: deadline }],
    cause,
  }
}

/** As long as they are there, every round that finds them is a failure, alerted as any other. When they are gone, a restart follows. */
export function lookAtRest(state: In<'detached'>, seen: Looked<'dead'>, context: Context): Decision {
  const { phase } = state
  const { leftBehind, diagnosis } = seen
  if (leftBehind === undefined) {
    const gone = log({ code: 'rest-gone', pid: phase.identity.pid })
    return prepend([gone, ...clearPidFile(diagnosis.stale)], planRestart(state, phase.fault, context))
  }
  const failures = state.failures + 1
  const why = { ...phase.why, processes: leftBehind.processes }
  const effects: Effect[] = failures === context.policy.failureThreshold ? [alert('opened', 'unit', why)] : []
  const isKnown = isDeepStrictEqual(why, phase.why)
  const next = { ...state, failures, phase: isKnown ? phase : { ...phase, why } }
  return prepend(effects, nothing(next))
}

/** An order: those that are left are its process from now on. */
export function adoptRest(state: In<'detached'>, _seen: OrderSeen, context: Context): Decision {
  const { identity, why } = state.phase
  return takeRest(state, identity, why.processes, context)
}

/** An order: those that are left are ended, and the restart policy goes on. */
export function endDetached(state: In<'detached'>, { order, why }: OrderSeen, context: Context): Decision {
  const { identity, fault } = state.phase
  const reason = { code: 'ordered', why } as const
  const afterwards = order === 'stop' ? 'stay' : order === 'end' ? 'restart' : 'start'
  const stopped = stop(state, identity, afterwards, order === 'end' ? fault : reason, context)
  return { ...stopped, state: { ...stopped.state, phase: { ...stopped.state.phase, isRest: true } } }
}
