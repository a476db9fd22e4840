import { Counter, Gauge, Registry } from 'prom-client'
import type { OrderedMonitor } from '../orders/monitor.ts'
import { isUp } from '../orders/unit-goals.ts'

const prefix = 'port_watchdog_'

/** What the server counts itself. */
export interface ServerCounts {
  /** Answers by status. */
  readonly answers: ReadonlyMap<number, number>
  /** Refusals at the door by code. */
  readonly refusals: ReadonlyMap<string, number>
  readonly streams: number
}

/** The monitor's counters in the text format of Prometheus, put together when somebody asks. Of a bound key: of its units alone. */
export async function exposition(monitor: OrderedMonitor, counts: ServerCounts) {
  const registry = new Registry()
  const registers = [registry]
  const unit = (name: string, help: string) =>
    new Gauge({ name: prefix + name, help, labelNames: ['unit'], registers })
  const up = unit('unit_up', '1 while the unit runs and answers.')
  const wanted = unit('unit_wanted_up', '0 while an order keeps the unit down.')
  const failures = unit('unit_failures', 'Failures in a row.')
  const restarts = new Counter({
    name: `${prefix}unit_restarts_total`,
    help: 'Restarts after failures.',
    labelNames: ['unit'],
    registers,
  })
  for (const one of monitor.units()) {
    const record = one.record()
    const labels = { unit: one.name }
    up.set(labels, isUp(record) ? 1 : 0)
    wanted.set(labels, one.wantedDown() === undefined ? 1 : 0)
    failures.set(labels, record.failures)
    restarts.inc(labels, record.restarts)
  }
  if (monitor.isWhole) describeServer(registry, counts)
  return { contentType: registry.contentType, text: await registry.metrics() }
}

function describeServer(registry: Registry, { answers, refusals, streams }: ServerCounts): void {
  const registers = [registry]
  const counter = (name: string, help: string, label: string) =>
    new Counter({ name: prefix + name, help, labelNames: [label], registers })
  const answered = counter('http_answers_total', 'Answers of the API.', 'status')
  for (const [status, count] of answers) answered.inc({ status: String(status) }, count)
  const refused = counter('http_refusals_total', 'Requests that were refused before any order.', 'code')
  for (const [code, count] of refusals) refused.inc({ code }, count)
  new Gauge({ name: `${prefix}http_event_streams`, help: 'Event streams open now.', registers }).set(streams)
  const { user, system } = process.cpuUsage()
  new Counter({ name: 'process_cpu_seconds_total', help: 'CPU time spent, user and system.', registers }).inc(
    (user + system) / 1e6,
  )
  new Gauge({ name: 'process_resident_memory_bytes', help: 'Resident memory size.', registers }).set(
    process.memoryUsage.rss(),
  )
  new Gauge({ name: 'process_start_time_seconds', help: 'Start time since the Unix epoch.', registers }).set(
    Date.now() / 1000 - process.uptime(),
  )
}
