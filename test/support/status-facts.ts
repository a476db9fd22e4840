import type { ProcessIdentity } from '../../src/process/identity.ts'
import type { ForwarderHealth } from '../../src/record/shapes/forwarder-health.ts'
import type { ForwardRecord, RuntimeState } from '../../src/record/shapes/runtime-state.ts'
import type { ForwardFacts, StatusFacts } from '../../src/report/facts.ts'

/** Monotonic ms at which every made-up report is taken. */
export const now = 1_000_000

export const identity = (pid: number): ProcessIdentity => ({
  pid,
  startTime: '4711',
  bootId: 'this-boot',
  pidNamespace: 'pid:[4026531836]',
})

/** A forwarder's answer when all is well. */
export const wellHealth: ForwarderHealth = {
  schemaVersion: 1,
  identity: identity(4188),
  version: '0.1.0',
  startedAt: '2026-11-21T00:00:00.000Z',
  uptimeMs: 3_600_000,
  draining: false,
  predecessors: [],
  supervisor: null,
  listen: {
    port: 6277,
    rule: 'same-port',
    addresses: [
      { address: '192.0.2.7', port: 6277, origin: 'bound' },
      { address: '2001:db8::7', port: 6277, origin: 'bound' },
    ],
    paths: [],
    failed: [],
  },
  target: {
    host: 'localhost',
    port: 6277,
    state: 'reachable',
    address: '127.0.0.1',
    knownBy: 'traffic',
    knownAgeMs: 2000,
    stateForMs: 3_600_000,
    answeredAgeMs: 2000,
    lastError: null,
    lastErrorAgeMs: null,
  },
  targets: [],
  shortage: null,
  admission: 'private',
  gate: null,
  connections: {
    open: 2,
    total: 40,
    limit: 1000,
    full: null,
    refused: {
      admission: 1,
      'max-connections': 0,
      'max-connections-per-source': 0,
      'max-rate-per-source': 0,
      descriptors: 0,
      'source-ports': 0,
      memory: 0,
      resolver: 0,
      'no-route': 0,
      'target-not-ready': 0,
      'target-refused': 3,
      'target-timeout': 0,
      'target-error': 0,
      'self-dial': 0,
      'not-a-proxy': 0,
    },
    ended: {},
  },
  tls: { certificate: null, target: null },
  workers: null,
  warnings: [],
  bytes: { fromClients: 12_345, fromTarget: 678_901 },
}

/** What the monitor wrote of a forward that is well. */
export const wellRecord: ForwardRecord = {
  name: 'inspector-proxy',
  port: 6277,
  target: 'localhost:6277',
  phase: 'running',
  reason: null,
  nextTryAt: null,
  identity: identity(4188),
  runningSince: now - 3_600_000,
  lastCheckAt: now - 4000,
  restarts: 0,
  failures: 0,
  failingSince: null,
  targetMemory: { everAnswered: true, failures: 0, failingSince: null },
  memory: { generation: 1, recentRestarts: [], backoffLevel: 0, healthySince: now - 3_600_000 },
  health: wellHealth,
}

export const wellForward: ForwardFacts = {
  port: 6277,
  record: wellRecord,
  health: wellHealth,
  control: 'answered',
  process: { pid: 4188, verdict: 'alive' },
  wantedDown: undefined,
}

/** A forward that does not answer, with what is changed in its record. */
export function silentForward(
  process: ForwardFacts['process'],
  record: Partial<ForwardRecord> = {},
  control: ForwardFacts['control'] = 'absent',
): ForwardFacts {
  return {
    port: 6277,
    record: { ...wellRecord, ...record },
    health: undefined,
    control,
    process,
    wantedDown: undefined,
  }
}

/** A forward that answers, with what is changed in its answer. */
export function answeringForward(
  health: Partial<ForwarderHealth>,
  record: Partial<ForwardRecord> = {},
): ForwardFacts {
  return { ...wellForward, health: { ...wellHealth, ...health }, record: { ...wellRecord, ...record } }
}

export const wellState: RuntimeState = {
  schemaVersion: 1,
  writer: {
    identity: identity(4121),
    version: '0.1.0',
    startedAt: '2026-11-21T00:00:00.000Z',
    startedAtMonotonicMs: now - 3_600_000,
    configuration: '/etc/port watchdog.yaml',
    serviceManager: null,
  },
  sequence: 7,
  writtenAt: '2026-11-21T01:00:00.000Z',
  writtenAtMonotonicMs: now - 1000,
  intervalMs: 10_000,
  lastRoundAt: now - 4000,
  lastRound: { ms: 12, forwards: 1 },
  stopped: null,
  recordsProblem: null,
  configurationProblem: null,
  forwards: [wellRecord],
}

export const wellFacts: StatusFacts = {
  takenAt: '2026-11-21T01:00:01.000Z',
  stateDirectory: '/run/user/1000/port-watchdog',
  directoryExists: true,
  directoryOption: '',
  pidNamespace: 'pid:[4026531836]',
  machineAddresses: ['127.0.0.1', '192.0.2.7', '::1', '2001:db8::7'],
  lastDay: new Map([
    [
      'inspector-proxy',
      Array.from({ length: 24 }, (_, i) =>
        i < 18 ? 'unknown' : i === 20 ? 'partly' : i === 21 ? 'down' : 'up',
      ),
    ],
  ]),
  programs: { monitor: 'proxy-monitor', log: 'proxy-log', ctl: 'proxy-ctl', gateway: 'mcp-proxy' },
  nowMonotonicMs: now,
  bootId: 'this-boot',
  reading: { kind: 'read', state: wellState },
  writerVerdict: 'alive',
  alertChannels: [],
  openIncidents: [],
  forwards: [wellForward],
  details: [],
  log: [
    {
      time: '2026-11-21T00:00:00.000Z',
      level: 'info',
      source: 'monitor',
      message: 'Monitor started',
      good: true,
    },
  ],
}

/** The facts with another state of the monitor. */
export function monitorFacts(state: Partial<RuntimeState>, others: Partial<StatusFacts> = {}): StatusFacts {
  return { ...wellFacts, reading: { kind: 'read', state: { ...wellState, ...state } }, ...others }
}

/** The facts with another forward. */
export function forwardFacts(forward: ForwardFacts, others: Partial<StatusFacts> = {}): StatusFacts {
  return { ...wellFacts, forwards: [forward], ...others }
}
