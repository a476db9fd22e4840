import {
  type Context,
  type Decision,
  initialLimits,
  type Observation,
  type UnitState,
} from './decide/state.ts'
import { transition } from './decide/transitions.ts'

/**
 * All judgement about one unit, as a pure function: what is known and what was seen go in, what is known now and what is to be
 * done come out. Time and chance are values. Nothing else starts, ends or counts anything.
 *
 * Table (`decide/transitions.ts`: phase x observation) -> handler (`looked`, `healthy`, `answered`, `ordered`) -> verbs (`verbs.ts`) ->
 * effects. A new observation is a row of the table, a new phase a column. The usual ways:
 *
 *   unknown ──healthy──▶ running ◀──replaced── running, being replaced (an order, other options, a limit)
 *      │                   │ ▲                    └──replacement failed──▶ running
 *      │              dead │ │ started
 *      │                   ▼ │
 *      ├──dead──▶ starting, or backoff (waits longer and longer), or flapping (too many restarts) ──due, still dead──▶ starting
 *      │                   └──start failed──▶ backoff, or blocked when its place is taken
 *      ├──faulty, or a process left behind──▶ stopping ──ended──▶ starting, backoff, flapping; down when that was ordered
 *      │                                         └──survived──▶ blocked
 *      └──not proven to be ours──▶ blocked (looked at every round) ──dead──▶ starting
 *
 * An order to stop leads from running to stopping to down; from a phase in which nobody knows whether a process is there to `unknown` with
 * `stop` (the column `unwanted`), where the look ends what it finds. An order to start looks first, too.
 *
 * A unit that depends on others waits in `awaiting` before every start until they are ready; one that runs once goes down when it has done its
 * work.
 *
 * A unit whose process systemd runs is watched all the same, but started by systemd alone: every road to `starting` leads to
 * `awaiting` instead, from where a look leads to `running`, or to `starting` when its place was given up; an order that would end it for good
 * is not carried out.
 */
export function decide(state: UnitState, observation: Observation, context: Context): Decision {
  const decision = transition(state, observation, context)
  if (decision.state.phase.id !== 'down' || decision.state.limits === initialLimits) return decision
  // What is down uses nothing, and what is started after it is new.
  return { ...decision, state: { ...decision.state, limits: initialLimits } }
}
