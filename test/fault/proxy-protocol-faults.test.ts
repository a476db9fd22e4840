import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { describe, it } from 'vitest'
import { serializeProxyHeader } from '../../src/forward/steps/proxy-protocol.ts'
import { type LocalForwarder, openForwarder, openTarget } from '../support/forwarders.ts'
import { receive, until } from '../support/relay-peers.ts'

const source = { address: '10.1.2.3', port: 5555 }
const destination = { address: '10.9.9.9', port: 443 }
const headers = (['v1', 'v2'] as const).map((version) => serializeProxyHeader(version, source, destination))

/** Runs a forwarder that expects headers, and proves afterwards that it still serves and holds nothing. */
async function withForwarder(
  headerTimeoutMs: number,
  use: (connect: () => Promise<net.Socket>, forwarder: LocalForwarder) => Promise<void>,
): Promise<void> {
  const target = await openTarget()
  const forwarder = await openForwarder(target.port, {
    acceptProxy: ['127.0.0.0/8'],
    proxyHeaderTimeoutMs: headerTimeoutMs,
  })
  const clients: net.Socket[] = []
  const connect = async () => {
    const client = net.connect({ host: '127.0.0.1', port: forwarder.port, noDelay: true })
    clients.push(client.on('error', () => {}))
    await once(client, 'connect')
    return client
  }
  try {
    await use(connect, forwarder)
    await until(() => forwarder.forwarder.openConnections === 0)
    const good = await connect()
    good.end(Buffer.concat([...headers.slice(0, 1), Buffer.from('still there')]))
    const socket = await target.next()
    assert.equal((await receive(socket)).bytes.toString(), 'still there')
    socket.end()
  } finally {
    for (const client of clients) client.destroy()
    await forwarder.close()
    await target.close()
  }
}

describe('PROXY header', () => {
  it('that never comes, or never becomes whole, ends at its deadline', () =>
    withForwarder(150, async (connect, forwarder) => {
      for (const begun of [Buffer.alloc(0), ...headers.map((header) => header.subarray(0, 14))]) {
        const client = await connect()
        client.write(begun)
        assert.equal((await receive(client)).end, 'ECONNRESET')
      }
      assert.deepEqual(forwarder.forwarder.health().connections.ended, { cR: 3 })
      const { failure } = await forwarder.event('step-failed')
      assert.equal(failure.message, 'not done within 0.15 s')
    }))

  it('that drips in byte by byte gets no more time for it', () =>
    withForwarder(200, async (connect, forwarder) => {
      const client = await connect()
      const received = receive(client)
      const header = `PROXY UNKNOWN ${'x'.repeat(80)}`
      let sent = 0
      const dripping = setInterval(() => client.write(header[sent++ % header.length] ?? 'x'), 20)
      assert.equal((await received).end, 'ECONNRESET')
      clearInterval(dripping)
      assert.deepEqual(forwarder.forwarder.health().connections.ended, { cR: 1 })
    }))

  it('with garbage in its place is refused at once, and nothing reaches the target', () =>
    withForwarder(0, async (connect, forwarder) => {
      const nonsense = [
        'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n',
        'PROXY TCP4 999.0.0.1 10.0.0.1 1 2\r\n',
        '\r\n\r\n\0\r\nQUIT\n\x31\x11',
        '\u0016\u0003\u0001\u0002\u0000',
        'x'.repeat(1 << 20),
      ]
      for (const text of nonsense) {
        const client = await connect()
        client.write(Buffer.from(text, 'latin1'))
        assert.equal((await receive(client)).end, 'ECONNRESET')
      }
      assert.deepEqual(forwarder.forwarder.health().connections.ended, { PR: nonsense.length })
    }))

  it('cut off by a FIN or a reset ends, whatever there was of it', () =>
    withForwarder(0, async (connect, forwarder) => {
      for (const part of [Buffer.alloc(0), ...headers.map((header) => header.subarray(0, 20))]) {
        const finished = await connect()
        finished.end(part)
        await receive(finished)
        const reset = await connect()
        reset.write(part)
        await new Promise((resolve) => setImmediate(resolve))
        reset.resetAndDestroy()
      }
      await until(() => forwarder.forwarder.openConnections === 0)
      await until(() => forwarder.forwarder.health().connections.ended.CR === 6)
    }))

  it('of a thousand clients at once, half of whom go away in the middle of it', () =>
    withForwarder(0, async (connect, forwarder) => {
      const clients = await Promise.all(Array.from({ length: 1000 }, () => connect()))
      for (const [index, client] of clients.entries()) {
        client.write(headers[index % 2]?.subarray(0, 13) ?? '')
        if (index % 2 === 0) client.resetAndDestroy()
      }
      for (const [index, client] of clients.entries()) if (index % 2 === 1) client.end('nonsense')
      await until(() => forwarder.forwarder.openConnections === 0)
    }))
})
