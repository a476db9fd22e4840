import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { it } from '../support/fixtures.ts'
import { forwardersOf, healthyAs, startMonitor } from '../support/monitored.ts'
import { freePort } from '../support/tools.ts'
import { askThrough, echoServer } from '../support/watched.ts'

it('The port is taken by a stranger between death and restart: named, left alone, followed', async ({
  watched,
}) => {
  const echo = await echoServer()
  const port = await freePort()
  const forwards = [{ name: 'one', listen: port, target: `localhost:${echo.port}` }]
  const monitor = await startMonitor(watched, { forwards })
  const { pid } = await healthyAs(watched, port)
  // The stranger is this process. The monitor is held until it has the port.
  process.kill(monitor.pid, 'SIGSTOP')
  process.kill(pid, 'SIGKILL')
  const stranger = createServer((socket) => socket.end('stranger'))
  const listen = () => stranger.listen(port, '0.0.0.0')
  const listening = new Promise((resolve) => stranger.once('listening', resolve))
  stranger.on('error', () => setImmediate(listen))
  listen()
  await listening
  process.kill(monitor.pid, 'SIGCONT')
  const held = await watched.statusWhen('blocked', ({ forwards: [one] }) => one?.state === 'blocked')
  assert.equal(held.exitCode, 150)
  assert.match(held.forwards[0]?.reason ?? '', new RegExp(`taken by PID ${process.pid} `))
  assert.deepEqual(forwardersOf(watched, port), [])
  assert.equal(await askThrough(port), 'stranger')
  stranger.close()
  const back = await healthyAs(watched, port, pid)
  assert.deepEqual(forwardersOf(watched, port), [back.pid])
  assert.equal(await askThrough(port), 'hello')
  assert.equal(await monitor.stop(), 0)
  await echo.close()
})
