import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { describe, it } from 'node:test'
import { until } from '../support/tools.ts'
import { freePort, withWatched } from '../support/watched.ts'

describe('The state directory is removed under a running monitor', () => {
  it(
    'which holds it again: a second monitor is refused, and the records are there',
    { timeout: 60_000 },
    () =>
      withWatched(async (watched) => {
        const port = await freePort()
        const monitor = await watched.monitor([{ name: 'one', listen: port, target: 'localhost:1' }])
        await watched.statusWhen('waiting', ({ forwards }) => forwards[0]?.state === 'waiting')
        rmSync(watched.directory, { recursive: true })
        await until('the records', async () => /new records were begun/.test(watched.log()) || undefined)
        const second = await watched.run('proxy-monitor')
        assert.equal(second.code, 69)
        assert.match(second.stderr, new RegExp(`as PID ${monitor.pid} since`))
        const { monitor: status } = await watched.status()
        assert.equal(status.state, 'RUNNING')
        assert.equal(status.pid, monitor.pid)
      }),
  )
})
