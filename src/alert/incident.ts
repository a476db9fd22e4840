import {
  type AlertMessage,
  type Incident,
  type IncidentChange,
  type IncidentState,
  messageOf,
  type Subject,
} from './incident-record.ts'
import { earlier, elapsedMs, isoTime, type Moment } from './moment.ts'

/** What is known about a forward, or its target, at an event. */
export interface Facts {
  readonly forward: string
  readonly port: number
  readonly subject: Subject
  readonly message: string
  /** ms since the first failure; 0 when nothing fails. */
  readonly failingForMs: number
  /** The forward's counter of restarts. */
  readonly restarts: number
  /** How many of them came after the first failure. */
  readonly restartsWhileFailing: number
}

export type IncidentEvent =
  /** News, the moment it is known. */
  | { readonly kind: 'opened' | 'flapping' | 'resolved'; readonly facts: Facts }
  /**
   * How things are, after a round. Mends what news has missed: the monitor was killed between deciding and telling, or the machine
   * was started anew. `unclear` fails below the threshold, or has not been looked at.
   */
  | {
      readonly kind: 'seen'
      readonly condition: 'failing' | 'well' | 'unclear' | 'ended'
      readonly facts: Facts
    }
  /** The subjects that are watched, by `subjectKey`; incidents of others are over. */
  | { readonly kind: 'watched'; readonly keys: readonly string[] }
  /** Forwards have other names from now on: their incidents go on. */
  | { readonly kind: 'renamed'; readonly renamed: readonly { readonly from: string; readonly to: string }[] }
  /** Time has passed. Delivers what has waited long enough. */
  | { readonly kind: 'tick' }

export interface IncidentPolicy {
  /** See `AlertConfiguration`. */
  readonly reminderMs: number
  readonly groupMs: number
  /** So many incidents of one subject within `flappingWindowMs` are flapping. */
  readonly flappingIncidents: number
  readonly flappingWindowMs: number
  /** How long a flapping subject must be well to be resolved. */
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
  /** What has just changed, for the log. Every one of them will be in exactly one message. */
  readonly changes: readonly IncidentChange[]
  /** What is to be delivered now. */
  readonly messages: readonly AlertMessage[]
}

export function initialIncidents(seed: string): IncidentState {
  return { seed, sequence: 0, incidents: [], recentOpenings: [], pending: [], pendingSince: null }
}

export function subjectKey({ subject, forward }: Pick<Facts, 'subject' | 'forward'>): string {
  return `${subject} ${forward}`
}

/**
 * All judgement about incidents, as a pure function. An incident is one trouble of one forward or one target, from the first
 * failure until it is over. It is told when it opens and when it is resolved, once each; what keeps coming and going is told as
 * flapping, once, and resolved when it has been well for a while.
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
  const known = 'facts' in event ? withRestarts(state, event.facts) : state
  // Changes are delivered by a later step than the one that made them, so that they can be written down in between.
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
    case 'renamed':
      return nothing(rename(state, event.renamed))
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
  return tell(state, { ...incident, flapping: true }, 'flapping', facts.message, now, now)
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
  const { forward, port, subject } = facts
  const incident: Incident = {
    id: `${state.seed}-${sequence}`,
    forward,
    port,
    subject,
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
  return tell(opened, incident, 'opened', message, now, now)
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
  const step = tell(state, incident, 'resolved', message, end, now)
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
    const message = `Port ${incident.port} (${incident.forward}) is not watched any more`
    return resolve(before, incident, message, incident.wellSince ?? now, now)
  })
}

function rename(
  state: IncidentState,
  renamed: readonly { readonly from: string; readonly to: string }[],
): IncidentState {
  const nameNow = (name: string) => renamed.find(({ from }) => from === name)?.to ?? name
  const incidents = state.incidents.map((one) => ({ ...one, forward: nameNow(one.forward) }))
  const recentOpenings = state.recentOpenings.map((opening) => {
    const [subject = '', ...name] = opening.key.split(' ')
    return { ...opening, key: `${subject} ${nameNow(name.join(' '))}` }
  })
  return { ...state, incidents, recentOpenings }
}

function tick(state: IncidentState, now: Moment, policy: IncidentPolicy): Step {
  return inTurn(state, state.incidents, (before, incident) => {
    const { wellSince } = incident
    if (wellSince === null) return remind(before, incident, now, policy)
    if (elapsedMs(wellSince, now) < policy.settleMs) return nothing(before)
    const message = `${subjectWords[incident.subject](incident.forward)} has settled: well since ${isoTime(wellSince)}`
    return resolve(before, incident, message, wellSince, now)
  })
}

const subjectWords: Readonly<Record<Subject, (forward: string) => string>> = {
  forward: (forward) => forward,
  target: (forward) => `Target of ${forward}`,
  memory: (forward) => `Memory of ${forward}`,
  cpu: (forward) => `CPU time of ${forward}`,
  login: (forward) => `Login of ${forward}`,
}

function remind(state: IncidentState, incident: Incident, now: Moment, { reminderMs }: IncidentPolicy): Step {
  if (reminderMs === 0) return nothing(state)
  const doubled = reminderMs * 2 ** Math.min(incident.reminders, 30)
  const interval = Math.min(doubled, Math.max(longestReminderMs, reminderMs))
  if (elapsedMs(incident.toldAt, now) < interval) return nothing(state)
  const reminded = { ...incident, reminders: incident.reminders + 1 }
  return tell(state, reminded, 'reminder', `Still: ${incident.message}`, now, now)
}

function tell(
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
    forward: incident.forward,
    port: incident.port,
    subject: incident.subject,
    message,
    at: isoTime(now),
    since: isoTime(incident.since),
    durationMs: Math.round(elapsedMs(incident.since, end)),
    // A counter that began anew, because the records were lost, says nothing about before.
    restarts: Math.max(0, incident.restarts - incident.restartsBefore),
    flapping: incident.flapping,
  }
  const told: Incident = { ...incident, changes: number, toldAt: now, wellSince: null }
  return { state: replace(state, told), changes: [change] }
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
  return state.incidents.find(
    ({ forward, subject }) => forward === facts.forward && subject === facts.subject,
  )
}

function replace(state: IncidentState, incident: Incident): IncidentState {
  return { ...state, incidents: state.incidents.map((old) => (old.id === incident.id ? incident : old)) }
}

function withRestarts(state: IncidentState, facts: Facts): IncidentState {
  const incident = find(state, facts)
  if (incident === undefined || incident.restarts === facts.restarts) return state
  return replace(state, { ...incident, restarts: facts.restarts })
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
