import assert from 'node:assert/strict'
import { describe } from 'vitest'
import { it } from '../support/fixtures.ts'
import { forwardersOf, healthyAs, launchMonitor, monitorCommand, startMonitor } from '../support/monitored.ts'
import { freePort, until } from '../support/tools.ts'
import { askThrough, echoServer } from '../support/watched.ts'

describe('A monitor that is ended with its forwards before its first look is over', () => {
  it('ends those that ran before it, too', async ({ watched }) => {
    const echo = await echoServer()
    const ports = [await freePort(), await freePort(), await freePort()]
    const forwards = ports.map((listen) => ({
      name: `port-${listen}`,
      listen,
      target: `localhost:${echo.port}`,
    }))
    const first = await startMonitor(watched, { forwards })
    for (const port of ports) await healthyAs(watched, port)
    await first.stop('SIGKILL')
    const second = launchMonitor(watched, { forwards, words: ['--stop-forwards'] })
    await second.line(/Monitor started/)
    assert.equal(await second.stop(), 0)
    for (const port of ports) {
      assert.deepEqual(forwardersOf(watched, port), [])
      assert.equal(await askThrough(port), 'ECONNREFUSED')
    }
    assert.ok(watched.log().includes('the monitor was ended by SIGTERM'))
    await echo.close()
  })

  it('one that waits for its next try, while somebody has started a forwarder by hand: that is ended', async ({
    watched,
  }) => {
    const echo = await echoServer()
    const port = await freePort()
    const forwards = [{ name: 'web', listen: port, target: `localhost:${echo.port}` }]
    const restart = { backoff: '1h', backoffLimit: '1h', resetAfter: '1h' }
    const monitor = await startMonitor(watched, {
      forwards,
      restart,
      interval: '10m',
      words: ['--stop-forwards'],
    })
    for (let death = 0; death < 2; death++) {
      const { pid } = await healthyAs(watched, port)
      process.kill(pid, 'SIGKILL')
      await until('it is gone', async () => !forwardersOf(watched, port).includes(pid) || undefined)
    }
    await watched.logLine(/web will be restarted in/)
    const byHand = watched.start('tcp-proxy', String(port), 'localhost', String(echo.port))
    await byHand.line(/Listening/)
    assert.equal(await monitor.stop(), 0)
    assert.deepEqual(forwardersOf(watched, port), [])
    await echo.close()
  })

  it('a forward that an early reload removes is ended although it could not be looked at yet', async ({
    watched,
  }) => {
    const echo = await echoServer()
    const ports = [await freePort(), await freePort()]
    const forwards = ports.map((listen) => ({
      name: `port-${listen}`,
      listen,
      target: `localhost:${echo.port}`,
      drain: 0,
    }))
    const [kept, removed] = ports as [number, number]
    const first = await startMonitor(watched, { forwards })
    for (const port of ports) await healthyAs(watched, port)
    await first.stop('SIGKILL')
    // It answers no question, so the first look at it lasts as long as a question may.
    const [pid = 0] = forwardersOf(watched, removed)
    process.kill(pid, 'SIGSTOP')
    const second = launchMonitor(watched, { forwards })
    await second.line(/Monitor started/)
    monitorCommand(watched, { forwards: forwards.slice(0, 1) })
    process.kill(second.pid, 'SIGHUP')
    await second.line(new RegExp(`Configuration changed: .*port-${removed}`))
    await until('it is gone', async () => forwardersOf(watched, removed).length === 0 || undefined)
    assert.equal(await askThrough(removed), 'ECONNREFUSED')
    assert.equal(await askThrough(kept), 'hello')
    await second.stop()
    await echo.close()
  })
})
