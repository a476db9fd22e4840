import type { ForwardStatus, StatusReport } from '../record/shapes/status-report.ts'

/** What can be waited for: `running` = every forward accepts connections, `healthy` = they get through to its target too. */
export const waitGoals = ['running', 'healthy'] as const
export type WaitGoal = (typeof waitGoals)[number]

/** Exit code when the time is over, as of timeout(1). */
export const timedOut = 124

/** True when a monitor runs and every forward has reached the goal. A stopped forward is not waited for, unless it is the only one. */
export function isReached(goal: WaitGoal, report: StatusReport): boolean {
  const wanted = waitedFor(report).filter(({ state }) => state !== 'down')
  const isWatched = report.monitor.state === 'RUNNING'
  return isWatched && wanted.length > 0 && wanted.every((forward) => meets(goal, forward))
}

/** What a goal looks at. A program is ready or it is not: it has no target. */
export type WaitedFor = Pick<ForwardStatus, 'name' | 'state' | 'reason' | 'target' | 'listen'>

export function waitedFor({
  forwards,
  programs,
}: Pick<StatusReport, 'forwards' | 'programs'>): readonly WaitedFor[] {
  return [...forwards, ...programs.map((program) => ({ ...program, target: null, listen: [program.name] }))]
}

/** True when a unit has reached the goal. */
export function meets(goal: WaitGoal, { state, listen }: WaitedFor): boolean {
  switch (goal) {
    case 'healthy':
      return state === 'healthy' || state === 'exposed'
    case 'running':
      return (
        state === 'healthy' ||
        state === 'waiting' ||
        state === 'unreachable' ||
        state === 'exposed' ||
        (state === 'degraded' && listen.length > 0)
      )
  }
}
