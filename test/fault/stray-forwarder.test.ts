import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe } from 'vitest'
import { withDefaults } from '../../src/config/option-table.ts'
import { findStray } from '../../src/forward/unit/stray.ts'
import { LongStream, RestlessClients } from '../support/exact-clients.ts'
import { it } from '../support/fixtures.ts'
import { healthyAs, launchMonitor, restartsOf, startMonitor } from '../support/monitored.ts'
import { Resident } from '../support/resident.ts'
import { onEverySystem } from '../support/systems.ts'
import { freePort, removeInUse, until } from '../support/tools.ts'
import { askThrough, command, echoServer, withWatched } from '../support/watched.ts'

onEverySystem('A forwarder of ours that serves the port without the monitor’s knowing it', (system) => {
  const asItIs = { what: 'as it is wanted', options: {} }
  const other = { what: 'with other options', options: { idleTimeout: '1h' } }
  // One is enough to show the other road to the process.
  for (const { what, options } of system === 'linux' ? [asItIs, other] : [other]) {
    it(`(${what}, with another state directory) is taken over without a connection cut or refused`, async ({
      watched,
    }) => {
      const echo = await echoServer()
      const port = await freePort()
      const elsewhere = mkdtempSync(join(tmpdir(), 'pw-elsewhere-'))
      const words = command(
        'tcp-proxy',
        String(port),
        'localhost',
        String(echo.port),
        '--state-dir',
        elsewhere,
      )
      const stray = watched.adopt(new Resident(words, {}))
      await stray.line(/Listening/)
      const clients = new RestlessClients(port, 2, 1000)
      const stream = await LongStream.open(port)
      await stream.exchange(100)
      const forward = { name: 'web', listen: port, target: `localhost:${echo.port}`, ...options }
      await startMonitor(watched, { forwards: [forward] })
      const { pid } = await healthyAs(watched, port)
      assert.notEqual(pid, stray.pid)
      await clients.after(10)
      await stream.exchange(100)
      assert.doesNotMatch(watched.log(), /failure #|ALERT/)
      assert.equal(await restartsOf(watched, port), 0)
      await stream.close()
      await clients.stop()
      assert.deepEqual([...clients.outcomes.keys()], ['exact'])
      stray.releaseOutput()
      assert.equal(await stray.ended(), 0)
      rmSync(elsewhere, { recursive: true, force: true })
      await echo.close()
    })
  }

  it('(its records gone) is adopted with its connections', async ({ watched }) => {
    const echo = await echoServer()
    const port = await freePort()
    const forwards = [{ name: 'web', listen: port, target: `localhost:${echo.port}` }]
    const first = await startMonitor(watched, { forwards })
    const { pid } = await healthyAs(watched, port)
    const stream = await LongStream.open(port)
    await first.stop('SIGKILL')
    removeInUse(watched.directory)
    mkdirSync(watched.directory, { mode: 0o700 })
    await startMonitor(watched, { forwards })
    assert.equal((await healthyAs(watched, port)).pid, pid)
    await stream.exchange(100)
    await stream.close()
    assert.doesNotMatch(watched.log(), /failure #|ALERT/)
    await echo.close()
  })

  it('(another monitor has it) is left alone, and that is said', () =>
    withWatched(async (one) =>
      withWatched(async (other) => {
        const echo = await echoServer()
        const port = await freePort()
        const forwards = [{ name: 'web', listen: port, target: `localhost:${echo.port}` }]
        await startMonitor(one, { forwards })
        const { pid } = await healthyAs(one, port)
        launchMonitor(other, { forwards })
        await until(
          'it is said',
          async () => /which another monitor or systemd keeps alive/.test(other.log()) || undefined,
        )
        assert.equal((await healthyAs(one, port)).pid, pid)
        await echo.close()
      }),
    ))

  it('(this process is unable to ask it) is not taken for one that hangs', async ({ watched }) => {
    const port = await freePort()
    const stray = watched.start('tcp-proxy', String(port), 'localhost', '9')
    await stray.line(/Listening/)
    const here = mkdtempSync(join(tmpdir(), 'pw-here-'))
    const options = withDefaults({ listenPort: port, targetHost: 'localhost', targetPort: 9 }, {})
    assert.equal((await findStray(options, here))?.state, 'answers')
    // So that it cannot take the name of its control socket again.
    process.kill(stray.pid, 'SIGSTOP')
    const socket = watched.file(`tcp_proxy_${port}.sock`)
    rmSync(socket)
    symlinkSync(socket, socket)
    await assert.rejects(findStray(options, here), { code: 'ELOOP' })
    rmSync(here, { recursive: true })
  })
})

describe('A process that serves the port as a forwarder of ours does', () => {
  it('(it cannot be asked) is ended, and the forward serves: it is never blocked for ever', async ({
    watched,
  }) => {
    const echo = await echoServer()
    const port = await freePort()
    const program = join(watched.directory, 'tcp-proxy.cjs')
    writeFileSync(
      program,
      `process.on('SIGHUP', () => {}); require('node:net').createServer().listen(${port}, '127.0.0.1', () => console.log('up'))`,
    )
    const words = [
      process.execPath,
      program,
      String(port),
      'localhost',
      '1',
      '--state-dir',
      watched.directory,
    ]
    const old = watched.adopt(new Resident(words, {}))
    await old.line(/up/)
    const forwards = [{ name: 'web', listen: port, target: `localhost:${echo.port}` }]
    // What is waited for takes ten seconds, however often the monitor looks.
    await startMonitor(watched, { forwards, interval: '1s' })
    await healthyAs(watched, port, old.pid, 40_000)
    assert.equal(await askThrough(port), 'hello')
    await echo.close()
  })
})
