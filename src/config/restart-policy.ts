/** How a forward that died is brought back. Times in ms. */
export interface RestartPolicy {
  /** Consecutive failures after which an alert is raised. 1 = at the first. */
  readonly failureThreshold: number
  /** Wait before the second restart in a row; doubled at each further one. The first restart does not wait. 0 = never wait. */
  readonly backoffMs: number
  /** The longest wait. */
  readonly backoffLimitMs: number
  /** Healthy time after which the back-off begins anew. 0 = at every healthy check. */
  readonly resetAfterMs: number
  /** So many restarts within `flappingWindowMs` are flapping: restarts pause. 0 = never. */
  readonly flappingRestarts: number
  readonly flappingWindowMs: number
  /** How long restarts pause before one more is tried. */
  readonly flappingPauseMs: number
  /** Until a forwarder that was started must say that it is ready. */
  readonly startTimeoutMs: number
  /** From SIGTERM to SIGKILL for a forwarder that is hung. */
  readonly killAfterMs: number
}

export const restartDefaults: RestartPolicy = {
  failureThreshold: 3,
  backoffMs: 1_000,
  backoffLimitMs: 300_000,
  resetAfterMs: 600_000,
  flappingRestarts: 5,
  flappingWindowMs: 600_000,
  flappingPauseMs: 600_000,
  startTimeoutMs: 10_000,
  killAfterMs: 2_000,
}
