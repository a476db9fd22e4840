import type { ForwardStatusState } from '../record/shapes/status-report.ts'

/** Exit codes of `proxy-status`: LSB's for a service, and from 150 on, which LSB leaves to applications. */
export const statusExitCode = {
  fine: 0,
  stale: 1,
  stopped: 3,
  unknown: 4,
  /** Watched, and clients of at least one forward cannot get through. */
  down: 150,
  /** Watched, and clients get through, but not all is as it should be. */
  degraded: 151,
} as const

/** How bad a state is: 0 = nothing to do, 1 = not all is as it should be, 2 = clients cannot get through. */
export function severity(state: ForwardStatusState): 0 | 1 | 2 {
  switch (state) {
    case 'healthy':
    case 'waiting':
    case 'down':
      return 0
    case 'degraded':
    case 'exposed':
    case 'draining':
    case 'starting':
      return 1
    case 'unreachable':
    case 'backoff':
    case 'flapping':
    case 'blocked':
    case 'detached':
    case 'hung':
    case 'suspended':
    case 'dead':
    case 'unverifiable':
      return 2
  }
}
