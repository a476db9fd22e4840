// What a container leaves in its state volume when it ends, and what the next one makes of it. A container is a PID namespace here.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, it, type TestContext } from 'vitest'
import { Resident } from '../support/resident.ts'
import { freePort, run, until } from '../support/tools.ts'
import { askThrough, command, echoServer, type Watched, withWatched } from '../support/watched.ts'

const container = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child']

function needsNamespaces(t: TestContext): boolean {
  const made = spawnSync('unshare', ['--pid', '--fork', '--mount-proc', 'true'])
  if (made.status === 0) return true
  t.skip(`this user cannot make PID namespaces (${made.error?.message ?? made.stderr})`)
  return false
}

interface Scene {
  readonly watched: Watched
  readonly port: number
  readonly start: (...under: string[]) => Resident
  readonly works: () => Promise<unknown>
}

async function withScene(use: (scene: Scene) => Promise<void>, gate = false): Promise<void> {
  await withWatched(async (watched) => {
    const [echo, port] = [await echoServer(), await freePort()]
    const target = `127.0.0.1:${echo.port}`
    const forward = { name: 'web', listen: port, target, ...(gate ? { gate: 'token' } : { workers: 2 }) }
    writeFileSync(watched.file('c.json'), JSON.stringify({ interval: '1s', forwards: [forward] }))
    const words = ['--config', watched.file('c.json'), '--state-dir', watched.directory]
    const start = (...under: string[]) =>
      watched.adopt(new Resident([...under, ...command('proxy-monitor', ...words)], {}))
    const works = () =>
      until('the forward works', async () => {
        const answer = await askThrough(port)
        return answer.includes(gate ? 'HTTP/1.1' : 'hello') || undefined
      })
    await use({ watched, port, start, works })
    await echo.close()
  })
}

/** Ends what runs as PID 1 of the container, and with it everything in there. */
async function endContainer(resident: Resident, signal: NodeJS.Signals): Promise<void> {
  const { stdout } = await run(['ps', '-o', 'pid=', '--ppid', String(resident.pid)])
  const first = Number(stdout.trim())
  assert.ok(first > 0)
  process.kill(first, signal)
  await resident.ended()
}

/** So that the kernel does not give the next container the namespace number of the one before. */
function otherContainer(watched: Watched): Resident {
  return watched.adopt(new Resident([...container, 'sleep', '600'], {}))
}

describe('After a restart of its container a forward is back', { timeout: 180_000 }, () => {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    for (const between of [true, false]) {
      const what = between ? 'with another container started in between' : 'at once'
      it(`after ${signal} of PID 1, ${what}`, async (t) => {
        if (!needsNamespaces(t)) return
        await withScene(async ({ watched, port, start, works }) => {
          for (let time = 1; time <= 2; time++) {
            const monitor = start(...container)
            await monitor.line(/Monitor started/)
            await works()
            const pidFile = readFileSync(watched.file(`tcp_proxy_${port}.pid`), 'utf8')
            await endContainer(monitor, signal)
            assert.equal(await askThrough(port), 'ECONNREFUSED', 'the forwarder ended with its container')
            assert.equal(
              readFileSync(watched.file(`tcp_proxy_${port}.pid`), 'utf8'),
              pidFile,
              'it left its files',
            )
            if (between) otherContainer(watched)
          }
          const host = start()
          await host.line(/does not hold its control socket any more|is gone|is another process now/)
          await works()
        })
      })
    }
  }

  it('with the gate, whose family holds no port of the container before', async (t) => {
    if (!needsNamespaces(t)) return
    await withScene(async ({ watched, start, works }) => {
      const one = start(...container)
      await works()
      await endContainer(one, 'SIGTERM')
      otherContainer(watched)
      const next = start(...container)
      await next.line(/Monitor started/)
      await works()
    }, true)
  })
})

describe('The status of a monitor in a container', () => {
  it('is told from the host and from inside, and gives no advice about a PID of another namespace', async (t) => {
    if (!needsNamespaces(t)) return
    await withScene(async ({ watched, start, works }) => {
      const monitor = start(...container)
      await monitor.line(/Monitor started/)
      await works()
      const fine = await watched.statusWhen('healthy', ({ exitCode }) => exitCode === 0)
      assert.equal(fine.monitor.state, 'RUNNING')
      await endContainer(monitor, 'SIGTERM')
      otherContainer(watched)
      const ended = await watched.status()
      assert.equal(ended.monitor.cause, 'ended')
      assert.deepEqual(
        ended.forwards.map(({ state }) => state),
        ['dead'],
      )

      const killed = start(...container)
      await killed.line(/Monitor started/)
      await works()
      await endContainer(killed, 'SIGKILL')
      otherContainer(watched)
      for (const under of [[], container]) {
        const words = ['--json', '--state-dir', watched.directory]
        const { stdout } = await run([...under, ...command('proxy-status', ...words)])
        const report = JSON.parse(stdout)
        assert.deepEqual([report.monitor.state, report.monitor.cause], ['STALE', 'died'])
        // The kernel may give the number of the namespace that is gone to the next one.
        assert.match(
          report.monitor.reason,
          /of another PID namespace does not hold its control socket any more|PID 1 is gone/,
        )
        assert.doesNotMatch(report.next.join('\n'), /kill|ps -fp/)
      }
    })
  })

  it('that hangs asks for a restart of the container, not for a kill of a PID that is another one here', async (t) => {
    if (!needsNamespaces(t)) return
    await withScene(async ({ watched, start, works }) => {
      const monitor = start(...container)
      await monitor.line(/Monitor started/)
      await works()
      const { stdout } = await run(['ps', '-o', 'pid=', '--ppid', String(monitor.pid)])
      process.kill(Number(stdout.trim()), 'SIGSTOP')
      const file = watched.file('runtime-state.json')
      const state = JSON.parse(readFileSync(file, 'utf8'))
      writeFileSync(
        file,
        JSON.stringify({ ...state, writtenAtMonotonicMs: state.writtenAtMonotonicMs - 60_000 }),
      )
      const report = await watched.status()
      assert.equal(report.monitor.cause, 'hangs')
      assert.doesNotMatch(report.next.join('\n'), /kill/)
      assert.match(report.next.join('\n'), /restart the container/)
      process.kill(Number(stdout.trim()), 'SIGCONT')
    })
  })

  it('on the host is told from inside a container as well', async (t) => {
    if (!needsNamespaces(t)) return
    await withScene(async ({ watched, start, works }) => {
      await start().line(/Monitor started/)
      await works()
      await watched.statusWhen('healthy', ({ exitCode }) => exitCode === 0)
      const { stdout, code } = await run([
        ...container,
        ...command('proxy-status', '--json', '--state-dir', watched.directory),
      ])
      const report = JSON.parse(stdout)
      assert.deepEqual([code, report.monitor.state, report.forwards[0].state], [0, 'RUNNING', 'healthy'])
    })
  })

  it('in whose place one is started on the host is refused, and its forwards are left alone', async (t) => {
    if (!needsNamespaces(t)) return
    await withScene(async ({ watched, start, works }) => {
      await start(...container).line(/Monitor started/)
      await works()
      const second = await watched.run('proxy-monitor', '--config', watched.file('c.json'))
      assert.equal(second.code, 69)
      await works()
    })
  })
})
