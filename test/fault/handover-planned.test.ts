import assert from 'node:assert/strict'
import { describe } from 'vitest'
import { LongStream, RestlessClients } from '../support/exact-clients.ts'
import { it } from '../support/fixtures.ts'
import { healthWhen } from '../support/inherited.ts'
import { freePort } from '../support/tools.ts'
import { echoServer } from '../support/watched.ts'

describe('A monitor with other options than the forwarder it finds', () => {
  it('has it replaced without anybody noticing, and watches the new one', async ({ watched }) => {
    const echo = await echoServer()
    const port = await freePort()
    const forward = { name: 'one', listen: port, target: `localhost:${echo.port}` }
    const first = await watched.monitor([forward])
    await watched.statusWhen('healthy', ({ forwards }) => forwards[0]?.state === 'healthy')
    const before = watched.pid(port)
    const clients = new RestlessClients(port, 2, 10_000)
    const stream = await LongStream.open(port)
    try {
      await stream.exchange(100)
      await first.stop('SIGKILL')
      const second = await watched.monitor([{ ...forward, idleTimeout: '1h' }])
      await watched.logLine(new RegExp(`handed over to PID (?!${before})`))
      const now = watched.pid(port)
      assert.notEqual(now, before)
      await clients.after(10)
      await stream.exchange(100)
      await watched.statusWhen(
        'healthy, the new one',
        ({ forwards }) => forwards[0]?.state === 'healthy' && forwards[0].pid === now,
      )
      assert.doesNotMatch(watched.log(), /failure #/)
      await stream.close()
      await healthWhen(watched, port, ({ predecessors }) => predecessors.length === 0)
      // Its death is noticed although another monitor’s forwarder started it.
      await clients.stop()
      process.kill(now, 'SIGKILL')
      await watched.logLine(/failure #1/)
      await watched.statusWhen('back', ({ forwards }) => forwards[0]?.state === 'healthy')
      assert.equal((await watched.forwarders()).length, 1)
      await second.stop()
    } finally {
      await clients.stop()
    }
    assert.deepEqual([...clients.outcomes.keys()], ['exact'])
    await echo.close()
  })
})
