import assert from 'node:assert/strict'
import { describe, it } from 'vitest'
import { isMeant } from '../../src/os/service-manager.ts'

describe('The variables of a service manager', () => {
  it('are not meant for a process that only a descendant of the service has started', () => {
    assert.equal(isMeant({ SYSTEMD_EXEC_PID: '41', NOTIFY_SOCKET: '/run/n' }, 42), false)
    assert.equal(isMeant({ SYSTEMD_EXEC_PID: '42', NOTIFY_SOCKET: '/run/n' }, 42), true)
    assert.equal(isMeant({ NOTIFY_SOCKET: '/run/n' }, 42), true)
  })
})
