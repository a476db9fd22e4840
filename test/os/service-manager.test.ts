import assert from 'node:assert/strict'
import { describe, it } from 'vitest'
import { supervisorOf } from '../../src/os/service-manager.ts'

describe('supervisorOf', () => {
  it('is systemd for the process that systemd started, and not for its children', () => {
    const environment = { INVOCATION_ID: 'x', SYSTEMD_EXEC_PID: '42' }
    assert.equal(supervisorOf(environment, 42), 'systemd')
    assert.equal(supervisorOf(environment, 43), null)
  })

  it('is told by the sockets where systemd is older', () => {
    assert.equal(supervisorOf({ INVOCATION_ID: 'x', LISTEN_PID: '42' }, 42), 'systemd')
    assert.equal(supervisorOf({ INVOCATION_ID: 'x' }, 42), null)
    assert.equal(supervisorOf({ LISTEN_PID: '42' }, 42), null, 'systemd-socket-activate starts nothing again')
    assert.equal(supervisorOf({}, 42), null)
  })
})
