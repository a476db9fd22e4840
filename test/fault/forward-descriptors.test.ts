import assert from 'node:assert/strict'
import net from 'node:net'
import { describe, it } from 'node:test'
import { closed, connected, fate, openTarget, roundTrip } from '../support/forward.ts'
import { startTcpProxy } from '../support/forwarder-process.ts'

describe('descriptors', { timeout: 60_000 }, () => {
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
