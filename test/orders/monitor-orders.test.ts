import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { askControl } from '../../src/control/client.ts'
import { AlertReceiver } from '../support/alert-receiver.ts'
import { forwardersOf, healthyAs, startMonitor } from '../support/monitored.ts'
import { order, phaseOf } from '../support/ordered.ts'
import { Resident } from '../support/resident.ts'
import { freePort, until } from '../support/tools.ts'
import { askThrough, command, echoServer, Watched, withWatched } from '../support/watched.ts'

async function oneForward(
  use: (watched: Watched, port: number, monitor: Resident) => Promise<void>,
  extra: object = {},
): Promise<void> {
  await withWatched(async (watched) => {
    const echo = await echoServer()
    const port = await freePort()
    const forwards = [{ name: 'web', listen: port, target: `localhost:${echo.port}` }]
    const monitor = await startMonitor(watched, { forwards, ...extra })
    await healthyAs(watched, port)
    await use(watched, port, monitor)
    await echo.close()
  })
}

/** For what leaves the monitor and its forward as they were. */
let shared: Watched
let sharedPort = 0

beforeAll(async () => {
  shared = new Watched()
  const echo = await echoServer()
  sharedPort = await freePort()
  await startMonitor(shared, {
    forwards: [{ name: 'web', listen: sharedPort, target: `localhost:${echo.port}` }],
  })
  await healthyAs(shared, sharedPort)
})

afterAll(() => shared.remove())

describe('Without a monitor', () => {
  it('every order says so in one line, with what to type', () =>
    withWatched(async (watched) => {
      for (const words of [['list'], ['stop', 'web'], ['events'], ['reload']]) {
        const { code, stdout, stderr } = await watched.run('proxy-ctl', ...words)
        expect([code, stdout, stderr.split('\n').length]).toEqual([3, '', 2])
        expect(stderr).toMatch(/^proxy-ctl: no monitor is running \(.+\); to start it: \S*proxy-monitor/)
      }
      expect((await watched.run('proxy-ctl', 'stop-monitor')).code).toBe(0)
    }))

  it('the line names the configuration of the one that was killed', () =>
    oneForward(async (watched, _port, monitor) => {
      process.kill(monitor.pid, 'SIGKILL')
      await monitor.ended()
      const { code, stderr } = await watched.run('proxy-ctl', 'list')
      expect(code).toBe(3)
      expect(stderr).toContain(`--config ${watched.file('configuration.json')}`)
    }))
})

describe('reload', () => {
  it('answers with what has changed, or why the file is rejected', async () => {
    const [watched, port] = [shared, sharedPort]
    const file = watched.file('configuration.json')
    const text = readFileSync(file, 'utf8')
    const unchanged = await watched.run('proxy-ctl', 'reload')
    expect([unchanged.code, unchanged.stdout]).toEqual([0, `${file} was read again: nothing has changed\n`])
    const configuration = JSON.parse(text)
    const [web] = configuration.forwards
    const other = await freePort()
    writeFileSync(
      file,
      JSON.stringify({ ...configuration, forwards: [web, { ...web, name: 'api', listen: other }] }),
    )
    // At once: a second later the monitor sees the change by itself.
    const added = await askControl(watched.file('control.sock'), 'order', { order: 'reload' }, 30_000)
    expect(added).toMatchObject({
      done: true,
      output: {
        outcome: 'changed',
        change: 'added api',
        added: [{ name: 'api', port: other }],
        removed: [],
      },
    })
    await until('it serves', async () => ((await askThrough(other)) === 'hello' ? true : undefined))
    writeFileSync(file, '{')
    const refused = await watched.run('proxy-ctl', 'reload')
    expect(refused.code).toBe(78)
    expect(refused.stderr).toContain(`proxy-monitor --check ${file}`)
    expect(await askThrough(port)).toBe('hello')
    writeFileSync(file, text)
    expect((await order(watched, 'reload')).code).toBe(0)
    await phaseOf(watched, 'web', 'running')
  })

  it('says that there is no file to read', () =>
    withWatched(async (watched) => {
      const { mkdtempSync, rmSync } = await import('node:fs')
      const home = mkdtempSync(watched.file('home-'))
      const words = command('proxy-monitor', '--state-dir', watched.directory)
      const monitor = watched.adopt(
        new Resident(['sh', '-c', 'cd "$0" && exec "$@"', home, ...words], {
          HOME: home,
          XDG_CONFIG_HOME: home,
        }),
      )
      await monitor.line(/Monitor started/)
      const { code, stderr } = await watched.run('proxy-ctl', 'reload')
      expect([code, stderr]).toEqual([78, expect.stringContaining('without a configuration file')])
      await watched.run('proxy-ctl', 'stop-monitor', '--stop-forwards')
      rmSync(home, { recursive: true })
    }))
})

describe('stop-monitor', () => {
  it('ends the monitor and says what goes on; with --stop-forwards nothing does', () =>
    oneForward(async (watched, port, monitor) => {
      const stopped = await watched.run('proxy-ctl', 'stop-monitor')
      expect(stopped.code).toBe(0)
      expect(stopped.stdout).toContain(`The monitor has ended (PID: ${monitor.pid})`)
      expect(stopped.stdout).toContain('Its forwards keep running: web')
      expect(await askThrough(port)).toBe('hello')
      const { stdout } = await watched.run('proxy-status')
      expect(stdout).toMatch(/ended by an order of \S+ \(UID \d+, cli\) at/)
      await watched.run('proxy-ctl', 'stop-monitor', '--stop-forwards')
      expect(forwardersOf(watched, port)).toEqual([])
    }))
})

describe('test-alert', () => {
  it('goes through the channels of the monitor that runs', async (t) => {
    const receiver = await AlertReceiver.start(t)
    const closed = await freePort()
    const alerts = {
      channels: [
        { type: 'webhook', name: 'hook', url: receiver.url() },
        { type: 'webhook', name: 'away', url: `http://127.0.0.1:${closed}/` },
      ],
    }
    await withWatched(async (watched) => {
      writeFileSync(watched.file('pw.json'), JSON.stringify({ forwards: [], alerts }))
      const monitor = watched.start('proxy-monitor', '--config', watched.file('pw.json'))
      await monitor.line(/Monitor started/)
      const one = await watched.run('proxy-ctl', 'test-alert', 'hook')
      expect([one.code, one.stdout]).toEqual([0, 'hook: delivered\n'])
      expect(receiver.received).toHaveLength(1)
      const all = await watched.run('proxy-ctl', 'test-alert')
      expect([all.code, all.stdout]).toEqual([
        1,
        expect.stringMatching(/^hook: delivered\naway: failed: .*\n$/),
      ])
      const unknown = await watched.run('proxy-ctl', 'test-alert', 'hok')
      expect([unknown.code, unknown.stderr]).toEqual([
        64,
        'proxy-ctl: there is no alert channel "hok"; name one of hook, away\n',
      ])
    })
  })
})

describe('events', () => {
  it('tells what happened and what happens, of the forwards that are named', () =>
    oneForward(async (watched, port) => {
      const following = watched.start('proxy-ctl', 'events', 'web', '--json')
      await following.line(/"to":"running"/)
      process.kill(watched.pid(port), 'SIGKILL')
      const died = JSON.parse(await following.line(/"kind":"died"/))
      expect(died).toMatchObject({ event: 'forward', forward: 'web', from: 'running' })
      await order(watched, 'restart', 'web')
      await following.line(/"event":"order".*"order":"restart"/)
      const past = await watched.run('proxy-ctl', 'events', '--timeout', '0', '-n', '2')
      expect(past.code).toBe(0)
      expect(past.stdout.trim().split('\n')).toHaveLength(2)
      expect(past.stdout).toMatch(/order of \S+ \(UID \d+, cli\): restart web: done/)
      await watched.run('proxy-ctl', 'stop-monitor')
      expect(await following.ended()).toBe(3)
    }))

  it('ends quietly with its reader, and keeps no memory for one who does not read', async () => {
    const [watched, port] = [shared, sharedPort]
    const { connect } = await import('node:net')
    const lazy = connect(watched.file('control.sock'))
    lazy.on('error', () => {})
    lazy.write('{"id":1,"command":"order","order":"follow-events","input":{}}\n')
    lazy.pause()
    await order(watched, 'restart', 'web')
    expect(await askThrough(port)).toBe('hello')
    lazy.destroy()
    const following = watched.start('proxy-ctl', 'events')
    await following.line(/web/)
    process.kill(following.pid, 'SIGTERM')
    expect(await following.ended()).toBe(0)
  })
})

describe('The command order on the control socket', () => {
  it('answers nonsense with a code, and takes an order by hand', async () => {
    const [watched, port] = [shared, sharedPort]
    const socket = watched.file('control.sock')
    const ask = (order: unknown, input?: unknown, actor?: unknown) =>
      askControl(socket, 'order', { order, input, actor }, 10_000)
    for (const [order, input, code] of [
      ['sotp', {}, 'unknown-order'],
      [undefined, {}, 'unknown-order'],
      ['stop', { units: 'web' }, 'invalid-input'],
      ['stop', { units: ['web'], force: true }, 'invalid-input'],
      ['stop', { units: ['web'], timeoutMs: -1 }, 'invalid-input'],
      ['stop', null, 'invalid-input'],
      ['stop', { units: ['web'], all: true }, 'invalid-input'],
    ] as const) {
      expect(await ask(order, input)).toMatchObject({ done: false, error: { code } })
    }
    expect(await askThrough(port)).toBe('hello')
    expect(await ask('stop', { units: ['web'] }, 'root')).toMatchObject({ done: true })
    await until('it is down', async () => ((await askThrough(port)) === 'ECONNREFUSED' ? true : undefined))
    expect(await ask('start', { units: ['web'] })).toMatchObject({ done: true })
  })
})
