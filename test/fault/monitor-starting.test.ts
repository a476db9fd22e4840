// The first moments of a monitor, when its records are missing or are those of the one before.
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect } from 'vitest'
import { holdControlSocket } from '../../src/control/server.ts'
import { connectMonitor } from '../../src/orders/client.ts'
import { ownIdentity } from '../../src/process/identity.ts'
import { fileNames } from '../../src/record/state-directory.ts'
import { assess } from '../../src/report/assess.ts'
import { gather } from '../../src/report/gather.ts'
import { commandFile, RunningCommand, run } from '../support/children.ts'
import { it } from '../support/fixtures.ts'
import { healthyAs, launchMonitor, startMonitor } from '../support/monitored.ts'
import { freePort, until } from '../support/tools.ts'
import { echoServer } from '../support/watched.ts'

describe('proxy-status in the first moments of a monitor', { timeout: 180_000 }, () => {
  it('says that it starts before it holds its control socket, the first time and after another one', async ({
    watched,
  }) => {
    const echo = await echoServer()
    const port = await freePort()
    const wishes = { forwards: [{ name: 'web', listen: port, target: `localhost:${echo.port}` }] }
    for (const expected of ['starting', 'healthy']) {
      const monitor = launchMonitor(watched, wishes)
      process.kill(monitor.pid, 'SIGSTOP')
      const report = await watched.status()
      expect(report.monitor).toMatchObject({ state: 'STARTING', cause: 'starting', pid: monitor.pid })
      expect(report.exitCode).toBe(151)
      expect(report.next.join('\n')).not.toMatch(/proxy-monitor|kill/)
      for (const { state } of report.forwards) expect(state).toBe(expected)
      process.kill(monitor.pid, 'SIGCONT')
      await healthyAs(watched, port, 0, 60_000)
      expect((await watched.status()).monitor.state).toBe('RUNNING')
      await monitor.stop()
      expect((await watched.status()).monitor.state).toBe('STOPPED')
    }
    await echo.close()
  })

  it('says so while it holds its control socket and has no records', async ({ watched }) => {
    const control = await holdControlSocket(watched.file(fileNames.monitorSocket), {
      identify: () => ({ role: 'monitor', identity: ownIdentity(), version: '1.2.3', startedAt: 'now' }),
      state: () => null,
    })
    const { monitor } = assess(await gather(watched.directory))
    expect(monitor).toMatchObject({ state: 'STARTING', pid: process.pid, version: '1.2.3' })
    control.close()
  })

  it('calls no forward dead that the first round has not reached', async ({ watched }) => {
    const port = await freePort()
    const monitor = await startMonitor(watched, {
      forwards: [{ name: 'web', listen: port, target: `localhost:${await freePort()}` }],
    })
    for (let look = 0; look < 2; look++) {
      const { forwards } = await watched.status()
      for (const { state } of forwards) expect(['starting', 'waiting']).toContain(state)
    }
    await monitor.stop()
  })

  it('takes another task of proxy-monitor for no monitor that starts', async ({ watched }) => {
    const file = watched.file('configuration.json')
    writeFileSync(file, JSON.stringify({ forwards: [] }))
    const check = watched.start('proxy-monitor', '--check', file)
    process.kill(check.pid, 'SIGSTOP')
    expect((await watched.status()).monitor.state).toBe('STOPPED')
    await check.stop('SIGKILL')
  })
})

describe('A monitor whose environment chose its state directory', () => {
  it('is not one that starts where another environment looks, and clients that pass none on are told the place', async ({
    watched,
  }) => {
    const file = watched.file('configuration.json')
    writeFileSync(file, JSON.stringify({ forwards: [] }))
    const environment = (name: string) => {
      mkdirSync(watched.file(name))
      return { HOME: watched.file(name), XDG_STATE_HOME: watched.file(path.join(name, 'state')) }
    }
    const [theirs, ours] = [environment('theirs'), environment('ours')]
    const monitor = new RunningCommand(commandFile('proxy-monitor'), ['--config', file], theirs)
    try {
      await monitor.until((out) => out.includes('Monitor started'))
      const { stdout } = await run('proxy-status', ['--json'], ours)
      expect(JSON.parse(stdout).monitor).toMatchObject({ state: 'STOPPED', cause: 'never-ran' })
      const printed = await run('proxy-ctl', ['mcp', '--print-config', 'claude'], theirs)
      const { args } = JSON.parse(printed.stdout).mcpServers['port-watchdog']
      expect(args.slice(-2)).toEqual(['--state-dir', path.join(theirs.XDG_STATE_HOME, 'port-watchdog')])
      const usual = await run('proxy-ctl', ['mcp', '--print-config', 'claude'], {
        ...ours,
        XDG_STATE_HOME: '',
      })
      expect(usual.stdout).not.toContain('--state-dir')
    } finally {
      monitor.child.kill('SIGTERM')
      await monitor.ended
    }
  })
})

describe('An order in the first moments of a monitor', () => {
  it('waits for it, and says after 2 s that it is starting instead of that there is none', async ({
    watched,
  }) => {
    const monitor = launchMonitor(watched, { forwards: [] })
    process.kill(monitor.pid, 'SIGSTOP')
    const { code, stderr } = await watched.run('proxy-ctl', 'list')
    expect(code).toBe(69)
    expect(stderr).toMatch(
      new RegExp(
        `^proxy-ctl: the monitor \\(PID ${monitor.pid}\\) is starting .*; try again, or see proxy-status `,
      ),
    )
    process.kill(monitor.pid, 'SIGCONT')
    // On a busy machine the start takes longer than an order waits; that there is no monitor it must never say.
    const { control } = await until('the monitor takes orders', async () => {
      return { control: await connectMonitor(watched.directory) }
    })
    expect(control).toBeDefined()
    control?.close()
  })

  it('is given again to a monitor that says it is not ready yet', async ({ watched }) => {
    let asked = 0
    const control = await holdControlSocket(watched.file(fileNames.monitorSocket), {
      order: () =>
        ++asked === 1
          ? { done: false, error: { code: 'not-ready', message: 'the monitor is only starting', next: null } }
          : { done: true, output: { units: [] } },
    })
    expect(await watched.run('proxy-ctl', 'list')).toMatchObject({
      code: 0,
      stdout: 'There are no forwards and no programs.\n',
    })
    expect(asked).toBe(2)
    control.close()
  })
})
