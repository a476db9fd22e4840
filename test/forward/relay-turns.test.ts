import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { describe, it } from 'vitest'
import { COMMON_SIZE } from '../../src/forward/relay/direction.ts'
import { LARGE_BYTES, TURN_BYTES } from '../../src/forward/relay/fast-streams.ts'

import { type Way, ways } from '../support/relay-peers.ts'
import { openRelayProcess } from '../support/relay-processes.ts'
import { freePort } from '../support/tools.ts'

const MIB = 2 ** 20

/** socat, which is as fast as the machine. */
function socat(words: readonly string[]): ChildProcess {
  return spawn('socat', ['-d', '-d', '-b', `${MIB}`, '-u', ...words], { stdio: ['ignore', 'ignore', 'pipe'] })
}

/** By its own words. */
async function listening(process: ChildProcess): Promise<void> {
  for await (const line of createInterface({ input: process.stderr as Readable })) {
    if (line.includes('listening on')) return
  }
}

async function end(process: ChildProcess): Promise<void> {
  // The source ends by itself when its stream does.
  if (process.exitCode !== null || process.signalCode !== null) return
  const exited = once(process, 'exit')
  process.kill('SIGKILL')
  await exited
}

describe('the turns of a relay', { timeout: 180_000 }, () => {
  for (const way of Object.keys(ways) as Way[]) {
    it(`go on while a stream comes as fast as the machine can, ${way}`, async () => {
      const port = await freePort()
      const source = socat(['OPEN:/dev/zero', `TCP-LISTEN:${port},bind=127.0.0.1,reuseaddr`])
      const relay = await openRelayProcess(way, port)
      try {
        await listening(source)
        const sink = socat([`TCP:127.0.0.1:${relay.port}`, 'OPEN:/dev/null,wronly'])
        try {
          let state = await relay.state()
          while (state.bytesFromTarget < 256 * MIB) {
            await new Promise((resolve) => setTimeout(resolve, 20))
            assert.equal(sink.exitCode, null, 'the sink ended')
            state = await relay.state()
          }
          // What the kernel has taken of an older write, and the common and a large buffer. libuv alone would read on.
          const most = 2 * (LARGE_BYTES + COMMON_SIZE)
          assert.ok(state.mostBytesInATurn <= most, `${state.mostBytesInATurn / MIB} MiB in one turn`)
        } finally {
          await end(sink)
        }
      } finally {
        await end(source)
        await relay.close()
      }
    })
  }

  it('are short beside eight fast streams, so that who sends little waits for little', async () => {
    const port = await freePort()
    const source = socat(['OPEN:/dev/zero', `TCP-LISTEN:${port},bind=127.0.0.1,reuseaddr,fork,backlog=16`])
    const relay = await openRelayProcess('bare', port)
    const sinks: ChildProcess[] = []
    try {
      await listening(source)
      for (let index = 0; index < 8; index += 1) {
        sinks.push(socat([`TCP:127.0.0.1:${relay.port}`, 'OPEN:/dev/null,wronly']))
      }
      const nineOfTen: number[] = []
      let state = await relay.state()
      for (let seen = 0; nineOfTen.length < 7; ) {
        await new Promise((resolve) => setTimeout(resolve, 20))
        for (const { exitCode } of sinks) assert.equal(exitCode, null, 'a sink ended')
        state = await relay.state()
        if (state.bytesFromTarget - seen < 48 * MIB) continue
        seen = state.bytesFromTarget
        nineOfTen.push(state.bytesInNineOfTenTurns)
      }
      // One stream's share, one that went over it, and what the kernel takes of older writes.
      // Whatever else the machine does makes turns longer, never shorter.
      const undisturbed = Math.min(...nineOfTen)
      assert.ok(undisturbed <= 3 * TURN_BYTES, `${undisturbed / MIB} MiB in nine of ten turns`)
      const most = sinks.length * (2 * TURN_BYTES + COMMON_SIZE) + LARGE_BYTES
      assert.ok(state.mostBytesInATurn <= most, `${state.mostBytesInATurn / MIB} MiB in one turn`)
    } finally {
      for (const sink of sinks) await end(sink)
      await end(source)
      await relay.close()
    }
  })
})
