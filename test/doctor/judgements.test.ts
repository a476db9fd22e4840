import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { newHealth } from '../../src/alert/channel-records.ts'
import { configurationFrom } from '../../src/config/load.ts'
import { failed, note, ok, warning } from '../../src/doctor/check.ts'
import { judgeChannel } from '../../src/doctor/checks/alert-channels.ts'
import { judgeDescriptors } from '../../src/doctor/checks/descriptors.ts'
import { judgeLinger } from '../../src/doctor/checks/linger.ts'
import { judgeMemory } from '../../src/doctor/checks/memory.ts'
import { judgeNamespaces } from '../../src/doctor/checks/namespaces.ts'
import { judgeNode } from '../../src/doctor/checks/node.ts'
import { judgePort } from '../../src/doctor/checks/ports.ts'
import { judgePrograms } from '../../src/doctor/checks/programs.ts'
import { worstOf } from '../../src/doctor/examine.ts'
import { renderDiagnosis } from '../../src/doctor/render.ts'
import { ownIdentity } from '../../src/process/identity.ts'
import { temporaryDirectory } from '../support/children.ts'

describe('doctor judges what cannot be made here', () => {
  it('the version of Node', () => {
    expect(judgeNode('18.20.0').level).toBe('error')
    expect(judgeNode('20.18.3').level).toBe('error')
    expect(judgeNode('20.19.0').level).toBe('note')
    expect(judgeNode('24.1.0').level).toBe('ok')
  })

  it('descriptors and memory', () => {
    expect(judgeDescriptors(64).level).toBe('error')
    expect(judgeDescriptors(Number.MAX_SAFE_INTEGER).level).toBe('ok')
    expect(judgeMemory(100 << 20, 3).code).toBe('memory-short')
    expect(judgeMemory(200 << 20, 3).level).toBe('ok')
  })

  it('what programs need', async (t) => {
    const file = path.join(temporaryDirectory(t), 'c.yaml')
    const web = { name: 'web', command: ['sh'], limits: { openFiles: 100 }, keep: true }
    const lost = { name: 'lost', command: ['./nobody'], envFile: '.env' }
    const { programs } = await configurationFrom(file, JSON.stringify({ programs: [web, lost] }))
    const judged = (some: typeof programs, ...there: string[]) =>
      judgePrograms(some, (name) => there.includes(name)).map(({ code, what }) => [code, what.split(' ')[0]])
    expect(judged(programs.slice(0, 1), 'prlimit', 'fallocate')).toEqual([['programs', 'the']])
    expect(judged(programs)).toEqual([
      ['program-lacks', 'lost:'],
      ['program-lacks', 'lost:'],
      ['utility-missing', 'prlimit'],
      ['utility-missing', 'fallocate'],
    ])
    expect(judged([])).toEqual([])
  })

  it('a low port, and one held by another user', () => {
    const facts = {
      name: 'web',
      port: 80,
      own: [],
      owner: 'its forwarder',
      localTarget: undefined,
      targetListens: undefined,
    }
    const claims = [{ address: '0.0.0.0', holder: { pid: undefined, command: 'unknown' } }]
    const found = judgePort({ ...facts, claims, isForbidden: true })
    expect(found.map(({ code }) => code)).toStrictEqual(['port-forbidden', 'port-taken'])
    expect(found[1]?.what ?? '').toMatch(/^web: 0\.0\.0\.0:80 is held by a process of another user$/)
  })

  it('alert channels', () => {
    const health = newHealth('hook', 'webhook')
    expect(judgeChannel(health)[0]?.code).toBe('channel-untried')
    expect(judgeChannel({ ...health, state: 'ok' })[0]?.level).toBe('ok')
    expect(judgeChannel({ ...health, state: 'retrying', lastError: 'HTTP 500' })[0]?.level).toBe('warning')
    expect(judgeChannel({ ...health, state: 'disabled', lastError: 'HTTP 404' })[0]?.level).toBe('error')
    expect(judgeChannel({ ...health, state: 'ok', dropped: 2 }).map(({ code }) => code)).toStrictEqual([
      'channel',
      'alerts-lost',
    ])
  })

  it('a container without an init', () => {
    const facts = { own: ownIdentity(), writer: undefined, bootId: 'b', isContainer: true }
    expect(judgeNamespaces({ ...facts, first: '/usr/bin/node' })[0]?.code).toBe('no-init')
    expect(judgeNamespaces({ ...facts, first: '/sbin/docker-init' })[0]?.level).toBe('ok')
    expect(judgeNamespaces({ ...facts, isContainer: false, first: '/bin/bash' })[0]?.level).toBe('ok')
  })

  it('what ends at a logout', () => {
    const facts = { user: 'ann', hasUserService: false, isStateInRuntime: false, lingers: false }
    expect(judgeLinger(facts)[0]?.level).toBe('ok')
    expect(judgeLinger({ ...facts, hasUserService: true })[0]?.cure).toBe('loginctl enable-linger ann')
    expect(judgeLinger({ ...facts, isStateInRuntime: true })[0]?.code).toBe('state-ends-at-logout')
    expect(judgeLinger({ ...facts, hasUserService: true, lingers: true })[0]?.level).toBe('ok')
  })

  it('the worst finding counts, and every width of a terminal ends', () => {
    const findings = [
      ok('a', 'x'),
      note('b', 'a longer sentence', 'do it'),
      warning('c', 'y'),
      failed('d', 'z\u001b[2J'),
    ]
    expect(worstOf(findings)).toBe('error')
    expect(worstOf([])).toBe('ok')
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
      expect(text).toMatch(/1 error, 1 warning, 1 note/)
      expect(text.includes('\u001b')).toBe(false)
    }
  })
})
