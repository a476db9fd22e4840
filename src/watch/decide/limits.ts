import type { ResourceLimits } from '../../config/resource-limits.ts'
import {
  amountInWords,
  excessInWords,
  type LimitedResource,
  limitedResources,
  resourceNames,
} from '../../record/limit-words.ts'
import type { LimitStreak, LimitsMemory, ResourceUsage } from '../../record/runtime-state.ts'
import { mayReplace, replace } from './replacing.ts'
import { type Context, type Decision, type Effect, type ForwardState, initialLimits } from './state.ts'
import { alert, nothing, prepend, seconds } from './words.ts'

/** Samples in a row, one a round, until a limit counts as exceeded, and until it counts as kept again. One alone is a peak. */
const samplesInARow = 3

/** The longest that one forward is spared another restart because of a limit, in ms, unless its policy waits for longer anyhow. */
const longestWaitMs = 3_600_000

/** What is used of a resource: bytes, or per cent of one core. */
export function amountUsed(resource: LimitedResource, usage: ResourceUsage): number {
  return resource === 'memory' ? usage.memoryBytes : usage.cpuPercent
}

/** Its limit, in the same unit; 0 = none. */
export function limitOf(resource: LimitedResource, limits: ResourceLimits): number {
  return resource === 'memory' ? limits.memoryBytes : limits.cpuPercent
}

/**
 * Compares what a forward uses with its limits: told first, and where that is asked for replaced by handover, so that nobody is refused.
 * A process that is over its limit again right after that is not restarted without end: each wait is twice the one before, and too many
 * restarts within the flapping window pause them.
 * @param usage undefined when no sample was taken: then nothing is known, and nothing changes but for limits that are no more.
 */
export function judgeLimits(
  state: ForwardState,
  usage: ResourceUsage | undefined,
  context: Context,
): Decision {
  let limits = usage === undefined || usage.pid === state.limits.pid ? state.limits : ofProcess(state, usage)
  const effects: Effect[] = []
  for (const resource of limitedResources) {
    const before = limits[resource]
    const limit = limitOf(resource, context.limits)
    const amount = usage === undefined ? undefined : amountUsed(resource, usage)
    const after = nextStreak(before, amount, limit, context.now)
    if (after === before) continue
    limits = { ...limits, [resource]: after }
    effects.push(...news(resource, before, after, amount, limit, context))
  }
  const seen = limits === state.limits ? state : { ...state, limits }
  const cause = usage === undefined ? undefined : causeOfRestart(seen, usage, context)
  return prepend(effects, cause === undefined ? nothing(seen) : restart(seen, cause, context))
}

/** The samples of the process before say nothing about this one; that a limit is exceeded holds until it is seen to be kept. */
function ofProcess({ limits }: ForwardState, { pid }: ResourceUsage): LimitsMemory {
  const { memory, cpu } = limits
  return { ...limits, pid, memory: { ...memory, over: 0, below: 0 }, cpu: { ...cpu, over: 0, below: 0 } }
}

function nextStreak(
  before: LimitStreak,
  amount: number | undefined,
  limit: number,
  now: number,
): LimitStreak {
  if (limit === 0)
    return before.below > 0 || isExceeded(before) || before.over > 0 ? initialLimits.memory : before
  if (amount === undefined) return before
  const isOver = amount > limit
  // Counted no further than it matters: what does not change is not written down anew.
  const over = isOver ? Math.min(before.over + 1, samplesInARow) : 0
  const below = isOver ? 0 : Math.min(before.below + 1, samplesInARow)
  let { exceededSince } = before
  if (over === samplesInARow) exceededSince ??= now
  if (below === samplesInARow) exceededSince = null
  const isSame = over === before.over && below === before.below && exceededSince === before.exceededSince
  return isSame ? before : { over, below, exceededSince }
}

/** True while more is used than may be. */
export function isExceeded({ exceededSince }: LimitStreak): boolean {
  return exceededSince !== null
}

/** True when it has been kept for long enough to say so. */
export function isKept({ below }: LimitStreak): boolean {
  return below === samplesInARow
}

function news(
  resource: LimitedResource,
  before: LimitStreak,
  after: LimitStreak,
  amount: number | undefined,
  limit: number,
  { name, now }: Context,
): Effect[] {
  if (isExceeded(before) === isExceeded(after)) return []
  if (isExceeded(after) && amount !== undefined) {
    const what = `${name} uses ${excessInWords(resource, amount, limit)}`
    return [alert('opened', resource, `${what} (${samplesInARow} samples in a row)`)]
  }
  const lasted = before.exceededSince === null ? '' : ` after ${seconds(now - before.exceededSince)}`
  const what =
    amount === undefined || limit === 0
      ? `${name} no longer has a limit for ${resourceNames[resource]}`
      : `${name} is within its limit again with ${amountInWords(resource, amount)}`
  return [alert('resolved', resource, `${what}${lasted}`)]
}

interface Cause {
  readonly resource: LimitedResource
  readonly words: string
}

/** The limit for which it is to be restarted now; undefined when there is none. */
function causeOfRestart(
  { limits, phase, supervisor }: ForwardState,
  usage: ResourceUsage,
  context: Context,
): Cause | undefined {
  const { now } = context
  // Its service manager has limits of its own (MemoryMax=), and starts it.
  if (context.limits.action === 'alert' || supervisor !== undefined || !mayReplace(phase, now))
    return undefined
  if (limits.restartNotBefore !== null && now < limits.restartNotBefore) return undefined
  const resource = limitedResources.find((one) => limits[one].over === samplesInARow)
  if (resource === undefined) return undefined
  const excess = excessInWords(resource, amountUsed(resource, usage), limitOf(resource, context.limits))
  return { resource, words: `it uses ${excess}` }
}

function restart(state: ForwardState, { resource, words }: Cause, context: Context): Decision {
  const { now, policy, name } = context
  const { limits } = state
  const restartedAt = limits.restartedAt.filter((at) => now - at < policy.flappingWindowMs)
  if (policy.flappingRestarts > 0 && restartedAt.length >= policy.flappingRestarts) {
    const message =
      `${name} is over its limit again and again: ${restartedAt.length} restarts within ` +
      `${seconds(policy.flappingWindowMs)} have not helped; none for ${seconds(policy.flappingPauseMs)}, ${words}`
    const restartNotBefore = now + policy.flappingPauseMs
    return {
      state: { ...state, limits: { ...limits, restartedAt, restartNotBefore } },
      effects: [alert('flapping', resource, message)],
    }
  }
  const longQuiet = limits.restartNotBefore === null || now - limits.restartNotBefore >= policy.resetAfterMs
  const level = longQuiet ? 0 : limits.backoffLevel
  const waitMs = Math.min(policy.backoffLimitMs * 2 ** level, Math.max(policy.backoffLimitMs, longestWaitMs))
  const held: LimitsMemory = {
    ...limits,
    backoffLevel: Math.min(level + 1, 30),
    restartedAt: [...restartedAt, now],
    restartNotBefore: now + waitMs,
  }
  return replace({ ...state, limits: held }, words, context)
}
