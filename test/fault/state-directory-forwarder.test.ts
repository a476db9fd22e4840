// The files of a running forwarder are removed, renamed, or somebody else's from one moment to the next.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  unlinkSync,
} from 'node:fs'
import { connect, type Socket } from 'node:net'
import { describe, it } from 'vitest'
import { askControl } from '../../src/control/client.ts'
import { holdControlSocket } from '../../src/control/server.ts'
import type { ForwarderHealth } from '../../src/record/shapes/forwarder-health.ts'
import { healthWhen } from '../support/inherited.ts'
import { freePort, removeInUse, until } from '../support/tools.ts'
import { askThrough, echoServer, type Watched, withWatched } from '../support/watched.ts'
import { servingOf } from '../support/workers.ts'

const isLinux = process.platform === 'linux'

interface Scene {
  readonly watched: Watched
  readonly port: number
  readonly pid: number
  /** A connection from before: it must live through everything. */
  readonly stream: Socket
  readonly file: (ending: string) => string
}

/** A forwarder that its monitor would have started: stdout and stderr are its log. */
async function withForwarder(options: object, use: (scene: Scene) => Promise<void>): Promise<void> {
  await withWatched(async (watched) => {
    const [echo, port] = [await echoServer(), await freePort()]
    const forward = { name: 'web', listen: port, target: `localhost:${echo.port}`, ...options }
    await watched.monitor([forward])
    await watched.statusWhen('healthy', ({ exitCode }) => exitCode === 0)
    const stream = connect(port, '127.0.0.1')
    await once(stream, 'connect')
    const pid = watched.pid(port)
    try {
      await says(stream, 'before')
      await use({ watched, port, pid, stream, file: (ending) => watched.file(`tcp_proxy_${port}.${ending}`) })
      await says(stream, 'after')
    } finally {
      stream.destroy()
      await echo.close()
    }
  })
}

async function says(stream: Socket, text: string): Promise<void> {
  const [answer] = await Promise.all([
    once(stream, 'data'),
    new Promise((resolve) => stream.write(text, resolve)),
  ])
  assert.equal(String(answer), text)
}

function deletedFiles(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((descriptor) => {
    try {
      const target = readlinkSync(`/proc/${pid}/fd/${descriptor}`)
      return target.endsWith(' (deleted)') && target.startsWith('/tmp/') ? [target] : []
    } catch {
      return []
    }
  })
}

const there = (file: string) => until(file, async () => existsSync(file) || undefined)

function healthOf(file: string): Promise<ForwarderHealth> {
  return askControl(file, 'health') as Promise<ForwarderHealth>
}

/** The forwarder answers at its usual place again. */
function answers(file: string, pid: number): Promise<true> {
  return until('the forwarder answers', async () => (await healthOf(file)).identity.pid === pid || undefined)
}

describe('A running forwarder whose files are removed', () => {
  it('writes each of them again, and lets go of what was deleted', () =>
    withForwarder({ accessLog: '/tmp/pw-access-test.log' }, async ({ watched, port, pid, file }) => {
      const access = '/tmp/pw-access-test.log'
      assert.equal(await askThrough(port), 'hello')
      await there(access)
      for (const gone of [file('sock'), file('pid'), file('log'), access]) {
        unlinkSync(gone)
        await there(gone)
      }
      await answers(file('sock'), pid)
      assert.equal(watched.pid(port), pid)
      if (isLinux) assert.deepEqual(deletedFiles(pid), [])
      assert.match(readFileSync(file('log'), 'utf8'), /Restored missing files: log/)
      rmSync(access)
    }))

  it('is found again by the next monitor, which leaves it alone', () =>
    withForwarder({}, async ({ watched, port, pid, file }) => {
      removeInUse(watched.directory)
      await answers(file('sock'), pid)
      await there(file('log'))
      const report = await watched.statusWhen('healthy', ({ forwards }) => forwards[0]?.state === 'healthy')
      assert.deepEqual([report.forwards[0]?.pid, report.forwards[0]?.restarts], [pid, 0])
      if (isLinux)
        await until('no deleted file is open', async () => deletedFiles(pid).length === 0 || undefined)
      assert.equal(watched.pid(port), pid)
    }))

  it('and renamed with their directory does the same', () =>
    withForwarder({}, async ({ watched, port, pid, file }) => {
      renameSync(watched.directory, `${watched.directory}.old`)
      await answers(file('sock'), pid)
      await there(file('pid'))
      assert.equal(watched.pid(port), pid)
      rmSync(`${watched.directory}.old`, { recursive: true })
    }))

  it('keeps the token of its gate', () =>
    withForwarder({}, async ({ watched }) => {
      const target = await echoServer()
      const gated = await freePort()
      const words = [String(gated), '127.0.0.1', String(target.port), '--gate', 'token']
      const forwarder = watched.start('tcp-proxy', ...words)
      await forwarder.line(/Listening on/)
      await there(watched.file(`tcp_proxy_${gated}.pid`))
      const secrets = ['gate_token', 'gate_key', `tcp_proxy_${gated}.gate`].map((name) => watched.file(name))
      const before = secrets.map((secret) => readFileSync(secret, 'utf8'))
      removeInUse(watched.directory)
      for (const secret of secrets) await there(secret)
      assert.deepEqual(
        secrets.map((secret) => readFileSync(secret, 'utf8')),
        before,
      )
      await target.close()
    }))

  it('opens its logs anew on SIGHUP, as logrotate expects', () =>
    withForwarder({}, async ({ pid, file }) => {
      renameSync(file('log'), file('log-rotated'))
      process.kill(pid, 'SIGHUP')
      await there(file('log'))
      await until('the line', async () => /SIGHUP/.test(readFileSync(file('log'), 'utf8')) || undefined)
      assert.doesNotMatch(readFileSync(file('log-rotated'), 'utf8'), /SIGHUP/)
    }))

  it('lets its workers find the logs as well', () =>
    withForwarder({ workers: 2, accessLog: '-' }, async ({ watched, port, pid, file }) => {
      const health = await healthWhen(watched, port, (now) => servingOf(now).length === 2)
      const pids = servingOf(health).map(({ identity }) => identity.pid)
      await there(file('workers'))
      removeInUse(watched.directory)
      await answers(file('sock'), pid)
      await there(file('workers'))
      if (isLinux) {
        for (const each of pids) {
          await until('no deleted file is open', async () => deletedFiles(each).length === 0 || undefined)
        }
      }
    }))
})

describe('A running forwarder that has lost its name', () => {
  it('to another living process leaves it there, and takes it when that one is gone', () =>
    withForwarder({}, async ({ pid, file }) => {
      renameSync(file('sock'), file('sock.aside'))
      const other = await holdControlSocket(file('sock'), { identify: () => ({ identity: { pid: 1 } }) })
      await until(
        'it is said',
        async () => /PID 1 holds the control socket/.test(readFileSync(file('log'), 'utf8')) || undefined,
      )
      assert.deepEqual(await askControl(file('sock'), 'identify'), { identity: { pid: 1 } })
      other.close()
      await answers(file('sock'), pid)
    }))

  it('writes nothing into a directory that somebody else has put there', async (t) => {
    if (process.getuid?.() !== 0) return t.skip('only root can give a directory away')
    await withWatched(async (watched) => {
      const [echo, port] = [await echoServer(), await freePort()]
      const forwarder = watched.start('tcp-proxy', String(port), '127.0.0.1', String(echo.port))
      await forwarder.line(/Listening on/)
      await there(watched.file(`tcp_proxy_${port}.pid`))
      removeInUse(watched.directory)
      // In one step: it never sees its directory missing.
      mkdirSync(`${watched.directory}.strange`, { mode: 0o777 })
      chownSync(`${watched.directory}.strange`, 65534, 65534)
      removeInUse(watched.directory)
      renameSync(`${watched.directory}.strange`, watched.directory)
      await forwarder.line(/keeps running without its files: .* belongs to another user/)
      assert.equal(await askThrough(port), 'hello')
      assert.deepEqual(readdirSync(watched.directory), [])
      removeInUse(watched.directory)
      await answers(watched.file(`tcp_proxy_${port}.sock`), forwarder.pid)
      await there(watched.file(`tcp_proxy_${port}.pid`))
      await echo.close()
    })
  })

  it('does not take it back from a successor', () =>
    withForwarder({}, async ({ watched, port, pid, file }) => {
      process.kill(pid, 'SIGUSR2')
      const { identity } = await healthWhen(watched, port, (health) => health.identity.pid !== pid)
      unlinkSync(file('sock'))
      await answers(file('sock'), identity.pid)
      unlinkSync(file('pid'))
      await there(file('pid'))
      assert.equal(watched.pid(port), identity.pid)
      // The connection from before is with the predecessor: it is still there and holds nothing.
      process.kill(pid, 0)
    }))
})
