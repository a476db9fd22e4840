import assert from 'node:assert/strict'
import { describe } from 'vitest'
import { connectControl } from '../../src/control/client.ts'
import type { ProcessIdentity } from '../../src/process/identity.ts'
import { LongStream, RestlessClients } from '../support/exact-clients.ts'
import { it } from '../support/fixtures.ts'
import { healthOf, healthWhen } from '../support/inherited.ts'
import { freePort } from '../support/tools.ts'
import { command, echoServer, type Watched } from '../support/watched.ts'

/** scripts/soak-kills asks for more. */
const handovers = Number(process.env.HANDOVERS ?? 16)

describe('A forwarder that is replaced while clients never stop connecting', () => {
  it(`refuses, resets and garbles nothing in ${handovers} replacements`, {
    timeout: handovers * 2500,
  }, async ({ watched }) => {
    const { echo, port, words, forward } = await startForward(watched)
    const clients = new RestlessClients(port, 4, 100_000, 3)
    try {
      const streams = [await LongStream.open(port), await LongStream.open(port)]
      const run = [...command('tcp-proxy', ...words), '--state-dir', watched.directory]
      let before = forward.pid
      for (let count = 0; count < handovers; count++) {
        const { pid } = await handOver(watched, port, run)
        assert.notEqual(pid, before)
        assert.equal(watched.pid(port), pid, 'the PID file names the one that took over')
        before = pid
        await clients.after(4)
        for (const stream of streams) await stream.exchange(10_000)
      }
      const { predecessors } = await healthOf(watched, port)
      assert.ok(
        predecessors.some(({ pid }) => pid === forward.pid),
        'the first one still serves its streams',
      )
      for (const stream of streams) await stream.close()
      await healthWhen(watched, port, (health) => health.predecessors.length === 0)
    } finally {
      await clients.stop()
      // Every replacement holds the output of the first one, whose end is awaited.
      forward.releaseOutput()
    }
    const { exact, ...others } = Object.fromEntries(clients.outcomes)
    assert.deepEqual(others, {})
    assert.ok((exact ?? 0) > 4 * handovers)
    assert.deepEqual(await watched.forwarders(), [watched.pid(port)])
    await echo.close()
  })

  it('goes on when its replacement cannot take over', async ({ watched }) => {
    const { echo, port, words, forward } = await startForward(watched)
    const clients = new RestlessClients(port, 2, 1000)
    try {
      const stillborn: readonly (readonly [RegExp, readonly string[], timeoutMs?: number])[] = [
        [/ended with exit code 64/, [...command('tcp-proxy', ...words), '--no-such-option']],
        [/could not be run/, ['/no/such/program']],
        [/was not ready within 1 s/, ['sh', '-c', 'exec sleep 60'], 1000],
        [/needs the replacement’s program/, []],
      ]
      for (const [why, run, timeoutMs] of stillborn) {
        await assert.rejects(handOver(watched, port, run, timeoutMs), why)
        assert.equal(watched.pid(port), forward.pid)
        await clients.after(4)
      }
    } finally {
      await clients.stop()
    }
    assert.deepEqual([...clients.outcomes.keys()], ['exact'])
    assert.equal(await forward.stop(), 0)
    await echo.close()
  })

  it('is replaced by SIGUSR2 with its own words, and ends with all before it by SIGTERM', async ({
    watched,
  }) => {
    const { echo, port, forward } = await startForward(watched, '--drain', '0')
    const stream = await LongStream.open(port)
    await stream.exchange(10)
    process.kill(forward.pid, 'SIGUSR2')
    const successor = await healthWhen(watched, port, ({ identity }) => identity.pid !== forward.pid)
    await stream.exchange(10)
    assert.deepEqual(
      successor.predecessors.map(({ pid }) => pid),
      [forward.pid],
    )
    assert.equal(successor.listen.addresses[0]?.origin, 'handover')
    process.kill(successor.identity.pid, 'SIGTERM')
    assert.equal(await forward.ended(), 0)
    await assert.rejects(stream.exchange(10))
    await echo.close()
  })
})

/** A forwarder before an echo, as soon as it has reached it. */
async function startForward(watched: Watched, ...options: string[]) {
  const echo = await echoServer()
  const port = await freePort()
  const words = [String(port), 'localhost', String(echo.port), ...options]
  const forward = watched.start('tcp-proxy', ...words)
  await forward.line(/Target .* answers/)
  return { echo, port, words, forward }
}

async function handOver(
  watched: Watched,
  port: number,
  run: readonly string[],
  timeoutMs = 10_000,
): Promise<ProcessIdentity> {
  const client = await connectControl(watched.file(`tcp_proxy_${port}.sock`))
  try {
    const answer = await client.request('hand-over', { run, timeoutMs }, timeoutMs + 5000)
    return (answer as { identity: ProcessIdentity }).identity
  } finally {
    client.close()
  }
}
