import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'
import { describe, it } from 'vitest'
import { COMMON_SIZE } from '../../src/forward/relay/direction.ts'
import { LARGE_BYTES } from '../../src/forward/relay/fast-streams.ts'
import { type Way, ways } from '../support/relay-peers.ts'
import { openRelayProcess } from '../support/relay-processes.ts'

const BLOCK = randomBytes(1 << 20)
const BLOCKS = 256

/** Writes all blocks as fast as they are taken, and ends. */
function pour(socket: net.Socket): void {
  let left = BLOCKS
  const write = () => {
    while (left > 0) {
      left -= 1
      if (!socket.write(BLOCK)) return void socket.once('drain', write)
    }
    socket.end()
  }
  write()
}

describe('the memory of a relay', { timeout: 180_000 }, () => {
  for (const way of Object.keys(ways) as Way[]) {
    it(`stays flat with 256 MiB for a client that does not read, ${way}`, async () => {
      const targetServer = net.createServer({ allowHalfOpen: true }, (socket) => pour(socket.resume()))
      targetServer.listen(0, '127.0.0.1')
      await once(targetServer, 'listening')
      const relay = await openRelayProcess(way, (targetServer.address() as net.AddressInfo).port)
      try {
        const atRest = (await relay.state()).residentBytes

        const client = net.connect({ host: '127.0.0.1', port: relay.port })
        client.pause()
        let stalled = await relay.state()
        while (stalled.bufferedBytes === 0) stalled = await relay.state()
        assert.ok(
          stalled.bufferedBytes <= LARGE_BYTES + COMMON_SIZE,
          `${stalled.bufferedBytes} bytes buffered`,
        )
        const grown = (stalled.residentBytes - atRest) / 2 ** 20
        assert.ok(grown < 16, `grew by ${grown} MiB while stalled`)

        let received = 0
        for await (const chunk of client as AsyncIterable<Buffer>) {
          for (let at = 0; at < chunk.length; ) {
            const place = received % BLOCK.length
            const length = Math.min(BLOCK.length - place, chunk.length - at)
            const isSame = BLOCK.compare(chunk, at, at + length, place, place + length) === 0
            assert.ok(isSame, `other bytes than were sent, within ${length} after ${received}`)
            received += length
            at += length
          }
        }
        assert.equal(received, BLOCKS * BLOCK.length)
        const highest = ((await relay.state()).highestResidentBytes - atRest) / 2 ** 20
        // Chunks of Node's own wait for its collector.
        assert.ok(highest < (way === 'bare' ? 64 : 128), `grew by ${highest} MiB at the most`)
      } finally {
        await relay.close()
        targetServer.close()
      }
    })
  }
})
