import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { forwardersOf, healthyAs, launchMonitor, startMonitor } from '../support/monitored.ts'
import { first, give, heldConnection, order, phaseOf, typed } from '../support/ordered.ts'
import { freePort, until } from '../support/tools.ts'
import { askThrough, echoServer, Watched, withWatched } from '../support/watched.ts'

type Use = (watched: Watched, port: number, target: string) => Promise<void>

async function oneTarget(use: Use): Promise<void> {
  await withWatched(async (watched) => {
    const echo = await echoServer()
    try {
      await use(watched, await freePort(), `localhost:${echo.port}`)
    } finally {
      await echo.close()
    }
  })
}

/** The forwards of the monitor that these tests share, by name, and what each has besides a port and a target. */
const options = {
  web: {},
  told: {},
  brief: { drain: '500ms' },
  short: { drain: '200ms' },
  long: { drain: '1m' },
}
const ports = new Map<string, number>()
let shared: Watched
let echo: Awaited<ReturnType<typeof echoServer>>

beforeAll(async () => {
  shared = new Watched()
  echo = await echoServer()
  for (const name of Object.keys(options)) ports.set(name, await freePort())
  const target = `localhost:${echo.port}`
  const forwards = Object.entries(options).map(([name, extra]) => {
    return { name, listen: ports.get(name) ?? 0, target, ...extra }
  })
  await startMonitor(shared, { forwards })
})

afterAll(async () => {
  await shared.remove()
  await echo.close()
})

/** One of them that is well, whatever the test before has done to it. */
async function oneForward(
  use: (watched: Watched, port: number, pid: number) => Promise<void>,
  name: keyof typeof options = 'web',
): Promise<void> {
  await give(shared, 'start', { units: [name] })
  const port = ports.get(name) ?? 0
  const { pid } = await healthyAs(shared, port)
  await use(shared, port, pid)
}

describe('An order about a forward', () => {
  it('leads to the state that it answers with, and does nothing when it is given again', () =>
    oneForward(async (watched, port, pid) => {
      const started = await order(watched, 'start', 'web')
      expect(first(started)).toMatchObject({ outcome: 'already', state: { phase: 'running', pid } })
      const stopped = await typed(watched, 'stop', String(port))
      expect(first(stopped)).toMatchObject({
        outcome: 'done',
        error: null,
        state: { phase: 'down', pid: null },
      })
      expect(await askThrough(port)).toBe('ECONNREFUSED')
      const again = await typed(watched, 'stop', 'web')
      expect([again.code, first(again).outcome]).toEqual([0, 'already'])
      expect(first(again).state.stopped).toEqual(first(stopped).state.stopped)
      const up = await order(watched, 'start', 'web')
      expect(first(up)).toMatchObject({ outcome: 'done', state: { phase: 'running', stopped: null } })
      expect(await askThrough(port)).toBe('hello')
    }))

  it('restart and hand-over replace the process and refuse nobody', () =>
    oneForward(async (watched, port, pid) => {
      const { socket, isOpen } = await heldConnection(port)
      const pids = [pid]
      for (const name of ['restart', 'hand-over']) {
        const done = first(await order(watched, name, 'web'))
        expect(done).toMatchObject({ outcome: 'done', state: { phase: 'running' } })
        pids.push(done.state.pid ?? 0)
        expect(await askThrough(port)).toBe('hello')
      }
      expect(new Set(pids).size).toBe(3)
      expect(isOpen()).toBe(true)
      socket.destroy()
    }))

  it('says who gave it, in the journal, the log and the status, and what to type to undo it', () =>
    oneForward(async (watched) => {
      const given = () => {
        const events = readFileSync(watched.file('events.jsonl'), 'utf8').trim().split('\n')
        return events.map((line) => JSON.parse(line)).filter(({ event }) => event === 'order')
      }
      const before = given().length
      await typed(watched, 'restart', 'told')
      await typed(watched, 'stop', 'told')
      const orders = given().slice(before)
      expect(orders).toMatchObject([
        {
          order: 'restart',
          units: ['told'],
          outcome: 'done',
          actor: { uid: process.getuid?.(), via: 'cli' },
        },
        { order: 'stop', units: ['told'], outcome: 'done', code: null },
      ])
      const { user } = orders[0].actor
      expect(watched.log()).toContain(`Order of ${user} (UID ${process.getuid?.()}, cli): stop told: done`)
      const why = await watched.run('proxy-log', '--why', 'told')
      expect(why.stdout).toContain(`an order to restart it: ordered by ${user}`)
      const { stdout } = await watched.run('proxy-status', 'told')
      expect(stdout).toMatch(new RegExp(`stopped by ${user} at \\d{4}-`))
      expect(stdout).toMatch(/proxy-ctl(?:\.cjs)?'? start told --state-dir /)
    }, 'told'))

  it('of an unknown forward does nothing to those that it names besides', () =>
    oneForward(async (watched, port) => {
      const { code, stderr } = await watched.run('proxy-ctl', 'stop', 'web', 'wbe')
      expect(code).toBe(64)
      expect(stderr).toBe(
        'proxy-ctl: there is no forward or program "wbe" (did you mean web?); name one of web, told, brief, short, long\n',
      )
      expect(await askThrough(port)).toBe('hello')
      const none = await watched.run('proxy-ctl', 'stop')
      expect([none.code, none.stderr]).toEqual([
        64,
        'proxy-ctl: no forward or program is named; name one or more, or all of them\n',
      ])
    }))

  it('with --all is for every forward; one that fails does not keep the others', () =>
    oneTarget(async (watched, port, target) => {
      const other = await freePort()
      const holder = createServer()
      await new Promise<void>((resolve) => holder.listen(other, '0.0.0.0', resolve))
      const forwards = [
        { name: 'web', listen: port, target },
        { name: 'api', listen: other, target },
      ]
      await startMonitor(watched, { forwards })
      await healthyAs(watched, port)
      const { code, units } = await order(watched, 'restart', '--all')
      expect(code).toBe(1)
      expect(units).toMatchObject([
        { outcome: 'done', state: { name: 'web', phase: 'running' } },
        { outcome: 'failed', error: { code: 'blocked' }, state: { name: 'api', phase: 'blocked' } },
      ])
      const told = await watched.run('proxy-ctl', 'list')
      expect(told.stdout).toMatch(/^NAME +STATE/)
      expect(told.stdout).toMatch(/api +blocked/)
      // Freed, and tried again at once instead of at the next round.
      holder.close()
      const retried = await order(watched, 'retry', 'api')
      // The monitor may have looked by itself before.
      expect(first(retried)).toMatchObject({ state: { phase: 'running' } })
    }))

  it('is answered at once with --no-wait, and in time with --timeout', () =>
    oneForward(async (watched, port) => {
      const { socket, isOpen } = await heldConnection(port)
      const late = await order(watched, 'drain', 'brief', '--timeout', '1s')
      expect(late.code).toBe(124)
      expect(first(late)).toMatchObject({
        outcome: 'failed',
        error: {
          code: 'timed-out',
          message: 'brief still finishes 1 connection',
          next: expect.stringMatching(/^proxy-ctl stop brief/),
        },
        state: { phase: 'stopping' },
      })
      const ordered = await order(watched, 'stop', 'brief', '--no-wait')
      expect(first(ordered)).toMatchObject({ outcome: 'ordered', state: { phase: 'stopping' } })
      await phaseOf(watched, 'brief', 'down')
      expect(isOpen()).toBe(false)
      socket.destroy()
    }, 'brief'))
})

describe('drain', () => {
  it('takes no more connections, and ends the forward when the last is over', () =>
    oneForward(async (watched, port, pid) => {
      const { socket, isOpen } = await heldConnection(port)
      const draining = give(watched, 'drain', { units: ['short'], timeoutMs: 60_000 })
      await until('no more connections', async () =>
        (await askThrough(port)) === 'ECONNREFUSED' ? true : undefined,
      )
      // Longer than the forward's own drain time.
      await setTimeout(1500)
      expect(isOpen()).toBe(true)
      socket.end()
      expect(await draining).toMatchObject({ outcome: 'done', state: { phase: 'down' } })
      expect(forwardersOf(watched, port)).not.toContain(pid)
    }, 'short'))

  it('cuts what has not finished --within', () =>
    oneForward(async (watched, port) => {
      const { isOpen } = await heldConnection(port)
      const done = await order(watched, 'drain', 'web', '--within', '300ms')
      expect(first(done)).toMatchObject({ outcome: 'done', state: { phase: 'down' } })
      expect(isOpen()).toBe(false)
    }))

  it('goes on under a monitor that is started after a kill -9, with the same workers', () =>
    oneTarget(async (watched, port, target) => {
      const wishes = { forwards: [{ name: 'web', listen: port, target, drain: '200ms', workers: 2 }] }
      const monitor = await startMonitor(watched, wishes)
      await healthyAs(watched, port)
      const { socket, isOpen } = await heldConnection(port)
      await order(watched, 'drain', 'web', '--no-wait')
      await phaseOf(watched, 'web', 'stopping')
      process.kill(monitor.pid, 'SIGKILL')
      await monitor.ended()
      await startMonitor(watched, wishes)
      await setTimeout(1500)
      expect(isOpen()).toBe(true)
      socket.end()
      await phaseOf(watched, 'web', 'down')
    }))
})

describe('What an order wants', () => {
  it('outlives kill -9 of the monitor, a new start and a reload, until somebody starts it', () =>
    oneTarget(async (watched, port, target) => {
      const wishes = { forwards: [{ name: 'web', listen: port, target }] }
      const monitor = await startMonitor(watched, wishes)
      await healthyAs(watched, port)
      await order(watched, 'stop', 'web')
      process.kill(monitor.pid, 'SIGKILL')
      await monitor.ended()
      await startMonitor(watched, wishes)
      await phaseOf(watched, 'web', 'down')
      const moved = await freePort()
      const file = watched.file('configuration.json')
      const configuration = JSON.parse(readFileSync(file, 'utf8'))
      for (const forwards of [
        [{ name: 'web', listen: port, target, maxConnections: 7 }],
        [{ name: 'web', listen: moved, target }],
      ]) {
        writeFileSync(file, JSON.stringify({ ...configuration, forwards }))
        const reloaded = await order(watched, 'reload')
        // The monitor may have seen the change by itself before.
        expect(reloaded.answer).toMatchObject({ done: true, output: { file } })
        await phaseOf(watched, 'web', 'down')
        expect([await askThrough(port), await askThrough(moved)]).toEqual(['ECONNREFUSED', 'ECONNREFUSED'])
      }
      const status = await watched.status()
      expect(status.forwards[0]?.state).toBe('down')
      await order(watched, 'start', 'web')
      await healthyAs(watched, moved)
    }))

  it('is carried out by the next monitor when the one that took it was killed before it could', () =>
    oneTarget(async (watched, port, target) => {
      const wishes = { forwards: [{ name: 'web', listen: port, target, drain: '3s' }] }
      const monitor = await startMonitor(watched, wishes)
      await healthyAs(watched, port)
      const { isOpen } = await heldConnection(port)
      await give(watched, 'stop', { wait: false })
      process.kill(monitor.pid, 'SIGKILL')
      await monitor.ended()
      await startMonitor(watched, wishes)
      await phaseOf(watched, 'web', 'down')
      await until('it is gone', async () => forwardersOf(watched, port).length === 0 || undefined)
      expect(isOpen()).toBe(false)
      expect(await askThrough(port)).toBe('ECONNREFUSED')
    }))

  it('is saved before it is done, however often the monitor is killed at that', () =>
    oneTarget(async (watched, port, target) => {
      const wishes = { forwards: [{ name: 'web', listen: port, target }] }
      for (const [name, isUp] of [
        ['stop', false],
        ['start', true],
        ['stop', false],
      ] as const) {
        const monitor = launchMonitor(watched, wishes)
        await monitor.line(/Monitor started/)
        const given = watched.run('proxy-ctl', name, 'web', '--no-wait')
        const file = watched.file('desired-state.json')
        await until('it is saved', async () => {
          const saved = JSON.parse(readFileSync(file, 'utf8')) as { down: object }
          return 'web' in saved.down === isUp ? undefined : true
        })
        process.kill(monitor.pid, 'SIGKILL')
        await monitor.ended()
        await given
        const next = await startMonitor(watched, wishes)
        if (isUp) await healthyAs(watched, port)
        else await phaseOf(watched, 'web', 'down')
        process.kill(next.pid, 'SIGKILL')
        await next.ended()
      }
    }))
})

describe('Two orders at once', () => {
  it('that want the same are one', () =>
    oneForward(async (watched, port, pid) => {
      const all = await Promise.all([1, 2, 3].map(() => order(watched, 'restart', 'web')))
      expect(all.map(({ code }) => code)).toEqual([0, 0, 0])
      const { pid: now } = await healthyAs(watched, port)
      expect(now).not.toBe(pid)
    }))

  it('that want different things: the last one counts, and the first is told', () =>
    oneForward(async (watched, port) => {
      const { socket } = await heldConnection(port)
      const stopping = give(watched, 'stop', { units: ['long'] })
      await phaseOf(watched, 'long', 'stopping')
      const started = give(watched, 'start', { units: ['long'] })
      expect(await stopping).toMatchObject({ outcome: 'failed', error: { code: 'overruled' } })
      socket.destroy()
      expect(await started).toMatchObject({ outcome: 'done', state: { phase: 'running' } })
    }, 'long'))
})
