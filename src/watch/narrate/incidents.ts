import type { SubjectCondition } from '../../alert/alerts.ts'
import type { Facts } from '../../alert/incident.ts'
import { type LimitedResource, limitedResources, resourceNames } from '../../record/limit-words.ts'
import type { Subject } from '../../record/shapes/alerts.ts'
import type { ResourceUsage } from '../../record/shapes/runtime-state.ts'
import { amountUsed, isExceeded, isKept, limitOf, samplesInARow, streakOf } from '../decide/limits.ts'
import type { TroubleSubject, UnitState } from '../decide/state.ts'
import type { Dependency, Trouble, Unit } from '../unit.ts'
import { capitalized, dependencyOf } from './index.ts'
import { alertText } from './log-lines.ts'

/** What can be in trouble: what every unit has, and what its kind knows besides. */
type AlertSubject = TroubleSubject | Trouble['subject']

/** What the watcher of a unit is asked for. */
interface Watched {
  readonly unit: Unit
  readonly state: UnitState
  /** As the unit's kind knows it. */
  readonly health: unknown
  readonly dependency: Dependency | undefined
  readonly usage: ResourceUsage | undefined
}

/** What alerts and their records call it: the unit and what it depends on by their kinds. */
export function alertSubject(
  subject: AlertSubject,
  { kind, vocabulary }: Pick<Unit, 'kind' | 'vocabulary'>,
): Subject {
  if (subject === 'unit') return kind
  return subject === 'dependency' ? (vocabulary.dependency?.kind ?? subject) : subject
}

/** What a sentence calls it. */
function titleOf(subject: AlertSubject, unit: Unit): string {
  if (subject === 'unit') return unit.name
  const limited = limitedResources.find((one) => one === subject)
  const what = capitalized(limited === undefined ? alertSubject(subject, unit) : resourceNames[limited])
  return `${what} of ${unit.name}`
}

/** What an incident needs to know about a unit or its dependency. @param now monotonic ms. */
export function incidentFacts(
  { unit, state }: Watched,
  subject: AlertSubject,
  message: string,
  now: number,
  title = titleOf(subject, unit),
): Facts {
  const failingSince = failingSinceOf(state, subject)
  return {
    unit: unit.id,
    forward: unit.name,
    port: unit.labels.port ?? 0,
    subject: alertSubject(subject, unit),
    title,
    message,
    failingForMs: failingSince === undefined ? 0 : Math.max(0, now - failingSince),
    // What is over its limit is restarted by handover.
    restarts: limitedResources.some((one) => one === subject) ? state.plannedRestarts : state.restarts,
    restartsWhileFailing:
      failingSince === undefined ? 0 : state.recentRestarts.filter((at) => at >= failingSince).length,
  }
}

function failingSinceOf(state: Watched['state'], subject: AlertSubject): number | undefined {
  switch (subject) {
    case 'unit':
      return state.failingSince
    case 'dependency':
      return state.dependency.failingSince
    case 'memory':
    case 'cpu':
    case 'openFiles':
      return streakOf(state.limits, subject).exceededSince ?? undefined
    default:
      return undefined
  }
}

/** How a unit, its dependency and its limits are after a round. @param now monotonic ms. */
export function subjectConditions(watched: Watched, now: number): SubjectCondition[] {
  const { unit, state, health } = watched
  const isDown = state.phase.id === 'down'
  const about = (
    subject: AlertSubject,
    condition: SubjectCondition['condition'],
    message: string,
    title?: string,
  ) => ({
    condition: isDown ? ('ended' as const) : condition,
    facts: incidentFacts(watched, subject, isDown ? endedText(watched, subject) : message, now, title),
  })
  return [
    about('unit', unitCondition(watched), unitText(watched)),
    ...(unit.vocabulary.dependency === undefined
      ? []
      : [about('dependency', dependencyCondition(watched), dependencyText(watched))]),
    ...unit
      .troubles(health)
      .map(({ subject, condition, message, title }) => about(subject, condition, message, title)),
    ...limitedResources.map((one) => about(one, limitCondition(watched, one), limitText(watched, one))),
  ]
}

function endedText({ unit }: Watched, subject: AlertSubject): string {
  return subject === 'dependency'
    ? `${capitalized(dependencyOf(unit))} of ${unit.name} is no longer checked: the ${unit.kind} was stopped by an order`
    : `${unit.name} was ended by an order`
}

function unitCondition({ unit, state }: Watched): SubjectCondition['condition'] {
  const { phase, failures, healthySince } = state
  if (phase.id === 'flapping') return 'failing'
  const isWell = phase.id === 'running' && failures === 0 && healthySince !== undefined
  return isWell ? 'well' : byFailures(failures, unit)
}

function unitText({ unit, state: { failures, lastFault } }: Watched): string {
  if (failures === 0) return alertText({ code: 'recovered' }, unit)
  return lastFault === undefined
    ? `${unit.name} fails (failure #${failures})`
    : alertText({ code: 'failed', reason: lastFault, failures }, unit)
}

function dependencyCondition({ unit, state, dependency }: Watched): SubjectCondition['condition'] {
  if (state.dependency.failures === 0 && dependency?.state === 'reachable') return 'well'
  return byFailures(state.dependency.failures, unit)
}

function dependencyText({ unit, state, dependency }: Watched): string {
  const { failures } = state.dependency
  if (failures === 0) return alertText({ code: 'dependency-answers', afterMs: undefined }, unit)
  return alertText({ code: 'dependency-silent', error: dependency?.lastError ?? null, failures }, unit)
}

function byFailures(failures: number, { policy }: Watched['unit']): 'failing' | 'unclear' {
  return failures >= policy.restart.failureThreshold ? 'failing' : 'unclear'
}

/** Kept only when it is seen to be: a monitor that has just come knows nothing. */
function limitCondition({ unit, state }: Watched, resource: LimitedResource): SubjectCondition['condition'] {
  if (limitOf(resource, unit.policy.limits) === 0) return 'ended'
  const streak = streakOf(state.limits, resource)
  if (isExceeded(streak)) return 'failing'
  return isKept(streak) ? 'well' : 'unclear'
}

function limitText({ unit, state, usage }: Watched, resource: LimitedResource): string {
  const limit = limitOf(resource, unit.policy.limits)
  const amount = limit === 0 || usage === undefined ? undefined : amountUsed(resource, usage)
  if (amount === undefined && limit > 0) return `${unit.name} is over its limit of ${resourceNames[resource]}`
  if (amount !== undefined && isExceeded(streakOf(state.limits, resource))) {
    return alertText({ code: 'over-limit', resource, amount, limit, samples: samplesInARow }, unit)
  }
  return alertText({ code: 'within-limit', resource, amount, afterMs: undefined }, unit)
}
