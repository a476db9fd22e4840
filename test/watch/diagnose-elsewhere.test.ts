import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ownIdentity } from '../../src/os/process-identity.ts'
import { diagnose, type ForwardCheck } from '../../src/watch/diagnose.ts'

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
  portHolder: undefined,
})

describe('A PID file of another PID namespace', () => {
  it('is a leftover when nobody holds the control socket', () => {
    assert.equal(diagnose(check('absent')).condition, 'dead')
  })

  it('is a reason to wait while the control socket is held', () => {
    assert.equal(diagnose(check('silent')).condition, 'unverifiable')
  })

  it('without an identity, as a script writes it, may be a forwarder that has no control socket', () => {
    assert.equal(diagnose(check('absent', false)).condition, 'unverifiable')
  })
})
