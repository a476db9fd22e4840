import assert from 'node:assert/strict'
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it, type TestContext } from 'vitest'
import { identityOf } from '../../src/process/identity.ts'
import { temporaryDirectory } from '../support/children.ts'
import { startMonitor } from '../support/monitored.ts'
import { Resident } from '../support/resident.ts'
import { freePort, skipFor } from '../support/tools.ts'
import { echoServer, type Watched, withWatched } from '../support/watched.ts'

const stranger = 65_534
const asRoot = {
  skip: skipFor(process.getuid?.() !== 0 && 'only root can run processes of another user'),
}

/** Listens on the port, and answers on a control socket as a forwarder whose process is another one. */
const impostor = (port: number, socket: string, claimed: unknown) => `
  const net = require('node:net')
  const health = ${JSON.stringify({
    identity: claimed,
    uptimeMs: 1000,
    listen: { port, addresses: [], failed: [] },
    target: { state: 'up' },
    connections: { open: 0 },
    draining: false,
    supervisor: null,
  })}
  const answer = (line) => JSON.parse(line).command === 'health' ? { ok: true, result: health } : { ok: false, error: 'no' }
  net.createServer((s) => s.on('data', (d) => { for (const l of String(d).trim().split('\\n'))
    s.write(JSON.stringify({ id: JSON.parse(l).id, ...answer(l) }) + '\\n') })).listen(${JSON.stringify(socket)}, () =>
    net.createServer().listen(${port}, '127.0.0.1', () => console.log('up')))`

/** A folder that another user may write, with his program in it. */
function plant(t: TestContext, port: number, claimed: unknown) {
  const folder = path.join(temporaryDirectory(t), 'planted')
  chmodSync(path.dirname(folder), 0o755)
  mkdirSync(folder)
  chmodSync(folder, 0o777)
  const program = path.join(folder, 'tcp-proxy.cjs')
  writeFileSync(program, impostor(port, path.join(folder, `tcp_proxy_${port}.sock`), claimed))
  return { folder, program }
}

async function monitorLeavesAlone(watched: Watched, port: number, holder: Resident, victim: Resident) {
  const echo = await echoServer()
  await startMonitor(watched, {
    forwards: [{ name: 'web', listen: port, target: `localhost:${echo.port}` }],
  })
  await watched.logLine(/taken by PID/)
  assert.doesNotMatch(watched.log(), /taking it over|is served by/)
  assert.ok(victim.isRunning)
  assert.ok(holder.isRunning)
  await echo.close()
}

describe('A process that only looks like a forwarder of this user', () => {
  // The words are another user's, and /proc/PID belongs to root.
  it(
    '(a set-user-ID program that another user started) gets nobody signalled, whatever it says',
    asRoot,
    (t) =>
      withWatched(async (watched) => {
        const port = await freePort()
        const victim = watched.adopt(new Resident(['sleep', '1000'], {}))
        const { folder, program } = plant(t, port, identityOf(victim.pid))
        const node = path.join(folder, 'node')
        copyFileSync(process.execPath, node)
        chmodSync(node, 0o4755)
        const words = [node, program, String(port), 'localhost', '1', '--state-dir', folder]
        const id = String(stranger)
        const holder = watched.adopt(
          new Resident(['setpriv', '--reuid', id, '--regid', id, '--clear-groups', ...words], {}),
        )
        await holder.line(/up/)
        await monitorLeavesAlone(watched, port, holder, victim)
      }),
  )

  it('(another program that is called tcp-proxy) is left alone', () =>
    withWatched(async (watched) => {
      const port = await freePort()
      const victim = watched.adopt(new Resident(['sleep', '1000'], {}))
      const script = `require('node:net').createServer().listen(${port}, '127.0.0.1', () => console.log('up'))`
      const words = [process.execPath, '--eval', script, '/opt/other/tcp-proxy', String(port)]
      const holder = watched.adopt(new Resident(words, {}))
      await holder.line(/up/)
      await monitorLeavesAlone(watched, port, holder, victim)
    }))

  it('(its control socket names another process) gets nobody else signalled', (t) =>
    withWatched(async (watched) => {
      const port = await freePort()
      const victim = watched.adopt(new Resident(['sleep', '1000'], {}))
      const { folder, program } = plant(t, port, identityOf(victim.pid))
      chmodSync(folder, 0o700)
      const words = [process.execPath, program, String(port), 'localhost', '1', '--state-dir', folder]
      watched.adopt(new Resident(words, {})).line(/up/)
      const echo = await echoServer()
      await startMonitor(watched, {
        forwards: [{ name: 'web', listen: port, target: `localhost:${echo.port}` }],
      })
      await watched.statusWhen('healthy', ({ forwards }) => forwards[0]?.state === 'healthy', 40_000)
      assert.ok(victim.isRunning)
      await echo.close()
    }))
})
