import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'vitest'
import type { AccessRecord } from '../../src/forward/access-record.ts'
import { resetSocket } from '../../src/forward/relay/reset.ts'
import { closed, type Forward, fate, roundTrip, silence } from '../support/forward.ts'
import { openedForEachTest } from '../support/opened.ts'
import { receive } from '../support/relay-peers.ts'
import { freePort } from '../support/tools.ts'

const { target, forward } = openedForEachTest()

/** The record of the only connection. */
async function ended({ records }: Forward): Promise<AccessRecord> {
  const [record] = await records.count(1)
  if (record === undefined) throw new Error('no record')
  return record
}

/** A new client is turned away: reset before a byte. */
async function turnsAway({ port }: { readonly port: number }): Promise<void> {
  assert.equal(await fate({ host: '127.0.0.1', port }), 'ECONNRESET')
}

describe('a connection’s end', () => {
  it('is told whole when both sides finished', async () => {
    const to = await target()
    const forwarded = await forward(to)
    const client = await forwarded.connect()
    const { localPort } = client
    client.end('hello')
    assert.equal((await receive(client)).bytes.toString(), 'hello')
    const record = await ended(forwarded)
    assert.equal(record.code, '--')
    assert.equal(record.reason, 'both sides finished')
    assert.equal(record.source, `127.0.0.1:${localPort}`)
    assert.equal(record.target, `127.0.0.1:${to.port}`)
    assert.deepEqual([record.bytesFromClient, record.bytesFromTarget], [5, 5])
    assert.deepEqual([record.id, record.port, record.retries, record.open], [1, forwarded.port, 0, 0])
    assert.ok(record.connectMs !== null && record.connectMs <= record.totalMs)
    const { connections, bytes } = forwarded.forwarder.health()
    assert.deepEqual(connections.ended, { '--': 1 })
    assert.deepEqual([connections.open, connections.total], [0, 1])
    assert.deepEqual(bytes, { fromClients: 5, fromTarget: 5 })
  })

  it('CD: the client resets, and so sees the target', async () => {
    const to = await target()
    const forwarded = await forward(to)
    const client = await forwarded.connect()
    await roundTrip(client)
    const atTarget = await to.connections.find(() => true)
    client.resetAndDestroy()
    await assert.rejects(once(atTarget, 'end'), { code: 'ECONNRESET' })
    assert.equal((await ended(forwarded)).code, 'CD')
  })

  it('SD: the target resets, and so sees the client, after every byte', async () => {
    const to = await target((socket) => {
      socket.once('data', () => socket.write('x'.repeat(100_000), () => resetSocket(socket)))
    })
    const forwarded = await forward(to)
    const client = await forwarded.connect()
    client.write('go')
    const { bytes, end } = await receive(client)
    assert.deepEqual([bytes.length, end], [100_000, 'ECONNRESET'])
    assert.equal((await ended(forwarded)).code, 'SD')
  })

  it('SC: nobody listens, and the client is reset', async () => {
    const forwarded = await forward({ host: '127.0.0.1', port: await freePort() }, { dialRetry: 0 })
    await turnsAway(forwarded)
    const record = await ended(forwarded)
    assert.equal(record.code, 'SC')
    assert.match(record.reason, /^127\.0\.0\.1:\d+ refused: nothing listens there$/)
    assert.deepEqual([record.target, record.connectMs], [null, null])
    assert.equal(forwarded.forwarder.health().connections.refused['target-refused'], 1)
  })

  it('CC: the client resets while the target is searched for, and the search ends', async () => {
    const forwarded = await forward({ host: '127.0.0.1', port: await freePort() })
    const client = await forwarded.connect()
    await forwarded.events.find(({ kind }) => kind === 'target-fails')
    client.resetAndDestroy()
    assert.equal((await ended(forwarded)).code, 'CC')
    assert.equal(forwarded.forwarder.openConnections, 0)
  })

  it('cD: silent for longer than the idle timeout', async () => {
    const forwarded = await forward(await target(silence), { idleTimeout: 40 })
    await turnsAway(forwarded)
    assert.equal((await ended(forwarded)).code, 'cD')
  })

  it('sL: the client finished and the target stays silent', async () => {
    const forwarded = await forward(await target(silence), { halfCloseTimeout: 40 })
    const client = await forwarded.connect()
    client.end('bye')
    await closed(client.resume())
    assert.equal((await ended(forwarded)).code, 'sL')
  })

  it('cL: the target finished and the client stays silent', async () => {
    const forwarded = await forward(await target((socket) => socket.resume().end('bye')), {
      halfCloseTimeout: 40,
    })
    const client = await forwarded.connect()
    assert.deepEqual(await receive(client), { bytes: Buffer.from('bye'), end: 'FIN' })
    assert.equal((await ended(forwarded)).code, 'cL')
    client.destroy()
  })

  it('tD: it lived as long as it may, though it was busy', async () => {
    const forwarded = await forward(await target(), { maxLife: 100 })
    const client = await forwarded.connect()
    const chatter = setInterval(() => client.write('x'), 5)
    const { end } = await receive(client)
    clearInterval(chatter)
    assert.equal(end, 'ECONNRESET')
    const record = await ended(forwarded)
    assert.equal(record.code, 'tD')
    assert.ok(record.totalMs >= 85, `${record.totalMs} ms`)
  })

  it('KD: killed by its id, and the others live', async () => {
    const forwarded = await forward(await target())
    const [one, other] = [await forwarded.connect(), await forwarded.connect()]
    await roundTrip(one)
    await roundTrip(other)
    const [first, second] = forwarded.forwarder.connections()
    assert.deepEqual([first?.phase, first?.bytesFromClient, first?.bytesFromTarget], ['relaying', 4, 4])
    assert.equal(first?.source, `127.0.0.1:${one.localPort}`)
    assert.equal(forwarded.forwarder.kill({ id: first?.id ?? 0 }), 1)
    assert.equal((await receive(one)).end, 'ECONNRESET')
    const record = await ended(forwarded)
    assert.deepEqual([record.code, record.bytesFromClient, record.id], ['KD', 4, first?.id])
    await roundTrip(other)
    assert.equal(forwarded.forwarder.connections()[0]?.id, second?.id)
    assert.equal(forwarded.forwarder.kill({ source: '127.0.0.2' }), 0)
    assert.equal(forwarded.forwarder.kill({ source: '127.0.0.1' }), 1)
    assert.equal((await receive(other)).end, 'ECONNRESET')
  })

  it('KC: killed while the target is searched for', async () => {
    const forwarded = await forward({ host: '127.0.0.1', port: await freePort() })
    const client = await forwarded.connect()
    await forwarded.events.find(({ kind }) => kind === 'target-fails')
    assert.equal(forwarded.forwarder.kill({ id: 1 }), 1)
    assert.equal((await receive(client)).end, 'ECONNRESET')
    assert.equal((await ended(forwarded)).code, 'KC')
  })

  it('LD: the drain time is over', async () => {
    const forwarded = await forward(await target(silence), { drain: 30 })
    const client = await forwarded.connect()
    await forwarded.events.find(({ kind }) => kind === 'target-answers')
    await Promise.all([
      forwarded.forwarder.drain(),
      receive(client).then(({ end }) => assert.equal(end, 'ECONNRESET')),
    ])
    assert.equal((await ended(forwarded)).code, 'LD')
  })

  it('PC: as many connections are open as may be; said once, and room is said once', async () => {
    const forwarded = await forward(await target(), { maxConnections: 2 })
    const clients = [await forwarded.connect(), await forwarded.connect()]
    for (const client of clients) await roundTrip(client)
    for (let count = 0; count < 20; count++) await turnsAway(forwarded)
    assert.equal(forwarded.records.all.filter(({ code }) => code === 'PC').length, 20)
    const { connections } = forwarded.forwarder.health()
    assert.deepEqual(
      [connections.full, connections.refused['max-connections'], connections.total],
      ['max-connections', 20, 2],
    )
    clients[0]?.end()
    await forwarded.records.find(({ code }) => code === '--')
    await roundTrip(await forwarded.connect())
    const told = forwarded.events.all.map(({ kind }) => kind)
    assert.deepEqual(told, ['listening', 'target-answers', 'full', 'room'])
  })

  it('cR: nothing from the client in time, and the target never heard of it', async () => {
    const to = await target()
    const forwarded = await forward(to, { firstByteTimeout: 40 })
    await turnsAway(forwarded)
    const record = await ended(forwarded)
    assert.deepEqual([record.code, record.reason], ['cR', 'first byte: not done within 0.04 s'])
    assert.equal(to.connections.all.length, 0)
  })

  it('CR: the client leaves without a word, with FIN or reset', async () => {
    const to = await target()
    const forwarded = await forward(to, { firstByteTimeout: 10_000 })
    const polite = await forwarded.connect()
    polite.end()
    assert.equal((await ended(forwarded)).code, 'CR')
    const rude = await forwarded.connect()
    while (forwarded.forwarder.connections().length === 0) await new Promise(setImmediate)
    rude.resetAndDestroy()
    const [, second] = await forwarded.records.count(2)
    assert.equal(second?.code, 'CR')
    assert.equal(to.connections.all.length, 0)
  })

  it('waits for the first byte, and loses none of what came with it', async () => {
    const forwarded = await forward(await target(), { firstByteTimeout: 10_000 })
    const client = await forwarded.connect()
    const sent = Buffer.alloc(1_000_000, 'abcdefg')
    client.end(sent)
    const { bytes, end } = await receive(client)
    assert.equal(end, 'FIN')
    assert.ok(bytes.equals(sent))
    assert.equal((await ended(forwarded)).code, '--')
  })
})

describe('a forward into itself', () => {
  // With a target on loopback the other loopback address is tried as well, and there nobody listens.
  const seen = { '0.0.0.0': 'IC', localhost: 'SC', '127.0.0.1': 'SC', '::ffff:127.0.0.1': 'SC' }
  for (const [host, code] of Object.entries(seen)) {
    it(`${code}: never goes round in a circle, as ${host}`, async () => {
      const port = await freePort()
      const forwarded = await forward({ host, port }, { listenPort: port, dialRetry: 0 })
      await turnsAway(forwarded)
      assert.equal((await ended(forwarded)).code, code)
      assert.equal(forwarded.forwarder.health().connections.total, 1)
    })
  }
})
