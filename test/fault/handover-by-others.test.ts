import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { describe, it } from 'vitest'
import { askControl } from '../../src/control/client.ts'
import { LongStream } from '../support/exact-clients.ts'
import { healthWhen } from '../support/inherited.ts'
import {
  forwardersOf,
  healthyAs,
  restartsOf,
  startMonitor,
  type WantedForward,
} from '../support/monitored.ts'
import { freePort, until } from '../support/tools.ts'
import { askThrough, command, echoServer, type Watched, withWatched } from '../support/watched.ts'

/** No round comes to help: what is noticed, is noticed by an event. */
const interval = '10m'

/** ms within which a forward must be back: far below a round, far above what it takes on a busy machine. */
const soonMs = 10_000

interface Scene {
  readonly watched: Watched
  readonly port: number
  readonly forward: WantedForward
}

function scene(use: (scene: Scene) => Promise<void>, options: object = {}): Promise<void> {
  return withWatched(async (watched) => {
    const echo = await echoServer()
    const port = await freePort()
    await use({
      watched,
      port,
      forward: { name: 'web', listen: port, target: `localhost:${echo.port}`, ...options },
    })
    await echo.close()
  })
}

/** Has the forwarder that runs replace itself; gives the successor once it has taken over. */
async function replaceBySignal({ watched, port }: Scene): Promise<number> {
  const before = watched.pid(port)
  process.kill(before, 'SIGUSR2')
  const { identity } = await healthWhen(watched, port, ({ identity }) => identity.pid !== before)
  return identity.pid
}

async function followed({ watched }: Scene, pid: number): Promise<void> {
  await watched.logLine(new RegExp(`web was handed over to PID ${pid}\\b`), soonMs)
}

async function backAfterKill({ watched, port }: Scene, pid: number): Promise<number> {
  process.kill(pid, 'SIGKILL')
  const back = await healthWhen(watched, port, ({ identity }) => identity.pid !== pid)
  assert.equal(await askThrough(port), 'hello')
  return back.identity.pid
}

async function noFailure({ watched, port }: Scene): Promise<void> {
  assert.doesNotMatch(watched.log(), /failure #|✗|Stale/)
  assert.equal(await restartsOf(watched, port), 0)
}

describe('A forwarder that somebody else has replaced, under a monitor', () => {
  for (const [kind, options] of [
    ['one process', {}],
    ['two workers', { workers: 2 }],
  ] as const) {
    it(`SIGUSR2 (${kind}): the monitor follows at once, counts no failure, and brings a killed successor back during the drain`, () =>
      scene(async (all) => {
        const { watched, port, forward } = all
        await startMonitor(watched, { forwards: [forward], interval })
        const first = (await healthyAs(watched, port)).pid
        const stream = await LongStream.open(port)
        await stream.exchange(100)
        const second = await replaceBySignal(all)
        await followed(all, second)
        await noFailure(all)
        const third = await backAfterKill(all, second)
        await stream.exchange(100)
        await watched.logLine(/web is not running.*\(failure #1\)/)
        const { forward: status } = await healthyAs(watched, port)
        assert.deepEqual([status.pid, status.restarts], [third, 1])
        assert.ok(forwardersOf(watched, port).includes(first), 'the first one still serves its stream')
        await stream.close()
        await until(
          'the first one is gone',
          async () => !forwardersOf(watched, port).includes(first) || undefined,
        )
        assert.equal(watched.log().match(/failure #/g)?.length, 1)
      }, options))
  }

  it('SIGUSR2 without a connection: its end is no failure; history and --why tell a planned restart', () =>
    scene(async (all) => {
      const { watched, port, forward } = all
      const monitor = await startMonitor(watched, { forwards: [forward], interval })
      const first = (await healthyAs(watched, port)).pid
      const second = await replaceBySignal(all)
      await followed(all, second)
      await until(
        'the first one is gone',
        async () => !forwardersOf(watched, port).includes(first) || undefined,
      )
      await healthyAs(watched, port)
      await noFailure(all)
      const why = await watched.run('proxy-log', '--why', 'web')
      assert.match(why.stdout, new RegExp(`PID ${second} took over from PID ${first}: a planned restart`))
      assert.match(why.stdout, /It was a planned restart: the port stayed open\./)
      const history = await watched.run('proxy-status', '--history', '--json')
      const { forwards } = JSON.parse(history.stdout) as {
        forwards: { days: { failures: number; downMs: number }[] }[]
      }
      assert.deepEqual([forwards[0]?.days.at(-1)?.failures, forwards[0]?.days.at(-1)?.downMs], [0, 0])
      await monitor.stop()
    }))

  it('an order on the control socket, and chains of them: the monitor follows the last one', () =>
    scene(async (all) => {
      const { watched, port, forward } = all
      await startMonitor(watched, { forwards: [forward], interval })
      await healthyAs(watched, port)
      const stream = await LongStream.open(port)
      const words = [String(port), 'localhost', String(forward.target).split(':')[1] ?? '']
      const run = [...command('tcp-proxy', ...words), '--state-dir', watched.directory]
      const answer = await askControl(watched.file(`tcp_proxy_${port}.sock`), 'hand-over', { run }, 10_000)
      const ordered = (answer as { identity: { pid: number } }).identity.pid
      await followed(all, ordered)
      const [next, last] = [await replaceBySignal(all), await replaceBySignal(all)]
      assert.notEqual(next, last)
      await followed(all, last)
      await noFailure(all)
      await stream.exchange(100)
      await backAfterKill(all, last)
      await stream.close()
    }))

  it('while the monitor stands still, its successor killed before the monitor sees it: it is back, the stream goes on', () =>
    scene(async (all) => {
      const { watched, port, forward } = all
      const monitor = await startMonitor(watched, { forwards: [forward], interval })
      await healthyAs(watched, port)
      const stream = await LongStream.open(port)
      process.kill(monitor.pid, 'SIGSTOP')
      const second = await replaceBySignal(all)
      process.kill(second, 'SIGKILL')
      process.kill(monitor.pid, 'SIGCONT')
      const back = await healthWhen(watched, port, ({ identity }) => identity.pid !== second)
      assert.notEqual(back.identity.pid, second)
      assert.equal(await askThrough(port), 'hello')
      await stream.exchange(100)
      await stream.close()
    }))

  it('a monitor that begins in the middle of a drain: its successor killed, it is back', () =>
    scene(async (all) => {
      const { watched, port, forward } = all
      const first = await startMonitor(watched, { forwards: [forward], interval })
      await healthyAs(watched, port)
      const stream = await LongStream.open(port)
      await first.stop('SIGKILL')
      const second = await replaceBySignal(all)
      await startMonitor(watched, { forwards: [forward], interval })
      await watched.logLine(new RegExp(`web is already running \\(PID: ${second}\\), adopted`))
      await backAfterKill(all, second)
      await stream.exchange(100)
      await stream.close()
    }))

  it('a successor that dies while it starts: nothing is told, nothing has changed', () =>
    scene(async (all) => {
      const { watched, port, forward } = all
      await startMonitor(watched, { forwards: [forward], interval })
      const { pid } = await healthyAs(watched, port)
      const socket = watched.file(`tcp_proxy_${port}.sock`)
      await assert.rejects(askControl(socket, 'hand-over', { run: ['sh', '-c', 'kill -9 $$'] }, 10_000))
      assert.equal((await healthyAs(watched, port)).pid, pid)
      await noFailure(all)
    }))

  it('in the same moment as the monitor does it for other options: one serves, with the options that are wanted', () =>
    scene(async (all) => {
      const { watched, port, forward } = all
      const first = await startMonitor(watched, { forwards: [forward] })
      await healthyAs(watched, port)
      await first.stop('SIGKILL')
      const before = watched.pid(port)
      process.kill(before, 'SIGUSR2')
      await startMonitor(watched, { forwards: [{ ...forward, idleTimeout: '1h' }] })
      await until('the wanted options', async () => {
        const answer = await askControl(watched.file(`tcp_proxy_${port}.sock`), 'identify')
        const { options } = answer as { options: string }
        return JSON.parse(options).idleTimeoutMs === 3_600_000 || undefined
      })
      const { pid } = await healthyAs(watched, port)
      await until('one is left', async () => forwardersOf(watched, port).length === 1 || undefined)
      assert.deepEqual(forwardersOf(watched, port), [pid])
      assert.doesNotMatch(watched.log(), /failure #|✗/)
    }))

  it('right before the monitor ends its forwards: none is left', () =>
    scene(async (all) => {
      const { watched, port, forward } = all
      const monitor = await startMonitor(watched, {
        forwards: [forward],
        interval,
        words: ['--stop-forwards'],
      })
      await healthyAs(watched, port)
      const client = connect(port, '127.0.0.1')
      client.on('error', () => {})
      process.kill(watched.pid(port), 'SIGUSR2')
      assert.equal(await monitor.stop(), 0)
      await until('no forwarder', async () => forwardersOf(watched, port).length === 0 || undefined)
      assert.equal(await askThrough(port), 'ECONNREFUSED')
      client.destroy()
    }))
})
