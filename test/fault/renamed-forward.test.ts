import assert from 'node:assert/strict'
import { renameSync } from 'node:fs'
import { describe } from 'vitest'
import { LongStream, RestlessClients } from '../support/exact-clients.ts'
import { it } from '../support/fixtures.ts'
import {
  forwardersOf,
  healthyAs,
  monitorCommand,
  startMonitor,
  type WantedForward,
} from '../support/monitored.ts'
import { freePort, until } from '../support/tools.ts'
import { askThrough, echoServer, type Watched } from '../support/watched.ts'

/** Long enough that nobody waits for it by chance. */
const drain = '1h'

/** Gives the running monitor other forwards, as an editor does. */
function reconfigure(watched: Watched, forwards: readonly WantedForward[]): void {
  const file = watched.file('configuration.json')
  renameSync(file, `${file}.before`)
  monitorCommand(watched, { forwards })
  renameSync(file, `${file}.new`)
  renameSync(`${file}.before`, file)
  renameSync(`${file}.new`, file)
}

async function historyNames(watched: Watched): Promise<Record<string, number>> {
  const { stdout } = await watched.run('proxy-status', '--history', '--json')
  const { forwards } = JSON.parse(stdout) as { forwards: { name: string; days: { failures: number }[] }[] }
  return Object.fromEntries(forwards.map(({ name, days }) => [name, days.at(-1)?.failures ?? 0]))
}

describe('A forward that gets another name', () => {
  it('is not touched: its process, its streams and its record go on; so it is for names that swap ports', async ({
    watched,
  }) => {
    const echo = await echoServer()
    const target = `localhost:${echo.port}`
    const [one, two] = [await freePort(), await freePort()]
    const named = (first: string, second: string) => [
      { name: first, listen: one, target, drain },
      { name: second, listen: two, target, drain },
    ]
    const monitor = await startMonitor(watched, { forwards: named('web', 'api') })
    const killed = (await healthyAs(watched, one)).pid
    process.kill(killed, 'SIGKILL')
    const { pid } = await healthyAs(watched, one, killed)
    const other = (await healthyAs(watched, two)).pid
    const clients = new RestlessClients(one, 2, 1000)
    const stream = await LongStream.open(one)
    await stream.exchange(100)
    reconfigure(watched, named('website', 'api'))
    await watched.logLine(/Configuration changed: renamed web to website\n/)
    reconfigure(watched, named('api', 'website'))
    await watched.logLine(/Configuration changed: renamed website to api; renamed api to website\n/)
    await clients.after(10)
    await stream.exchange(100)
    const report = await watched.statusWhen('the new names', ({ forwards }) =>
      forwards.some(({ name, port }) => name === 'api' && port === one),
    )
    assert.deepEqual(
      report.forwards
        .map(({ name, port, pid, restarts, state }) => [name, port, pid, restarts, state])
        // Their ports were free ones, in any order.
        .sort(([first], [second]) => (String(first) < String(second) ? -1 : 1)),
      [
        ['api', one, pid, 1, 'healthy'],
        ['website', two, other, 0, 'healthy'],
      ],
    )
    assert.deepEqual(await historyNames(watched), { api: 1, website: 0 })
    assert.match((await watched.run('proxy-log', '--why', 'api')).stdout, /was killed by SIGKILL/)
    // Under a monitor that begins with other names, too.
    await monitor.stop('SIGKILL')
    const last = await startMonitor(watched, { forwards: named('shop', 'website') })
    const { forward } = await healthyAs(watched, one)
    assert.deepEqual([forward.name, forward.pid, forward.restarts], ['shop', pid, 1])
    assert.deepEqual(await historyNames(watched), { shop: 1, website: 0 })
    await stream.exchange(100)
    await stream.close()
    await clients.stop()
    assert.deepEqual([...clients.outcomes.keys()], ['exact'])
    await last.stop()
    await echo.close()
  })

  it('and other options is handed over: nobody is refused, and no drain is waited for', async ({
    watched,
  }) => {
    const echo = await echoServer()
    const forward = { name: 'web', listen: await freePort(), target: `localhost:${echo.port}`, drain }
    await startMonitor(watched, { forwards: [forward] })
    const { pid } = await healthyAs(watched, forward.listen)
    const clients = new RestlessClients(forward.listen, 2, 1000)
    const stream = await LongStream.open(forward.listen)
    reconfigure(watched, [{ ...forward, name: 'website', maxConnections: 99 }])
    await healthyAs(watched, forward.listen, pid)
    await watched.statusWhen('the new name', ({ forwards }) => forwards[0]?.name === 'website')
    await stream.exchange(100)
    await stream.close()
    await clients.stop()
    assert.deepEqual([...clients.outcomes.keys()], ['exact'])
    assert.doesNotMatch(watched.log(), /failure #/)
    await echo.close()
  })
})

describe('A forward that is no longer configured', () => {
  it('finishes its connections, and no other forward waits for that', async ({ watched }) => {
    const echo = await echoServer()
    const target = `localhost:${echo.port}`
    const old = { name: 'old', listen: await freePort(), target, drain }
    const [kept, added] = [await freePort(), await freePort()]
    await startMonitor(watched, { forwards: [{ name: 'kept', listen: kept, target }, old] })
    await healthyAs(watched, old.listen)
    const stream = await LongStream.open(old.listen)
    // The second change names one that the first has left as it was.
    reconfigure(watched, [
      { name: 'kept', listen: kept, target },
      { name: 'new', listen: added, target },
    ])
    await healthyAs(watched, added)
    await stream.exchange(100)
    reconfigure(watched, [{ name: 'new', listen: added, target }])
    await until('the port is closed', async () => (await askThrough(kept)) === 'ECONNREFUSED' || undefined)
    await until('it has ended', async () => forwardersOf(watched, kept).length === 0 || undefined)
    await stream.close()
    await until('it has ended', async () => forwardersOf(watched, old.listen).length === 0 || undefined)
    await echo.close()
  })
})
