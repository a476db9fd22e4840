import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { setTimeout as rest } from 'node:timers/promises'
import { describe } from 'vitest'
import { readRuntimeState } from '../../src/record/runtime-state.ts'
import type { ForwardRecord } from '../../src/record/shapes/runtime-state.ts'
import { it } from '../support/fixtures.ts'
import { healthyAs, monitorCommand, restartsOf, startMonitor } from '../support/monitored.ts'
import { freePort, until } from '../support/tools.ts'
import { askThrough, echoServer, type Watched } from '../support/watched.ts'

function recordOf(watched: Watched, port: number): ForwardRecord | undefined {
  const reading = readRuntimeState(watched.file('runtime-state.json'))
  return reading.kind === 'read' ? reading.state.forwards.find((one) => one.port === port) : undefined
}

/** Waits until three samples in a row of this process have been over its limit of memory. */
function seenOver(watched: Watched, port: number, pid: number): Promise<ForwardRecord> {
  return until('three samples over the limit', async () => {
    const record = recordOf(watched, port)
    const limits = record?.memory.limits
    return limits?.pid === pid && limits.memory.over === 3 ? record : undefined
  })
}

describe('A forward beyond its limit', () => {
  it('of memory is alerted and told with figure and limit, and goes on', async ({ watched }) => {
    const echo = await echoServer()
    const port = await freePort()
    const forwards = [
      { name: 'one', listen: port, target: `localhost:${echo.port}`, limits: { memory: '1M' } },
    ]
    const monitor = await startMonitor(watched, { forwards })
    await monitor.line(/ALERT opened: \S+ uses [\d.]+ MiB of memory, more than its limit of 1 MiB/)
    const report = await watched.statusWhen('degraded', (one) => one.forwards[0]?.state === 'degraded')
    const [forward] = report.forwards
    assert.equal(report.exitCode, 151)
    assert.match(
      forward?.reason ?? '',
      /^uses [\d.]+ MiB of memory, more than its limit of 1 MiB, for \d+ s$/,
    )
    assert.deepEqual(
      forward?.limits?.exceeded.map(({ resource }) => resource),
      ['memory'],
    )
    assert.ok((forward?.usage?.memoryBytes ?? 0) > 5 * 1024 ** 2)
    const pid = watched.pid(port)
    await seenOver(watched, port, pid)
    assert.equal(await restartsOf(watched, port), 0)
    assert.equal(watched.pid(port), pid)
    // A limit that is raised is kept from then on.
    const raised = forwards.map((one) => ({ ...one, limits: { memory: '1G' } }))
    monitorCommand(watched, { forwards: raised })
    process.kill(monitor.pid, 'SIGHUP')
    await monitor.line(/ALERT resolved: \S+ is within its limit again/)
    await healthyAs(watched, port)
    assert.equal(await monitor.stop(), 0)
    await echo.close()
  })

  it('is restarted by handover where that is asked for, refusing nobody, and once: not in a loop', async ({
    watched,
  }) => {
    const echo = await echoServer()
    const port = await freePort()
    const limits = { memory: '1M', action: 'restart' }
    const forwards = [{ name: 'one', listen: port, target: `localhost:${echo.port}`, limits }]
    const monitor = await startMonitor(watched, { forwards })
    const { pid } = await until('it runs', async () => ({ pid: watched.pid(port) }))
    let isOver = false
    const answers = new Set<string>()
    const asking = (async () => {
      while (!isOver) {
        answers.add(await askThrough(port))
        await rest(5)
      }
    })()
    await monitor.line(/ALERT opened/)
    await monitor.line(/is being replaced: it uses [\d.]+ MiB of memory, more than its limit of 1 MiB/)
    await monitor.line(/was handed over to PID/)
    const successor = await until('another PID', async () => {
      const now = watched.pid(port)
      return now === pid ? undefined : now
    })
    await seenOver(watched, port, successor)
    isOver = true
    await asking
    assert.deepEqual([...answers], ['hello'])
    assert.equal(await restartsOf(watched, port, 'plannedRestarts'), 1)
    assert.equal(await restartsOf(watched, port), 0, 'it is no failure')
    assert.equal(watched.pid(port), successor)
    assert.equal(watched.log().match(/ALERT/g)?.length, 1, 'told once')
    const { stdout } = await watched.run('proxy-log', '--why', String(port))
    assert.match(stdout, /seen +PID \d+ uses [\d.]+ MiB of memory, more than its limit of 1 MiB/)
    assert.match(stdout, /decided +started another one beside it, to take over, because it uses/)
    assert.equal(await monitor.stop(), 0)
    await echo.close()
  })

  it('counts the workers of a forward', async ({ watched }) => {
    const echo = await echoServer()
    const port = await freePort()
    const forwards = [
      { name: 'one', listen: port, target: `localhost:${echo.port}`, workers: 3, limits: { memory: '1G' } },
    ]
    const monitor = await startMonitor(watched, { forwards })
    const report = await watched.statusWhen(
      'three processes',
      ({ forwards: [one] }) => one?.usage?.processes === 3,
    )
    assert.equal(report.forwards[0]?.state, 'healthy')
    assert.equal(await monitor.stop(), 0)
    await echo.close()
  })

  it('of CPU time is told while it works hard, and resolved when it is quiet again', async ({ watched }) => {
    const echo = await echoServer()
    const port = await freePort()
    // What hard work comes to on a machine that has much else to do; rounds that come late there make no sample.
    const forwards = [{ name: 'one', listen: port, target: `localhost:${echo.port}`, limits: { cpu: '2%' } }]
    const monitor = await startMonitor(watched, { forwards, interval: '1s' })
    await until('it answers', async () => ((await askThrough(port)) === 'hello' ? true : undefined))
    const client = connect({ port, host: '127.0.0.1' })
    client.on('error', () => {})
    client.resume()
    // Many times the limit, and not all of a processor, which others need.
    const chunk = Buffer.alloc(2 << 20)
    const pump = () => client.write(chunk, () => setTimeout(() => !client.destroyed && pump(), 10))
    pump()
    await monitor.line(/ALERT opened: \S+ uses [\d.]+% of a CPU core, more than its limit of 2%/)
    client.destroy()
    await monitor.line(/ALERT resolved: \S+ is within its limit again with [\d.]+% of a CPU core/)
    assert.equal(await restartsOf(watched, port), 0)
    assert.equal(await monitor.stop(), 0)
    await echo.close()
  })
})
