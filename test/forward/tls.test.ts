import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync } from 'node:fs'
import net from 'node:net'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, it } from 'vitest'
import type { ForwardOptions } from '../../src/config/forward-options.ts'
import { carrierOf } from '../../src/forward/relay/libuv.ts'
import { readCertificate } from '../../src/web/tls-files.ts'
import { Authority, contents, type Pair } from '../support/certificates.ts'
import { type LocalForwarder, type LocalTarget, openForwarder, openTarget } from '../support/forwarders.ts'
import { receive, until } from '../support/relay-peers.ts'
import { someBytes } from '../support/some-bytes.ts'

let authority: Authority
let pair: Pair

beforeAll(async () => {
  authority = await Authority.create()
  pair = await authority.issueLocal()
})
afterAll(() => authority.remove())

interface Line {
  readonly client: net.Socket
  readonly target: net.Socket
  readonly forwarder: LocalForwarder
}

/** Which legs of a connection speak TLS. */
const legs = {
  'from the client': [true, false],
  'to the target': [false, true],
  'on both sides': [true, true],
} as const
type Legs = keyof typeof legs

async function withLine(which: Legs, use: (line: Line) => Promise<void>): Promise<void> {
  const [inside, outside] = legs[which]
  const target = await openTlsTarget(outside)
  const options: Partial<ForwardOptions> = outside ? { targetTls: true, targetTlsCa: authority.ca.cert } : {}
  const forwarder = await openForwarder(target.port, options, inside ? pair : undefined)
  try {
    const to = { host: '127.0.0.1', port: forwarder.port, allowHalfOpen: true }
    const ca = contents(authority.ca).cert
    const carrier = net.connect(to).on('error', () => {})
    const client = inside ? tls.connect({ socket: carrier, host: to.host, ca }) : carrier
    client.on('error', () => {})
    const [, socket] = await Promise.all([once(client, inside ? 'secureConnect' : 'connect'), target.next()])
    await use({ client, target: socket.pause(), forwarder })
    client.destroy()
  } finally {
    await forwarder.close()
    await target.close()
  }
}

function openTlsTarget(isTls: boolean, given: tls.TlsOptions = contents(pair)): Promise<LocalTarget> {
  if (!isTls) return openTarget()
  const server = tls.createServer({ ...given, allowHalfOpen: true } as tls.TlsOptions)
  return openTarget(server, 'secureConnection')
}

for (const which of Object.keys(legs) as Legs[]) {
  describe(`TLS ${which}`, () => {
    it('carries both ways at once, byte for byte, and ends each way by itself', () =>
      withLine(which, async ({ client, target }) => {
        const up = someBytes(20_000_000)
        const down = someBytes(30_000_000)
        const received = Promise.all([receive(client), receive(target)])
        client.end(up)
        target.end(down)
        const [atClient, atTarget] = await received
        assert.deepEqual([atClient.end, atTarget.end], ['FIN', 'FIN'])
        assert.ok(atClient.bytes.equals(down))
        assert.ok(atTarget.bytes.equals(up))
      }))

    it('brings a long answer back after the client has finished', () =>
      withLine(which, async ({ client, target }) => {
        const request = someBytes(300_000)
        const answer = someBytes(20_000_000)
        client.end(request)
        const question = await receive(target)
        assert.deepEqual([question.end, question.bytes.equals(request)], ['FIN', true])
        target.end(answer)
        const received = await receive(client)
        assert.deepEqual([received.end, received.bytes.equals(answer)], ['FIN', true])
      }))

    it('takes a long upload after the target has finished', () =>
      withLine(which, async ({ client, target, forwarder }) => {
        const greeting = someBytes(300_000)
        const upload = someBytes(20_000_000)
        target.end(greeting)
        const first = await receive(client)
        assert.deepEqual([first.end, first.bytes.equals(greeting)], ['FIN', true])
        client.end(upload)
        const received = await receive(target)
        assert.deepEqual([received.end, received.bytes.equals(upload)], ['FIN', true])
        await until(() => forwarder.forwarder.openConnections === 0)
        assert.deepEqual(forwarder.forwarder.health().connections.ended, { '--': 1 })
      }))

    it('finishes one way in the middle of a stream the other way', () =>
      withLine(which, async ({ client, target }) => {
        const upload = someBytes(20_000_000)
        client.write(upload.subarray(0, 10_000_000))
        const atTarget = receive(target)
        target.end('done with you')
        assert.equal((await receive(client)).bytes.toString(), 'done with you')
        client.end(upload.subarray(10_000_000))
        const received = await atTarget
        assert.deepEqual([received.end, received.bytes.equals(upload)], ['FIN', true])
      }))

    for (const from of ['client', 'target'] as const) {
      it(`passes a reset of the ${from} on as a reset`, () =>
        withLine(which, async (line) => {
          const other = from === 'client' ? line.target : line.client
          line[from].write('x')
          await once(other.resume(), 'data')
          const received = receive(other)
          resetPeer(line[from])
          assert.equal((await received).end, 'ECONNRESET')
          await until(() => line.forwarder.forwarder.openConnections === 0)
        }))
    }

    it('does not read ahead of a client that does not read', () =>
      withLine(which, async ({ client, target, forwarder }) => {
        client.pause()
        const block = Buffer.alloc(1 << 20)
        let blocks = 0
        for (let quiet = 0; quiet < 200; quiet++) {
          while (target.writableLength < 4 * block.length) {
            target.write(block)
            blocks++
            quiet = 0
          }
          await new Promise((resolve) => setImmediate(resolve))
        }
        // Kernel buffers hold some megabytes; whoever reads ahead would have taken everything, again and again.
        assert.ok(blocks < 64, `${blocks} MiB went somewhere`)
        target.end()
        const received = await receive(client)
        assert.deepEqual([received.end, received.bytes.length], ['FIN', blocks * block.length])
        assert.equal(forwarder.forwarder.openConnections, 1)
      }))
  })
}

/** Resets the connection under a TLS socket, or a plain one. */
function resetPeer(socket: net.Socket): void {
  ;(carrierOf(socket) ?? socket).resetAndDestroy()
}

describe('A private key', () => {
  it('that other users can read is refused with the cure', async () => {
    const { cert, key } = await authority.issueLocal()
    for (const mode of [0o604, 0o644, 0o666]) {
      chmodSync(key, mode)
      const reading = readCertificate({ cert, key, clientCa: undefined })
      await assert.rejects(reading, { exitCode: 78, message: /; chmod (600|go-w) / })
    }
    chmodSync(key, 0o600)
    await readCertificate({ cert, key, clientCa: undefined })
  })
})
