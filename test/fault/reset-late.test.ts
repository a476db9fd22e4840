import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { describe, it } from 'vitest'
import { openForward, openTarget } from '../support/forward.ts'

/** The kernel's table of sockets is read in a tenth of the time, in two looks at the most. */
const RESTS = 12

/** ms that one look into the table takes: long after tests that leave thousands of sockets in TIME_WAIT. */
function tableMs(): number {
  const looks = Array.from({ length: 3 }, () => {
    const before = performance.now()
    for (const table of ['tcp', 'tcp6']) readFileSync(`/proc/self/net/${table}`)
    return performance.now() - before
  })
  return Math.min(...looks)
}

describe('A reset after data', () => {
  for (const size of [1000, 300_000]) {
    it(`arrives within a few ms, and behind the data: ${size} bytes`, async () => {
      let whenGone = (_bytes: number, _at: number) => {}
      const read = (socket: Socket) => {
        let got = 0
        socket.on('data', (chunk: Buffer) => {
          got += chunk.length
        })
        // A libuv before 1.52 may take the reset for an end.
        const gone = () => whenGone(got, performance.now())
        socket.once('end', gone).once('error', gone)
      }
      const target = await openTarget(read)
      const forward = await openForward(target)
      const took: number[] = []
      for (let count = 0; count < 20; count++) {
        const client = await forward.connect()
        const gone = new Promise<{ bytes: number; at: number }>((resolve) => {
          whenGone = (bytes, at) => resolve({ bytes, at })
        })
        await new Promise<void>((resolve) => client.write(Buffer.alloc(size), () => resolve()))
        // What is still with the sender's kernel would be lost without a forwarder as well.
        while (forward.forwarder.connections()[0]?.bytesFromClient !== size)
          await new Promise((resolve) => setImmediate(resolve))
        const before = performance.now()
        client.resetAndDestroy()
        const { bytes, at } = await gone
        assert.equal(bytes, size)
        took.push(at - before)
        await forward.records.count(count + 1)
      }
      // The fastest: the others may have waited for a busy machine.
      const fastest = Math.min(...took)
      const most = 25 + RESTS * tableMs()
      assert.ok(fastest < most, `${fastest.toFixed(1)} ms at the least, more than ${most.toFixed(1)}`)
      forward.close()
      await target.close()
    })
  }
})
