import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { version } from '../os/version.ts'
import type { GatewayState } from '../record/shapes/gateway-state.ts'
import { callBuckets, type GatewayCounts } from './alert-rules.ts'

const prefix = 'port_watchdog_gateway_'

/** What is kept so that a request need not look it up. */
export type CacheKind = 'key' | 'token'

/** Requests over HTTP that are under way. */
export interface RequestFigures {
  readonly inFlight: number
  /** 0 = any number is taken. */
  readonly inFlightLimit: number
}

/** What the gateway counts, since its start. Counters and their labels follow prometheus.io/docs/practices/naming. */
export class Figures {
  readonly #registry = new Registry()
  readonly #calls = new Histogram({
    name: `${prefix}call_seconds`,
    help: 'Time of the calls of tools and prompts, by connector.',
    labelNames: ['connector'],
    buckets: callBuckets,
    registers: [this.#registry],
  })
  readonly #errors = new Counter({
    name: `${prefix}call_errors_total`,
    help: 'Calls that were answered with an error of the protocol, by connector and reason; "server" = its own.',
    labelNames: ['connector', 'reason'],
    registers: [this.#registry],
  })
  readonly #refusals = new Counter({
    name: `${prefix}refusals_total`,
    help: 'HTTP requests that were refused, by status and reason.',
    labelNames: ['status', 'reason'],
    registers: [this.#registry],
  })
  readonly #lookups = new Counter({
    name: `${prefix}cache_lookups_total`,
    help: 'Look-ups in what the gateway keeps of keys and tokens, by kind and result (hit or miss).',
    labelNames: ['cache', 'result'],
    registers: [this.#registry],
  })
  /** A request has one at least: the series are not looked up each time. */
  readonly #lookupsOf = {
    key: this.#seriesOf('key'),
    token: this.#seriesOf('token'),
  }
  readonly #now = new Map<string, Gauge>()
  /** The same sums that the registry has by connector, for the rules of alert-rules.ts. */
  readonly #byTime = new Array<number>(callBuckets.length + 1).fill(0)
  readonly #caches = { key: { hits: 0, misses: 0 }, token: { hits: 0, misses: 0 } }
  #failed = 0

  /** @param failure why it failed; undefined = it did not. */
  called(connector: string, ms: number, failure: string | undefined): void {
    const seconds = ms / 1000
    this.#calls.observe({ connector }, seconds)
    if (failure !== undefined) {
      this.#errors.inc({ connector, reason: failure })
      this.#failed++
    }
    const bucket = callBuckets.findIndex((bound) => seconds <= bound)
    const at = bucket < 0 ? callBuckets.length : bucket
    this.#byTime[at] = (this.#byTime[at] ?? 0) + 1
  }

  counts(): GatewayCounts {
    const caches = Object.entries(this.#caches).map(([cache, counted]) => [cache, { ...counted }])
    return {
      calls: this.#byTime.reduce((sum, count) => sum + count, 0),
      errors: this.#failed,
      byTime: [...this.#byTime],
      caches: Object.fromEntries(caches),
    }
  }

  /** Something was looked for in a cache, and found there or not. */
  lookedUp(cache: CacheKind, isHit: boolean): void {
    if (isHit) this.#caches[cache].hits++
    else this.#caches[cache].misses++
    this.#lookupsOf[cache][isHit ? 'hit' : 'miss'].inc()
  }

  /** Both are there from the beginning, so that a rate of one by the other can be told. */
  #seriesOf(cache: CacheKind) {
    for (const result of ['hit', 'miss']) this.#lookups.inc({ cache, result }, 0)
    return {
      hit: this.#lookups.labels({ cache, result: 'hit' }),
      miss: this.#lookups.labels({ cache, result: 'miss' }),
    }
  }

  refused(status: number, reason: string): void {
    this.#refusals.inc({ status, reason })
  }

  /** Everything in the text format of Prometheus, with how it stands now. */
  async exposition(
    state: GatewayState,
    { inFlight, inFlightLimit }: RequestFigures,
  ): Promise<{ readonly contentType: string; readonly text: string }> {
    this.#gauge('info', 'The version of the gateway; always 1.', ['version']).set({ version }, 1)
    this.#gauge('in_flight_requests', 'Requests over HTTP that are under way.').set(inFlight)
    // Without a limit there is no share of it.
    if (inFlightLimit > 0)
      this.#gauge('in_flight_requests_limit', 'So many are taken at once.').set(inFlightLimit)
    const up = this.#gauge('connector_up', '1 while a connector runs or sleeps.', ['connector'])
    const offered = this.#gauge('connector_tools', 'Tools that a connector offers.', ['connector'])
    const junk = this.#gauge('connector_junk_lines', 'Lines on its stdout that were no messages.', [
      'connector',
    ])
    for (const { id: connector, healthy, toolCount, junkLines } of state.connectors) {
      up.set({ connector }, healthy ? 1 : 0)
      offered.set({ connector }, toolCount)
      junk.set({ connector }, junkLines)
    }
    const clients = this.#gauge('clients', 'Clients by state.', ['state'])
    for (const kind of ['active', 'idle', 'gone'] as const) {
      const count = Object.values(state.clients).filter((client) => client.state === kind).length
      clients.set({ state: kind }, count)
    }
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() }
  }

  #gauge(name: string, help: string, labelNames: string[] = []): Gauge {
    const known = this.#now.get(name)
    if (known !== undefined) return known
    const gauge = new Gauge({ name: `${prefix}${name}`, help, labelNames, registers: [this.#registry] })
    this.#now.set(name, gauge)
    return gauge
  }
}
