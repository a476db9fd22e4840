import assert from 'node:assert/strict'
import { describe } from 'vitest'
import { withDefaults } from '../../src/config/option-table.ts'
import { connectControl } from '../../src/control/client.ts'
import { checkForward } from '../../src/forward/unit/check.ts'
import { diagnose } from '../../src/forward/unit/diagnose.ts'
import { monotonicMs } from '../../src/os/clock.ts'
import { timeLimit } from '../../src/os/time-limit.ts'
import { it } from '../support/fixtures.ts'
import { forwardersOf, healthyAs, restartsOf, startMonitor } from '../support/monitored.ts'
import { standStill } from '../support/standing-still.ts'
import { freePort } from '../support/tools.ts'
import { askThrough, echoServer } from '../support/watched.ts'

describe('A machine, or a monitor, that stands still for a while', () => {
  it('in the middle of a look, at any of its steps: nobody is found to hang', async ({ watched }) => {
    const echo = await echoServer()
    const port = await freePort()
    const words = ['--bind', '127.0.0.1', '--allow', '127.0.0.1']
    const forwarder = watched.start('tcp-proxy', String(port), 'localhost', String(echo.port), ...words)
    await forwarder.line(/Listening on/)
    const options = withDefaults({ listenPort: port, targetHost: 'localhost', targetPort: echo.port }, {})
    for (const steps of [0, 2, 4]) {
      const connection = await connectControl(watched.file(`tcp_proxy_${port}.sock`))
      const pidFile = watched.file(`tcp_proxy_${port}.pid`)
      const look = checkForward({ options, pidFile, connect: async () => connection, turn: 0 })
      for (let step = 0; step < steps; step++) await new Promise((resolve) => setImmediate(resolve))
      // Longer than any answer may take.
      standStill(2400)
      const found = await look
      assert.equal(diagnose(found).condition, 'healthy', `after ${steps} steps: ${JSON.stringify(found)}`)
      assert.notEqual(found.listener, 'silent')
      connection.close()
    }
    assert.equal(await forwarder.stop(), 0)
    await echo.close()
  })

  it('with everything it watches (SIGSTOP and SIGCONT of all): nothing is restarted', async ({ watched }) => {
    const echo = await echoServer()
    const port = await freePort()
    const forwards = [{ name: 'one', listen: port, target: `localhost:${echo.port}` }]
    const monitor = await startMonitor(watched, { forwards, interval: '100ms' })
    const { pid } = await healthyAs(watched, port)
    for (let round = 0; round < 2; round++) {
      // A forwarder that is stopped by itself is found, and rightly: the monitor must not run meanwhile.
      process.kill(monitor.pid, 'SIGSTOP')
      process.kill(pid, 'SIGSTOP')
      standStill(2300)
      process.kill(pid, 'SIGCONT')
      process.kill(monitor.pid, 'SIGCONT')
      await healthyAs(watched, port)
    }
    assert.deepEqual(forwardersOf(watched, port), [pid])
    assert.equal(await restartsOf(watched, port), 0)
    assert.equal(await askThrough(port), 'hello')
    assert.equal(await monitor.stop(), 0)
    await echo.close()
  })

  it('while a forwarder starts: the start has not failed', async ({ watched }) => {
    const echo = await echoServer()
    const port = await freePort()
    const forwards = [{ name: 'one', listen: port, target: `localhost:${echo.port}` }]
    const monitor = await startMonitor(watched, { forwards, restart: { startTimeout: '2s' } })
    const { pid } = await healthyAs(watched, port)
    process.kill(pid, 'SIGKILL')
    await monitor.line(/one is not running/)
    process.kill(monitor.pid, 'SIGSTOP')
    standStill(2500)
    process.kill(monitor.pid, 'SIGCONT')
    await healthyAs(watched, port, pid)
    assert.doesNotMatch(watched.log(), /not ready within/)
    assert.equal(await restartsOf(watched, port), 1)
    assert.equal(await monitor.stop(), 0)
    await echo.close()
  })

  it('finds its limits begun anew, and a machine that is always late finds them exceeded in the end', async () => {
    const limitAfter = (stills: number) =>
      new Promise<number>((resolve) => {
        const began = monotonicMs()
        timeLimit(100, () => resolve(monotonicMs() - began))
        for (let still = 0; still < stills; still++) setTimeout(() => standStill(350), 50 + still * 400)
      })
    assert.ok((await limitAfter(1)) >= 450)
    let isOver = false
    timeLimit(50, () => {
      isOver = true
    })
    for (let turn = 0; turn < 10 && !isOver; turn++) {
      standStill(300)
      await new Promise((resolve) => setTimeout(resolve, 0))
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.ok(isOver)
  })
})
