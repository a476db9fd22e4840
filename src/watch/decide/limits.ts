import type { ResourceLimits } from '../../config/resource-limits.ts'
import { type LimitedResource, limitedResources } from '../../record/limit-words.ts'
import type { LimitStreak, LimitsMemory, ResourceUsage } from '../../record/shapes/runtime-state.ts'
import type { Excess, LimitsNews, Reason, Supervisor } from './cause.ts'
import { type Context, type Effect, initialLimits } from './state.ts'
import { alert } from './verbs.ts'

/** What is known of the limits from now on, and what is to be done about them. */
interface LimitsJudgement {
  readonly memory: LimitsMemory
  readonly effects: readonly Effect[]
  /** It is to be restarted because of one; undefined = it is not. */
  readonly restart?: Reason
}

/** Samples in a row, one a round, until a limit counts as exceeded, and until it counts as kept again. One alone is a peak. */
export const samplesInARow = 3

/** The longest that one unit is spared another restart because of a limit, in ms, unless its policy waits for longer anyhow. */
const longestWaitMs = 3_600_000

/** What is used of a resource: bytes, per cent of one core, or how many. */
export function amountUsed(resource: LimitedResource, usage: ResourceUsage): number {
  if (resource === 'openFiles') return usage.openFiles ?? 0
  return resource === 'memory' ? usage.memoryBytes : usage.cpuPercent
}

/** Its limit, in the same unit; 0 = none. */
export function limitOf(resource: LimitedResource, limits: ResourceLimits): number {
  if (resource === 'openFiles') return limits.openFiles ?? 0
  return resource === 'memory' ? limits.memoryBytes : limits.cpuPercent
}

/**
 * Compares what a unit uses with its limits: told first, and where that is asked for replaced by handover, so that nobody is refused.
 * A process that is over its limit again right after that is not restarted without end: each wait is twice the one before, and too many
 * restarts within the flapping window pause them.
 * @param usage undefined when no sample was taken: then nothing is known, and nothing changes but for limits that are no more.
 * @param mayRestart false while it cannot be replaced, or somebody else starts it.
 */
export function judgeLimits(
  before: LimitsMemory,
  usage: ResourceUsage | undefined,
  mayRestart: boolean,
  context: Context,
): LimitsJudgement {
  let memory = usage === undefined || usage.pid === before.pid ? before : ofProcess(before, usage)
  const effects: Effect[] = []
  for (const resource of limitedResources) {
    const streak = streakOf(memory, resource)
    const limit = limitOf(resource, context.limits)
    const amount = usage === undefined ? undefined : amountUsed(resource, usage)
    const after = nextStreak(streak, amount, limit, context.now, resource === 'openFiles')
    if (after === streak) continue
    memory = { ...memory, [resource]: after }
    effects.push(...news(resource, streak, after, amount, limit, context))
  }
  const excess = usage === undefined || !mayRestart ? undefined : excessToEnd(memory, usage, context)
  if (excess === undefined) return { memory, effects }
  const restarted = restart(memory, excess, context)
  return { ...restarted, effects: [...effects, ...restarted.effects] }
}

/** The samples of the process before say nothing about this one; that a limit is exceeded holds until it is seen to be kept. */
function ofProcess(limits: LimitsMemory, { pid }: ResourceUsage): LimitsMemory {
  const { memory, cpu, openFiles } = limits
  const anew = (streak: LimitStreak) => ({ ...streak, over: 0, below: 0 })
  return {
    ...limits,
    pid,
    memory: anew(memory),
    cpu: anew(cpu),
    ...(openFiles === undefined ? {} : { openFiles: anew(openFiles) }),
  }
}

/** How a limit was kept; of one that there never was, that it was. */
export function streakOf(limits: LimitsMemory, resource: LimitedResource): LimitStreak {
  return limits[resource] ?? initialLimits.memory
}

/** @param countsReached it is over its limit when it uses as much as it may. */
function nextStreak(
  before: LimitStreak,
  amount: number | undefined,
  limit: number,
  now: number,
  countsReached: boolean,
): LimitStreak {
  if (limit === 0)
    return before.below > 0 || isExceeded(before) || before.over > 0 ? initialLimits.memory : before
  if (amount === undefined) return before
  // The kernel allows no more than this, where it keeps the limit itself.
  const isOver = countsReached ? amount >= limit : amount > limit
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
  { now }: Context,
): Effect[] {
  if (isExceeded(before) === isExceeded(after)) return []
  if (isExceeded(after) && amount !== undefined) {
    return [
      alert('opened', resource, { code: 'over-limit', resource, amount, limit, samples: samplesInARow }),
    ]
  }
  const afterMs = before.exceededSince === null ? undefined : now - before.exceededSince
  const kept = limit === 0 ? undefined : amount
  return [alert('resolved', resource, { code: 'within-limit', resource, amount: kept, afterMs })]
}

/** The limit for which it is to be restarted now; undefined when there is none. */
function excessToEnd(limits: LimitsMemory, usage: ResourceUsage, context: Context): Excess | undefined {
  if (context.limits.action === 'alert') return undefined
  if (limits.restartNotBefore !== null && context.now < limits.restartNotBefore) return undefined
  const resource = limitedResources.find((one) => streakOf(limits, one).over === samplesInARow)
  return resource && excessOf(resource, usage, context)
}

function excessOf(resource: LimitedResource, usage: ResourceUsage, { limits }: Context): Excess {
  return { resource, amount: amountUsed(resource, usage), limit: limitOf(resource, limits) }
}

function restart(limits: LimitsMemory, excess: Excess, { now, policy }: Context): LimitsJudgement {
  const restartedAt = limits.restartedAt.filter((at) => now - at < policy.flappingWindowMs)
  if (policy.flappingRestarts > 0 && restartedAt.length >= policy.flappingRestarts) {
    const { flappingWindowMs: windowMs, flappingPauseMs: pauseMs } = policy
    const again = {
      code: 'over-limit-again',
      restarts: restartedAt.length,
      windowMs,
      pauseMs,
      ...excess,
    } as const
    return {
      memory: { ...limits, restartedAt, restartNotBefore: now + pauseMs },
      effects: [alert('flapping', excess.resource, again)],
    }
  }
  const longQuiet = limits.restartNotBefore === null || now - limits.restartNotBefore >= policy.resetAfterMs
  const level = longQuiet ? 0 : limits.backoffLevel
  const waitMs = Math.min(policy.backoffLimitMs * 2 ** level, Math.max(policy.backoffLimitMs, longestWaitMs))
  const memory: LimitsMemory = {
    ...limits,
    backoffLevel: Math.min(level + 1, 30),
    restartedAt: [...restartedAt, now],
    restartNotBefore: now + waitMs,
  }
  return { memory, effects: [], restart: { code: 'over-limit', ...excess } }
}

/** What the journal tells of limits: that one is exceeded or kept that was not before, or that what is done about it has changed. */
export function limitsNews(
  before: LimitsMemory,
  after: LimitsMemory,
  usage: ResourceUsage | undefined,
  supervisor: Supervisor | undefined,
  context: Context,
): LimitsNews | undefined {
  const isNews =
    before.restartNotBefore !== after.restartNotBefore ||
    limitedResources.some(
      (resource) => isExceeded(streakOf(before, resource)) !== isExceeded(streakOf(after, resource)),
    )
  if (!isNews) return undefined
  const exceeded = limitedResources.filter((resource) => isExceeded(streakOf(after, resource)))
  const limited = limitedResources.filter((resource) => limitOf(resource, context.limits) > 0)
  return {
    isExceeded: exceeded.length > 0,
    exceeded: usage === undefined ? [] : exceeded.map((one) => excessOf(one, usage, context)),
    used: usage === undefined ? [] : limited.map((one) => excessOf(one, usage, context)),
    goesOn: exceeded.length === 0 ? undefined : whyItGoesOn(after, supervisor, context),
  }
}

function whyItGoesOn(
  { restartNotBefore }: LimitsMemory,
  supervisor: Supervisor | undefined,
  { limits, now }: Context,
): LimitsNews['goesOn'] {
  if (limits.action === 'alert') return { code: 'alert-only' }
  if (supervisor !== undefined) return { code: 'supervised', by: supervisor }
  if (restartNotBefore === null || restartNotBefore <= now) return undefined
  return { code: 'restarts-did-not-help', waitMs: restartNotBefore - now }
}
