import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ForwarderHealth, InspectorFacts } from '../../src/record/forwarder-health.ts'
import { judgeInspector } from '../../src/report/inspector-verdict.ts'
import { wellHealth } from '../support/status-facts.ts'

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
      assert.equal(verdict?.state, 'exposed')
      assert.match(verdict?.reason ?? '', /whoever reaches http:\/\/192\.0\.2\.2:6274 can start programs/)
      assert.match(verdict?.advice ?? '', /--gate token/)
    }
  })

  it('names the 403 that its page will meet, and both cures', () => {
    const verdict = judge({
      generation: 1,
      token: 'kept',
      version: null,
      origins: [{ origin, allowed: false }],
    })
    assert.equal(verdict?.state, 'degraded')
    assert.match(verdict?.reason ?? '', /^connecting from http:\/\/192\.0\.2\.2:6274 fails with 403/)
    assert.match(verdict?.advice ?? '', /ALLOWED_ORIGINS=http:\/\/192\.0\.2\.2:6274,http:\/\/localhost:6274$/)
  })

  it('tells that the page of 2.x needs a secure context', () => {
    assert.match(judge({ token: 'kept' })?.reason ?? '', /https or localhost only/)
    assert.equal(
      judge({ token: 'kept', origins: [{ origin: 'https://192.0.2.2:6274', allowed: true }] }),
      undefined,
    )
  })

  it('is well behind a login, on loopback alone, and without an Inspector', () => {
    const gate = { kind: 'token', tokenPlace: 'the file gate_token', logins: 0, failedAttempts: 0 } as const
    assert.equal(judge({}, { gate }), undefined)
    assert.equal(judge({ origins: [] }), undefined)
    assert.equal(judge(null), undefined)
    assert.equal(judge({ generation: 1, token: 'kept' }), undefined)
  })
})
