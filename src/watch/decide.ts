import { checked, unseen } from './decide/checked.ts'
import { died, ended, survived } from './decide/ending.ts'
import { ordered } from './decide/ordered.ts'
import { replaced, replaceFailed } from './decide/replacing.ts'
import { started, startFailed, startTimedOut } from './decide/start-outcome.ts'
import {
  type Context,
  type Decision,
  type ForwardState,
  initialLimits,
  type Observation,
} from './decide/state.ts'
import { lookForIt } from './decide/supervised.ts'
import { nothing } from './decide/words.ts'

/**
 * All judgement about one forward, as a pure function: what is known and what was seen go in, what is known now and what is to be
 * done come out. Time and chance are values. Nothing else starts, ends or counts anything.
 *
 *                    ┌────────────── healthy ──────────────┐
 *                    │                                     ▼
 *   unknown ──dead──▶ starting ──started──▶ running ──order stop──▶ stopping ──▶ down
 *      │                ▲  │       (replace)──▶│ ▲                    │
 *      │ (adopts)       │  │ start failed      │ └─ order restart ────┤
 *      └──healthy──▶ running                   │                      │
 *                       │  ▼            dead   ▼  faulty              │
 *                    backoff ◀──────────── (failure) ──▶ stopping ────┘
 *                    flapping ◀─ too many restarts      blocked ◀─ port taken, or a process that is not proven
 *
 * A forward whose process systemd runs is watched all the same, but started by systemd alone: every road to `starting` leads to
 * `awaiting` instead, and an order that would end it for good is not carried out.
 */
export function decide(state: ForwardState, observation: Observation, context: Context): Decision {
  const decision = decideOn(state, observation, context)
  if (decision.state.phase.id !== 'down' || decision.state.limits === initialLimits) return decision
  // What is down uses nothing, and what is started after it is new.
  return { state: { ...decision.state, limits: initialLimits }, effects: decision.effects }
}

function decideOn(state: ForwardState, observation: Observation, context: Context): Decision {
  switch (observation.kind) {
    case 'checked':
      return checked(state, observation, context)
    case 'started':
      return started(state, observation, context)
    case 'start-failed':
      return startFailed(state, observation, context)
    case 'replaced':
      return replaced(state, observation, context)
    case 'replace-failed':
      return replaceFailed(state, observation, context)
    case 'died':
      return died(state, observation, context)
    case 'ended':
      return ended(state, observation, context)
    case 'survived':
      return survived(state, observation, context)
    case 'unseen':
      return unseen(state, observation.why, context)
    case 'woken':
      return woken(state, context)
    case 'order':
      return ordered(state, observation, context)
  }
}

function woken(state: ForwardState, context: Context): Decision {
  switch (state.phase.id) {
    case 'backoff':
    case 'flapping':
      // Somebody else may have started one meanwhile: the look starts it when nobody has.
      return context.now < state.phase.until ? nothing(state) : { state, effects: [{ kind: 'check' }] }
    case 'starting':
      if (context.now < state.phase.deadline) return nothing(state)
      return startTimedOut(state, context)
    case 'awaiting':
      return lookForIt(state, state.phase.until, context)
    case 'blocked':
    case 'unknown':
      return { state, effects: [{ kind: 'check' }] }
    case 'running':
    case 'stopping':
    case 'down':
      return nothing(state)
  }
}
