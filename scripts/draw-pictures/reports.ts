import type { ForwarderHealth } from '../../src/record/shapes/forwarder-health.ts'
import type { HourState } from '../../src/record/shapes/status-report.ts'
import { assess } from '../../src/report/assess.ts'
import type { ForwardFacts, StatusFacts } from '../../src/report/facts.ts'
import { renderStatus } from '../../src/report/render.ts'
import {
  identity,
  monitorFacts,
  now,
  silentForward,
  wellForward,
  wellHealth,
  wellRecord,
} from '../../test/support/status-facts.ts'

// Reports of a machine as it might be, judged and printed by what proxy-status judges and prints with.

const address = '192.0.2.2'
const hour = 3_600_000

interface Sketch {
  readonly name: string
  readonly port: number
  readonly targetPort?: number
  readonly health?: Partial<ForwarderHealth>
  readonly bytes?: readonly [fromClients: number, fromTarget: number]
  readonly open?: number
  readonly restartedAgoMs?: number
}

function forward({
  name,
  port,
  targetPort = port,
  health = {},
  bytes = [0, 0],
  open = 0,
  restartedAgoMs,
}: Sketch): ForwardFacts {
  const target = `localhost:${targetPort}`
  const answer: ForwarderHealth = {
    ...wellHealth,
    listen: {
      ...wellHealth.listen,
      port,
      addresses: [{ address, port, origin: 'bound' }],
    },
    target: { ...wellHealth.target, port: targetPort },
    connections: { ...wellHealth.connections, open },
    bytes: { fromClients: bytes[0], fromTarget: bytes[1] },
    ...health,
  }
  return {
    ...wellForward,
    port,
    record: {
      ...wellRecord,
      name,
      port,
      target,
      restarts: restartedAgoMs === undefined ? 0 : 1,
      lastRestartAt: restartedAgoMs === undefined ? null : now - restartedAgoMs,
    },
    health: answer,
    bytesBefore: { identity: answer.identity, at: now - 1000, fromClients: 0, fromTarget: 0 },
  }
}

const gate = {
  logins: 1,
  failedAttempts: 0,
  sessions: 1,
  tokenPlace: '/home/me/.local/state/port-watchdog/gate_token',
} as unknown as ForwarderHealth['gate']

const waiting = (port: number): Partial<ForwarderHealth> => ({
  gate,
  target: { ...wellHealth.target, port, state: 'waiting', address: null },
})

const inspector = forward({
  name: 'inspector',
  port: 6274,
  health: { gate },
  bytes: [1200, 41_000],
  open: 3,
  restartedAgoMs: 12 * 60_000,
})
const sandbox = forward({ name: 'inspector-sandbox', port: 6275, health: { gate }, open: 0 })
const proxy = forward({ name: 'inspector-proxy', port: 6277, health: waiting(6277) })
const proxyNeverAnswered: ForwardFacts = {
  ...proxy,
  record: {
    ...wellRecord,
    name: 'inspector-proxy',
    port: 6277,
    target: 'localhost:6277',
    targetMemory: { everAnswered: false, failures: 0, failingSince: null },
  },
}
const vite = forward({ name: 'vite', port: 5173, bytes: [300, 2400], open: 2 })
const api = forward({ name: 'api', port: 8080, targetPort: 3000, bytes: [0, 0], open: 1 })

const upSince = (hours: number, marks: Readonly<Record<number, HourState>> = {}): HourState[] =>
  Array.from({ length: 24 }, (_, i) => marks[i] ?? (i < 24 - hours ? 'unknown' : 'up'))

function facts(forwards: readonly ForwardFacts[], others: Partial<StatusFacts> = {}): StatusFacts {
  return monitorFacts(
    {
      writer: {
        identity: identity(4121),
        version: '0.1.0',
        startedAt: '2026-11-21T00:00:00.000Z',
        startedAtMonotonicMs: now - 15 * hour - 7 * 60_000,
        configuration: null,
        serviceManager: null,
      },
    },
    {
      stateDirectory: '/home/me/.local/state/port-watchdog',
      machineAddresses: ['127.0.0.1', address],
      forwards,
      lastDay: new Map([
        ['inspector', upSince(15, { 23: 'partly' })],
        ['inspector-sandbox', upSince(15)],
        ['inspector-proxy', upSince(15)],
        ['vite', upSince(15)],
        ['api', upSince(15, { 15: 'down', 16: 'partly', 23: 'partly' })],
      ]),
      log: [],
      ...others,
    },
  )
}

const unreachable = forward({
  name: 'api',
  port: 8080,
  targetPort: 3000,
  health: {
    target: {
      ...wellHealth.target,
      port: 3000,
      state: 'unreachable',
      lastError: '127.0.0.1:3000 refused: nothing listens there',
      lastErrorAgeMs: 2000,
    },
  },
})
const apiDown: ForwardFacts = {
  ...unreachable,
  record: {
    ...wellRecord,
    name: 'api',
    port: 8080,
    target: 'localhost:3000',
    targetMemory: { everAnswered: true, failures: 5, failingSince: now - 45_000 },
  },
}
const blocked: ForwardFacts = {
  ...silentForward(undefined, {
    name: 'vite',
    port: 5173,
    target: 'localhost:5173',
    phase: 'blocked',
    reason: 'port 5173 is held by PID 990 (node)',
    health: null,
    identity: null,
  }),
  port: 5173,
  holder: { pid: 990, command: 'node server.js' },
} as ForwardFacts

/** What is printed, in colours, at `columns`. */
export function statusReports(columns: number): { readonly healthy: string; readonly fault: string } {
  const print = (one: StatusFacts) => renderStatus(assess(one), { colour: true, width: columns })
  return {
    healthy: print(facts([inspector, sandbox, proxyNeverAnswered, vite, api])),
    fault: print(facts([inspector, sandbox, proxyNeverAnswered, blocked, apiDown])),
  }
}
