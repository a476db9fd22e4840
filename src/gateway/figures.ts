import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { version } from '../os/version.ts'
import type { GatewayState } from '../record/shapes/gateway-state.ts'

const prefix = 'port_watchdog_gateway_'

/** Seconds that calls may take. */
const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120]

/** What the gateway counts, since its start. Counters and their labels follow prometheus.io/docs/practices/naming. */
export class Figures {
  readonly #registry = new Registry()
  readonly #calls = new Histogram({
    name: `${prefix}call_seconds`,
    help: 'Time of the calls of tools and prompts, by connector.',
    labelNames: ['connector'],
    buckets,
    registers: [this.#registry],
  })
  readonly #errors = new Counter({
    name: `${prefix}call_errors_total`,
    help: 'Calls that were answered with an error of the protocol, by connector.',
    labelNames: ['connector'],
    registers: [this.#registry],
  })
  readonly #refusals = new Counter({
    name: `${prefix}refusals_total`,
    help: 'HTTP requests that were refused, by status.',
    labelNames: ['status'],
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

  called(connector: string, ms: number, isError: boolean): void {
    this.#calls.observe({ connector }, ms / 1000)
    if (isError) this.#errors.inc({ connector })
  }

  /** Something was looked for in a cache, and found there or not. */
  lookedUp(cache: 'key' | 'token', isHit: boolean): void {
    this.#lookupsOf[cache][isHit ? 'hit' : 'miss'].inc()
  }

  #seriesOf(cache: string) {
    return {
      hit: this.#lookups.labels({ cache, result: 'hit' }),
      miss: this.#lookups.labels({ cache, result: 'miss' }),
    }
  }

  refused(status: number): void {
    this.#refusals.inc({ status })
  }

  /** Everything in the text format of Prometheus, with how it stands now. */
  async exposition(
    state: GatewayState,
    inFlight: number,
  ): Promise<{ readonly contentType: string; readonly text: string }> {
    this.#gauge('info', 'The version of the gateway; always 1.', ['version']).set({ version }, 1)
    this.#gauge('in_flight_requests', 'Requests of clients that are under way.').set(inFlight)
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
