import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import fc from 'fast-check'
import { describe, it } from 'vitest'
import { exchange, scripts, totalOf } from '../support/exact-bytes.ts'
import { startTcpProxy } from '../support/forwarder-process.ts'
import { damaged } from '../support/wire-room.ts'

describe('random pauses, sizes and ends through tcp-proxy', () => {
  it('both ways at once: every byte arrives, by hash, and is counted', async () => {
    const target = net.createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true })
    target.listen(0, '127.0.0.1')
    await once(target, 'listening')
    const { port } = target.address() as net.AddressInfo
    const forwarder = await startTcpProxy(`127.0.0.1 ${port}`, ['--target-check', '0'])
    const to = { host: '127.0.0.1', port: forwarder.port }
    const total = { connections: 0, fromClients: 0, fromTarget: 0 }
    const severalPairs = fc.array(fc.tuple(scripts, scripts), { minLength: 1, maxLength: 6 })
    const property = fc.asyncProperty(severalPairs, async (pairs) => {
      assert.deepEqual(damaged(await exchange(to, target, pairs)), [])
      for (const [client, answer] of pairs) {
        total.connections++
        total.fromClients += totalOf(client)
        total.fromTarget += totalOf(answer)
      }
    })
    try {
      await fc.assert(property, { numRuns: 12, endOnFailure: true })
      const records = await forwarder.records.count(total.connections)
      assert.deepEqual(new Set(records.map(({ code }) => code)), new Set(['--']))
      const { bytes, connections } = await forwarder.health()
      assert.deepEqual(
        { connections: connections.total, ...bytes, open: connections.open },
        { ...total, open: 0 },
      )
    } finally {
      await forwarder.close()
      target.close()
    }
  })
})
