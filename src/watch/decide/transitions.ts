/**
 * decide/: the parts of `decide` (../decide.ts), all pure. The table below leads each observation in each phase to its handler (looked.ts,
 * healthy.ts, answered.ts, ordered.ts); handlers share the verbs of verbs.ts; state.ts holds the types, cause.ts what a decision says of
 * itself as data. A new observation is a row of the table, a new phase a column.
 */
import {
  died,
  ended,
  late,
  mistaken,
  replaced,
  replacedAtEnd,
  replaceFailed,
  started,
  startFailed,
  startTimedOut,
  survived,
} from './answered.ts'
import { adoptRest, endDetached, lookAtRest } from './detached.ts'
import { adopt, judgeRunning } from './healthy.ts'
import {
  blockUnproven,
  endFaulty,
  endFound,
  endFoundFaulty,
  endFoundRest,
  leaveUnproven,
  leaveUnseen,
  lookForStart,
  lookIfDue,
  lookLater,
  lookLaterIfDue,
  restartDead,
  startAbsent,
  startIfDue,
  startIfFree,
  startIfGivenUp,
  tidy,
} from './looked.ts'
import {
  endAnyhow,
  endRunning,
  endStarting,
  giveUp,
  lookNow,
  lookToStart,
  lookToStartAnew,
  lookToStop,
  renewDone,
  renewEnding,
  replaceAgain,
  replaceRunning,
  retry,
  startAgain,
  startOver,
  unchanged,
} from './ordered.ts'
import {
  type Column,
  type Context,
  columns,
  type Decision,
  type In,
  type Looked,
  type Observation,
  type OrderSeen,
  type Phase,
  type Seen,
  type UnitState,
} from './state.ts'
import { look, nothing, stale } from './verbs.ts'

/** The rows of the table: the observations, looks by what they found and orders by what is ordered. */
interface Rows {
  readonly healthy: Looked<'healthy'>
  readonly draining: Looked<'draining'>
  readonly faulty: Looked<'faulty'>
  readonly unverifiable: Looked<'unverifiable'>
  readonly dead: Looked<'dead'>
  readonly unseen: Seen<'unseen'>
  readonly woken: Seen<'woken'>
  readonly started: Seen<'started'>
  readonly startFailed: Seen<'start-failed'>
  readonly replaced: Seen<'replaced'>
  readonly replaceFailed: Seen<'replace-failed'>
  readonly died: Seen<'died'>
  readonly ended: Seen<'ended'>
  readonly survived: Seen<'survived'>
  readonly start: OrderSeen
  readonly stop: OrderSeen
  readonly restart: OrderSeen
  readonly handOver: OrderSeen
  readonly retry: OrderSeen
  readonly renew: OrderSeen
  readonly adopt: OrderSeen
  readonly end: OrderSeen
}

type Handler<C extends Column, S> = (state: In<C>, seen: S, context: Context) => Decision

type Cells<S, Columns extends readonly Column[]> = { readonly [I in keyof Columns]: Handler<Columns[I], S> }

type Row<S> = Cells<S, typeof columns>

/** Goes on as it is: what was seen asks for nothing, or its answer comes by itself. */
const goOn = nothing

// biome-ignore format: one row an observation, one column a phase
const transitions: { readonly [R in keyof Rows]: Row<Rows[R]> } = {
  //              unknown        unwanted        starting       running         stopping       backoff         flapping        awaiting        blocked         detached       down
  healthy:       [adopt,         endFound,       goOn,          judgeRunning,   goOn,          adopt,          adopt,          adopt,          adopt,          adopt,         goOn],
  draining:      [goOn,          endFound,       goOn,          goOn,           goOn,          goOn,           goOn,           goOn,           goOn,           goOn,          goOn],
  faulty:        [endFaulty,     endFoundFaulty, goOn,          endFaulty,      goOn,          endFaulty,      endFaulty,      endFaulty,      endFaulty,      endFaulty,     goOn],
  unverifiable:  [blockUnproven, leaveUnproven,  goOn,          blockUnproven,  goOn,          blockUnproven,  blockUnproven,  blockUnproven,  blockUnproven,  blockUnproven, goOn],
  dead:          [startAbsent,   endFoundRest,   goOn,          restartDead,    goOn,          startIfDue,     startIfDue,     startIfGivenUp, startIfFree,    lookAtRest,    tidy],
  unseen:        [lookLater,     leaveUnseen,    goOn,          goOn,           goOn,          lookLaterIfDue, lookLaterIfDue, goOn,           lookLater,      lookLater,     goOn],
  woken:         [look,          look,           startTimedOut, stale,          stale,         lookIfDue,      lookIfDue,      lookForStart,   look,           look,          stale],
  started:       [late,          late,           started,       late,           late,          late,           late,           late,           late,           late,          late],
  startFailed:   [late,          late,           startFailed,   late,           late,          late,           late,           late,           late,           late,          late],
  replaced:      [late,          late,           mistaken,      replaced,       replacedAtEnd, late,           late,           late,           late,           late,          late],
  replaceFailed: [late,          late,           mistaken,      replaceFailed,  late,          late,           late,           late,           late,           late,          late],
  died:          [stale,         stale,          stale,         died,           goOn,          stale,          stale,          stale,          stale,          stale,         stale],
  ended:         [stale,         stale,          stale,         stale,          ended,         stale,          stale,          stale,          stale,          stale,         stale],
  survived:      [stale,         stale,          stale,         stale,          survived,      stale,          stale,          stale,          stale,          stale,         stale],
  start:         [unchanged,     lookToStart,    unchanged,     unchanged,      startAgain,    retry,          retry,          lookNow,        lookNow,        lookNow,       lookToStart],
  stop:          [lookToStop,    lookToStop,     endStarting,   endRunning,     endAnyhow,     lookToStop,     lookToStop,     giveUp,         lookToStop,     endDetached,   unchanged],
  restart:       [lookToStartAnew, lookToStartAnew, startOver,     replaceRunning, endAnyhow,     retry,          retry,          lookNow,        lookNow,        endDetached,   lookToStart],
  handOver:      [unchanged,     unchanged,      unchanged,     replaceRunning, unchanged,     unchanged,      unchanged,      unchanged,      unchanged,      unchanged,     unchanged],
  retry:         [unchanged,     unchanged,      unchanged,     replaceAgain,   unchanged,     retry,          retry,          lookNow,        lookNow,        lookNow,       unchanged],
  renew:         [lookToStartAnew, unchanged,    startOver,     replaceRunning, renewEnding,   retry,          retry,          unchanged,      lookNow,        endDetached,   renewDone],
  adopt:         [unchanged,     unchanged,      unchanged,     unchanged,      unchanged,     unchanged,      unchanged,      unchanged,      unchanged,      adoptRest,     unchanged],
  end:           [unchanged,     unchanged,      unchanged,     unchanged,      unchanged,     unchanged,      unchanged,      unchanged,      unchanged,      endDetached,   unchanged],
}

/** The one transition of a state at an observation. */
export function transition(state: UnitState, observation: Observation, context: Context): Decision {
  // The table pairs each handler with its phase and its observation; the type of a lookup cannot say so.
  const handler = transitions[rowOf(observation)][columns.indexOf(columnOf(state.phase))] as (
    state: UnitState,
    seen: Observation,
    context: Context,
  ) => Decision
  return handler(state, observation, context)
}

function columnOf(phase: Phase): Column {
  return phase.id === 'unknown' && phase.stop !== undefined ? 'unwanted' : phase.id
}

function rowOf(observation: Observation): keyof Rows {
  switch (observation.kind) {
    case 'checked':
      return observation.diagnosis.condition
    case 'start-failed':
      return 'startFailed'
    case 'replace-failed':
      return 'replaceFailed'
    case 'order':
      return observation.order === 'hand-over' ? 'handOver' : observation.order
    default:
      return observation.kind
  }
}
