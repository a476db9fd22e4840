import assert from 'node:assert/strict'
import { describe } from 'vitest'
import { it } from '../support/fixtures.ts'
import { freePort } from '../support/tools.ts'
import { askThrough, echoServer } from '../support/watched.ts'

describe('SIGSTOP', () => {
  it('of a forwarder: its backlog accepts, but it is found and replaced within 15 s', async ({ watched }) => {
    const echo = await echoServer()
    const port = await freePort()
    await watched.monitor([{ name: 'hung', listen: port, target: `localhost:${echo.port}` }])
    await watched.statusWhen('healthy', ({ forwards }) => forwards[0]?.state === 'healthy')
    const victim = watched.pid(port)
    const began = performance.now()
    process.kill(victim, 'SIGSTOP')
    const suspended = await watched.status()
    // A round may come first, and it acts at once.
    if (!/is stopped \(SIGSTOP\)/.test(watched.log())) {
      assert.equal(suspended.forwards[0]?.state, 'suspended')
      assert.equal(suspended.exitCode, 150)
    }
    await watched.statusWhen(
      'replaced',
      ({ forwards }) => forwards[0]?.state === 'healthy' && forwards[0].pid !== victim,
    )
    assert.ok(performance.now() - began < 15_000)
    assert.equal(await askThrough(port), 'hello')
    assert.match(watched.log(), /is stopped \(SIGSTOP\)/)
    await echo.close()
  })

  it('of the monitor: the status says so, and is well again after SIGCONT', async ({ watched }) => {
    const echo = await echoServer()
    const port = await freePort()
    const monitor = await watched.monitor([{ name: 'one', listen: port, target: `localhost:${echo.port}` }])
    await watched.statusWhen(
      'healthy',
      ({ exitCode, forwards }) => exitCode === 0 && forwards[0]?.state === 'healthy',
    )
    process.kill(monitor.pid, 'SIGSTOP')
    const stale = await watched.statusWhen('STALE', ({ monitor: { state } }) => state === 'STALE')
    assert.equal(stale.exitCode, 1)
    assert.match(stale.monitor.reason ?? '', /SIGSTOP/)
    assert.match(stale.next.join('\n'), new RegExp(`kill -CONT ${monitor.pid}`))
    assert.equal(stale.forwards[0]?.state, 'healthy', 'the forward works on')
    process.kill(monitor.pid, 'SIGCONT')
    await watched.statusWhen('RUNNING', ({ exitCode }) => exitCode === 0)
    assert.equal(await monitor.stop(), 0)
    const stopped = await watched.status()
    assert.equal(stopped.monitor.state, 'STOPPED')
    assert.equal(stopped.exitCode, 3)
    assert.equal(stopped.forwards[0]?.state, 'healthy')
    await echo.close()
  })
})
