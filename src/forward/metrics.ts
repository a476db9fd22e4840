import { Counter, Gauge, Registry } from 'prom-client'
import { hostAndPort } from '../os/interfaces.ts'
import type { ForwarderHealth } from '../record/shapes/forwarder-health.ts'

export interface Exposition {
  readonly contentType: string
  readonly text: string
}

const prefix = 'port_watchdog_'

/**
 * A forward's counters in the text format of Prometheus. Put together when somebody asks, from what is counted anyway: nothing here
 * is on the way of a connection. Names follow https://prometheus.io/docs/practices/naming/; counters begin at 0 with the process.
 */
export async function exposition(health: ForwarderHealth): Promise<Exposition> {
  const registry = new Registry()
  registry.setDefaultLabels({ listen_port: String(health.listen.port) })
  describeForward(registry, health)
  describeConnections(registry, health)
  describeTargets(registry, health)
  describeProcess(registry, health)
  return { contentType: registry.contentType, text: await registry.metrics() }
}

function describeForward(
  registry: Registry,
  { version, listen, draining, predecessors, gate, workers }: ForwarderHealth,
) {
  gauge(registry, 'forward_info', 'The version of the forwarder; always 1.', { version })(1)
  gauge(
    registry,
    'listeners',
    'Places that the forward listens on.',
  )(listen.addresses.length + listen.paths.length)
  gauge(registry, 'listeners_failed', 'Places that it should listen on and cannot.')(listen.failed.length)
  gauge(registry, 'draining', '1 while it finishes its connections and takes no new ones.')(draining ? 1 : 0)
  gauge(registry, 'predecessors', 'Processes it has replaced that still finish theirs.')(predecessors.length)
  if (workers !== null) {
    const { processes, lost } = workers
    const serving = processes.filter(({ state }) => state === 'serving').length
    gauge(registry, 'processes_serving', 'Processes that take new connections.')(serving)
    counter(registry, 'workers_lost_total', 'Workers that died, or were killed because they hung.')(lost)
  }
  if (gate === null) return
  counter(registry, 'gate_logins_total', 'Logins at the gate.')(gate.logins)
  counter(registry, 'gate_failed_attempts_total', 'Wrong tokens given at the gate.')(gate.failedAttempts)
}

function describeConnections(registry: Registry, { connections, bytes }: ForwarderHealth) {
  const { open, limit, total, refused, ended } = connections
  gauge(registry, 'connections_open', 'Connections open now.')(open)
  gauge(registry, 'connections_limit', 'Connections that may be open at once.')(limit)
  counter(registry, 'connections_accepted_total', 'Connections accepted and admitted.')(total)
  const refusals = labelled(registry, 'connections_refused_total', 'Connections turned away.', 'reason')
  for (const [reason, count] of Object.entries(refused)) refusals(reason, count)
  const help = 'Connections ended, by how: two letters as in the access log.'
  const endings = labelled(registry, 'connections_ended_total', help, 'termination')
  for (const [code, count] of Object.entries(ended)) endings(code, count)
  const relayed = labelled(registry, 'relayed_bytes_total', 'Bytes taken by the other side.', 'direction')
  relayed('from_client', bytes.fromClients)
  relayed('from_target', bytes.fromTarget)
}

function describeTargets(registry: Registry, { targets }: ForwarderHealth) {
  const help = '1 when the target accepted the last connect; absent until one was tried.'
  const up = new Gauge({ name: `${prefix}target_up`, help, labelNames: ['target'], registers: [registry] })
  for (const { host, port, state } of targets) {
    if (state !== 'unknown') up.set({ target: hostAndPort(host, port) }, state === 'reachable' ? 1 : 0)
  }
}

/** The names that every Prometheus client uses for a process. */
function describeProcess(registry: Registry, { startedAt }: ForwarderHealth) {
  const { user, system } = process.cpuUsage()
  const registers = [registry]
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'CPU time spent, user and system.',
    registers,
  }).inc((user + system) / 1e6)
  new Gauge({
    name: 'process_resident_memory_bytes',
    help: 'Resident memory size.',
    registers,
  }).set(process.memoryUsage.rss())
  new Gauge({
    name: 'process_start_time_seconds',
    help: 'Start time since the Unix epoch.',
    registers,
  }).set(Date.parse(startedAt) / 1000)
}

function gauge(registry: Registry, name: string, help: string, labels: Record<string, string> = {}) {
  const metric = new Gauge({
    name: prefix + name,
    help,
    labelNames: Object.keys(labels),
    registers: [registry],
  })
  return (value: number) => metric.set(labels, value)
}

function counter(registry: Registry, name: string, help: string) {
  const metric = new Counter({ name: prefix + name, help, registers: [registry] })
  return (value: number) => metric.inc(value)
}

function labelled(registry: Registry, name: string, help: string, label: string) {
  const metric = new Counter({ name: prefix + name, help, labelNames: [label], registers: [registry] })
  return (value: string, count: number) => metric.inc({ [label]: value }, count)
}
