import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import { describe, it } from 'vitest'
import { endOrphans } from '../../src/forward/workers/worker-record.ts'
import { identityOf, type ProcessIdentity } from '../../src/process/identity.ts'
import { portHolders } from '../../src/process/port-holder.ts'
import { temporaryFolder } from '../support/forward.ts'
import { freePort } from '../support/tools.ts'

/** A process that listens and, as one that hangs, never notices anything. */
async function hungListener(port: number, host: string): Promise<ChildProcess> {
  const code = `require('net').createServer().listen(${port}, '${host}', () => { console.log('listening'); for (;;); })`
  const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout as NodeJS.ReadableStream, 'data')
  return child
}

function proven(pid: number | undefined): ProcessIdentity {
  const identity = identityOf(pid ?? 0)
  assert.ok(identity !== undefined)
  return identity
}

describe('A worker that hangs when its forwarder is killed', () => {
  it('is ended although the target listens on loopback, on the same port', async (t) => {
    const port = await freePort()
    const folder = temporaryFolder()
    const target = createServer().listen(port, '127.0.0.1')
    await once(target, 'listening')
    const ended = spawn(process.execPath, ['-e', '0'])
    const forwarder = proven(ended.pid)
    await once(ended, 'exit')
    const hung = await hungListener(port, '127.0.0.2')
    t.onTestFinished(() => {
      void hung.kill('SIGKILL')
    })
    const exited = once(hung, 'exit')
    assert.deepEqual([...portHolders(port).pids].sort(), [process.pid, hung.pid].sort())

    const file = path.join(folder.path, 'workers.json')
    writeFileSync(file, JSON.stringify({ forwarder, workers: [proven(hung.pid)] }))
    await endOrphans(file, port)
    const [, signal] = await exited
    assert.equal(signal, 'SIGKILL')
    assert.deepEqual([...portHolders(port).pids], [process.pid])
    target.close()
    folder.remove()
  })
})
