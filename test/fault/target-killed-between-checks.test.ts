import assert from 'node:assert/strict'
import { describe } from 'vitest'
import { it } from '../support/fixtures.ts'
import { forwardersOf, healthyAs, restartsOf, startMonitor } from '../support/monitored.ts'
import { Resident } from '../support/resident.ts'
import { freePort } from '../support/tools.ts'
import { askThrough, echoServer, type Watched } from '../support/watched.ts'

async function targetProcess(watched: Watched, port: number): Promise<Resident> {
  const script = `require('node:net').createServer((s) => s.pipe(s)).listen(${port}, '127.0.0.1', () => console.log('ready'))`
  const target = watched.adopt(new Resident([process.execPath, '--eval', script], {}))
  await target.line(/ready/)
  return target
}

// The interval is so long that whatever happens here happens between two checks.
const interval = '1h'

describe('kill -9 between two checks', () => {
  it('of the forwarder: it is back at once, not at the next check', async ({ watched }) => {
    const echo = await echoServer()
    const port = await freePort()
    const forwards = [{ name: 'one', listen: port, target: `localhost:${echo.port}` }]
    const monitor = await startMonitor(watched, { forwards, interval })
    let { pid } = await healthyAs(watched, port)
    for (let kill = 1; kill <= 3; kill++) {
      process.kill(pid, 'SIGKILL')
      const back = await healthyAs(watched, port, pid)
      pid = back.pid
      assert.deepEqual(forwardersOf(watched, port), [pid])
      assert.equal(await askThrough(port), 'hello')
      assert.equal(await restartsOf(watched, port), kill)
    }
    assert.equal(await monitor.stop(), 0)
    await echo.close()
  })

  it('of the target, which is back before anybody looked: the forward serves again, and nothing was restarted', async ({
    watched,
  }) => {
    const port = await freePort()
    const target = await freePort()
    const before = await targetProcess(watched, target)
    const forwards = [{ name: 'one', listen: port, target: `localhost:${target}`, targetCheck: '100ms' }]
    const monitor = await startMonitor(watched, { forwards, interval })
    const { pid } = await healthyAs(watched, port)
    assert.equal(await askThrough(port), 'hello')
    await before.stop('SIGKILL')
    await watched.statusWhen('unreachable', ({ forwards: [one] }) => one?.state === 'unreachable')
    await targetProcess(watched, target)
    assert.equal((await healthyAs(watched, port)).pid, pid)
    assert.equal(await askThrough(port), 'hello')
    assert.equal(await restartsOf(watched, port), 0)
    assert.equal(await monitor.stop(), 0)
  })
})
