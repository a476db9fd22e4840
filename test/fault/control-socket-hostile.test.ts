import assert from 'node:assert/strict'
import { describe } from 'vitest'
import { type ControlManner, fakeForwarder } from '../support/fake-forwarder.ts'
import { it } from '../support/fixtures.ts'
import { forwardersOf, healthyAs, startMonitor } from '../support/monitored.ts'
import { freePort } from '../support/tools.ts'
import { askThrough, echoServer } from '../support/watched.ts'

const manners: readonly ControlManner[] = ['silent', 'slow-loris', 'flood', 'reset', 'garbage']

// Most of their time these tests wait for a limit to be exceeded, so they do it together.
describe('The control socket of a forward is held by a process', {
  concurrent: true,
}, () => {
  for (const manner of manners) {
    it(`proven to be its forwarder, ${manner}, that ignores SIGTERM: it is killed and replaced`, async ({
      watched,
    }) => {
      const echo = await echoServer()
      const port = await freePort()
      const fake = await fakeForwarder(watched, port, manner, true)
      const forwards = [{ name: 'one', listen: port, target: `localhost:${echo.port}` }]
      const monitor = await startMonitor(watched, { forwards, restart: { killAfter: '200ms' } })
      const { pid } = await healthyAs(watched, port)
      assert.notEqual(pid, fake.pid)
      assert.equal(await fake.ended(), null, 'by a signal')
      assert.deepEqual(forwardersOf(watched, port), [pid])
      assert.equal(await askThrough(port), 'hello')
      assert.equal(await monitor.stop(), 0)
      await echo.close()
    })

    it(`that nobody knows, ${manner}: it is neither signalled nor replaced, and followed when it is gone`, async ({
      watched,
    }) => {
      const echo = await echoServer()
      const port = await freePort()
      const fake = await fakeForwarder(watched, port, manner, false)
      const forwards = [{ name: 'one', listen: port, target: `localhost:${echo.port}` }]
      const monitor = await startMonitor(watched, { forwards })
      const blocked = await monitor.line(/cannot be started: |could not be started: /)
      assert.match(blocked, /control socket is held|already runs, but does not answer/)
      assert.notEqual((await watched.status()).exitCode, 0)
      assert.equal(fake.isRunning, true, 'it is left alone')
      await fake.stop('SIGKILL')
      const { pid } = await healthyAs(watched, port)
      assert.deepEqual(forwardersOf(watched, port), [pid])
      assert.equal(await askThrough(port), 'hello')
      assert.equal(await monitor.stop(), 0)
      await echo.close()
    })
  }
})
