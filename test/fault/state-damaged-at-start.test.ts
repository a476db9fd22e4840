import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { describe } from 'vitest'
import { it } from '../support/fixtures.ts'
import { forwardersOf, healthyAs, launchMonitor, startMonitor } from '../support/monitored.ts'
import { freePort } from '../support/tools.ts'
import { askThrough, echoServer } from '../support/watched.ts'

const oldSchema = { version: '0.0.1', proxies: [{ port: 6274, pid: 4242, failures: 0 }] }

const damages: readonly (readonly [string, string | Buffer])[] = [
  ['empty', ''],
  ['of NUL bytes', Buffer.alloc(4096)],
  ['of random bytes', Buffer.from(Array.from({ length: 2048 }, (_, i) => (i * 7919) % 256))],
  ['cut off', '{"schemaVersion":1,"writer":{"identity":{"pid":'],
  ['of an old schema', JSON.stringify(oldSchema)],
  ['of schema 0', JSON.stringify({ schemaVersion: 0, ...oldSchema })],
  ['of the right schema without its parts', '{"schemaVersion":1,"forwards":[{"name":"one"}]}'],
]

describe('The state file that a monitor finds when it starts', () => {
  it('is damaged in any way: it is kept and told, the forwarder is adopted, and the state is whole again', async ({
    watched,
  }) => {
    const echo = await echoServer()
    const port = await freePort()
    const forwards = [{ name: 'one', listen: port, target: `localhost:${echo.port}` }]
    const first = await startMonitor(watched, { forwards })
    const { pid } = await healthyAs(watched, port)
    assert.equal(await first.stop(), 0)
    const state = watched.file('runtime-state.json')
    for (const [name, damage] of damages) {
      writeFileSync(state, damage)
      rmSync(`${state}.corrupt`, { force: true })
      // What is wanted and what happened are damaged in the same way.
      for (const file of ['desired-state.json', 'alerts.json']) writeFileSync(watched.file(file), damage)
      writeFileSync(watched.file('events.jsonl'), damage, { flag: 'a' })
      const monitor = await startMonitor(watched, { forwards })
      await monitor.line(/The state file could not be used: .*kept as .*runtime-state\.json\.corrupt/)
      await monitor.line(/adopted/)
      assert.deepEqual(readFileSync(`${state}.corrupt`), Buffer.from(damage), name)
      const after = await healthyAs(watched, port)
      assert.equal(after.pid, pid, name)
      assert.deepEqual(forwardersOf(watched, port), [pid], name)
      assert.equal(await monitor.stop(), 0, name)
      assert.equal((await watched.status()).monitor.state, 'STOPPED', name)
    }
    assert.equal(await askThrough(port), 'hello')
    await echo.close()
  })

  it('is a directory: the watching goes on, and the status says that nothing can be written', async ({
    watched,
  }) => {
    const port = await freePort()
    const state = watched.file('runtime-state.json')
    mkdirSync(state)
    const monitor = await startMonitor(watched, {
      forwards: [{ name: 'one', listen: port, target: 'localhost:1' }],
    })
    await monitor.line(/The state cannot be written/)
    await monitor.line(/started successfully/)
    rmSync(state, { recursive: true })
    await monitor.line(/The state can be written again/)
    assert.equal(await monitor.stop(), 0)
  })

  it('is of a newer version: the monitor leaves it alone, says so and ends with 78', async ({ watched }) => {
    const state = watched.file('runtime-state.json')
    writeFileSync(state, '{"schemaVersion":99}')
    const port = await freePort()
    const forwards = [{ name: 'one', listen: port, target: 'localhost:1' }]
    const monitor = launchMonitor(watched, { forwards })
    assert.equal(await monitor.ended(), 78)
    assert.match(monitor.output, /written by a newer version \(schema 99\)/)
    assert.equal(readFileSync(state, 'utf8'), '{"schemaVersion":99}')
    assert.equal(existsSync(`${state}.corrupt`), false)
    assert.deepEqual(forwardersOf(watched, port), [])
  })
})
