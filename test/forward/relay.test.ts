import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, it } from 'vitest'
import { COMMON_SIZE, type Side } from '../../src/forward/relay/direction.ts'
import { LARGE_BYTES } from '../../src/forward/relay/fast-streams.ts'
import { libuv } from '../../src/forward/relay/libuv.ts'
import {
  type Bench,
  openBench,
  type Relayed,
  receive,
  until,
  type Way,
  ways,
} from '../support/relay-peers.ts'
import { someBytes } from '../support/some-bytes.ts'

const options = { timeout: 120_000 }

async function withBench(way: Way, use: (bench: Bench) => Promise<void>): Promise<void> {
  const bench = await openBench(way)
  try {
    await use(bench)
  } finally {
    await bench.close()
  }
}

/** Connections that only stand in the kernel's table: each with two lines. */
async function openCrowd(connections: number): Promise<{ leave(): Promise<void> }> {
  const server = createServer().listen(0, '127.0.0.1', 4096)
  await once(server, 'listening')
  const sockets: Socket[] = []
  server.on('connection', (socket) => sockets.push(socket))
  const { port } = server.address() as AddressInfo
  while (sockets.length < 2 * connections) {
    const socket = connect({ port, host: '127.0.0.1' })
    sockets.push(socket)
    await Promise.all([once(socket, 'connect'), once(server, 'connection')])
  }
  return {
    async leave() {
      for (const socket of sockets) socket.resetAndDestroy()
      await promisify(server.close.bind(server))()
    },
  }
}

/**
 * Writes pieces that the relay reads whole, until the other end's kernel takes no more or `most` bytes are written. How much a
 * kernel takes is different everywhere.
 * @returns what was written; all of it has been read by the relay.
 */
async function writeUntilStalled(relayed: Relayed, from: Side, most: number): Promise<Buffer> {
  const { relay } = relayed
  const pieces: Buffer[] = []
  let sent = 0
  while (relay.bufferedBytes === 0 && sent < most) {
    const piece = someBytes(COMMON_SIZE - 1)
    pieces.push(piece)
    sent += piece.length
    relayed[from].write(piece)
    await until(() => relay.bytesFromClient + relay.bytesFromTarget + relay.bufferedBytes === sent)
  }
  return Buffer.concat(pieces)
}

it('knows the inside of this Node', () => {
  assert.notEqual(libuv, undefined)
})

for (const way of Object.keys(ways) as Way[]) {
  describe(`relay, ${way}`, options, () => {
    it('passes a FIN of the client on, and the long answer that comes after it back', () =>
      withBench(way, async ({ connect, totals }) => {
        const { client, target, ended } = await connect()
        const request = someBytes(300_000)
        const answer = someBytes(20_000_000)
        client.end(request)
        assert.deepEqual(await receive(target), { end: 'FIN', bytes: request })
        target.end(answer)
        const received = await receive(client)
        assert.equal(received.end, 'FIN')
        assert.ok(received.bytes.equals(answer))
        assert.deepEqual(await ended, {
          cause: 'finished',
          side: 'client',
          error: undefined,
          bytesFromClient: request.length,
          bytesFromTarget: answer.length,
        })
        assert.deepEqual(totals, { bytesFromClient: request.length, bytesFromTarget: answer.length })
      }))

    it('passes a FIN of the target on, and what the client still sends after it', () =>
      withBench(way, async ({ connect }) => {
        const { client, target, ended } = await connect()
        const greeting = someBytes(300_000)
        const upload = someBytes(20_000_000)
        target.end(greeting)
        assert.deepEqual(await receive(client), { end: 'FIN', bytes: greeting })
        client.end(upload)
        const received = await receive(target)
        assert.equal(received.end, 'FIN')
        assert.ok(received.bytes.equals(upload))
        const { cause, side } = await ended
        assert.deepEqual({ cause, side }, { cause: 'finished', side: 'target' })
      }))

    it('sends the FIN only after everything, to a client that is slow to read', () =>
      withBench(way, async ({ connect }) => {
        const { client, target, relay, ended } = await connect()
        const answer = someBytes(30_000_000)
        target.end(answer)
        await until(() => relay.bufferedBytes > 0)
        client.end()
        const received = await receive(client)
        assert.equal(received.end, 'FIN')
        assert.ok(received.bytes.equals(answer))
        target.resume()
        assert.equal((await ended).cause, 'finished')
      }))

    for (const from of ['client', 'target'] as const) {
      const to = from === 'client' ? 'target' : 'client'

      it(`passes a reset of the ${from} on as a reset`, () =>
        withBench(way, async ({ connect }) => {
          const relayed = await connect()
          relayed[from].write('x')
          await once(relayed[to].resume(), 'data')
          const received = receive(relayed[to])
          relayed[from].resetAndDestroy()
          assert.equal((await received).end, 'ECONNRESET')
          const { cause, side, error } = await relayed.ended
          assert.deepEqual(
            { cause, side, code: error?.code },
            { cause: 'reset', side: from, code: 'ECONNRESET' },
          )
        }))

      it(`delivers what it has read before the reset of the ${from}, to a ${to} that starts to read later`, () =>
        withBench(way, async ({ connect }) => {
          const relayed = await connect()
          const { relay } = relayed
          const bytes = await writeUntilStalled(relayed, from, 1_500_000)
          relayed[from].resetAndDestroy()
          // Only one who waits for the acknowledgement is still open when the other end is closed already.
          await until(() => relayed.ends[from].closed || relay.bufferedBytes > 0)
          const received = await receive(relayed[to])
          assert.equal(received.end, 'ECONNRESET')
          assert.equal(received.bytes.length, bytes.length)
          assert.ok(received.bytes.equals(bytes))
          const { cause, side, bytesFromClient, bytesFromTarget } = await relayed.ended
          assert.deepEqual({ cause, side }, { cause: 'reset', side: from })
          assert.equal(bytesFromClient + bytesFromTarget, bytes.length)
        }))

      it(`delivers all of it as well beside thousands of other sockets, whose table takes many slices to read, after a reset of the ${from}`, async () => {
        const crowd = await openCrowd(3_000)
        try {
          await withBench(way, async ({ connect }) => {
            const relayed = await connect()
            const bytes = await writeUntilStalled(relayed, from, 1_500_000)
            relayed[from].resetAndDestroy()
            await until(() => relayed.ends[from].closed || relayed.relay.bufferedBytes > 0)
            const received = await receive(relayed[to])
            assert.equal(received.end, 'ECONNRESET')
            assert.ok(received.bytes.equals(bytes))
            assert.equal((await relayed.ended).cause, 'reset')
          })
        } finally {
          await crowd.leave()
        }
      })

      it(`shows a reset of the ${from} that came while it was not being read as a reset, not as a FIN`, () =>
        withBench(way, async ({ connect }) => {
          const relayed = await connect()
          const { relay } = relayed
          const block = someBytes(1_000_000)
          while (relayed[from].write(block) || relay.bufferedBytes === 0) {
            await new Promise((resolve) => setImmediate(resolve))
          }
          relayed[from].resetAndDestroy()
          await once(relayed[from], 'close')
          const received = await receive(relayed[to])
          assert.equal(received.end, 'ECONNRESET')
          const { cause, side, bytesFromClient, bytesFromTarget } = await relayed.ended
          assert.deepEqual({ cause, side }, { cause: 'reset', side: from })
          assert.equal(bytesFromClient + bytesFromTarget, received.bytes.length)
        }))

      it(`delivers the few bytes that came between a stall and the reset of the ${from}`, () =>
        withBench(way, async ({ connect }) => {
          const relayed = await connect()
          const { length: sent } = await writeUntilStalled(relayed, from, Number.POSITIVE_INFINITY)
          relayed[from].write('few')
          await until(() => relayed[from].writableLength === 0)
          // The one of Node's has read them into the socket's own buffer, the other one leaves them in the kernel.
          await until(() => way !== 'stream' || relayed.ends[from].buffered === 3)
          relayed[from].resetAndDestroy()
          await once(relayed[from], 'close')
          const received = await receive(relayed[to])
          assert.equal(received.end, 'ECONNRESET')
          assert.equal(received.bytes.subarray(sent).toString(), 'few')
          assert.equal((await relayed.ended).cause, 'reset')
        }))

      it(`does not take a complete stream away again when its ${from} is found gone later`, () =>
        withBench(way, async ({ connect }) => {
          const relayed = await connect()
          // Every kernel takes so much for a reader that does not read.
          const answer = someBytes(40_000)
          relayed[from].end(answer)
          await until(() => relayed.ends[to].finished)
          relayed[from].resetAndDestroy()
          relayed[to].write('this makes the reset come back')
          relayed[to].write('and this makes it known')
          await until(() => relayed.ends[from].closed)
          // An error would reject this. `receive` would take an end for a reset by now: the peer is gone.
          const ended = once(relayed[to], 'end')
          const chunks: Buffer[] = []
          relayed[to].on('data', (chunk: Buffer) => chunks.push(chunk)).resume()
          await ended
          assert.ok(Buffer.concat(chunks).equals(answer))
          relayed[to].on('error', () => {}).end()
          assert.equal((await relayed.ended).cause, 'reset')
        }))
    }

    it('ends a stream without end whose reader sent its FIN first and then went away', () =>
      withBench(way, async ({ connect }) => {
        const { client, target, ends, ended } = await connect()
        const piece = Buffer.alloc(64 * 1024)
        const fill = () => {
          while (target.writable && target.write(piece)) {}
        }
        target.on('drain', fill).on('error', () => {})
        fill()
        client.resume().end('enough')
        await until(() => ends.target.finished && client.bytesRead > 10_000_000)
        client.resetAndDestroy()
        assert.deepEqual([(await ended).cause, (await ended).side], ['reset', 'client'])
        await until(() => target.destroyed)
      }))

    it('is over when its target resets too, while it is still owed what the client sent before a reset', () =>
      withBench(way, async ({ connect }) => {
        const { client, target, ends, ended } = await connect()
        // The client is not read from while the target stalls: the write to it tells of its reset.
        client.write(someBytes(30_000_000))
        target.write(someBytes(30_000_000))
        await until(() => ends.client.unsent > 0 && ends.target.unsent > 0)
        client.resetAndDestroy()
        await until(() => ends.client.destroyed)
        target.resetAndDestroy()
        assert.deepEqual([(await ended).cause, (await ended).side], ['reset', 'client'])
      }))

    it('does not read ahead of a client that does not read', () =>
      withBench(way, async ({ connect }) => {
        const { client, target, relay, ended } = await connect()
        const block = Buffer.alloc(1 << 20)
        while (target.write(block) || relay.bufferedBytes === 0)
          await new Promise((resolve) => setImmediate(resolve))
        // Both ways; a socket of Node's holds a chunk of its own.
        assert.ok(relay.bufferedBytes <= 2 * (LARGE_BYTES + COMMON_SIZE), `${relay.bufferedBytes} bytes`)
        assert.ok(target.bytesWritten > relay.bytesFromTarget)
        client.resume()
        target.end()
        await once(client, 'end')
        client.end()
        target.resume()
        assert.equal((await ended).bytesFromTarget, target.bytesWritten)
      }))

    it('reaps a half-closed pair that fell silent, but no silent pair that is open both ways', () =>
      withBench(way, async ({ connect }) => {
        const open = await connect({ halfCloseTimeoutMs: 40 })
        const halfClosed = await connect({ halfCloseTimeoutMs: 40 })
        halfClosed.client.end('question')
        const [toClient, toTarget] = await Promise.all([
          receive(halfClosed.client),
          receive(halfClosed.target),
        ])
        assert.deepEqual(
          [toTarget.bytes.toString(), toTarget.end, toClient.end],
          ['question', 'FIN', 'ECONNRESET'],
        )
        const { cause, side } = await halfClosed.ended
        assert.deepEqual({ cause, side }, { cause: 'half-close-timeout', side: 'target' })
        halfClosed.target.destroy()

        open.client.end('still there')
        assert.equal((await receive(open.target)).bytes.toString(), 'still there')
        open.target.end()
        await receive(open.client)
        assert.equal((await open.ended).cause, 'finished')
      }))

    it('lets a half-closed pair live for as long as bytes come', () =>
      withBench(way, async ({ connect }) => {
        const { client, target, ended } = await connect({ halfCloseTimeoutMs: 100 })
        client.end()
        await receive(target)
        let left = 20
        const dripping = setInterval(() => {
          left -= 1
          if (left > 0) target.write('.')
          else clearInterval(dripping)
          if (left === 0) target.end()
        }, 15)
        assert.deepEqual(await receive(client), { end: 'FIN', bytes: Buffer.from('.'.repeat(19)) })
        assert.equal((await ended).cause, 'finished')
      }))

    it('resets both sides of a pair that was idle for too long', () =>
      withBench(way, async ({ connect }) => {
        const { client, target, ended } = await connect({ idleTimeoutMs: 40 })
        client.write('x')
        const ends = await Promise.all([receive(client), receive(target)])
        assert.deepEqual(
          ends.map(({ end }) => end),
          ['ECONNRESET', 'ECONNRESET'],
        )
        assert.equal((await ended).cause, 'idle-timeout')
      }))

    it('stops with a reset, also in the middle of a stalled stream and while a FIN is on its way', () =>
      withBench(way, async ({ connect }) => {
        const stalled = await connect()
        while (stalled.target.write(Buffer.alloc(1 << 20)) || stalled.relay.bufferedBytes === 0) {
          await new Promise((resolve) => setImmediate(resolve))
        }
        stalled.relay.stop()
        stalled.relay.stop()
        const ends = await Promise.all([receive(stalled.client), receive(stalled.target)])
        assert.deepEqual(
          ends.map(({ end }) => end),
          ['ECONNRESET', 'ECONNRESET'],
        )
        assert.equal((await stalled.ended).cause, 'stopped')

        const closing = await connect()
        closing.client.end()
        await until(() => closing.ends.client.readEnded)
        closing.relay.stop()
        await Promise.all([receive(closing.client), receive(closing.target)])
        closing.target.destroy()
        const { cause, side } = await closing.ended
        assert.deepEqual({ cause, side }, { cause: 'stopped', side: undefined })
      }))

    it('ends when somebody else destroys one of its sockets', () =>
      withBench(way, async ({ connect }) => {
        const { client, target, ends, ended } = await connect()
        ends.client.destroy()
        assert.equal((await receive(target)).end, 'ECONNRESET')
        client.destroy()
        assert.equal((await ended).cause, 'stopped')
      }))

    it('relays to a Unix socket', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'relay-'))
      const bench = await openBench(way, { targetPath: join(folder, 'target') })
      const { client, target, ended } = await bench.connect()
      const answer = someBytes(3_000_000)
      client.end('question')
      assert.deepEqual(await receive(target), { end: 'FIN', bytes: Buffer.from('question') })
      target.end(answer)
      const received = await receive(client)
      assert.ok(received.bytes.equals(answer))
      assert.equal((await ended).cause, 'finished')
      await bench.close()
      await rm(folder, { recursive: true })
    })

    it('leaves no descriptor and no connection behind, however a pair ended', () =>
      withBench(way, async (bench) => {
        const finish: ((client: Socket, target: Socket) => void)[] = [
          (client, target) => {
            client.end('x')
            target.end('y')
          },
          (client, target) => {
            client.resetAndDestroy()
            target.destroy()
          },
          (client, target) => {
            target.resetAndDestroy()
            client.end('z'.repeat(70_000))
          },
          (client, target) => {
            client.destroy()
            target.resetAndDestroy()
          },
        ]
        const descriptors = () => readdirSync('/proc/self/fd').length
        const before = descriptors()
        const one = async (index: number) => {
          const { client, target, ended } = await bench.connect()
          for (const peer of [client, target]) peer.on('error', () => {}).resume()
          finish[index % finish.length]?.(client, target)
          await ended
          for (const peer of [client, target]) if (!peer.closed) await once(peer.destroy(), 'close')
        }
        for (let batch = 0; batch < 40; batch += 1) {
          await Promise.all(Array.from({ length: 50 }, (_, index) => one(index)))
        }
        await until(() => descriptors() <= before)
        const connections = await new Promise((resolve) =>
          bench.server.getConnections((_, count) => resolve(count)),
        )
        assert.equal(connections, 0)
      }))
  })
}
