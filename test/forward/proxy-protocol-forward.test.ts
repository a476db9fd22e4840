import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { describe, it } from 'vitest'
import type { ForwardOptions } from '../../src/config/forward-options.ts'
import {
  parseProxyHeader,
  serializeOwnHeader,
  serializeProxyHeader,
} from '../../src/forward/steps/proxy-protocol.ts'
import { machineAddresses } from '../../src/os/interfaces.ts'
import { type LocalForwarder, type LocalTarget, openForwarder, openTarget } from '../support/forwarders.ts'
import { receive, until } from '../support/relay-peers.ts'
import { someBytes } from '../support/some-bytes.ts'

interface Place {
  readonly forwarder: LocalForwarder
  readonly target: LocalTarget
  connect(): Promise<net.Socket>
  /** A client from another address of loopback, not connected yet. */
  stranger(): net.Socket
}

async function withPlace(
  options: Partial<ForwardOptions>,
  use: (place: Place) => Promise<void>,
): Promise<void> {
  const target = await openTarget()
  const forwarder = await openForwarder(target.port, options)
  const clients: net.Socket[] = []
  const open = (localAddress: string) => {
    const to = { host: '127.0.0.1', port: forwarder.port, localAddress }
    const client = net.connect({ ...to, allowHalfOpen: true, noDelay: true })
    clients.push(client.on('error', () => {}))
    return client
  }
  const connect = async () => {
    const client = open('127.0.0.1')
    await once(client, 'connect')
    return client
  }
  try {
    await use({ forwarder, target, connect, stranger: () => open('127.0.0.2') })
  } finally {
    for (const client of clients) client.destroy()
    await forwarder.close()
    await target.close()
  }
}

const trusting = { acceptProxy: ['127.0.0.1/32'] }
const source = { address: '10.1.2.3', port: 5555 }
const destination = { address: '10.9.9.9', port: 443 }

describe('PROXY header from the client', () => {
  for (const version of ['v1', 'v2'] as const) {
    const header = serializeProxyHeader(version, source, destination)

    it(`${version}: keeps every byte after it, wherever the header is split`, () =>
      withPlace(trusting, async ({ connect, target }) => {
        for (let split = 1; split <= header.length; split++) {
          const client = await connect()
          client.write(header.subarray(0, split))
          const rest = Buffer.concat([header.subarray(split), Buffer.from(`after ${split}`)])
          // The first part has left this process, so the two arrive apart most of the time; together is right as well.
          await new Promise((resolve) => setImmediate(resolve))
          client.end(rest)
          const received = await receive(await target.next())
          assert.deepEqual([received.end, received.bytes.toString()], ['FIN', `after ${split}`])
        }
      }))

    it(`${version}: carries millions of bytes that come right behind it, and as many back`, () =>
      withPlace(trusting, async ({ connect, target }) => {
        const up = someBytes(8_000_000)
        const down = someBytes(8_000_000)
        const client = await connect()
        client.end(Buffer.concat([header, up]))
        const socket = await target.next()
        socket.end(down)
        const [atTarget, atClient] = await Promise.all([receive(socket), receive(client)])
        assert.deepEqual([atTarget.bytes.equals(up), atTarget.end], [true, 'FIN'])
        assert.deepEqual([atClient.bytes.equals(down), atClient.end], [true, 'FIN'])
      }))

    it(`${version}: passes on the FIN of a client that has finished before its target was dialled`, () =>
      withPlace(trusting, async ({ connect, target }) => {
        const client = await connect()
        client.end(header)
        const socket = await target.next()
        assert.deepEqual(await receive(socket), { end: 'FIN', bytes: Buffer.alloc(0) })
        socket.end('answer')
        assert.equal((await receive(client)).bytes.toString(), 'answer')
      }))

    it(`${version}: the target may speak first`, () =>
      withPlace(trusting, async ({ connect, target }) => {
        const client = await connect()
        client.write(header)
        const socket = await target.next()
        socket.end('220 ready')
        assert.equal((await receive(client)).bytes.toString(), '220 ready')
      }))
  }

  it('takes the connection’s own addresses for LOCAL, UNKNOWN and what has no IP address', () =>
    withPlace({ ...trusting, sendProxy: 'v1' }, async ({ connect, target }) => {
      const unix = Buffer.from(`0d0a0d0a000d0a515549540a213100d8${'00'.repeat(216)}`, 'hex')
      for (const header of [serializeOwnHeader('v1'), serializeOwnHeader('v2'), unix]) {
        const client = await connect()
        client.end(header)
        const { bytes } = await receive(await target.next())
        const parsed = parseProxyHeader(bytes)
        assert.ok(parsed.kind === 'header' && parsed.header.kind === 'addresses')
        assert.deepEqual(parsed.header.source, { address: '127.0.0.1', port: client.localPort })
      }
    }))

  it('hands the addresses of the header on to the target', () =>
    withPlace({ ...trusting, sendProxy: 'v2' }, async ({ connect, target }) => {
      const client = await connect()
      client.end(Buffer.concat([serializeProxyHeader('v1', source, destination), Buffer.from('hello')]))
      const { bytes } = await receive(await target.next())
      const parsed = parseProxyHeader(bytes)
      assert.ok(parsed.kind === 'header')
      assert.deepEqual(parsed.header, { kind: 'addresses', source, destination })
      assert.equal(bytes.subarray(parsed.length).toString(), 'hello')
    }))

  it('judges the source that the header names, not the proxy', () =>
    withPlace({ ...trusting, allow: ['10.1.0.0/16'] }, async ({ connect, target, forwarder }) => {
      const stranger = await connect()
      stranger.write(serializeProxyHeader('v2', { address: '203.0.113.9', port: 1 }, destination))
      assert.equal((await receive(stranger)).end, 'ECONNRESET')
      const refusal = await forwarder.event('refused')
      assert.deepEqual([refusal.source, refusal.reason], ['203.0.113.9', 'admission'])
      const friend = await connect()
      friend.end(serializeProxyHeader('v2', source, destination))
      assert.equal((await receive(await target.next())).end, 'FIN')
      const { refused, ended } = forwarder.forwarder.health().connections
      assert.equal(refused.admission, 1)
      assert.equal(ended.PR, 1)
    }))

  it('takes no claim for this machine: only --allow judges what a header says', () =>
    withPlace({ ...trusting, allow: ['192.168.0.0/16'] }, async ({ connect, target, forwarder }) => {
      const own = machineAddresses().map(({ address }) => address.split('%')[0] ?? '')
      for (const address of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', '8.8.8.8', ...own]) {
        const claimant = await connect()
        claimant.write(serializeProxyHeader('v2', { address, port: 1 }, destination))
        assert.equal((await receive(claimant)).end, 'ECONNRESET', address)
      }
      assert.equal(forwarder.forwarder.health().connections.refused.admission, 5 + own.length)
      const friend = await connect()
      friend.end(serializeProxyHeader('v2', { address: '192.168.1.1', port: 1 }, destination))
      assert.equal((await receive(await target.next())).end, 'FIN')
    }))

  it('counts who is not named, and the proxy’s own check, against the limits of the connection itself', () =>
    withPlace({ ...trusting, maxConnectionsPerSource: 1 }, async ({ connect, target, forwarder }) => {
      const unknown = [
        Buffer.from('PROXY UNKNOWN\r\n'),
        Buffer.from('PROXY UNKNOWN 8.8.8.8\r\n'),
        serializeOwnHeader('v2'),
      ]
      const first = await connect()
      first.write('PROXY UNKNOWN\r\n')
      await target.next()
      for (const header of unknown) {
        const further = await connect()
        further.write(header)
        assert.equal((await receive(further)).end, 'ECONNRESET')
      }
      assert.equal(forwarder.forwarder.health().connections.refused['max-connections-per-source'], 3)
      first.destroy()
    }))

  it('refuses every source that is not named, with a header and without', () =>
    withPlace(trusting, async ({ stranger, forwarder }) => {
      for (const sent of [
        serializeProxyHeader('v1', source, destination),
        Buffer.from('GET / HTTP/1.1\r\n'),
      ]) {
        // The reset may come before the client knows that it is connected.
        const client = stranger()
        client.write(sent)
        assert.equal((await receive(client)).end, 'ECONNRESET')
      }
      assert.equal(forwarder.forwarder.health().connections.refused['not-a-proxy'], 2)
    }))

  it('takes a header for data where none is expected', () =>
    withPlace({}, async ({ connect, target, forwarder }) => {
      const header = serializeProxyHeader('v1', { address: '203.0.113.9', port: 1 }, destination)
      const client = await connect()
      client.end(header)
      assert.deepEqual((await receive(await target.next())).bytes, header)
      await until(() => forwarder.forwarder.health().bytes.fromClients === header.length)
    }))
})

describe('PROXY header to the target', () => {
  for (const version of ['v1', 'v2'] as const) {
    it(`${version}: comes before the first byte, also to a target that speaks first`, () =>
      withPlace({ sendProxy: version }, async ({ connect, target, forwarder }) => {
        const client = await connect()
        const socket = await target.next()
        socket.write('220 ready')
        assert.equal(String((await once(client, 'data'))[0]), '220 ready')
        client.end('hello')
        const { bytes } = await receive(socket)
        const parsed = parseProxyHeader(bytes)
        assert.ok(parsed.kind === 'header')
        assert.deepEqual(parsed.header, {
          kind: 'addresses',
          source: { address: '127.0.0.1', port: client.localPort },
          destination: { address: '127.0.0.1', port: forwarder.port },
        })
        assert.equal(bytes.subarray(parsed.length).toString(), 'hello')
      }))
  }
})
