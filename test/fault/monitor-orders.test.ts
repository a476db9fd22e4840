import assert from 'node:assert/strict'
import { appendFileSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { describe, it } from 'vitest'
import { forwardersOf, healthyAs, startMonitor } from '../support/monitored.ts'
import { Resident } from '../support/resident.ts'
import { freePort, until } from '../support/tools.ts'
import { askThrough, command, echoServer, type Watched, withWatched } from '../support/watched.ts'

async function oneForward(
  use: (watched: Watched, port: number, target: string) => Promise<void>,
): Promise<void> {
  await withWatched(async (watched) => {
    const echo = await echoServer()
    await use(watched, await freePort(), `localhost:${echo.port}`)
    await echo.close()
  })
}

describe('proxy-monitor --stop', () => {
  it('ends the monitor, says which forwards keep running and how to end them; without a monitor it ends those', () =>
    oneForward(async (watched, port, target) => {
      const monitor = await startMonitor(watched, { forwards: [{ name: 'web', listen: port, target }] })
      const { pid } = await healthyAs(watched, port)
      const stopped = await watched.run('proxy-monitor', '--stop')
      assert.equal(stopped.code, 0)
      assert.match(stopped.stdout, new RegExp(`The monitor has ended \\(PID: ${monitor.pid}\\)`))
      assert.match(stopped.stdout, new RegExp(`keep running: web \\(PID: ${pid}\\)`))
      assert.match(stopped.stdout, /proxy-monitor(?:\.cjs)? --stop --stop-forwards --state-dir \//)
      assert.equal((await watched.status()).monitor.state, 'STOPPED')
      assert.equal(await askThrough(port), 'hello')
      assert.match(
        watched.log(),
        /Monitor ended by an order of \S+ \(UID \d+, cli\); these forwards keep running: web; to end them/,
      )
      const all = await watched.run('proxy-monitor', '--stop', '--stop-forwards')
      assert.deepEqual([all.code, /web has ended/.test(all.stdout)], [0, true])
      assert.deepEqual(forwardersOf(watched, port), [])
      assert.equal((await watched.run('proxy-monitor', '--stop')).code, 0)
    }))

  it('--stop-forwards ends a running monitor with its forwards', () =>
    oneForward(async (watched, port, target) => {
      await startMonitor(watched, { forwards: [{ name: 'web', listen: port, target }] })
      await healthyAs(watched, port)
      const { code } = await watched.run('proxy-monitor', '--stop', '--stop-forwards')
      assert.equal(code, 0)
      assert.deepEqual(forwardersOf(watched, port), [])
      assert.equal(await askThrough(port), 'ECONNREFUSED')
    }))
})

describe('SIGHUP', () => {
  it('retries at once what waits, and says so', () =>
    oneForward(async (watched, port, target) => {
      const restart = { flappingRestarts: 1, flappingWindow: '1h', flappingPause: '1h' }
      const forwards = [{ name: 'web', listen: port, target }]
      const monitor = await startMonitor(watched, { forwards, restart, interval: '10m' })
      for (let pid = 0, death = 0; death < 2; death++) {
        pid = (await healthyAs(watched, port, pid)).pid
        process.kill(pid, 'SIGKILL')
      }
      await watched.logLine(/web is flapping/)
      process.kill(monitor.pid, 'SIGHUP')
      await watched.logLine(/SIGHUP: trying again now: web \(flapping\)/)
      await healthyAs(watched, port)
    }))

  it('is answered every time, also for a file whose folder was replaced; a relative --config means what it meant at the start', () =>
    oneForward(async (watched, port, target) => {
      const folder = watched.file('here')
      const file = join(folder, 'pw.json')
      const content = JSON.stringify({ forwards: [{ name: 'web', listen: port, target }] })
      mkdirSync(folder)
      writeFileSync(file, content)
      const argv = command('proxy-monitor', '--config', 'pw.json', '--state-dir', watched.directory)
      const inFolder = ['sh', '-c', 'cd "$0" && exec "$@"', folder, ...argv]
      const monitor = watched.adopt(new Resident(inFolder, {}))
      await monitor.line(/Monitor started/)
      const answers = async (pattern: RegExp, count: number) => {
        process.kill(monitor.pid, 'SIGHUP')
        await until(`answer ${count}`, async () => {
          return (watched.log().match(pattern)?.length ?? 0) >= count || undefined
        })
      }
      for (const count of [1, 2]) await answers(/read again; nothing has changed/g, count)
      rmSync(folder, { recursive: true })
      for (const count of [1, 2, 3]) await answers(/Configuration file rejected/g, count)
      assert.ok(watched.log().includes(`${file} does not exist`))
      mkdirSync(folder)
      writeFileSync(file, content)
      await answers(/read again; nothing has changed/g, 3)
      const { stdout } = await watched.run('proxy-status', '--json')
      assert.ok(stdout.includes(file))
    }))
})

describe('A configuration file that is written in two halves', () => {
  it('takes effect as a whole: what only the second half names is not touched', () =>
    oneForward(async (watched, port, target) => {
      const other = await freePort()
      const file = watched.file('two-halves.yaml')
      const half = (name: string, listen: number) =>
        `  - { name: ${name}, listen: ${listen}, target: "${target}" }\n`
      writeFileSync(file, `interval: 1s\nforwards:\n${half('a', other)}${half('b', port)}`)
      const argv = command('proxy-monitor', '--config', file, '--state-dir', watched.directory)
      const monitor = watched.adopt(new Resident(argv, {}))
      await monitor.line(/Monitor started/)
      const { pid } = await healthyAs(watched, port)
      const first = `interval: 2s\nforwards:\n${half('a', other)}`
      // Whoever is kept from his turn for longer than a file has to stay unchanged has written two configurations.
      for (let took = Number.POSITIVE_INFINITY; took > 900; ) {
        writeFileSync(file, `interval: 1s\nforwards:\n${half('a', other)}${half('b', port)}`)
        const began = performance.now()
        writeFileSync(file, first)
        await setTimeout(600)
        appendFileSync(file, half('b', port))
        took = performance.now() - began
      }
      await watched.logLine(/Configuration changed: another interval/)
      assert.equal((await healthyAs(watched, port)).pid, pid)
      assert.doesNotMatch(watched.log(), /removed b/)
      // One that is replaced as a whole takes effect as well.
      writeFileSync(`${file}.new`, `interval: 3s\nforwards:\n${half('a', other)}`)
      renameSync(`${file}.new`, file)
      await watched.logLine(/Configuration changed: removed b/)
    }))
})
