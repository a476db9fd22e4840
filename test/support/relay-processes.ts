import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import type { Way } from './relay-peers.ts'
import type { FromProcess } from './relay-process.ts'
import { compiled } from './tools.ts'

/** Starts a forwarder without policy in a process of its own. */
export async function openRelayProcess(way: Way, targetPort: number) {
  const script = compiled('test/support/relay-process.ts')
  const child = fork(script, [way, String(targetPort)])
  const answer = async () => ((await once(child, 'message')) as [FromProcess])[0]
  const listening = await answer()
  assert.ok(listening.kind === 'listening')

  async function state() {
    child.send('how are you')
    const message = await answer()
    assert.ok(message.kind === 'state')
    return message
  }
  async function close() {
    child.disconnect()
    await once(child, 'exit')
  }
  return { port: listening.port, state, close }
}
