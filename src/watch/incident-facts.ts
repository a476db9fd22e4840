import type { SubjectCondition } from '../alert/alerts.ts'
import type { Facts } from '../alert/incident.ts'
import type { Subject } from '../alert/incident-record.ts'
import {
  amountInWords,
  excessInWords,
  type LimitedResource,
  limitedResources,
  resourceNames,
} from '../record/limit-words.ts'
import { amountUsed, isExceeded, isKept, limitOf } from './decide/limits.ts'
import type { ForwardWatcher } from './forward-watcher.ts'

/** What the watcher of a forward is asked for. */
type Watched = Pick<ForwardWatcher, 'configuration' | 'state' | 'health' | 'usage'>

/** What an incident needs to know about a forward or its target. @param now monotonic ms. */
export function incidentFacts(
  { configuration, state }: Watched,
  subject: Subject,
  message: string,
  now: number,
): Facts {
  const failingSince = failingSinceOf(state, subject)
  return {
    forward: configuration.name,
    port: configuration.options.listenPort,
    subject,
    message,
    failingForMs: failingSince === undefined ? 0 : Math.max(0, now - failingSince),
    // What is over its limit is restarted by handover.
    restarts: subject === 'memory' || subject === 'cpu' ? state.plannedRestarts : state.restarts,
    restartsWhileFailing:
      failingSince === undefined ? 0 : state.recentRestarts.filter((at) => at >= failingSince).length,
  }
}

function failingSinceOf(state: Watched['state'], subject: Subject): number | undefined {
  switch (subject) {
    case 'forward':
      return state.failingSince
    case 'target':
      return state.target.failingSince
    case 'memory':
    case 'cpu':
      return state.limits[subject].exceededSince ?? undefined
    case 'login':
      return undefined
  }
}

/** How a forward, its target and its limits are after a round. @param now monotonic ms. */
export function subjectConditions(watched: Watched, now: number): SubjectCondition[] {
  return [
    {
      condition: forwardCondition(watched),
      facts: incidentFacts(watched, 'forward', forwardWords(watched), now),
    },
    {
      condition: targetCondition(watched),
      facts: incidentFacts(watched, 'target', targetWords(watched), now),
    },
    ...(watched.configuration.options.gate === ''
      ? []
      : [
          {
            condition: loginCondition(watched),
            facts: incidentFacts(watched, 'login', loginText(watched), now),
          },
        ]),
    ...limitedResources.map((resource) => ({
      condition: limitCondition(watched, resource),
      facts: incidentFacts(watched, resource, limitText(watched, resource), now),
    })),
  ]
}

function forwardCondition({ configuration, state }: Watched): SubjectCondition['condition'] {
  const { phase, failures } = state
  switch (phase.id) {
    case 'down':
      return 'ended'
    case 'flapping':
      return 'failing'
    case 'running':
      return failures === 0 && state.healthySince !== undefined ? 'well' : byFailures(failures, configuration)
    case 'unknown':
    case 'starting':
    case 'stopping':
    case 'backoff':
    case 'awaiting':
    case 'blocked':
      return byFailures(failures, configuration)
  }
}

function targetCondition({ configuration, state, health }: Watched): SubjectCondition['condition'] {
  if (state.phase.id === 'down') return 'ended'
  if (state.target.failures === 0 && health?.target.state === 'reachable') return 'well'
  return byFailures(state.target.failures, configuration)
}

/** Kept only when it is seen to be: a monitor that has just come knows nothing. */
function limitCondition(
  { configuration, state }: Watched,
  resource: LimitedResource,
): SubjectCondition['condition'] {
  if (state.phase.id === 'down' || limitOf(resource, configuration.limits) === 0) return 'ended'
  const streak = state.limits[resource]
  if (isExceeded(streak)) return 'failing'
  return isKept(streak) ? 'well' : 'unclear'
}

/** Wrong tokens within ten minutes that are no mistyping any more. */
const guessing = 20

function loginCondition({ state, health }: Watched): SubjectCondition['condition'] {
  if (state.phase.id === 'down') return 'ended'
  const count = health?.gate?.wrongTokens?.lastTenMinutes
  return count === undefined ? 'unclear' : count >= guessing ? 'failing' : 'well'
}

function loginText({ configuration: { name }, health }: Watched): string {
  const { lastTenMinutes = 0, lastFrom = null } = health?.gate?.wrongTokens ?? {}
  if (lastTenMinutes < guessing) return `No more wrong tokens for ${name}`
  return `Somebody may be guessing the token of ${name}: ${lastTenMinutes} wrong tokens in 10 minutes, the last from ${lastFrom}`
}

function limitText({ configuration, state, usage }: Watched, resource: LimitedResource): string {
  const { name } = configuration
  if (state.phase.id === 'down') return `${name} was ended by an order`
  const limit = limitOf(resource, configuration.limits)
  if (limit === 0) return `${name} no longer has a limit for ${resourceNames[resource]}`
  if (usage === undefined) return `${name} is over its limit of ${resourceNames[resource]}`
  const amount = amountUsed(resource, usage)
  return isExceeded(state.limits[resource])
    ? `${name} uses ${excessInWords(resource, amount, limit)}`
    : `${name} is within its limit again with ${amountInWords(resource, amount)}`
}

function byFailures(failures: number, { restart }: Watched['configuration']): 'failing' | 'unclear' {
  return failures >= restart.failureThreshold ? 'failing' : 'unclear'
}

function forwardWords({ configuration, state }: Watched): string {
  const { name } = configuration
  if (state.phase.id === 'down') return `${name} was ended by an order`
  if (state.failures === 0) return `${name} works again`
  return `${name} ${state.lastFault ?? 'fails'} (failure #${state.failures})`
}

function targetWords({ configuration, state, health }: Watched): string {
  const target = `Target of ${configuration.name}`
  if (state.phase.id === 'down') return `${target} is no longer checked: the forward was stopped by an order`
  if (state.target.failures === 0) return `${target} answers again`
  const why = health?.target.lastError ?? 'no answer'
  return `${target} does not answer: ${why} (failure #${state.target.failures})`
}
