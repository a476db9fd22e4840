import assert from 'node:assert/strict'
import fc from 'fast-check'
import { describe, it } from 'vitest'
import { play, type Script, scripts, totalOf } from '../support/exact-bytes.ts'
import { openBench, type Way, ways } from '../support/relay-peers.ts'

describe('the bytes of a relay', () => {
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
        assert.deepEqual(
          { cause, bytesFromClient, bytesFromTarget, bufferedBytes: relay.bufferedBytes },
          {
            cause: 'finished',
            bytesFromClient: totalOf(clientScript),
            bytesFromTarget: totalOf(targetScript),
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
        await fc.assert(property, { numRuns: 24, endOnFailure: true })
      } finally {
        await bench.close()
      }
    })
  }
})
