import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { connected, openTarget, roundTrip, temporaryFolder } from '../support/forward.ts'
import { until } from '../support/tools.ts'
import { healthOnce, startWithWorkers } from '../support/workers.ts'

describe('The path of a Unix socket that is listened on', { timeout: 60_000 }, () => {
  it('is there again after it was removed, for every process of the forward', async () => {
    const target = await openTarget()
    const folder = temporaryFolder()
    const path = join(folder.path, 'in')
    const forward = await startWithWorkers(`127.0.0.1 ${target.port}`, 2, ['--listen-unix', path])
    const before = await forward.health()
    rmSync(path)
    await until('it is there', async () => (existsSync(path) ? true : undefined))
    const client = await connected({ path })
    await roundTrip(client)
    client.destroy()
    await forward.lines.find((line) => line.includes(`Listening on unix:${path},`))
    // A worker of before still listens on the socket of before.
    const old = before.workers?.processes[1]?.number
    await healthOnce(forward, 'the worker is replaced', ({ workers }) => {
      const serving = workers?.processes.filter(({ state }) => state === 'serving') ?? []
      return serving.length === 2 && !serving.some(({ number }) => number === old)
    })
    await forward.close()
    await target.close()
    folder.remove()
  })

  it('is left to another process that has it, and that is told', async () => {
    const target = await openTarget()
    const folder = temporaryFolder()
    const path = join(folder.path, 'in')
    const forward = await startWithWorkers(`127.0.0.1 ${target.port}`, 2, ['--listen-unix', path])
    rmSync(path)
    const other = createServer((socket) => socket.on('error', () => {}).end('other')).listen(path)
    await once(other, 'listening')
    await forward.lines.find((line) => /Cannot listen on .*somebody listens there already/.test(line))
    const client = await connected({ path })
    const [answer] = await once(client, 'data')
    assert.equal(String(answer), 'other')
    client.destroy()
    other.close()
    await until('it is back', async () => {
      const { listen } = await forward.health()
      return listen.paths.includes(path) ? true : undefined
    })
    await forward.close()
    await target.close()
    folder.remove()
  })
})
