import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'vitest'
import { connected, openTarget, roundTrip, temporaryFolder } from '../support/forward.ts'
import { Resident } from '../support/resident.ts'
import { freePort, until } from '../support/tools.ts'
import { command, withWatched } from '../support/watched.ts'
import { healthOnce, startWithWorkers } from '../support/workers.ts'

describe('The path of a Unix socket that is listened on', () => {
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

  it('in a folder that does not exist is told as that, and taken when the folder is there', async () => {
    const target = await openTarget()
    const folder = temporaryFolder()
    const path = join(folder.path, 'later', 'in')
    const forward = await startWithWorkers(`127.0.0.1 ${target.port}`, 2, ['--listen-unix', path])
    await forward.lines.find((line) =>
      line.includes(`Cannot listen on unix:${path}: its folder does not exist`),
    )
    mkdirSync(join(folder.path, 'later'))
    await forward.lines.find((line) => line.includes(`Listening on unix:${path}`))
    const client = await connected({ path })
    await roundTrip(client)
    client.destroy()
    await forward.close()
    await target.close()
    folder.remove()
  })

  it('in a folder where this user may not write is told as that', (t) => {
    const somebody = ['setpriv', '--reuid=54322', '--regid=54322', '--clear-groups']
    const words = command('tcp-proxy', '1', 'localhost', '2', '--version')
    if (process.getuid?.() !== 0 || spawnSync('setpriv', [...somebody.slice(1), ...words]).status !== 0)
      return t.skip('it takes root, and a checkout that other users can read')
    return withWatched(async (watched) => {
      chownSync(watched.directory, 54_322, 54_322)
      const port = await freePort()
      const place = ['--listen-unix', '/in', '--state-dir', watched.directory]
      const argv = [...somebody, ...command('tcp-proxy', String(port), 'localhost', '2', ...place)]
      const forwarder = watched.adopt(new Resident(argv, {}))
      await forwarder.line(/Cannot listen on unix:\/in: this user may not create a socket in its folder/)
    })
  })
})
