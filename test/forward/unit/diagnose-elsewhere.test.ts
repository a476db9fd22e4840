import { describe, expect, it } from 'vitest'
import { diagnose, type ForwardCheck } from '../../../src/forward/unit/diagnose.ts'
import { ownIdentity } from '../../../src/process/identity.ts'
import { wellHealth } from '../../support/status-facts.ts'

const identity = { ...ownIdentity(), pidNamespace: 'pid:[1]' }

const check = (control: 'silent' | 'absent', isOurs = true): ForwardCheck => ({
  pidFile: {
    kind: 'process',
    pid: identity.pid,
    identity: isOurs ? identity : undefined,
    verdict: 'unverifiable',
  },
  control,
  health: undefined,
  isElsewhere: isOurs,
  optionsMatch: true,
  listener: 'unprobed',
})

describe('A PID file of another PID namespace', () => {
  it('is a leftover when nobody holds the control socket', () => {
    expect(diagnose(check('absent')).condition).toBe('dead')
  })

  it('is a reason to wait while the control socket is held', () => {
    expect(diagnose(check('silent')).condition).toBe('unverifiable')
  })

  it('without an identity, as a script writes it, may be a forwarder that has no control socket', () => {
    expect(diagnose(check('absent', false)).condition).toBe('unverifiable')
  })
})

describe('A PID file beside a forwarder that answers', () => {
  const answering = 7
  const named = (verdict: 'alive' | 'gone' | 'reused', isOurs = true): ForwardCheck => ({
    ...check('absent', isOurs),
    pidFile: {
      kind: 'process',
      pid: identity.pid,
      identity: isOurs ? identity : undefined,
      verdict,
    },
    health: { ...wellHealth, identity: { ...ownIdentity(), pid: answering } },
    listener: 'accepting',
  })
  const staleOf = (found: ForwardCheck) => {
    const diagnosis = diagnose(found)
    return diagnosis.condition === 'healthy' ? diagnosis.stale?.code : diagnosis.condition
  }

  it('is not stale when it names a living process of ours: that one is about to take over', () => {
    expect(staleOf(named('alive'))).toBe(undefined)
  })

  it('is stale when it names a process that is gone, is another one by now, or may be anybody', () => {
    const found = [named('gone'), named('reused'), named('alive', false)].map(staleOf)
    expect(found).toEqual(Array(3).fill('pid-file-names-another'))
  })
})
