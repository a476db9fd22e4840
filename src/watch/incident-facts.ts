import type { SubjectCondition } from '../alert/alerts.ts'
import type { Facts, Subject } from '../alert/incident.ts'
import type { ForwardWatcher } from './forward-watcher.ts'

/** What the watcher of a forward is asked for. */
type Watched = Pick<ForwardWatcher, 'configuration' | 'state' | 'health'>

/** What an incident needs to know about a forward or its target. @param now monotonic ms. */
export function incidentFacts(
  { configuration, state }: Watched,
  subject: Subject,
  message: string,
  now: number,
): Facts {
  const failingSince = subject === 'forward' ? state.failingSince : state.target.failingSince
  return {
    forward: configuration.name,
    port: configuration.options.listenPort,
    subject,
    message,
    failingForMs: failingSince === undefined ? 0 : Math.max(0, now - failingSince),
    restarts: state.restarts,
    restartsWhileFailing:
      failingSince === undefined ? 0 : state.recentRestarts.filter((at) => at >= failingSince).length,
  }
}

/** How a forward and its target are after a round. @param now monotonic ms. */
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

function byFailures(failures: number, { restart }: Watched['configuration']): 'failing' | 'unclear' {
  return failures >= restart.failureThreshold ? 'failing' : 'unclear'
}

function forwardWords({ configuration, state }: Watched): string {
  const proxy = `Proxy for port ${configuration.options.listenPort}`
  if (state.phase.id === 'down') return `${proxy} was ended by an order`
  if (state.failures === 0) return `${proxy} works again`
  return `${proxy} ${state.lastFault ?? 'fails'} (failure #${state.failures})`
}

function targetWords({ configuration, state, health }: Watched): string {
  const target = `Target of port ${configuration.options.listenPort}`
  if (state.phase.id === 'down') return `${target} is not asked any more: the forward was ended by an order`
  if (state.target.failures === 0) return `${target} answers again`
  const why = health?.target.lastError ?? 'no answer'
  return `${target} does not answer: ${why} (failure #${state.target.failures})`
}
