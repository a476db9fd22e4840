import type { ForwardStatus, StatusReport } from './status.ts'

/** What can be waited for: `running` = every forward accepts connections, `healthy` = they get through to its target too. */
export const waitGoals = ['running', 'healthy'] as const
export type WaitGoal = (typeof waitGoals)[number]

/** Exit code when the time is over, as of timeout(1). */
export const timedOut = 124

/** True when a monitor runs and every forward is so; one that somebody wants down is not waited for, unless it is the only one. */
export function isReached(goal: WaitGoal, report: StatusReport): boolean {
  const wanted = report.forwards.filter(({ state }) => state !== 'down')
  const isWatched = report.monitor.state === 'RUNNING'
  return isWatched && wanted.length > 0 && wanted.every((forward) => meets(goal, forward))
}

/** In words: what keeps it from being so. */
export function whatIsMissing(goal: WaitGoal, report: StatusReport): string {
  const { monitor, forwards } = report
  if (monitor.state !== 'RUNNING') return `the monitor is ${monitor.state}: ${monitor.reason}`
  const missing = forwards.filter((forward) => !meets(goal, forward))
  if (missing.length === 0) return 'there are no forwards'
  return missing
    .map(({ name, state, reason }) => `${name} is ${state}${reason === null ? '' : ` (${reason})`}`)
    .join('; ')
}

function meets(goal: WaitGoal, { state, listen }: ForwardStatus): boolean {
  switch (goal) {
    case 'healthy':
      return state === 'healthy'
    case 'running':
      return (
        state === 'healthy' ||
        state === 'waiting' ||
        state === 'unreachable' ||
        (state === 'degraded' && listen.length > 0)
      )
  }
}
