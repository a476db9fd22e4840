import assert from 'node:assert/strict'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, it } from 'vitest'
import { SharedLimits } from '../../src/forward/limits/shared-limits.ts'
import { WorkerPool } from '../../src/forward/workers/worker-pool.ts'
import { plainLog } from '../../src/log/index.ts'
import { openForward, openTarget, temporaryFolder } from '../support/forward.ts'
import { tcpProxy, until } from '../support/tools.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

describe('Questions to a worker', () => {
  it('leave nothing behind in the process that asks, however long the worker lives', async () => {
    const target = await openTarget()
    const folder = temporaryFolder()
    const own = await openForward(target, { workers: 2 })
    const { forwarder, port } = own
    const argv = process.argv
    // A worker runs the words of the process that starts it.
    const words = [String(port), target.host, String(target.port), '--workers', '2']
    process.argv = [process.execPath, tcpProxy, ...words, '--state-dir', folder.path]
    const pool = new WorkerPool({
      count: 1,
      instances: () => undefined,
      sockets: () => forwarder.sockets(),
      limits: new SharedLimits(forwarder.options, () => {}),
      event: () => {},
      log: plainLog(() => {}),
      retired: () => {},
      changed: () => {},
    })
    pool.start()
    process.argv = argv
    try {
      await until('the worker serves', async () => (pool.facts()[0]?.state === 'serving' ? true : undefined))
      const answers: WeakRef<object>[] = []
      // On a busy machine one may be answered too late to count.
      for (let count = 0; count < 200 && answers.length < 100; count++) {
        for (const answer of await pool.ask('connections', {})) answers.push(new WeakRef(answer as object))
      }
      assert.equal(answers.length, 100)
      // A WeakRef keeps what it was made of alive until the end of that turn.
      await new Promise((resolve) => setImmediate(resolve))
      collectGarbage()
      const held = answers.filter((answer) => answer.deref() !== undefined).length
      assert.ok(held <= 2, `${held} of 100 answers are still held`)
    } finally {
      pool.kill()
      own.close()
      await target.close()
      folder.remove()
    }
  })
})
