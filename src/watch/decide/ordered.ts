import type { Context, Decision, In, OrderSeen, UnitState } from './state.ts'
import { goDown, keepSupervised, lookFirst, prepend, replace, start, stop, stopping } from './verbs.ts'

// What a person, a configuration or the end of the monitor wants, by the phase in which the order comes.

/** The order asks for what is so already, or comes by itself. */
export function unchanged(state: UnitState): Decision {
  return { state, effects: [], cause: { code: 'unchanged' } }
}

/** A look comes before the start: one that did not end, or that somebody has started since, may be there. */
export function lookToStart(state: UnitState): Decision {
  return lookFirst(state)
}

/** The same where one may run that is older than the order: it is replaced. */
export function lookToStartAnew(state: UnitState, { why }: OrderSeen): Decision {
  const looking = lookFirst(state)
  const phase = { id: 'unknown', anew: { code: 'ordered', why } } as const
  return { ...looking, state: { ...looking.state, phase } }
}

/** One that nobody has seen yet may run: what the look finds is ended. */
export function lookToStop(state: UnitState, { why, drainMs }: OrderSeen): Decision {
  return lookFirst(state, { why: { code: 'ordered', why }, drainMs })
}

/** What it waits for may have come: it is looked at now instead of at the next round. */
export function lookNow(state: UnitState): Decision {
  return { state, effects: [{ kind: 'check' }], cause: { code: 'looked-first' } }
}

/** The person who orders it has removed the cause: earlier failures no longer count. */
export function retry(state: In<'backoff' | 'flapping'>): Decision {
  return lookFirst({ ...state, recentRestarts: [], backoffLevel: 0 })
}

/** Nobody wants it any more, although its supervisor may start it again. */
export function giveUp(state: In<'awaiting'>): Decision {
  return goDown(state)
}

/** Its start is given up, and its process ended as one that runs is; where none is known, whatever there is of it is killed. */
export function endStarting(state: In<'starting'>, { why, drainMs }: OrderSeen, context: Context): Decision {
  const { starting } = context
  if (starting !== undefined) return stop(state, starting, 'stay', { code: 'ordered', why }, context, drainMs)
  const down = goDown(state)
  return { ...down, effects: [{ kind: 'abandon-start' }] }
}

/** It is still ending: what was ordered last counts. */
export function startAgain(state: In<'stopping'>, seen: OrderSeen, context: Context): Decision {
  return state.phase.afterwards === 'stay' ? endAnyhow(state, seen, context) : unchanged(state)
}

/** It is ending already, and its end is what was ordered. One that an order lets finish for longer is ended now. */
export function endAnyhow(
  state: In<'stopping'>,
  { order, why, drainMs }: OrderSeen,
  context: Context,
): Decision {
  const afterwards = order === 'stop' ? 'stay' : 'start'
  const reason = { code: 'ordered', why } as const
  if (state.phase.drainMs !== undefined && drainMs === undefined)
    return stop(state, state.phase.identity, afterwards, reason, context)
  const phase = { ...state.phase, afterwards, why: reason } as const
  return { state: { ...state, phase }, effects: [], cause: stopping(phase) }
}

/** Ended at once, or when its work is done. */
export function endRunning(state: In<'running'>, { why, drainMs }: OrderSeen, context: Context): Decision {
  const { supervisor, phase } = state
  if (supervisor !== undefined) return keepSupervised(state, supervisor.by, 'stop')
  return stop(state, phase.identity, 'stay', { code: 'ordered', why }, context, drainMs)
}

/** Replaced, without refusing anybody. */
export function replaceRunning(
  state: In<'running'>,
  { order, why, drainMs }: OrderSeen,
  context: Context,
): Decision {
  const { supervisor, phase } = state
  if (supervisor !== undefined) return keepSupervised(state, supervisor.by, 'restart')
  if (phase.replacement?.state === 'starting') return unchanged(state)
  if (context.canHandOver === false && order !== 'hand-over')
    return stop(state, phase.identity, 'start', { code: 'ordered', why }, context, drainMs)
  return replace(state, { code: 'ordered', why }, context, order === 'hand-over')
}

/** A replacement that has failed need not wait for its next try. */
export function replaceAgain(state: In<'running'>): Decision {
  const { replacement, ...phase } = state.phase
  return replacement?.state === 'failed' ? lookNow({ ...state, phase }) : unchanged(state)
}

/**
 * What it is started from may have changed since its start began, such as its code: its process is ended as one that runs is, and another one
 * started.
 */
export function startOver(state: In<'starting'>, { why }: OrderSeen, context: Context): Decision {
  const { starting } = context
  if (starting !== undefined) return stop(state, starting, 'start', { code: 'ordered', why }, context)
  const again = start(state, 'plan', { code: 'planned', reason: { code: 'ordered', why } }, context)
  return prepend([{ kind: 'abandon-start' }], again)
}

/** It is ending: unless it is to stay down, the next start is of what has changed, and need not wait. */
export function renewEnding(state: In<'stopping'>, seen: OrderSeen, context: Context): Decision {
  return state.phase.afterwards === 'restart' ? endAnyhow(state, seen, context) : unchanged(state)
}

/** Its work was done with what has changed since. One that somebody has stopped stays down. */
export function renewDone(state: In<'down'>, { why }: OrderSeen, context: Context): Decision {
  if (state.completed !== true) return unchanged(state)
  return start(state, 'plan', { code: 'planned', reason: { code: 'ordered', why } }, context)
}
