import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { channelRecord, incidentRecord } from '../../src/record/shapes/alerts.ts'
import { forwarderIdentity, handedOver, monitorIdentity } from '../../src/record/shapes/control.ts'
import { forwarderHealth } from '../../src/record/shapes/forwarder-health.ts'
import type { Shape } from '../../src/record/shapes/index.ts'
import { journalEntry } from '../../src/record/shapes/journal.ts'
import { runtimeState } from '../../src/record/shapes/runtime-state.ts'
import { statusReport } from '../../src/record/shapes/status-report-schema.ts'
import { assess } from '../../src/report/assess.ts'
import { identity, wellFacts, wellHealth, wellRecord, wellState } from '../support/status-facts.ts'

/** As it comes out of a file or a socket. */
const sent = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

/** What a forwarder of the first days answered, before workers, shortages and Inspectors. */
const oldHealth = {
  schemaVersion: 1,
  identity: identity(4188),
  version: '0.1.0',
  startedAt: '2026-11-21T00:00:00.000Z',
  uptimeMs: 3_600_000,
  draining: false,
  listen: {
    port: 6277,
    rule: 'same-port',
    addresses: [{ address: '192.0.2.7', port: 6277 }],
    failed: [{ address: '2001:db8::7', port: 6277, error: 'EADDRINUSE' }],
  },
  target: {
    host: 'localhost',
    port: 6277,
    state: 'reachable',
    address: '127.0.0.1',
    answeredAgeMs: 2000,
    lastError: null,
    lastErrorAgeMs: null,
  },
  admission: 'private',
  connections: { open: 2, total: 40, limit: 1000, refused: { admission: 1, 'target-refused': 3 } },
  bytes: { fromClients: 12_345, fromTarget: 678_901 },
}

const oldRecord = {
  name: 'inspector-proxy',
  port: 6277,
  target: 'localhost:6277',
  phase: 'running',
  reason: null,
  nextTryAt: null,
  identity: identity(4188),
  runningSince: 1,
  lastCheckAt: 2,
  restarts: 0,
  failures: 0,
  failingSince: null,
  targetMemory: { everAnswered: true, failures: 0, failingSince: null },
  memory: { generation: 1, recentRestarts: [], backoffLevel: 0, healthySince: null },
  health: oldHealth,
}

const oldState = {
  schemaVersion: 1,
  writer: {
    identity: identity(4121),
    version: '0.1.0',
    startedAt: '2026-11-21T00:00:00.000Z',
    startedAtMonotonicMs: 1,
    configuration: null,
    serviceManager: null,
  },
  sequence: 7,
  writtenAt: '2026-11-21T00:00:05.000Z',
  writtenAtMonotonicMs: 5000,
  intervalMs: 10_000,
  lastRoundAt: 4000,
  forwards: [oldRecord],
}

describe('A health report', () => {
  it('is read as it was sent', () => {
    expect(forwarderHealth.read(sent(wellHealth))).toEqual(wellHealth)
  })

  it('of an older forwarder has defaults for what it does not tell', () => {
    const health = forwarderHealth.read(sent(oldHealth))
    expect(health).toMatchObject({
      workers: null,
      shortage: null,
      gate: null,
      supervisor: null,
      predecessors: [],
      tls: { certificate: null, target: null },
      target: { knownBy: null, knownAgeMs: null, stateForMs: 0 },
    })
    expect(health?.connections.refused).toMatchObject({ admission: 1, 'target-refused': 3, 'no-route': 0 })
  })

  it('of a newer forwarder is read without what is new in it', () => {
    const newer = {
      ...wellHealth,
      mood: 'fine',
      target: { ...wellHealth.target, state: 'asleep', knownBy: 'telepathy' },
      connections: {
        ...wellHealth.connections,
        full: 'patience',
        refused: { ...wellHealth.connections.refused, 'wrong-hat': 2 },
      },
    }
    expect(forwarderHealth.read(sent(newer))).toEqual({
      ...wellHealth,
      target: { ...wellHealth.target, state: 'unknown', knownBy: null },
      connections: { ...wellHealth.connections, full: null },
    })
  })

  it('without what every forwarder tells is none', () => {
    for (const key of ['identity', 'listen', 'target', 'connections', 'uptimeMs', 'draining', 'bytes']) {
      const { [key]: _gone, ...rest } = oldHealth as Record<string, unknown>
      expect(forwarderHealth.read(sent(rest)), key).toBeUndefined()
    }
    fc.assert(fc.property(fc.jsonValue(), (value) => forwarderHealth.read(value) === undefined))
  })
})

describe('The runtime state', () => {
  it('is read as it was written', () => {
    expect(runtimeState.read(sent(wellState))).toEqual(wellState)
  })

  it('of the first version is read', () => {
    expect(runtimeState.read(sent(oldState))).toMatchObject({
      sequence: 7,
      lastRound: null,
      stopped: null,
      recordsProblem: null,
      configurationProblem: null,
      forwards: [{ name: 'inspector-proxy', health: { workers: null } }],
    })
  })

  it('is read although one health report in it is damaged', () => {
    const damaged = { ...wellState, forwards: [{ ...wellRecord, health: { pid: 7 } }] }
    expect(runtimeState.read(sent(damaged))?.forwards).toEqual([{ ...wellRecord, health: null }])
  })
})

const stamp = { time: '2026-11-21T01:00:00.000Z', monotonicMs: 1, bootId: 'b' }

const forwardEvent = {
  ...stamp,
  event: 'forward',
  kind: 'died',
  forward: 'web',
  port: 8080,
  from: 'running',
  to: 'backoff',
  saw: 'PID 7 was killed by SIGKILL',
  decided: 'start another one',
  because: null,
  did: ['started PID 8'],
  pid: 7,
  generation: 3,
  failures: 1,
  target: 'answers',
}

describe('An event of the journal', () => {
  it('is read as it was written', () => {
    expect(journalEntry.read(forwardEvent)).toEqual(forwardEvent)
    const started = {
      ...stamp,
      event: 'monitor-started',
      pid: 7,
      version: '0.1.0',
      previousSeenAt: null,
      previousEnded: false,
      forwards: [{ name: 'web', port: 8080 }],
    }
    expect(journalEntry.read(started)).toEqual(started)
    const lost = { ...stamp, event: 'events-lost', from: stamp.time, count: 3 }
    expect(journalEntry.read(lost)).toEqual(lost)
  })

  it('of a version to come is none, or is read with words of today', () => {
    expect(journalEntry.read({ ...forwardEvent, event: 'dream' })).toBeUndefined()
    expect(journalEntry.read({ ...forwardEvent, kind: 'dreamt', from: 'asleep' })).toEqual({
      ...forwardEvent,
      kind: 'noticed',
      from: 'unknown',
    })
  })

  it('without a time is none', () => {
    expect(journalEntry.read({ ...forwardEvent, time: 'yesterday' })).toBeUndefined()
    expect(journalEntry.read({ ...stamp, event: 'monitor-gap', from: 'then', reason: 'x' })).toBeUndefined()
  })
})

const moment = { wallMs: 1, monotonicMs: 2, bootId: 'b' }
const change = {
  id: 'c1',
  incident: 'i1',
  event: 'opened',
  forward: 'web',
  port: 8080,
  subject: 'forward',
  message: 'web is down',
  at: '2026-11-21T01:00:00.000Z',
  since: '2026-11-21T01:00:00.000Z',
  durationMs: 0,
  restarts: 0,
  flapping: false,
}
const channel = {
  schemaVersion: 1,
  fingerprint: null,
  health: {
    name: 'hook',
    type: 'webhook',
    state: 'retrying',
    queued: 1,
    dropped: 0,
    delivered: 3,
    lastDeliveredAt: moment,
    lastError: 'HTTP 503',
    failures: 1,
    retryAt: moment,
    retryAtIsTold: false,
  },
  queue: [{ id: 'msg_1', changes: [change], attempted: true, dropped: 0 }],
}

describe('The files of alerts', () => {
  it('are read as they were written', () => {
    expect(channelRecord.read(channel)).toEqual(channel)
    const incidents = {
      schemaVersion: 1,
      incidents: {
        seed: 's',
        sequence: 1,
        incidents: [],
        recentOpenings: [{ key: 'forward web', at: moment }],
        pending: [change],
        pendingSince: moment,
      },
    }
    expect(incidentRecord.read(incidents)).toEqual(incidents)
  })

  it('of another version, or damaged, are not read', () => {
    expect(channelRecord.read({ ...channel, schemaVersion: 2 })).toBeUndefined()
    expect(channelRecord.read({ ...channel, queue: [{ id: 'msg_1' }] })).toBeUndefined()
    fc.assert(fc.property(fc.jsonValue(), (value) => incidentRecord.read(value) === undefined))
  })
})

describe('What a process says of itself', () => {
  it('is read, or is nothing', () => {
    const known = { role: 'forwarder', identity: identity(7), version: '0.1.0', options: '{}' }
    expect(forwarderIdentity.read(known)).toEqual(known)
    expect(monitorIdentity.read(known)).toBeUndefined()
    expect(handedOver.read({ identity: identity(8) })?.identity.pid).toBe(8)
    expect(handedOver.read(null)).toBeUndefined()
  })
})

it('The schema of the status report describes what a report is', () => {
  const report = sent(assess(wellFacts))
  expect(statusReport.read(report)).toEqual(report)
})

describe('A shape and its zod schema', () => {
  /** A value with one part of it changed or taken away, however deep it lies. */
  const damaged = (whole: unknown): fc.Arbitrary<unknown> => {
    if (typeof whole !== 'object' || whole === null) return fc.oneof(fc.jsonValue(), fc.constant(whole))
    const keys = Object.keys(whole)
    if (keys.length === 0) return fc.jsonValue()
    return fc.constantFrom(...keys).chain((key) => {
      const part = (whole as Record<string, unknown>)[key]
      const put = (value: unknown) => {
        const copy = structuredClone(whole) as Record<string, unknown>
        copy[key] = value
        return copy
      }
      const without = () => {
        const { [key]: _gone, ...rest } = whole as Record<string, unknown>
        return Array.isArray(whole) ? whole.filter((_, index) => String(index) !== key) : rest
      }
      return fc.oneof(
        { weight: 3, arbitrary: damaged(part).map(put) },
        { weight: 1, arbitrary: fc.constant(null).map(without) },
        { weight: 1, arbitrary: fc.constantFrom('', 'new', null, 0, -1.5, true, [], {}).map(put) },
      )
    })
  }

  const agree = <T>(shape: Shape<T>, samples: readonly unknown[]) => {
    const schema = shape.zod(z)
    const values = fc.oneof(fc.jsonValue(), ...samples.map((sample) => damaged(sent(sample))))
    fc.assert(
      fc.property(values, (value) => {
        expect(shape.read(value)).toEqual(schema.safeParse(value).data)
      }),
      { numRuns: 400 },
    )
    for (const sample of samples) expect(shape.read(sent(sample))).toBeDefined()
  }

  const full = {
    ...wellHealth,
    first: identity(1),
    predecessors: [identity(2)],
    targets: [wellHealth.target],
    shortage: { reason: 'memory', message: 'm', ageMs: 1 },
    inspector: {
      generation: 2,
      part: 'page',
      version: null,
      isHttps: false,
      token: 'kept',
      origins: [{ origin: 'http://192.0.2.7:6274', allowed: null }],
    },
    gate: {
      kind: 'token',
      tokenPlace: '/x',
      logins: 1,
      failedAttempts: 2,
      wrongTokens: { lastHour: 1, lastTenMinutes: 1, lastFrom: null, lastAgeMs: null },
      targetProblem: null,
    },
    tls: {
      certificate: { subject: 's', names: 'n', validFrom: 'a', validTo: 'b', fingerprint: 'f' },
      target: 'verified',
    },
    workers: {
      wanted: 2,
      lost: 0,
      processes: [{ number: 0, identity: identity(3), state: 'serving', open: 1, total: 2 }],
    },
    relay: { kind: 'stream', reason: 'r' },
    warnings: ['w'],
  }

  it('read the same: health report', () => agree(forwarderHealth, [full, oldHealth]))
  it('read the same: runtime state', () => agree(runtimeState, [wellState, oldState]))
  it('read the same: journal', () =>
    agree(journalEntry, [forwardEvent, { ...stamp, event: 'monitor-gap', from: stamp.time, reason: 'r' }]))
  it('read the same: alerts', () => agree(channelRecord, [channel]))
  it('read the same: identity', () =>
    agree(forwarderIdentity, [{ role: 'forwarder', identity: identity(7), version: '0', options: '{}' }]))
  it('read the same: status report', () => agree(statusReport, [assess(wellFacts)]))
})
