import type { Dependency } from '../unit.ts'
import type { Well } from './cause.ts'
import type { Context, DependencyMemory, Effect } from './state.ts'
import { alert, log } from './verbs.ts'

/** What is known of a dependency from now on, and the news about it. */
interface DependencyJudgement {
  readonly memory: DependencyMemory
  readonly effects: readonly Effect[]
  readonly news: Well['dependency']
}

/** Logs and alerts a dependency that does not answer. The unit is left alone, because restarting it would not help. */
export function judgeDependency(
  memory: DependencyMemory,
  dependency: Dependency | undefined,
  { now, policy }: Context,
): DependencyJudgement {
  const same = { memory, effects: [], news: undefined }
  switch (dependency?.state) {
    case undefined:
    case 'unknown':
      return same
    case 'reachable': {
      const afterMs = memory.failingSince === undefined ? undefined : now - memory.failingSince
      const news = { code: 'dependency-answers', afterMs } as const
      const isAlerted = memory.failures >= policy.failureThreshold
      return {
        memory: { everAnswered: true, failures: 0, failingSince: undefined },
        effects: memory.failures === 0 ? [] : [isAlerted ? alert('resolved', 'dependency', news) : log(news)],
        news: memory.failures > 0 || !memory.everAnswered ? 'answers' : undefined,
      }
    }
    case 'waiting':
    case 'unreachable': {
      if (!memory.everAnswered && dependency.state === 'waiting') return same
      const failures = memory.failures + 1
      const news = { code: 'dependency-silent', error: dependency.lastError, failures } as const
      const effects: Effect[] = failures <= policy.failureThreshold ? [log(news)] : []
      if (failures === policy.failureThreshold) effects.push(alert('opened', 'dependency', news))
      return {
        memory: { everAnswered: true, failures, failingSince: memory.failingSince ?? now },
        effects,
        news: failures === 1 ? 'silent' : undefined,
      }
    }
  }
}
