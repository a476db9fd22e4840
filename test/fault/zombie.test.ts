import assert from 'node:assert/strict'
import { identityOf, judgeProcess } from '../../src/process/identity.ts'
import { it } from '../support/fixtures.ts'
import { forwardersOf, healthyAs, startMonitor } from '../support/monitored.ts'
import { Resident } from '../support/resident.ts'
import { onEverySystem } from '../support/systems.ts'
import { freePort, until } from '../support/tools.ts'
import { askThrough, command, echoServer, type Watched } from '../support/watched.ts'

/** A forwarder whose parent never asks how its children ended. */
async function neglectedForwarder(watched: Watched, port: number, target: number): Promise<number> {
  const argv = command(
    'tcp-proxy',
    String(port),
    'localhost',
    String(target),
    '--state-dir',
    watched.directory,
  )
  const parent = ['bash', '-c', '"$@" & exec sleep 600', 'bash', ...argv]
  await watched.adopt(new Resident(parent, {})).line(/Listening on/)
  return await until('its PID file', async () => watched.pid(port))
}

onEverySystem('A forwarder that ended is a zombie', () => {
  it('dead before the monitor starts: it is told as such and replaced', async ({ watched }) => {
    const echo = await echoServer()
    const port = await freePort()
    const pid = await neglectedForwarder(watched, port, echo.port)
    const identity = identityOf(pid)
    assert.ok(identity)
    process.kill(pid, 'SIGKILL')
    await until('a zombie', async () => judgeProcess(identity) === 'zombie' || undefined)
    const forwards = [{ name: 'one', listen: port, target: `localhost:${echo.port}` }]
    const monitor = await startMonitor(watched, { forwards })
    await monitor.line(new RegExp(`Stale PID file of one removed: PID ${pid} is a zombie`))
    const back = await healthyAs(watched, port, pid)
    assert.deepEqual(forwardersOf(watched, port), [back.pid])
    assert.equal(judgeProcess(identity), 'zombie', 'its parent was left alone')
    assert.equal(await askThrough(port), 'hello')
    assert.equal(await monitor.stop(), 0)
    await echo.close()
  })

  it('dead under the monitor that adopted it: it is replaced at once, without a round', async ({
    watched,
  }) => {
    const echo = await echoServer()
    const port = await freePort()
    const pid = await neglectedForwarder(watched, port, echo.port)
    const forwards = [{ name: 'one', listen: port, target: `localhost:${echo.port}` }]
    const monitor = await startMonitor(watched, { forwards, interval: '1h' })
    await monitor.line(new RegExp(`already running \\(PID: ${pid}\\), adopted`))
    const identity = identityOf(pid)
    assert.ok(identity)
    process.kill(pid, 'SIGKILL')
    const back = await healthyAs(watched, port, pid)
    assert.deepEqual(forwardersOf(watched, port), [back.pid])
    assert.equal(judgeProcess(identity), 'zombie')
    assert.equal(await askThrough(port), 'hello')
    assert.equal(await monitor.stop(), 0)
    await echo.close()
  })
})
