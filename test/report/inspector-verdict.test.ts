import { describe, expect, it } from 'vitest'
import type { ForwarderHealth, InspectorFacts } from '../../src/record/shapes/forwarder-health.ts'
import type { ForwardRecord, RuntimeState } from '../../src/record/shapes/runtime-state.ts'
import { assess } from '../../src/report/assess.ts'
import type { StatusFacts } from '../../src/report/facts.ts'
import { judgeInspector } from '../../src/report/inspector-verdict.ts'
import { answeringForward, monitorFacts, wellFacts, wellHealth, wellState } from '../support/status-facts.ts'

const origin = 'http://192.0.2.2:6274'
const page: InspectorFacts = {
  generation: 2,
  part: 'page',
  version: '2.12.0',
  isHttps: false,
  token: 'handed-out',
  origins: [{ origin, allowed: true }],
}

function judge(facts: Partial<InspectorFacts> | null, health: Partial<ForwarderHealth> = {}) {
  const inspector = facts === null ? null : { ...page, ...facts }
  return judgeInspector({ ...wellHealth, gate: null, ...health, inspector })
}

describe('A forward in front of an MCP Inspector', () => {
  it('is exposed where the Inspector hands its token to every visitor, or asks for none', () => {
    for (const token of ['handed-out', 'not-asked-for'] as const) {
      const verdict = judge({ token })
      expect(verdict?.state).toBe('exposed')
      expect(verdict?.reason ?? '').toMatch(
        /anybody who reaches http:\/\/192\.0\.2\.2:6274 can start programs/,
      )
      expect(verdict?.allowedOrigins).toBe(undefined)
    }
  })

  it('names the 403 that its page will meet, and all origins that it must allow', () => {
    const verdict = judge({
      generation: 1,
      token: 'kept',
      version: null,
      origins: [
        { origin, allowed: false },
        { origin: 'http://[2001:db8::2]:6274', allowed: false },
      ],
    })
    expect(verdict?.state).toBe('degraded')
    expect(verdict?.reason ?? '').toMatch(/^connecting from http:\/\/192\.0\.2\.2:6274 fails with 403/)
    expect(verdict?.allowedOrigins).toStrictEqual([
      origin,
      'http://[2001:db8::2]:6274',
      'http://localhost:6274',
    ])
  })

  it('is healthy where connecting works at one address, and names those where it does not', () => {
    const origins = [
      { origin, allowed: true },
      { origin: 'http://[2001:db8::2]:6274', allowed: false },
    ]
    const inspector: InspectorFacts = { ...page, generation: 1, token: 'kept', version: null, origins }
    const [forward] = assess({ ...wellFacts, forwards: [answeringForward({ inspector })] }).forwards
    expect([forward?.state, forward?.reason]).toStrictEqual([
      'healthy',
      'MCP Inspector 1.x does not allow the origin http://[2001:db8::2]:6274',
    ])
  })

  it('tells that the page of 2.x needs a secure context', () => {
    expect(judge({ token: 'kept' })?.reason ?? '').toMatch(/https or localhost only/)
    expect(judge({ token: 'kept', origins: [{ origin: 'https://192.0.2.2:6274', allowed: true }] })).toBe(
      undefined,
    )
  })

  it('is well behind a login, on loopback alone, and without an Inspector', () => {
    const gate = { kind: 'token', tokenPlace: 'the file gate_token', logins: 0, failedAttempts: 0 } as const
    expect(judge({}, { gate })).toBe(undefined)
    expect(judge({ origins: [] })).toBe(undefined)
    expect(judge(null)).toBe(undefined)
    expect(judge({ generation: 1, token: 'kept' })).toBe(undefined)
  })
})

describe('The cure for an Inspector that lets everybody in', () => {
  const forward = (record: Partial<ForwardRecord> = {}) => answeringForward({ inspector: page }, record)
  const written = (writer: Partial<RuntimeState['writer']>, others: Partial<StatusFacts> = {}) =>
    assess(monitorFacts({ writer: { ...wellState.writer, ...writer } }, { forwards: [forward()], ...others }))

  it('is a command where no configuration file is used', () => {
    const { next, forwards } = written({ configuration: null }, { directoryOption: ' --state-dir /srv/s' })
    expect(next).toStrictEqual([
      'proxy-monitor --stop --state-dir /srv/s && proxy-monitor --gate token --state-dir /srv/s   ' +
        '(puts a login in front of inspector-proxy)',
    ])
    expect(forwards[0]?.advice).toBe(null)
  })

  it('is a line of the file where one is used', () => {
    const { next } = written({ configuration: '/etc/pw.yaml' })
    expect(next).toStrictEqual([
      'put a login in front: write gate: token in /etc/pw.yaml for each forward of the Inspector',
    ])
  })

  it('is another installation of a service without a file', () => {
    const { next } = written({ configuration: null, serviceManager: 'systemd' })
    expect(next[0] ?? '').toMatch(/install-systemd --config FILE$/)
  })

  it('is a word of tcp-proxy where no monitor knows the forward', () => {
    const { next } = assess({ ...wellFacts, forwards: [{ ...forward(), record: undefined }] })
    expect(
      next.includes('put a login in front: start the forward with --gate token'),
      next.join('\n'),
    ).toBeTruthy()
  })

  it('is counted as what it is, not among the degraded', () => {
    const { summary } = written({})
    expect([summary.exposed, summary.degraded, summary.healthy]).toStrictEqual([1, 0, 0])
  })
})

describe('A monitor that died with a login in front of the default forwards', () => {
  it('is to be started with that login again', () => {
    const writer = { ...wellState.writer, configuration: null, gate: 'token' }
    const { next } = assess(monitorFacts({ writer }, { writerVerdict: 'gone' }))
    expect(next[0]).toBe(`proxy-monitor --state-dir ${wellFacts.stateDirectory} --gate token`)
  })
})

describe('The address to open in front of an Inspector', () => {
  it('is https where the Inspector itself is, and a URL on any port', () => {
    const openAt = (isHttps: boolean) =>
      assess({
        ...wellFacts,
        forwards: [
          answeringForward({
            inspector: { ...page, isHttps },
            listen: {
              ...wellHealth.listen,
              port: 7002,
              addresses: [{ address: '192.0.2.2', port: 7002, origin: 'bound' }],
            },
          }),
        ],
      }).forwards[0]?.openAt
    expect(openAt(true)).toStrictEqual(['https://192.0.2.2:7002'])
    expect(openAt(false)).toStrictEqual(['http://192.0.2.2:7002'])
  })
})
