import { refused, relay, workers } from './forwarder-health.ts'
import { shapeOf } from './index.ts'
import { eventKind } from './journal.ts'
import { exactly, flag, list, nullable, number, object, optional, text } from './kinds.ts'
import { processIdentity } from './process-identity.ts'
import { forwardStates, type StatusReport, statusSchemaVersion } from './status-report.ts'

/** The report as this version writes it. It knows no other words than this version's, because it describes the report to others. */

const causes = [
  'starting',
  'never-ran',
  'ended',
  'rebooted',
  'died',
  'suspended',
  'hangs',
  'no-checks',
  'unreadable',
  'corrupt',
  'newer',
  'records',
  'configuration',
] as const
const monitor = object({
  state: exactly('RUNNING', 'STARTING', 'STALE', 'STOPPED', 'UNKNOWN'),
  cause: nullable(exactly(...causes)),
  reason: nullable(text),
  pid: nullable(number),
  version: nullable(text),
  startedAt: nullable(text),
  uptimeMs: nullable(number),
  heartbeatAgeMs: nullable(number),
  lastCheckAgeMs: nullable(number),
  intervalMs: nullable(number),
  lastRoundMs: nullable(number),
  lastRoundForwards: nullable(number),
  configuration: nullable(text),
  serviceManager: nullable(exactly('systemd')),
})

const bytes = object({ fromClients: number, fromTarget: number })
const resource = exactly('memory', 'cpu', 'openFiles')
const resources = {
  usage: nullable(
    object({ memoryBytes: number, cpuPercent: number, openFiles: optional(number), processes: number }),
  ),
  limits: nullable(
    object({
      memoryBytes: number,
      cpuPercent: number,
      openFiles: optional(number),
      action: exactly('alert', 'restart'),
      exceeded: list(object({ resource, forMs: number })),
    }),
  ),
}
const lastDay = nullable(list(exactly('up', 'partly', 'down', 'waiting', 'stopped', 'unknown')))
const forward = object({
  name: text,
  port: number,
  state: exactly(...forwardStates),
  reason: nullable(text),
  failingForMs: nullable(number),
  advice: nullable(text),
  monitored: flag,
  listen: list(text),
  openAt: list(text),
  target: nullable(text),
  targetAddress: nullable(text),
  pid: nullable(number),
  uptimeMs: nullable(number),
  restarts: number,
  lastRestartAgeMs: nullable(number),
  plannedRestarts: number,
  failures: number,
  notListening: list(object({ address: text, error: text })),
  connections: nullable(
    object({
      open: number,
      total: number,
      limit: number,
      refused: number,
      refusedBy: refused,
    }),
  ),
  targetError: nullable(object({ message: text, ageMs: number })),
  targetKnown: nullable(
    object({
      state: exactly('unknown', 'waiting', 'reachable', 'unreachable'),
      by: exactly('listener-table', 'traffic', 'knock'),
      ageMs: number,
      stateForMs: number,
    }),
  ),
  bytes: nullable(bytes),
  bytesPerSecond: nullable(bytes),
  lastDay,
  admission: nullable(text),
  gateToken: nullable(text),
  gateWrongTokens: nullable(object({ lastHour: number, lastFrom: nullable(text) })),
  lastCheckAgeMs: nullable(number),
  nextTryInMs: nullable(number),
  orderedDownAt: nullable(text),
  ...resources,
})

const program = object({
  name: text,
  group: optional(text),
  state: exactly(...forwardStates),
  reason: nullable(text),
  failingForMs: nullable(number),
  advice: nullable(text),
  monitored: flag,
  port: nullable(number),
  command: text,
  kind: optional(exactly('gateway')),
  pid: nullable(number),
  uptimeMs: nullable(number),
  restarts: number,
  lastRestartAgeMs: nullable(number),
  plannedRestarts: number,
  failures: number,
  lastDay,
  lastCheckAgeMs: nullable(number),
  nextTryInMs: nullable(number),
  orderedDownAt: nullable(text),
  leftBehind: optional(list(object({ pid: nullable(number), command: nullable(text) }))),
  orderedKeys: list(text),
  ...resources,
})

const alertChannel = object({
  name: text,
  type: exactly('slack', 'discord', 'webhook', 'command', 'ping'),
  state: exactly('untried', 'ok', 'retrying', 'disabled'),
  queued: number,
  dropped: number,
  delivered: number,
  lastDeliveredAt: nullable(text),
  lastError: nullable(text),
  retryInMs: nullable(number),
})

const incident = object({
  id: text,
  forward: text,
  port: number,
  subject: text,
  message: text,
  since: text,
  openForMs: number,
  flapping: flag,
  channels: list(object({ name: text, state: exactly('told', 'waiting', 'not-told') })),
})

const logEntry = object({
  time: text,
  level: exactly('info', 'warn', 'error'),
  source: text,
  message: text,
  good: optional(flag),
})

const detail = object({
  name: text,
  identity: nullable(processIdentity),
  version: nullable(text),
  startedAt: nullable(text),
  workers: nullable(workers),
  relay: nullable(relay),
  log: list(logEntry),
  events: list(object({ time: text, kind: eventKind, saw: text, decided: text })),
})

export const statusReport = shapeOf<StatusReport>()(
  object({
    schemaVersion: exactly(statusSchemaVersion),
    takenAt: text,
    stateDirectory: text,
    exitCode: number,
    monitor,
    summary: object({
      healthy: number,
      waiting: number,
      exposed: number,
      degraded: number,
      down: number,
      stopped: number,
    }),
    forwards: list(forward),
    programs: list(program),
    alertChannels: list(alertChannel),
    incidents: list(incident),
    details: list(detail),
    log: list(logEntry),
    next: list(text),
    steps: optional(list(object({ text, order: nullable(text), units: list(text) }))),
  }),
)
