// The four rules about the calls of the gateway: data in, data out, with a clock of their own. And the same rules for Prometheus.
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { gatewayAlertDefaults } from '../../src/config/gateway-configuration.ts'
import {
  callBuckets,
  type GatewayCounts,
  judgeRules,
  leastCalls,
  leastLookups,
  nothingSeen,
  quantile,
  type Reading,
  ruleWindowMs,
} from '../../src/gateway/alert-rules.ts'
import { Figures } from '../../src/gateway/figures.ts'
import { conditionInWords, type RuleName } from '../../src/record/shapes/gateway-conditions.ts'
import type { GatewayState } from '../../src/record/shapes/gateway-state.ts'

const minute = 60_000
const lookMs = 15_000

/** A gateway whose calls and clock a test makes. */
class World {
  #at = 0
  #counts: GatewayCounts = { calls: 0, errors: 0, byTime: callBuckets.map(() => 0).concat(0), caches: {} }
  #inFlight = { inFlight: 0, inFlightLimit: 2000 }
  #memory = nothingSeen
  readonly #alerts = { ...gatewayAlertDefaults }
  conditions: ReturnType<typeof judgeRules>['conditions'] = []

  constructor() {
    this.#look()
  }

  /** Lets it go on, with so much between two looks. */
  pass(
    ms: number,
    each: { calls?: number; errors?: number; ms?: number; hits?: number; misses?: number } = {},
  ) {
    for (const end = this.#at + ms; this.#at < end; ) {
      this.#at += lookMs
      const { calls = 0, errors = 0, ms: took = 10, hits = 0, misses = 0 } = each
      const bucket = callBuckets.findIndex((bound) => took / 1000 <= bound)
      const at = bucket < 0 ? callBuckets.length : bucket
      const { key = { hits: 0, misses: 0 } } = this.#counts.caches
      this.#counts = {
        calls: this.#counts.calls + calls,
        errors: this.#counts.errors + errors,
        byTime: this.#counts.byTime.map((count, index) => (index === at ? count + calls : count)),
        caches: { key: { hits: key.hits + hits, misses: key.misses + misses } },
      }
      this.#look()
    }
    return this
  }

  #look(): void {
    const reading: Reading = { at: this.#at, counts: this.#counts, ...this.#inFlight }
    const { memory, conditions } = judgeRules(this.#memory, reading, this.#alerts)
    this.#memory = memory
    this.conditions = conditions
    // What is remembered is bounded by the window.
    expect(memory.readings.length).toBeLessThanOrEqual(ruleWindowMs / lookMs + 1)
  }

  underWay(inFlight: number, inFlightLimit = 2000): this {
    this.#inFlight = { inFlight, inFlightLimit }
    return this
  }

  state(rule: RuleName): string | undefined {
    return this.conditions.find(({ about }) => about === rule)?.condition
  }

  words(rule: RuleName): string {
    const found = this.conditions.find(({ about }) => about === rule)
    return found === undefined ? 'none' : conditionInWords(found)
  }
}

describe('the rules about calls', () => {
  it('error rate: more than 5 % for 5 minutes, and not before; over when it is less', () => {
    const world = new World().pass(minute, { calls: 100, errors: 6 })
    expect(world.state('error-rate')).toBe('unclear')
    world.pass(4 * minute, { calls: 100, errors: 6 })
    expect(world.state('error-rate')).toBe('unclear')
    world.pass(lookMs, { calls: 100, errors: 6 })
    expect(world.state('error-rate')).toBe('failing')
    expect(world.words('error-rate')).toBe(
      "6 % of the gateway's calls fail, for 5 min or longer; the limit is 5 %",
    )
    world.pass(3 * minute, { calls: 100 })
    expect(world.state('error-rate')).toBe('well')
    expect(new World().pass(30 * minute, { calls: 100, errors: 5 }).state('error-rate')).toBe('well')
  })

  it('a burst of errors that ends is no alert, and neither are a few calls', () => {
    const world = new World().pass(minute, { calls: 100, errors: 100 })
    for (let passed = 0; passed < 10; passed++) {
      world.pass(minute, { calls: 100 })
      expect(world.state('error-rate')).not.toBe('failing')
    }
    expect(new World().pass(hour, { calls: 1, errors: 1 }).state('error-rate')).toBe('well')
    expect((ruleWindowMs / lookMs) * 1).toBeLessThan(leastCalls)
  })

  it('silence ends an alert when it lasts as long as what began it', () => {
    const world = new World().pass(6 * minute, { calls: 100, errors: 50 })
    world.pass(4 * minute)
    expect(world.state('error-rate')).toBe('failing')
    expect(world.words('error-rate')).toContain('% of the gateway')
    world.pass(4 * minute)
    expect(world.state('error-rate')).toBe('well')
  })

  it('latency: 99 of 100 calls within 5 s', () => {
    const slow = new World().pass(6 * minute, { calls: 10, ms: 7000 })
    expect(slow.state('latency')).toBe('failing')
    expect(slow.words('latency')).toMatch(
      /^1 of 100 calls of the gateway takes \d+(\.\d)? s or longer, for 5 min/,
    )
    expect(new World().pass(6 * minute, { calls: 10, ms: 4000 }).state('latency')).toBe('well')
  })

  it('in flight: above 80 % of what is taken at once; without a limit never', () => {
    expect(
      new World()
        .underWay(1601)
        .pass(6 * minute)
        .state('in-flight'),
    ).toBe('failing')
    expect(
      new World()
        .underWay(1600)
        .pass(6 * minute)
        .state('in-flight'),
    ).toBe('well')
    expect(
      new World()
        .underWay(9999, 0)
        .pass(6 * minute)
        .state('in-flight'),
    ).toBe('well')
  })

  it('cache hits: below 90 % for 15 minutes, where there are enough look-ups to tell', () => {
    const world = new World().pass(14 * minute, { hits: 89, misses: 11 })
    expect(world.state('cache-hits')).toBe('unclear')
    world.pass(2 * minute, { hits: 89, misses: 11 })
    expect(world.state('cache-hits')).toBe('failing')
    expect(world.words('cache-hits')).toContain('cache of keys answers only 89 %')
    expect(new World().pass(20 * minute, { hits: 0, misses: 5 }).state('cache-hits')).toBe('well')
    expect((ruleWindowMs / lookMs) * 5).toBeLessThan(leastLookups)
  })

  it('the quantile is the one of Prometheus: even within a bucket, and the last bound beyond it', () => {
    const counts = callBuckets.map((bound) => (bound === 5 ? 100 : 0)).concat(0)
    expect(quantile(0.5, counts)).toBeCloseTo(3.75)
    expect(quantile(0.99, callBuckets.map(() => 0).concat(10))).toBe(120)
  })
})

const hour = 60 * minute

interface PrometheusRule {
  readonly alert: string
  readonly expr: string
  readonly for: string
  readonly labels: { readonly severity: string }
}

describe('deploy/prometheus/rules.yml', () => {
  const { groups } = parse(readFileSync('deploy/prometheus/rules.yml', 'utf8')) as {
    readonly groups: readonly { readonly rules: readonly PrometheusRule[] }[]
  }
  const rules = groups.flatMap((group) => group.rules)

  it('has the four rules with the limits that the gateway has', () => {
    const { errorRate, latency, inFlight, cacheHits } = gatewayAlertDefaults
    const limits = {
      McpProxyErrorRate: [`> ${errorRate.limit}`, errorRate.forMs, 'critical', leastCalls],
      McpProxyLatency: [`> ${latency.limit / 1000}`, latency.forMs, 'critical', leastCalls],
      McpProxyInFlight: [`> ${inFlight.limit}`, inFlight.forMs, 'critical', undefined],
      McpProxyCacheHits: [`< ${cacheHits.limit}`, cacheHits.forMs, 'warning', leastLookups],
    } as const
    expect(rules.map(({ alert }) => alert)).toEqual(Object.keys(limits))
    for (const { alert, expr, for: lasting, labels } of rules) {
      const [limit, forMs, severity, least] = limits[alert as keyof typeof limits]
      expect(expr).toContain(limit)
      expect(lasting).toBe(`${forMs / minute}m`)
      expect(labels.severity).toBe(severity)
      if (least !== undefined) expect(expr).toContain(`>= ${least}`)
      for (const [, window] of expr.matchAll(/\[(\w+)\]/g)) expect(window).toBe(`${ruleWindowMs / minute}m`)
    }
  })

  it('asks for figures that the gateway has', async () => {
    const figures = new Figures()
    figures.called('echo', 10, 'server')
    figures.lookedUp('key', true)
    const state = { connectors: [], clients: {} } as unknown as GatewayState
    const { text } = await figures.exposition(state, { inFlight: 1, inFlightLimit: 2 })
    const there = new Set(text.split('\n').flatMap((line) => /^(port_\w+)[ {]/.exec(line)?.[1] ?? []))
    const asked = rules.flatMap(({ expr }) => expr.match(/port_watchdog_\w+/g) ?? [])
    expect(asked.length).toBeGreaterThan(6)
    for (const name of asked) expect(there).toContain(name)
  })
})
