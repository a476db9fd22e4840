import assert from 'node:assert/strict'
import { describe } from 'vitest'
import { it } from '../support/fixtures.ts'
import { freePort, removeInUse, until } from '../support/tools.ts'

describe('The state directory is removed under a running monitor', () => {
  it('which holds it again: a second monitor is refused, and the records are there', async ({ watched }) => {
    const port = await freePort()
    const monitor = await watched.monitor([{ name: 'one', listen: port, target: 'localhost:1' }])
    await watched.statusWhen('waiting', ({ forwards }) => forwards[0]?.state === 'waiting')
    removeInUse(watched.directory)
    await until('the records', async () => /new records were begun/.test(watched.log()) || undefined)
    const second = await watched.run('proxy-monitor')
    assert.equal(second.code, 69)
    assert.match(second.stderr, new RegExp(`as PID ${monitor.pid} since`))
    const { monitor: status } = await watched.status()
    assert.equal(status.state, 'RUNNING')
    assert.equal(status.pid, monitor.pid)
  })
})
