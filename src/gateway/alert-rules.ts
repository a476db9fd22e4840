/**
 * The rules about calls, as a pure function of what was counted: at each look, what came within the last two minutes is held against the
 * limits. A rule fails when every look of its time was beyond the limit. deploy/prometheus/rules.yml says the same to Prometheus.
 */
import type { AlertRule, GatewayAlerts } from '../config/gateway-configuration.ts'
import { type RuleCondition, type RuleName, ruleNames } from '../record/shapes/gateway-conditions.ts'

/** What a gateway has counted since its start. */
export interface GatewayCounts {
  readonly calls: number
  /** Of these, answered with an error of the protocol. */
  readonly errors: number
  /** Calls by time: one number for each of `callBuckets`, and one for those that took longer. */
  readonly byTime: readonly number[]
  /** Look-ups by the kind of what is kept. */
  readonly caches: Readonly<Record<string, { readonly hits: number; readonly misses: number }>>
}

/** One look. */
export interface Reading {
  /** Monotonic ms. */
  readonly at: number
  readonly counts: GatewayCounts
  readonly inFlight: number
  /** 0 = any number is taken. */
  readonly inFlightLimit: number
}

/** What is remembered between two looks. */
export interface RulesMemory {
  /** Of the window, oldest first. */
  readonly readings: readonly Reading[]
  readonly streaks: Readonly<Partial<Record<RuleName, Streak>>>
}

interface Streak {
  /** Monotonic ms of the first look beyond the limit. */
  readonly since: number
  /** Of the last one, and what it found. */
  readonly lastAt: number
  readonly last: Measured
}

interface Measured {
  readonly value: number
  readonly cache?: string
}

/** Seconds that calls may take: the upper bounds of the histogram. */
export const callBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120]

/** ms of which calls and look-ups count. */
export const ruleWindowMs = 2 * 60_000

/** Fewer within the window say nothing: one call that failed is no rate. */
export const leastCalls = 20
export const leastLookups = 100

export const nothingSeen: RulesMemory = { readings: [], streaks: {} }

/** Judges what was read. Each look brings the memory of the one before. */
export function judgeRules(
  { readings, streaks }: RulesMemory,
  reading: Reading,
  alerts: GatewayAlerts,
): { readonly memory: RulesMemory; readonly conditions: readonly RuleCondition[] } {
  // The youngest that is as old as the window is where it begins.
  const begin = readings.findLastIndex(({ at }) => reading.at - at >= ruleWindowMs)
  const kept = [...readings.slice(Math.max(0, begin)), reading]
  const first = kept[0] ?? reading
  const judged = ruleNames.flatMap((about) => {
    const rule = alerts[keyOf[about]]
    if (rule === null) return []
    const found = measures[about](first, reading)
    const streak = streakAfter(streaks[about], found, { about, rule, at: reading.at })
    return [{ about, streak, condition: conditionOf(about, rule, found, streak) }]
  })
  return {
    memory: {
      readings: kept,
      streaks: Object.fromEntries(
        judged.flatMap(({ about, streak }) => (streak === undefined ? [] : [[about, streak]])),
      ),
    },
    conditions: judged.map(({ condition }) => condition),
  }
}

/** What the configuration calls each rule. */
const keyOf = {
  'error-rate': 'errorRate',
  latency: 'latency',
  'in-flight': 'inFlight',
  'cache-hits': 'cacheHits',
} as const satisfies Record<RuleName, keyof GatewayAlerts>

/** What each rule is about, between two readings; undefined = there was too little to say. */
const measures: Readonly<Record<RuleName, (first: Reading, last: Reading) => Measured | undefined>> = {
  'error-rate': (first, last) => {
    const calls = last.counts.calls - first.counts.calls
    if (calls < leastCalls) return undefined
    return { value: (last.counts.errors - first.counts.errors) / calls }
  },
  latency: (first, last) => {
    const counts = last.counts.byTime.map((count, index) => count - (first.counts.byTime[index] ?? 0))
    if (counts.reduce((sum, count) => sum + count, 0) < leastCalls) return undefined
    return { value: quantile(0.99, counts) * 1000 }
  },
  'in-flight': (_first, { inFlight, inFlightLimit }) =>
    inFlightLimit === 0 ? undefined : { value: inFlight / inFlightLimit },
  'cache-hits': (first, last) => {
    const shares = Object.entries(last.counts.caches).flatMap(([cache, { hits, misses }]) => {
      const before = first.counts.caches[cache] ?? { hits: 0, misses: 0 }
      const found = hits - before.hits
      const all = found + misses - before.misses
      return all < leastLookups ? [] : [{ cache, value: found / all }]
    })
    return shares.reduce<Measured | undefined>(
      (least, one) => (least === undefined || one.value < least.value ? one : least),
      undefined,
    )
  },
}

/** The time within which a share of calls end, in seconds: evenly spread within a bucket, as Prometheus has it. */
export function quantile(share: number, counts: readonly number[]): number {
  const wanted = share * counts.reduce((sum, count) => sum + count, 0)
  let before = 0
  for (const [index, count] of counts.entries()) {
    const upper = callBuckets[index]
    // Of those that took longer than the last bound nothing more is known.
    if (upper === undefined) break
    if (count > 0 && before + count >= wanted) {
      const lower = callBuckets[index - 1] ?? 0
      return lower + ((upper - lower) * (wanted - before)) / count
    }
    before += count
  }
  return callBuckets.at(-1) ?? 0
}

function streakAfter(
  before: Streak | undefined,
  found: Measured | undefined,
  { about, rule: { limit, forMs }, at }: { about: RuleName; rule: AlertRule; at: number },
): Streak | undefined {
  // Silence ends nothing at once: whose calls all fail may call less often. It does when it lasts.
  if (found === undefined) return before !== undefined && at - before.lastAt < forMs ? before : undefined
  const isBeyond = about === 'cache-hits' ? found.value < limit : found.value > limit
  return isBeyond ? { since: before?.since ?? at, lastAt: at, last: found } : undefined
}

function conditionOf(
  about: RuleName,
  { limit, forMs }: AlertRule,
  found: Measured | undefined,
  streak: Streak | undefined,
): RuleCondition {
  const isLong = streak !== undefined && streak.lastAt - streak.since >= forMs
  const { value, cache = null } = found ?? streak?.last ?? { value: null }
  return {
    about,
    // Nobody calls: nothing is wrong.
    condition: isLong ? 'failing' : streak === undefined ? 'well' : 'unclear',
    value,
    limit,
    forMs,
    cache,
  }
}
