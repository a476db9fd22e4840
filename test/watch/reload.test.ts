import assert from 'node:assert/strict'
import { once } from 'node:events'
import { renameSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { describe } from 'vitest'
import { it } from '../support/fixtures.ts'
import { freePort } from '../support/tools.ts'
import { askThrough, echoServer, type Watched } from '../support/watched.ts'

/** Replaces the configuration as an editor does: a new file, renamed. */
function write(watched: Watched, content: string): void {
  const file = watched.file('configuration.json')
  writeFileSync(`${file}.new`, content)
  renameSync(`${file}.new`, file)
}

describe('A configuration that changes under the monitor', () => {
  it('restarts what changed, ends what went, starts what came, and touches nothing else', async ({
    watched,
  }) => {
    const echo = await echoServer()
    const target = `localhost:${echo.port}`
    const [kept, changed, removed, added] = [
      await freePort(),
      await freePort(),
      await freePort(),
      await freePort(),
    ]
    await watched.monitor([
      { name: 'kept', listen: kept, target },
      { name: 'changed', listen: changed, target },
      { name: 'removed', listen: removed, target },
    ])
    const healthy = (count: number) =>
      watched.statusWhen(`${count} healthy`, ({ forwards }) => {
        return forwards.length === count && forwards.every(({ state }) => state === 'healthy')
      })
    const pids = Object.fromEntries((await healthy(3)).forwards.map(({ name, pid }) => [name, pid]))
    const forwards = [
      { name: 'kept', listen: kept, target, restart: { backoff: '2s' } },
      { name: 'changed', listen: changed, target, maxConnections: 7 },
      { name: 'added', listen: added, target },
    ]
    write(watched, JSON.stringify({ forwards }))
    await watched.logLine(/Configuration changed: added added; removed removed; changed kept, changed/)
    const after = await watched.statusWhen('the change', ({ forwards: now }) => {
      const pidOf = (name: string) => now.find((one) => one.name === name)?.pid
      return (
        now.length === 3 && pidOf('changed') !== pids.changed && now.every(({ state }) => state === 'healthy')
      )
    })
    const pidOf = (name: string) => after.forwards.find((one) => one.name === name)?.pid
    assert.equal(pidOf('kept'), pids.kept, 'another restart policy is no reason to restart')
    assert.equal(pidOf('removed'), undefined)
    assert.equal(await askThrough(removed), 'ECONNREFUSED')
    for (const port of [kept, changed, added]) assert.equal(await askThrough(port), 'hello')
    assert.equal((await watched.forwarders()).length, 3)
    await echo.close()
  })

  it('is refused when it is not valid: the one before goes on, and the status says so until it is mended', async ({
    watched,
  }) => {
    const echo = await echoServer()
    const port = await freePort()
    const forwards = [{ name: 'one', listen: port, target: `localhost:${echo.port}` }]
    const monitor = await watched.monitor(forwards)
    await watched.statusWhen('healthy', ({ exitCode }) => exitCode === 0)
    const pid = watched.pid(port)
    write(watched, '{ "forwards": [ { "name": "one", "listen": 70000 } ] }')
    const refused = await watched.statusWhen('151', ({ exitCode }) => exitCode === 151)
    assert.equal(refused.monitor.state, 'RUNNING')
    assert.match(
      refused.monitor.reason ?? '',
      /configuration file rejected at .*, still using the previous one: .*listen/,
    )
    assert.match(refused.next.join('\n'), /proxy-monitor(\.cjs)? --check --config /)
    const check = await watched.run(
      'proxy-monitor',
      '--check',
      '--config',
      watched.file('configuration.json'),
    )
    assert.equal(check.code, 78)
    assert.equal(watched.pid(port), pid)
    write(watched, JSON.stringify({ forwards }))
    process.kill(monitor.pid, 'SIGHUP')
    await watched.statusWhen('mended', ({ exitCode }) => exitCode === 0)
    assert.equal(watched.pid(port), pid)
    const valid = await watched.run(
      'proxy-monitor',
      '--check',
      '--config',
      watched.file('configuration.json'),
    )
    assert.deepEqual([valid.code, valid.stderr], [0, ''])
    assert.match(valid.stdout, /is valid: 1 forward\n {2}one: port \d+ to localhost:\d+\n/)
    await echo.close()
  })

  it('takes a second change while the first one still waits for connections: what came back is watched again', async ({
    watched,
  }) => {
    const echo = await echoServer()
    const target = `localhost:${echo.port}`
    const [port, other] = [await freePort(), await freePort()]
    const forward = { name: 'back', listen: port, target, drain: '2s' }
    await watched.monitor([forward])
    const first = await watched.statusWhen('healthy', ({ exitCode }) => exitCode === 0)
    const client = connect(port, '127.0.0.1')
    await once(client, 'connect')
    client.on('error', () => {}).write('held open')
    await once(client, 'data')
    write(watched, JSON.stringify({ forwards: [{ name: 'other', listen: other, target }] }))
    await watched.logLine(/Configuration changed: added other; removed back/)
    write(watched, JSON.stringify({ forwards: [{ name: 'other', listen: other, target }, forward] }))
    const after = await watched.statusWhen('both healthy', ({ forwards, exitCode }) => {
      return exitCode === 0 && forwards.length === 2
    })
    assert.notEqual(after.forwards.find(({ name }) => name === 'back')?.pid, first.forwards[0]?.pid)
    process.kill(watched.pid(port), 'SIGKILL')
    await watched.logLine(/back is not running: PID \d+ was killed by SIGKILL/)
    await watched.statusWhen('healthy again', ({ exitCode }) => exitCode === 0)
    client.destroy()
    await echo.close()
  })

  it('SIGHUP changes nothing when the file has not', async ({ watched }) => {
    const port = await freePort()
    const monitor = await watched.monitor([{ name: 'one', listen: port, target: 'localhost:1' }])
    await watched.statusWhen('waiting', ({ forwards }) => forwards[0]?.state === 'waiting')
    const pid = watched.pid(port)
    process.kill(monitor.pid, 'SIGHUP')
    const { monitor: status } = await watched.status()
    assert.equal(status.pid, monitor.pid)
    assert.equal(watched.pid(port), pid)
  })
})
