import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it } from 'vitest'
import { system } from '../../src/os/system.ts'
import { identityOf, judgeProcess, type ProcessIdentity } from '../../src/process/identity.ts'
import { findPortHolder } from '../../src/process/port-holder.ts'
import { healthyAs, launchMonitor, restartsOf, startMonitor } from '../support/monitored.ts'
import { onEverySystem } from '../support/systems.ts'
import { checkout, freePort, until } from '../support/tools.ts'
import { askThrough, echoServer, type Watched, withWatched } from '../support/watched.ts'

const preload = join(checkout, 'dist', 'test', 'support', 'socket-holding-child.cjs')
/** What a forwarder starts with: of a monitor's variables it gets those of a list only. */
const environment = { NODE_OPTIONS: `--require=${preload}` }
const leaving = { NODE_OPTIONS: `--require=${preload} --conditions=leaves` }

/** The child of a forwarder, when it has become what it is. */
function childOf(parent: number): Promise<number> {
  return until('a child', async () => {
    const child = system.processTable().find((entry) => entry.parent === parent)?.pid
    return child !== undefined && system.commandLine(child)?.[0]?.includes('python') ? child : undefined
  })
}

/** Ended; init may not have asked how yet. */
function isGone(identity: ProcessIdentity): boolean {
  const verdict = judgeProcess(identity)
  return verdict === 'gone' || verdict === 'zombie'
}

interface Setting {
  readonly watched: Watched
  readonly port: number
  readonly forwards: readonly { readonly name: string; readonly listen: number; readonly target: string }[]
}

function endIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** One forward, whose children are taken down whatever happens. */
async function withChildren(use: (setting: Setting, children: number[]) => Promise<void>): Promise<void> {
  const children: number[] = []
  await withWatched(async (watched) => {
    const echo = await echoServer()
    const port = await freePort()
    try {
      await use(
        { watched, port, forwards: [{ name: 'one', listen: port, target: `localhost:${echo.port}` }] },
        children,
      )
    } finally {
      // By then nobody else can have the PID: they live for two minutes.
      const last = findPortHolder(port, '0.0.0.0')?.pid
      for (const pid of last === undefined ? children : [...children, last]) {
        if (!system.commandLine(pid)?.[0]?.includes('python')) continue
        endIfThere(pid)
      }
      await echo.close()
    }
  })
}

onEverySystem('A forwarder that was killed and leaves children behind', () => {
  it('in its session, which hold its port and ignore SIGTERM: ended first, named, then it is started again', () =>
    withChildren(async ({ watched, port, forwards }, children) => {
      const restart = { killAfter: '300ms' }
      // No round comes in between and sees a zombie.
      const monitor = await startMonitor(watched, { forwards, interval: '1h', restart, environment })
      const { pid } = await healthyAs(watched, port)
      const child = await childOf(pid)
      children.push(child)
      const identity = identityOf(child)
      assert.ok(identity)
      process.kill(pid, 'SIGKILL')
      await monitor.line(new RegExp(`PID ${pid} has left behind PID ${child} \\(.*python3.*\\): ended first`))
      await monitor.line(new RegExp(`What PID ${pid} of one had left behind has ended`))
      const back = await healthyAs(watched, port, pid)
      children.push(await childOf(back.pid))
      assert.ok(isGone(identity))
      assert.equal(await restartsOf(watched, port), 1)
      assert.equal(await askThrough(port), 'hello')
      const { stdout } = await watched.run('proxy-log', '--why', String(port))
      assert.match(stdout, new RegExp(`seen +PID ${pid} was killed by SIGKILL .*left behind PID ${child} `))
      assert.match(stdout, new RegExp(`decided +ended what PID ${pid} had left`))
      assert.equal(await monitor.stop(), 0)
    }))

  it('found by the next monitor: the same', () =>
    withChildren(async ({ watched, port, forwards }, children) => {
      const restart = { killAfter: '300ms' }
      const first = await startMonitor(watched, { forwards, restart, environment })
      const { pid } = await healthyAs(watched, port)
      const child = await childOf(pid)
      children.push(child)
      assert.equal(await first.stop(), 0)
      process.kill(pid, 'SIGKILL')
      const monitor = launchMonitor(watched, { forwards, restart, environment })
      await monitor.line(new RegExp(`PID ${pid} has left behind PID ${child} `))
      const back = await healthyAs(watched, port, pid)
      children.push(await childOf(back.pid))
      assert.equal(await askThrough(port), 'hello')
      assert.equal(await monitor.stop(), 0)
    }))

  it('which left its session and hold its port: named and left alone, and followed when they have gone', () =>
    withChildren(async ({ watched, port, forwards }, children) => {
      const monitor = await startMonitor(watched, { forwards, environment: leaving })
      const { pid } = await healthyAs(watched, port)
      const child = await childOf(pid)
      children.push(child)
      process.kill(pid, 'SIGKILL')
      const report = await watched.statusWhen('blocked', (one) => one.forwards[0]?.state === 'blocked')
      assert.match(report.forwards[0]?.reason ?? '', new RegExp(`taken by PID ${child} \\(.*python3`))
      process.kill(child, 'SIGKILL')
      const back = await healthyAs(watched, port, pid)
      children.push(await childOf(back.pid))
      assert.equal(await monitor.stop(), 0)
    }))
})

onEverySystem('A forwarder is ended by an order', () => {
  it('with its children, and who left and holds its port is named', () =>
    withChildren(async ({ watched, port, forwards }, children) => {
      const wishes = {
        forwards: forwards.map((one) => ({ ...one, drain: '300ms' })),
        restart: { killAfter: '300ms' },
      }
      const words = ['--stop-forwards']
      const monitor = await startMonitor(watched, { ...wishes, words, environment })
      const first = await healthyAs(watched, port)
      const child = await childOf(first.pid)
      children.push(child)
      const identity = identityOf(child)
      assert.ok(identity)
      assert.equal(await monitor.stop(), 0)
      assert.ok(isGone(identity))
      assert.equal(findPortHolder(port, '0.0.0.0'), undefined)

      const again = await startMonitor(watched, {
        ...wishes,
        words,
        environment: leaving,
      })
      const second = await healthyAs(watched, port)
      const left = await childOf(second.pid)
      children.push(left)
      assert.equal(await again.stop(), 0)
      assert.match(watched.log(), new RegExp(`Port ${port} is still held by PID ${left} \\(.*python3`))
      const {
        forwards: [one],
      } = await watched.status()
      assert.equal(one?.state, 'down')
      assert.match(one?.reason ?? '', new RegExp(`its port is still held by PID ${left} `))
    }))
})
