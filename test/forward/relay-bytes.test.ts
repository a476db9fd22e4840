import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { openBench, type Way, ways } from '../support/relay-peers.ts'

/** What one peer does: which pieces it sends, and when it rests. Turns are turns of the event loop. */
interface Script {
  pieces: { length: number; restTurns: number }[]
  /** It reads this many chunks, then rests for so many turns, and so on. */
  chunksBeforeRest: number
  readRestTurns: number
  /** It ends only once it has received the other's FIN. */
  endsAfterPeer: boolean
}

const lengths = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 5000 }) },
  // Around the sizes at which the relay changes buffers.
  { weight: 2, arbitrary: fc.constantFrom(65535, 65536, 65537, 131072, (1 << 20) + 65536) },
  { weight: 1, arbitrary: fc.integer({ min: 5000, max: 3_000_000 }) },
)

const scripts: fc.Arbitrary<Script> = fc.record({
  pieces: fc.array(fc.record({ length: lengths, restTurns: fc.nat(3) }), { maxLength: 12 }),
  chunksBeforeRest: fc.integer({ min: 1, max: 20 }),
  readRestTurns: fc.nat(30),
  endsAfterPeer: fc.boolean(),
})

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}

/** Plays a script, and returns the digests of what was sent and of what was received. */
async function play(
  socket: Socket,
  script: Script,
  seed: number,
): Promise<{ sent: string; received: string }> {
  const sent = createHash('sha256')
  const received = createHash('sha256')
  let chunksLeft = script.chunksBeforeRest
  const ended = once(socket, 'end')
  socket.on('data', (chunk: Buffer) => {
    received.update(chunk)
    chunksLeft -= 1
    if (chunksLeft > 0) return
    chunksLeft = script.chunksBeforeRest
    socket.pause()
    void turns(script.readRestTurns).then(() => socket.resume())
  })
  socket.resume()
  let value = seed
  for (const { length, restTurns } of script.pieces) {
    // Different bytes at every place, so that nothing can be swapped, lost or doubled unseen.
    const piece = Buffer.allocUnsafe(length)
    for (let at = 0; at < length; at += 4) {
      value = (Math.imul(value, 1664525) + 1013904223) | 0
      if (at + 4 <= length) piece.writeInt32LE(value, at)
      else piece.fill(value & 0xff, at)
    }
    sent.update(piece)
    if (!socket.write(piece)) await once(socket, 'drain')
    await turns(restTurns)
  }
  if (script.endsAfterPeer) await ended
  socket.end()
  await ended
  return { sent: sent.digest('hex'), received: received.digest('hex') }
}

describe('the bytes of a relay', { timeout: 120_000 }, () => {
  for (const way of Object.keys(ways) as Way[]) {
    it(`arrive unchanged and in order, whatever the pace, ${way}`, async () => {
      const bench = await openBench(way)
      const playPair = async (clientScript: Script, targetScript: Script, index: number) => {
        const { client, target, ended, relay } = await bench.connect()
        const bothWait = clientScript.endsAfterPeer && targetScript.endsAfterPeer
        const [atClient, atTarget] = await Promise.all([
          play(client, clientScript, 2 * index + 1),
          play(target, bothWait ? { ...targetScript, endsAfterPeer: false } : targetScript, 2 * index + 2),
        ])
        assert.equal(atTarget.received, atClient.sent)
        assert.equal(atClient.received, atTarget.sent)
        const { cause, bytesFromClient, bytesFromTarget } = await ended
        const total = (script: Script) => script.pieces.reduce((sum, { length }) => sum + length, 0)
        assert.deepEqual(
          { cause, bytesFromClient, bytesFromTarget, bufferedBytes: relay.bufferedBytes },
          {
            cause: 'finished',
            bytesFromClient: total(clientScript),
            bytesFromTarget: total(targetScript),
            bufferedBytes: 0,
          },
        )
      }
      const severalPairs = fc.array(fc.tuple(scripts, scripts), { minLength: 1, maxLength: 4 })
      const property = fc.asyncProperty(severalPairs, async (pairs) => {
        // Several at a time: they share buffers.
        await Promise.all(
          pairs.map(([clientScript, targetScript], index) => playPair(clientScript, targetScript, index)),
        )
      })
      try {
        await fc.assert(property, { numRuns: 40, endOnFailure: true })
      } finally {
        await bench.close()
      }
    })
  }
})
