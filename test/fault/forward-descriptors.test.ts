import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import net from 'node:net'
import { describe, it } from 'vitest'
import { closed, connected, fate, openTarget, roundTrip } from '../support/forward.ts'
import { startTcpProxy } from '../support/forwarder-process.ts'
import { run } from '../support/tools.ts'
import { healthOnce, servingOf, startWithWorkers } from '../support/workers.ts'

describe('descriptors', () => {
  it('exhausted by clients: those that are in stay in, others are reset, and there is room again afterwards', async () => {
    const target = await openTarget()
    const forwarder = await startTcpProxy(`127.0.0.1 ${target.port}`, [], 'ulimit -n 64')
    const to = { host: '127.0.0.1', port: forwarder.port }
    const { limit } = (await forwarder.health()).connections
    assert.ok(limit >= 4 && limit <= 20, `${limit} connections with 64 descriptors`)

    const clients: net.Socket[] = []
    for (let count = 0; count < limit; count++) {
      const client = await connected(to)
      await roundTrip(client)
      clients.push(client)
    }
    const fates = await Promise.all(Array.from({ length: 60 }, () => fate(to)))
    assert.deepEqual(new Set(fates), new Set(['ECONNRESET']))
    await forwarder.records.count(60)
    for (const client of clients) await roundTrip(client)
    assert.equal((await forwarder.health()).connections.full, 'max-connections')

    for (const client of clients) client.end()
    await Promise.all(clients.map((client) => closed(client.resume())))
    await forwarder.records.count(60 + limit)
    const again = await connected(to)
    await roundTrip(again)
    again.destroy()
    const said = forwarder.lines.all.filter((line) => /turned away|taken again/.test(line))
    assert.equal(said.length, 2, said.join('\n'))
    await forwarder.close()
    await target.close()
  })

  it('exhausted by something else, RC: who is in stays in, others are told why, and it heals', async () => {
    const target = await openTarget()
    const forwarder = await startTcpProxy(`127.0.0.1 ${target.port}`, ['--target-check', '0'])
    const to = { host: '127.0.0.1', port: forwarder.port }
    const steady = await connected(to)
    await roundTrip(steady)
    const before = limitOf(forwarder.child.pid)

    // Room for the client, and none for its target.
    await setLimit(forwarder.child.pid, oneFreeNumber(forwarder.child.pid))
    assert.equal(await fate(to), 'ECONNRESET')
    const [record] = await forwarder.records.count(1)
    assert.equal(record?.code, 'RC')
    assert.match(
      record?.reason ?? '',
      /127\.0\.0\.1:\d+ was not dialled: this process has no descriptor left/,
    )
    assert.match(
      await forwarder.lines.find((line) => /turned away/.test(line)),
      /No descriptor is left at 1 connections: new ones are turned away; raise the limit/,
    )
    assert.equal(await fate(to), 'ECONNRESET')
    const [, second] = await forwarder.records.count(2)
    assert.deepEqual([second?.code, second?.reason], ['RC', 'no descriptor is left'])
    await roundTrip(steady, 'still here')

    await setLimit(forwarder.child.pid, before)
    await forwarder.lines.find((line) => /taken again/.test(line))
    const { connections, targets } = await forwarder.health()
    assert.deepEqual([connections.full, connections.refused.descriptors], [null, 2])
    assert.equal(targets[0]?.state, 'reachable', 'a want of our own says nothing about the target')
    const again = await connected(to)
    await roundTrip(again)
    for (const client of [steady, again]) client.destroy()
    await forwarder.close()
    await target.close()
  })

  it('exhausted when it is to be replaced: it says so and goes on, and is replaced when there are some again', async () => {
    const target = await openTarget()
    const forwarder = await startTcpProxy(`127.0.0.1 ${target.port}`, ['--target-check', '0'])
    const before = limitOf(forwarder.child.pid)
    await setLimit(forwarder.child.pid, oneFreeNumber(forwarder.child.pid))
    forwarder.child.kill('SIGUSR2')
    assert.match(
      await forwarder.lines.find((line) => /replacement/.test(line)),
      /The replacement could not take over: the replacement could not be run: .*EMFILE; this process is out of file descriptors.*; this forwarder keeps running/,
    )
    await setLimit(forwarder.child.pid, before)
    const client = await connected({ host: '127.0.0.1', port: forwarder.port })
    await roundTrip(client)
    client.destroy()
    forwarder.child.kill('SIGUSR2')
    await forwarder.lines.find((line) => /Handed over to PID/.test(line))
    const { identity } = await forwarder.health()
    assert.notEqual(identity.pid, forwarder.child.pid)
    process.kill(identity.pid, 'SIGKILL')
    await forwarder.close()
    await target.close()
  })

  it('exhausted when a worker dies: another one is started within seconds after there are some again', async () => {
    const target = await openTarget()
    const forwarder = await startWithWorkers(`127.0.0.1 ${target.port}`, 2, ['--target-check', '0'])
    const before = limitOf(forwarder.child.pid)
    await setLimit(forwarder.child.pid, oneFreeNumber(forwarder.child.pid))
    const [, worker] = servingOf(await forwarder.health())
    process.kill(worker?.identity.pid ?? 0, 'SIGKILL')
    await forwarder.lines.find((line) =>
      /A worker could not be run: .*EMFILE; .*; tried again later/.test(line),
    )
    await setLimit(forwarder.child.pid, before)
    await healthOnce(forwarder, 'replaced', (health) => servingOf(health).length === 2)
    await forwarder.close()
    await target.close()
  })

  it('2,000 connections opened and dropped at once: it lives, and keeps nothing', async () => {
    const target = await openTarget()
    const forwarder = await startTcpProxy(`127.0.0.1 ${target.port}`)
    const to = { host: '127.0.0.1', port: forwarder.port }
    await Promise.all(
      Array.from({ length: 2_000 }, (_, count) => {
        const socket = net.connect(to)
        socket.on('error', () => {})
        socket.on('connect', () => (count % 2 === 0 ? socket.resetAndDestroy() : socket.destroy()))
        return closed(socket)
      }),
    )
    const client = await connected(to)
    await roundTrip(client)
    client.end()
    await closed(client.resume())
    // Reset before they were accepted, some are never seen at all.
    for (let open = 1; open > 0; ) open = (await forwarder.health()).connections.open
    assert.equal(forwarder.child.exitCode, null)
    const codes = new Set(forwarder.records.all.map(({ code }) => code))
    for (const code of codes) assert.match(code, /^(--|CD|CC|SD|SC)$/)
    await forwarder.close()
    await target.close()
  })
})

/** The limit that leaves a process one number for a new descriptor. */
function oneFreeNumber(pid = 0): number {
  const taken = new Set(readdirSync(`/proc/${pid}/fd`).map(Number))
  let number = 0
  for (let free = 0; free < 1; number++) if (!taken.has(number)) free++
  return number
}

function limitOf(pid = 0): number {
  return Number(/^Max open files +(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))?.[1])
}

async function setLimit(pid = 0, limit = 0): Promise<void> {
  const { code, stderr } = await run(['prlimit', `--pid=${pid}`, `--nofile=${limit}:`])
  assert.equal(code, 0, stderr)
}
