import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { describe } from 'vitest'
import { identityOf } from '../../src/process/identity.ts'
import { it } from '../support/fixtures.ts'
import { forwardersOf, healthyAs, launchMonitor, monitorCommand, startMonitor } from '../support/monitored.ts'
import { freePort, until } from '../support/tools.ts'
import { askThrough, echoServer } from '../support/watched.ts'

describe('SIGTERM of the monitor', () => {
  it('in its first round: it ends in order, not by the signal', async ({ watched }) => {
    const forwards = [{ name: 'one', listen: await freePort(), target: 'localhost:1' }]
    for (let round = 0; round < 2; round++) {
      const monitor = await startMonitor(watched, { forwards })
      assert.equal(await monitor.stop(), 0)
      assert.equal((await watched.status()).monitor.state, 'STOPPED')
    }
  })

  it('during a restart: the forward is there afterwards once, or not at all, and the next monitor has one', async ({
    watched,
  }) => {
    const echo = await echoServer()
    const port = await freePort()
    const forwards = [{ name: 'one', listen: port, target: `localhost:${echo.port}` }]
    for (let round = 0; round < 2; round++) {
      const monitor = await startMonitor(watched, { forwards })
      const { pid } = await healthyAs(watched, port)
      process.kill(pid, 'SIGKILL')
      // Or still a zombie, where nobody has reaped it yet.
      await monitor.line(/one (is not running|has ended)/)
      assert.equal(await monitor.stop(), 0)
      assert.ok(forwardersOf(watched, port).length <= 1)
      const report = await watched.status()
      assert.deepEqual([report.monitor.state, report.exitCode], ['STOPPED', 3])
    }
    const last = await startMonitor(watched, { forwards })
    await healthyAs(watched, port)
    const copies = await until('one copy', async () => {
      const found = forwardersOf(watched, port)
      return found.length === 1 ? found : undefined
    })
    assert.deepEqual(copies, [watched.pid(port)])
    assert.equal(await askThrough(port), 'hello')
    assert.equal(await last.stop(), 0)
    await echo.close()
  })

  it('during a restart, told to end the forwards: none is left, and the port is free', async ({
    watched,
  }) => {
    const port = await freePort()
    const forwards = [{ name: 'one', listen: port, target: 'localhost:1' }]
    for (let round = 0; round < 2; round++) {
      const monitor = await startMonitor(watched, { forwards, words: ['--stop-forwards'] })
      await monitor.line(/started successfully/)
      process.kill(watched.pid(port), 'SIGKILL')
      // Or still a zombie, where nobody has reaped it yet.
      await monitor.line(/one (is not running|has ended)/)
      assert.equal(await monitor.stop(), 0)
      await until('no forwarder', async () => forwardersOf(watched, port).length === 0 || undefined)
      assert.equal(await askThrough(port), 'ECONNREFUSED')
    }
  })
})

describe('A storm of signals to the monitor', () => {
  it('SIGHUP and SIGUSR2, a hundred of each: it watches on, and every forward stays as it is', async ({
    watched,
  }) => {
    const echo = await echoServer()
    const port = await freePort()
    const monitor = await startMonitor(watched, {
      forwards: [{ name: 'one', listen: port, target: `localhost:${echo.port}` }],
    })
    const { pid } = await healthyAs(watched, port)
    for (let shot = 0; shot < 100; shot++) {
      for (const signal of ['SIGHUP', 'SIGUSR2'] as const) process.kill(monitor.pid, signal)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    await monitor.line(/The configuration file was read again; nothing has changed/)
    const report = await watched.status()
    assert.deepEqual([report.monitor.state, report.monitor.pid], ['RUNNING', monitor.pid])
    assert.deepEqual([report.forwards[0]?.pid, report.forwards[0]?.restarts], [pid, 0])
    assert.equal(await askThrough(port), 'hello')
    assert.equal(await monitor.stop(), 0)
    await echo.close()
  })
})

describe('The terminal of the monitor', () => {
  it('hangs up (SIGHUP, and EIO from the terminal that is gone): the watching goes on', async ({
    watched,
  }) => {
    const echo = await echoServer()
    const port = await freePort()
    const forwards = [{ name: 'one', listen: port, target: `localhost:${echo.port}` }]
    // script(1) gives it a terminal of its own; its death closes that terminal.
    const quoted = (argv: readonly string[]) => argv.map((word) => `'${word}'`).join(' ')
    const terminal = await startMonitor(watched, {
      forwards,
      under: (argv) => ['script', '--quiet', '--command', `exec ${quoted(argv)}`, '/dev/null'],
    })
    const { pid, report } = await healthyAs(watched, port)
    const monitor = report.monitor.pid
    assert.ok(monitor !== null && monitor !== terminal.pid)
    const identity = identityOf(monitor)
    try {
      assert.notEqual(ttyOf(monitor), 0, 'it has a terminal')
      process.kill(terminal.pid, 'SIGKILL')
      await until('the terminal to be gone', async () => ttyOf(monitor) === 0 || undefined)
      process.kill(pid, 'SIGKILL')
      await healthyAs(watched, port, pid)
      assert.equal(await askThrough(port), 'hello')
      assert.deepEqual(identityOf(monitor), identity, 'the monitor is the same')
    } finally {
      process.kill(monitor, 'SIGKILL')
    }
    await echo.close()
  })

  it('SIGHUP of a monitor without a configuration file, in its first instant too, changes nothing', async ({
    watched,
  }) => {
    const monitor = await startMonitor(watched, {
      forwards: [{ name: 'one', listen: await freePort(), target: 'localhost:1' }],
    })
    for (let round = 0; round < 10; round++) process.kill(monitor.pid, 'SIGHUP')
    await monitor.line(/started successfully/)
    assert.equal((await watched.status()).monitor.state, 'RUNNING')
    assert.equal(await monitor.stop(), 0)
  })
})

describe('The stdout of the monitor', () => {
  it('is closed by whoever read it (EPIPE): the watching goes on, and the log has every line', async ({
    watched,
  }) => {
    const echo = await echoServer()
    const port = await freePort()
    const [file = '', ...words] = monitorCommand(watched, {
      forwards: [{ name: 'one', listen: port, target: `localhost:${echo.port}` }],
    })
    const monitor = spawn(file, words, { stdio: ['ignore', 'pipe', 'pipe'] })
    try {
      await once(monitor.stdout, 'data')
      monitor.stdout.destroy()
      monitor.stderr.destroy()
      const { pid } = await healthyAs(watched, port)
      process.kill(pid, 'SIGKILL')
      await healthyAs(watched, port, pid)
      assert.equal(await askThrough(port), 'hello')
      assert.match(watched.log(), /one is not running/)
      assert.equal(monitor.exitCode, null)
    } finally {
      monitor.kill('SIGTERM')
      await once(monitor, 'exit')
    }
    assert.equal(monitor.exitCode, 0)
    await echo.close()
  })

  it('is read by nobody: a full pipe does not hold it up', async ({ watched }) => {
    const port = await freePort()
    const [file = '', ...words] = monitorCommand(watched, {
      forwards: [{ name: 'one', listen: port, target: 'localhost:1' }],
    })
    const monitor = spawn(file, words, { stdio: ['ignore', 'pipe', 'ignore'] })
    try {
      monitor.stdout.pause()
      await watched.logLine(/started successfully/)
      const configuration = watched.file('configuration.json')
      const valid = readFileSync(configuration, 'utf8')
      let change = 0
      await until(
        'the log to outgrow the pipe',
        async () => {
          const log = watched.log()
          if (log.length > 80_000) return true
          // Each refusal is a line that names what is refused.
          writeFileSync(configuration, `{ "${++change}${'y'.repeat(4000)}": 0 }`)
          process.kill(monitor.pid ?? 0, 'SIGHUP')
          return undefined
        },
        30_000,
      )
      writeFileSync(configuration, valid)
      process.kill(monitor.pid ?? 0, 'SIGHUP')
      await watched.logLine(/is valid again/)
      process.kill(watched.pid(port), 'SIGKILL')
      await watched.statusWhen('back', ({ forwards: [one] }) => one?.state === 'waiting' && one.restarts >= 1)
    } finally {
      monitor.kill('SIGKILL')
      await once(monitor, 'exit')
    }
  })

  it('is not even open, nor is its stderr', async ({ watched }) => {
    const port = await freePort()
    const monitor = launchMonitor(watched, {
      forwards: [{ name: 'one', listen: port, target: 'localhost:1' }],
      under: (argv) => ['sh', '-c', 'exec "$@" <&- >&- 2>&-', 'sh', ...argv],
    })
    await watched.statusWhen('waiting', ({ forwards }) => forwards[0]?.state === 'waiting')
    process.kill(watched.pid(port), 'SIGKILL')
    await watched.statusWhen('back', ({ forwards: [one] }) => one?.state === 'waiting' && one.restarts === 1)
    assert.equal(await monitor.stop(), 0)
  })
})

/** The controlling terminal of a process, field 7 of /proc/PID/stat (proc(5)); 0 = none. */
function ttyOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
  return Number(fields[7 - 3])
}
