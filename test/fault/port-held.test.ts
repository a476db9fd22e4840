import assert from 'node:assert/strict'
import { it } from '../support/fixtures.ts'
import { startMonitor } from '../support/monitored.ts'
import { Resident } from '../support/resident.ts'
import { onEverySystem } from '../support/systems.ts'
import { freePort } from '../support/tools.ts'
import { askThrough, echoServer } from '../support/watched.ts'

onEverySystem('The port of a forward is held by a stranger', () => {
  it('who is named, left alone, and followed at once when gone', async ({ watched }) => {
    const echo = await echoServer()
    const port = await freePort()
    const script = `require('node:net').createServer().listen(${port}, '0.0.0.0', () => console.log('ready'))`
    const stranger = watched.adopt(new Resident([process.execPath, '--eval', script], {}))
    await stranger.line(/ready/)

    await startMonitor(watched, {
      forwards: [{ name: 'held', listen: port, target: `localhost:${echo.port}` }],
    })
    const held = await watched.statusWhen('blocked', ({ forwards }) => forwards[0]?.state === 'blocked')
    assert.equal(held.exitCode, 150)
    assert.match(held.forwards[0]?.reason ?? '', new RegExp(`taken by PID ${stranger.pid} \\(.*node`))
    assert.match(held.next.join('\n'), new RegExp(`kill ${stranger.pid} .*holds port ${port}`))
    // Two rounds later it has still been started only once.
    const checks = (await watched.status()).forwards[0]?.restarts
    assert.equal(checks, 0)

    // By SIGTERM, whose default it has not changed: it must still be there to be ended by it.
    await stranger.stop()
    await watched.statusWhen('healthy', ({ forwards }) => forwards[0]?.state === 'healthy', 30_000)
    assert.equal(await askThrough(port), 'hello')
    await echo.close()
  })
})
