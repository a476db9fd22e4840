import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { describe } from 'vitest'
import { RestlessClients } from '../support/exact-clients.ts'
import { it } from '../support/fixtures.ts'
import { healthWhen, withSockets } from '../support/inherited.ts'
import { Resident } from '../support/resident.ts'
import { freePort } from '../support/tools.ts'
import { command, echoServer } from '../support/watched.ts'

const kills = 8

describe('A monitor whose ports are held by a service manager', () => {
  it(`has not one connect refused in ${kills} kills of the forwarder`, async ({ watched }) => {
    const echo = await echoServer()
    const port = await freePort()
    const configuration = watched.file('configuration.json')
    const restart = { backoff: 0, flappingRestarts: 0 }
    const forward = { name: 'held', listen: port, target: `localhost:${echo.port}` }
    writeFileSync(configuration, JSON.stringify({ restart, forwards: [forward] }))
    const words = command('proxy-monitor', '--config', configuration, '--state-dir', watched.directory)
    const monitor = watched.adopt(new Resident(withSockets('listening4', ['127.0.0.1'], port, words), {}))
    await monitor.line(/Monitor started/)
    const { listen } = await healthWhen(watched, port)
    assert.deepEqual(listen.addresses, [{ address: '127.0.0.1', port, origin: 'activation' }])
    const clients = new RestlessClients(port, 4, 10_000)
    try {
      for (let kill = 0, last = 0; kill < kills; kill++) {
        const { identity } = await healthWhen(watched, port, (health) => health.identity.pid !== last)
        await clients.after(8)
        process.kill(identity.pid, 'SIGKILL')
        last = identity.pid
      }
    } finally {
      await clients.stop()
    }
    assert.equal(clients.outcomes.get('ECONNREFUSED'), undefined)
    // What was in flight dies with its process; nothing else does.
    const broken = [...clients.outcomes].reduce(
      (sum, [how, count]) => (how === 'exact' ? sum : sum + count),
      0,
    )
    assert.ok(broken <= 4 * kills, `${broken} connections were broken`)
    await monitor.stop()
    await echo.close()
  })
})
