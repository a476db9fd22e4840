import type {
  AlertMessage,
  Incident,
  IncidentChange,
  IncidentState,
  Moment,
  Subject,
} from '../record/shapes/alerts.ts'
import { forwardId } from '../record/shapes/runtime-state.ts'
import { earlier, elapsedMs, isoTime } from './moment.ts'
import { messageOf } from './queue.ts'

/** What is known about a unit, or something of it, at an event. */
export interface Facts {
  /** As in `Incident`. */
  readonly unit: string
  readonly forward: string
  readonly port: number
  readonly subject: Subject
  readonly title: string
  /** In words that may leave this machine: without command lines. */
  readonly message: string
  /** ms since the first failure; 0 when nothing fails. */
  readonly failingForMs: number
  /** The unit's counter of restarts. */
  readonly restarts: number
  /** How many of them came after the first failure. */
  readonly restartsWhileFailing: number
}

export type IncidentEvent =
  /** News, the moment it is known. */
  | { readonly kind: 'opened' | 'flapping' | 'resolved'; readonly facts: Facts }
  /**
   * The condition after a round. It completes the news: a monitor may have been killed between a decision and its alert, and the machine may
   * have been rebooted. `unclear`: it fails below the threshold, or was not checked.
   */
  | {
      readonly kind: 'seen'
      readonly condition: 'failing' | 'well' | 'unclear' | 'ended'
      readonly facts: Facts
    }
  /** The subjects that are watched, by `subjectKey`; incidents of others are over. */
  | { readonly kind: 'watched'; readonly keys: readonly string[] }
  /** Time has passed. Changes that have waited long enough are delivered. */
  | { readonly kind: 'tick' }

export interface IncidentPolicy {
  /** See `AlertConfiguration`. */
  readonly reminderMs: number
  readonly groupMs: number
  /** So many incidents of one subject within `flappingWindowMs` are flapping. */
  readonly flappingIncidents: number
  readonly flappingWindowMs: number
  /** How long a flapping subject must be well before its incident is resolved. */
  readonly settleMs: number
}

export const incidentDefaults = {
  flappingIncidents: 4,
  flappingWindowMs: 30 * 60_000,
  settleMs: 10 * 60_000,
} as const

/** The longest time between two reminders. */
const longestReminderMs = 6 * 3_600_000

export interface IncidentDecision {
  readonly state: IncidentState
  /** What has just changed, for the log. Each change will be part of exactly one message. */
  readonly changes: readonly IncidentChange[]
  /** What is to be delivered now. */
  readonly messages: readonly AlertMessage[]
}

export function initialIncidents(seed: string): IncidentState {
  return { seed, sequence: 0, incidents: [], recentOpenings: [], pending: [], pendingSince: null }
}

/** What an incident is one of: a subject of a unit, whatever the unit is called. */
export function subjectKey({ subject, unit }: Pick<Facts, 'subject' | 'unit'>): string {
  return `${subject} ${unit}`
}

/** What an older monitor has left, which knew forwards alone, and each by its name. */
export function byUnit(state: IncidentState): IncidentState {
  if (state.incidents.every(({ unit }) => unit !== '')) return state
  const unitOf = new Map(state.incidents.map(({ forward, port }) => [forward, forwardId(port)]))
  return {
    ...state,
    incidents: state.incidents.map((incident) =>
      incident.unit !== ''
        ? incident
        : { ...incident, unit: forwardId(incident.port), title: olderTitle(incident) },
    ),
    recentOpenings: state.recentOpenings.map((opening) => {
      const [subject = '', ...name] = opening.key.split(' ')
      return { ...opening, key: `${subject} ${unitOf.get(name.join(' ')) ?? name.join(' ')}` }
    }),
  }
}

function olderTitle({ subject, forward }: Incident): string {
  const what = { target: 'Target', memory: 'Memory', cpu: 'CPU time', login: 'Login' }[subject]
  return what === undefined ? forward : `${what} of ${forward}`
}

/**
 * All judgement about incidents, as a pure function. An incident is one trouble of one unit, from the first
 * failure until it is over. An alert goes out when it opens and another when it is resolved. A subject that fails and recovers again and
 * again is reported once as flapping, and is resolved when it has been well for a while.
 *
 *              opened, flapping                       resolved
 *    (none) ──────────────────▶ open ──────────────────────────────────────▶ (none)
 *                                │ flapping                                     ▲
 *                                ▼                     well for `settleMs`      │
 *                          open, flapping ──resolved──▶ settling ───────────────┘
 *                                ▲                         │
 *                                └──────── fails again ────┘
 */
export function decideIncidents(
  state: IncidentState,
  event: IncidentEvent,
  now: Moment,
  policy: IncidentPolicy,
): IncidentDecision {
  const known = 'facts' in event ? withFacts(state, event.facts) : state
  // A later step delivers the changes, so that the caller can save them first.
  const { state: flushed, messages } =
    event.kind === 'tick' ? flush(known, now, policy) : { state: known, messages: [] }
  const { state: changed, changes } = apply(flushed, event, now, policy)
  return { state: collect(changed, changes, now), changes, messages }
}

/** ms until the changes that wait must be delivered; undefined when none does. */
export function flushDueInMs(state: IncidentState, now: Moment, policy: IncidentPolicy): number | undefined {
  if (state.pendingSince === null) return undefined
  return Math.max(0, policy.groupMs - elapsedMs(state.pendingSince, now))
}

interface Step {
  readonly state: IncidentState
  readonly changes: readonly IncidentChange[]
}

const nothing = (state: IncidentState): Step => ({ state, changes: [] })

function apply(state: IncidentState, event: IncidentEvent, now: Moment, policy: IncidentPolicy): Step {
  switch (event.kind) {
    case 'opened':
      return fails(state, event.facts, now, policy)
    case 'flapping':
      return flaps(state, event.facts, now, policy)
    case 'resolved':
      return isWell(state, event.facts, now)
    case 'seen':
      return seen(state, event, now, policy)
    case 'watched':
      return closeUnwatched(state, event, now)
    case 'tick':
      return tick(state, now, policy)
  }
}

function seen(
  state: IncidentState,
  { condition, facts }: Extract<IncidentEvent, { kind: 'seen' }>,
  now: Moment,
  policy: IncidentPolicy,
): Step {
  const incident = find(state, facts)
  switch (condition) {
    case 'failing':
      return fails(state, facts, now, policy)
    case 'well':
      return isWell(state, facts, now)
    case 'ended':
      return incident === undefined
        ? nothing(state)
        : resolve(state, incident, facts.message, incident.wellSince ?? now, now)
    case 'unclear':
      return incident === undefined ? nothing(state) : nothing(unsettled(state, incident))
  }
}

function fails(state: IncidentState, facts: Facts, now: Moment, policy: IncidentPolicy): Step {
  const incident = find(state, facts)
  return incident === undefined ? open(state, facts, false, now, policy) : nothing(unsettled(state, incident))
}

function flaps(state: IncidentState, facts: Facts, now: Moment, policy: IncidentPolicy): Step {
  const incident = find(state, facts)
  if (incident === undefined) return open(state, facts, true, now, policy)
  if (incident.flapping) return nothing(unsettled(state, incident))
  return addChange(state, { ...incident, flapping: true }, 'flapping', facts.message, now, now)
}

function open(
  state: IncidentState,
  facts: Facts,
  isFlapping: boolean,
  now: Moment,
  policy: IncidentPolicy,
): Step {
  const key = subjectKey(facts)
  const sequence = state.sequence + 1
  const recent = state.recentOpenings.filter(({ at }) => elapsedMs(at, now) < policy.flappingWindowMs)
  const openings = recent.filter((opening) => opening.key === key).length + 1
  const comesAndGoes = openings >= policy.flappingIncidents
  const { unit, forward, port, subject, title } = facts
  const incident: Incident = {
    id: `${state.seed}-${sequence}`,
    unit,
    forward,
    port,
    subject,
    title,
    message: facts.message,
    since: earlier(now, facts.failingForMs),
    openedAt: now,
    flapping: isFlapping || comesAndGoes,
    wellSince: null,
    toldAt: now,
    reminders: 0,
    changes: 0,
    restartsBefore: Math.max(0, facts.restarts - facts.restartsWhileFailing),
    restarts: facts.restarts,
  }
  const opened: IncidentState = {
    ...state,
    sequence,
    recentOpenings: [...recent, { key, at: now }],
    incidents: [...state.incidents, incident],
  }
  const times = `; it comes and goes (${openings} times recently); the next alert follows when it is stable`
  const message = comesAndGoes ? `${facts.message}${times}` : facts.message
  return addChange(opened, incident, 'opened', message, now, now)
}

function isWell(state: IncidentState, facts: Facts, now: Moment): Step {
  const incident = find(state, facts)
  if (incident === undefined) return nothing(state)
  if (!incident.flapping) return resolve(state, incident, facts.message, now, now)
  if (incident.wellSince !== null) return nothing(state)
  return nothing(replace(state, { ...incident, wellSince: now }))
}

/** @param end when the trouble was over: earlier than now for one that had to settle. */
function resolve(state: IncidentState, incident: Incident, message: string, end: Moment, now: Moment): Step {
  const step = addChange(state, incident, 'resolved', message, end, now)
  const incidents = step.state.incidents.filter(({ id }) => id !== incident.id)
  return { state: { ...step.state, incidents }, changes: step.changes }
}

function closeUnwatched(
  state: IncidentState,
  { keys }: Extract<IncidentEvent, { kind: 'watched' }>,
  now: Moment,
): Step {
  const gone = state.incidents.filter((incident) => !keys.includes(subjectKey(incident)))
  return inTurn(state, gone, (before, incident) => {
    const { forward, port } = incident
    const message = `${port === 0 ? forward : `Port ${port} (${forward})`} is not watched any more`
    return resolve(before, incident, message, incident.wellSince ?? now, now)
  })
}

function tick(state: IncidentState, now: Moment, policy: IncidentPolicy): Step {
  return inTurn(state, state.incidents, (before, incident) => {
    const { wellSince } = incident
    if (wellSince === null) return remind(before, incident, now, policy)
    if (elapsedMs(wellSince, now) < policy.settleMs) return nothing(before)
    const message = `${incident.title} has settled: well since ${isoTime(wellSince)}`
    return resolve(before, incident, message, wellSince, now)
  })
}

function remind(state: IncidentState, incident: Incident, now: Moment, { reminderMs }: IncidentPolicy): Step {
  if (reminderMs === 0) return nothing(state)
  const doubled = reminderMs * 2 ** Math.min(incident.reminders, 30)
  const interval = Math.min(doubled, Math.max(longestReminderMs, reminderMs))
  if (elapsedMs(incident.toldAt, now) < interval) return nothing(state)
  const reminded = { ...incident, reminders: incident.reminders + 1 }
  return addChange(state, reminded, 'reminder', `Still: ${incident.message}`, now, now)
}

function addChange(
  state: IncidentState,
  incident: Incident,
  event: IncidentChange['event'],
  message: string,
  end: Moment,
  now: Moment,
): Step {
  const number = incident.changes + 1
  const change: IncidentChange = {
    id: `${incident.id}.${number}`,
    incident: incident.id,
    event,
    unit: incident.unit,
    forward: incident.forward,
    port: incident.port,
    subject: incident.subject,
    message,
    at: isoTime(now),
    since: isoTime(incident.since),
    durationMs: Math.round(elapsedMs(incident.since, end)),
    // The counter restarts at 0 when the records were lost.
    restarts: Math.max(0, incident.restarts - incident.restartsBefore),
    flapping: incident.flapping,
  }
  const updated: Incident = { ...incident, changes: number, toldAt: now, wellSince: null }
  return { state: replace(state, updated), changes: [change] }
}

function inTurn(
  state: IncidentState,
  incidents: readonly Incident[],
  step: (state: IncidentState, incident: Incident) => Step,
): Step {
  return incidents.reduce<Step>((before, incident) => {
    const after = step(before.state, incident)
    return { state: after.state, changes: [...before.changes, ...after.changes] }
  }, nothing(state))
}

function find(state: IncidentState, facts: Facts): Incident | undefined {
  return state.incidents.find(({ unit, subject }) => unit === facts.unit && subject === facts.subject)
}

function replace(state: IncidentState, incident: Incident): IncidentState {
  return { ...state, incidents: state.incidents.map((old) => (old.id === incident.id ? incident : old)) }
}

/** The unit goes on, and may be called otherwise by now. */
function withFacts(state: IncidentState, facts: Facts): IncidentState {
  const incident = find(state, facts)
  const { restarts, forward, title } = facts
  if (incident === undefined) return state
  if (incident.restarts === restarts && incident.forward === forward && incident.title === title) return state
  return replace(state, { ...incident, restarts, forward, title })
}

function unsettled(state: IncidentState, incident: Incident): IncidentState {
  return incident.wellSince === null ? state : replace(state, { ...incident, wellSince: null })
}

function collect(state: IncidentState, changes: readonly IncidentChange[], now: Moment): IncidentState {
  if (changes.length === 0) return state
  return { ...state, pending: [...state.pending, ...changes], pendingSince: state.pendingSince ?? now }
}

function flush(
  state: IncidentState,
  now: Moment,
  policy: IncidentPolicy,
): Pick<IncidentDecision, 'state' | 'messages'> {
  if (flushDueInMs(state, now, policy) !== 0) return { state, messages: [] }
  return {
    state: { ...state, pending: [], pendingSince: null },
    messages: [messageOf(state.pending)],
  }
}
