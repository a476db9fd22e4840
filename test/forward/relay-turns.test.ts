import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { describe, it } from 'node:test'
import { freePort } from '../support/forward.ts'
import { type Way, ways } from '../support/relay-peers.ts'
import { openRelayProcess } from '../support/relay-processes.ts'

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

describe('the turns of a relay', { timeout: 60_000 }, () => {
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
          while (state.bytesFromTarget < 3072 * MIB) {
            await new Promise((resolve) => setTimeout(resolve, 20))
            assert.equal(sink.exitCode, null, 'the sink ended')
            state = await relay.state()
          }
          // What the kernel has taken of an older write, and the common and a large buffer. libuv alone would read on.
          assert.ok(state.mostBytesInATurn < 8.5 * MIB, `${state.mostBytesInATurn / MIB} MiB in one turn`)
        } finally {
          await end(sink)
        }
      } finally {
        await end(source)
        await relay.close()
      }
    })
  }
})
