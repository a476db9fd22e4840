import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { newHealth } from '../../src/alert/channel-health.ts'
import { failed, note, ok, warning } from '../../src/doctor/check.ts'
import { judgeChannel } from '../../src/doctor/checks/alert-channels.ts'
import { judgeDescriptors } from '../../src/doctor/checks/descriptors.ts'
import { judgeLinger } from '../../src/doctor/checks/linger.ts'
import { judgeMemory } from '../../src/doctor/checks/memory.ts'
import { judgeNamespaces } from '../../src/doctor/checks/namespaces.ts'
import { judgeNode } from '../../src/doctor/checks/node.ts'
import { judgePort } from '../../src/doctor/checks/ports.ts'
import { worstOf } from '../../src/doctor/examine.ts'
import { renderDiagnosis } from '../../src/doctor/render.ts'
import { ownIdentity } from '../../src/os/process-identity.ts'

describe('doctor judges what cannot be made here', () => {
  it('the version of Node', () => {
    assert.equal(judgeNode('18.20.0').level, 'error')
    assert.equal(judgeNode('20.18.3').level, 'error')
    assert.equal(judgeNode('20.19.0').level, 'note')
    assert.equal(judgeNode('24.1.0').level, 'ok')
  })

  it('descriptors and memory', () => {
    assert.equal(judgeDescriptors(64).level, 'error')
    assert.equal(judgeDescriptors(Number.MAX_SAFE_INTEGER).level, 'ok')
    assert.equal(judgeMemory(100 << 20, 3).code, 'memory-short')
    assert.equal(judgeMemory(200 << 20, 3).level, 'ok')
  })

  it('a low port, and one held by another user', () => {
    const facts = { name: 'web', port: 80, own: [], localTarget: undefined, targetListens: undefined }
    const claims = [{ address: '0.0.0.0', holder: { pid: undefined, command: 'unknown' } }]
    const found = judgePort({ ...facts, claims, isForbidden: true })
    assert.deepEqual(
      found.map(({ code }) => code),
      ['port-forbidden', 'port-taken'],
    )
    assert.match(found[1]?.what ?? '', /^web: 0\.0\.0\.0:80 is held by a process of another user$/)
  })

  it('alert channels', () => {
    const health = newHealth('hook', 'webhook')
    assert.equal(judgeChannel(health)[0]?.code, 'channel-untried')
    assert.equal(judgeChannel({ ...health, state: 'ok' })[0]?.level, 'ok')
    assert.equal(judgeChannel({ ...health, state: 'retrying', lastError: 'HTTP 500' })[0]?.level, 'warning')
    assert.equal(judgeChannel({ ...health, state: 'disabled', lastError: 'HTTP 404' })[0]?.level, 'error')
    assert.deepEqual(
      judgeChannel({ ...health, state: 'ok', dropped: 2 }).map(({ code }) => code),
      ['channel', 'alerts-lost'],
    )
  })

  it('a container without an init', () => {
    const facts = { own: ownIdentity(), writer: undefined, bootId: 'b', isContainer: true }
    assert.equal(judgeNamespaces({ ...facts, first: '/usr/bin/node' })[0]?.code, 'no-init')
    assert.equal(judgeNamespaces({ ...facts, first: '/sbin/docker-init' })[0]?.level, 'ok')
    assert.equal(judgeNamespaces({ ...facts, isContainer: false, first: '/bin/bash' })[0]?.level, 'ok')
  })

  it('what ends at a logout', () => {
    const facts = { user: 'ann', hasUserService: false, isStateInRuntime: false, lingers: false }
    assert.equal(judgeLinger(facts)[0]?.level, 'ok')
    assert.equal(judgeLinger({ ...facts, hasUserService: true })[0]?.cure, 'loginctl enable-linger ann')
    assert.equal(judgeLinger({ ...facts, isStateInRuntime: true })[0]?.code, 'state-ends-at-logout')
    assert.equal(judgeLinger({ ...facts, hasUserService: true, lingers: true })[0]?.level, 'ok')
  })

  it('the worst finding counts, and every width of a terminal ends', () => {
    const findings = [
      ok('a', 'x'),
      note('b', 'a longer sentence', 'do it'),
      warning('c', 'y'),
      failed('d', 'z\u001b[2J'),
    ]
    assert.equal(worstOf(findings), 'error')
    assert.equal(worstOf([]), 'ok')
    const diagnosis = {
      schemaVersion: 1,
      version: '0',
      takenAt: '',
      stateDirectory: '/s',
      configurationFile: null,
      level: 'error',
      exitCode: 2,
      findings: findings.map((finding) => ({ check: 'x', ...finding })),
    } as const
    for (const width of [0, 1, 5, 40, 1000]) {
      const text = renderDiagnosis(diagnosis, { colour: false, width })
      assert.match(text, /1 error, 1 warning, 1 note/)
      assert.ok(!text.includes('\u001b'))
    }
  })
})
