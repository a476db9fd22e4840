import type { RestartPolicy } from '../../config/restart-policy.ts'

// How soon what has failed is started again. The units of the watchdog follow these rules, and so do the gateway's connectors.

/** What is remembered of restarts. Monotonic times in ms. */
export interface RestartMemory {
  /** Restarts after failures, as far back as the flapping window. */
  readonly recentRestarts: readonly number[]
  /** How many waits have been doubled: 0 = the next restart does not wait. */
  readonly backoffLevel: number
}

export interface PaceContext {
  readonly policy: RestartPolicy
  readonly now: number
  /** From 0 up to 1. */
  readonly random: number
}

/** When the next restart is. `memory`: what is remembered from now on. */
export type NextRestart =
  | { readonly kind: 'at-once'; readonly memory: RestartMemory }
  | { readonly kind: 'later'; readonly delayMs: number; readonly memory: RestartMemory }
  /** Too many: they pause. */
  | { readonly kind: 'paused'; readonly pauseMs: number; readonly memory: RestartMemory }

/** The first restart is at once; those that follow wait longer and longer; too many pause. There is always a next one. */
export function nextRestart(memory: RestartMemory, context: PaceContext): NextRestart {
  const { policy } = context
  const recentRestarts = recentOf(memory, context)
  if (isFlapping(recentRestarts, policy)) {
    const pruned = { ...memory, recentRestarts }
    return { kind: 'paused', pauseMs: policy.flappingPauseMs, memory: pruned }
  }
  const delayMs = backoffDelay(memory.backoffLevel, context)
  const next = { recentRestarts, backoffLevel: memory.backoffLevel + 1 }
  return delayMs === 0 ? { kind: 'at-once', memory: next } : { kind: 'later', delayMs, memory: next }
}

/** The restarts within the flapping window. */
export function recentOf(
  { recentRestarts }: Pick<RestartMemory, 'recentRestarts'>,
  { policy, now }: Pick<PaceContext, 'policy' | 'now'>,
): readonly number[] {
  return recentRestarts.filter((at) => now - at < policy.flappingWindowMs)
}

export function isFlapping(recentRestarts: readonly number[], { flappingRestarts }: RestartPolicy): boolean {
  return flappingRestarts > 0 && recentRestarts.length >= flappingRestarts
}

/** Whether it has been well for so long that the waits begin anew. */
export function isSteady(
  healthySince: number,
  { policy, now }: Pick<PaceContext, 'policy' | 'now'>,
): boolean {
  return now - healthySince >= policy.resetAfterMs
}

/** Doubling with jitter between one half and the whole, so that many that died together do not come back together. */
function backoffDelay(level: number, { policy, random }: PaceContext): number {
  if (level === 0 || policy.backoffMs === 0) return 0
  const whole = Math.min(policy.backoffLimitMs, policy.backoffMs * 2 ** Math.min(level - 1, 30))
  return Math.max(1, Math.round(whole * (0.5 + random / 2)))
}
