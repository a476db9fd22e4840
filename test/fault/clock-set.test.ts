import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { describe } from 'vitest'
import type { StatusReport } from '../../src/record/shapes/status-report.ts'
import { it } from '../support/fixtures.ts'
import { connected, roundTrip } from '../support/forward.ts'
import { healthyAs, restartsOf, startMonitor } from '../support/monitored.ts'
import { receive } from '../support/relay-peers.ts'
import { Resident } from '../support/resident.ts'
import { clockLibrary, SettableClock } from '../support/settable-clock.ts'
import { freePort, skipFor } from '../support/tools.ts'
import { command, echoServer, type Watched } from '../support/watched.ts'

const skip = skipFor(
  clockLibrary === undefined && 'no libfaketime here (Debian: faketime), so that no clock can be set',
)

const hour = 3600

describe('the clock', { skip }, () => {
  it('set back an hour, then two forward: no timeout fires early or late, nothing is restarted, and ages stay true', async ({
    watched,
  }) => {
    const clock = new SettableClock(watched)
    const echo = await echoServer()
    const [silentPort, idlePort] = [await freePort(), await freePort()]
    const target = `127.0.0.1:${echo.port}`
    const begun = performance.now()
    const forwards = [
      // Each limit is less than the jumps, and more than this test takes.
      { name: 'silent', listen: silentPort, target, idleTimeout: '30m', maxLife: '30m' },
      { name: 'idle', listen: idlePort, target, idleTimeout: '1500ms' },
    ]
    await startMonitor(watched, { forwards, environment: clock.environment })
    const { pid } = await healthyAs(watched, silentPort)
    assert.ok(readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`LD_PRELOAD=${clockLibrary}`))
    const client = await connected({ host: '127.0.0.1', port: silentPort })
    await roundTrip(client)

    for (const offset of [-hour, hour]) {
      clock.set(offset)
      const report = await status(watched, clock)
      const shown = Date.parse(report.takenAt) - Date.now()
      assert.ok(Math.abs(shown - offset * 1000) < 60_000, `${report.takenAt} with ${offset} s`)
      // Three rounds and a heartbeat by the new clock.
      await new Promise((resolve) => setTimeout(resolve, 1000))
      for (const [who, seen] of [
        ['by the clock that was set', await status(watched, clock)],
        ['by another one', await watched.status()],
        ['just after', report],
      ] as const) {
        const forward = seen.forwards.find(({ port }) => port === silentPort)
        assert.equal(seen.monitor.state, 'RUNNING', who)
        assert.equal(forward?.state, 'healthy', who)
        assert.equal(forward?.pid, pid, who)
        const elapsed = performance.now() - begun
        const ages = {
          'monitor uptime': seen.monitor.uptimeMs,
          'forward uptime': forward?.uptimeMs ?? null,
          heartbeat: seen.monitor.heartbeatAgeMs,
          'last check': forward?.lastCheckAgeMs ?? null,
        }
        for (const [name, age] of Object.entries(ages)) {
          assert.ok(age !== null && age >= 0 && age <= elapsed, `${who}: ${name} ${age} of ${elapsed} ms`)
        }
        assert.ok((ages['last check'] ?? elapsed) < 10_000, `${who}: ${JSON.stringify(ages)}`)
      }
      await roundTrip(client, 'still there')

      // And what must fire does so when its time has come, not an hour later.
      const idle = await connected({ host: '127.0.0.1', port: idlePort })
      const since = performance.now()
      const { end } = await receive(idle)
      const waited = performance.now() - since
      assert.notEqual(end, 'FIN')
      assert.ok(waited > 1000 && waited < 20_000, `idle timeout after ${waited} ms`)
    }
    assert.equal(await restartsOf(watched, silentPort), 0)
    assert.equal(await restartsOf(watched, idlePort), 0)
    client.end()
    await once(client.resume(), 'close')
    await echo.close()
  })

  it('set back an hour while a forwarder is dead: it is restarted all the same', async ({ watched }) => {
    const clock = new SettableClock(watched)
    const echo = await echoServer()
    const port = await freePort()
    await startMonitor(watched, {
      forwards: [{ name: 'one', listen: port, target: `127.0.0.1:${echo.port}` }],
      restart: { backoff: '2s' },
      environment: clock.environment,
    })
    const { pid } = await healthyAs(watched, port)
    process.kill(pid, 'SIGKILL')
    clock.set(-hour)
    const begun = performance.now()
    await healthyAs(watched, port, pid)
    assert.ok(performance.now() - begun < 20_000)
    assert.equal(await restartsOf(watched, port), 1)
    await echo.close()
  })
})

/** What proxy-status says by that clock. */
async function status(watched: Watched, clock: SettableClock): Promise<StatusReport> {
  const words = command('proxy-status', '--json', '--state-dir', watched.directory)
  const resident = watched.adopt(new Resident(words, clock.environment))
  await resident.ended()
  return JSON.parse(resident.output) as StatusReport
}
