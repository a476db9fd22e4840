import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { describe } from 'vitest'
import { isLoopback, machineAddresses } from '../../src/os/interfaces.ts'
import { it } from '../support/fixtures.ts'
import { forwardersOf, healthyAs, restartsOf, startMonitor } from '../support/monitored.ts'
import { freePort } from '../support/tools.ts'
import { askThrough, echoServer } from '../support/watched.ts'

/** Sets how many descriptors a process may have open from now on; what it has stays open. */
function limitDescriptors(pid: number, limit: number | undefined): void {
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${limit ?? 1024}:`])
}

/** The limit below which so many numbers are free at rest: what a look of the monitor has open for a moment does not count. */
async function limitThatLeaves(pid: number, spare: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let sample = 0; sample < 50; sample++) {
    least = Math.min(least, limitNow(pid, spare))
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return least
}

/** Descriptors are numbered from the lowest free one on. */
function limitNow(pid: number, spare: number): number {
  const open = new Set(readdirSync(`/proc/${pid}/fd`).map(Number))
  let free = 0
  for (let number = 0; ; number++) {
    if (open.has(number)) continue
    if (free === spare) return number
    free++
  }
}

const hasNetwork = machineAddresses().some(({ address }) => !isLoopback(address))

describe('EMFILE: the monitor has no descriptor left', () => {
  for (const spare of [0, 1, 3, 6]) {
    it(`but ${spare}: what is well is left alone, what dies is back when there are some again`, async ({
      watched,
    }) => {
      const echo = await echoServer()
      const [kept, killed] = [await freePort(), await freePort()]
      const target = `localhost:${echo.port}`
      const forwards = [
        { name: 'kept', listen: kept, target },
        { name: 'killed', listen: killed, target },
      ]
      const monitor = await startMonitor(watched, {
        forwards,
        interval: '100ms',
        restart: { flappingRestarts: 2, flappingPause: '1h' },
      })
      const { pid: keptPid } = await healthyAs(watched, kept)
      const { pid: killedPid } = await healthyAs(watched, killed)
      limitDescriptors(monitor.pid, await limitThatLeaves(monitor.pid, spare))
      if (spare < 6) await monitor.line(/cannot be looked at: this process is out of file descriptors/)
      process.kill(killedPid, 'SIGKILL')
      await monitor.line(/killed (is not running|cannot be started)/)
      if (spare < 3) await monitor.line(/killed cannot be started: this process is out of file descriptors/)
      assert.equal(await askThrough(kept), 'hello')
      limitDescriptors(monitor.pid, undefined)
      const { pid } = await healthyAs(watched, killed, killedPid)
      assert.deepEqual(forwardersOf(watched, killed), [pid])
      assert.equal(await askThrough(killed), 'hello')
      assert.deepEqual(forwardersOf(watched, kept), [keptPid])
      assert.equal(await restartsOf(watched, kept), 0)
      assert.doesNotMatch(watched.log(), /Stale PID file .*read|flapping|ALERT/)
      if (hasNetwork) assert.doesNotMatch(watched.log(), /no address but loopback/)
      assert.equal(await monitor.stop(), 0)
      await echo.close()
    })
  }
})

it('A monitor that may have 64 descriptors from the start reads its configuration, and its forward serves', async ({
  watched,
}) => {
  const echo = await echoServer()
  const port = await freePort()
  const monitor = await startMonitor(watched, {
    forwards: [{ name: 'web', listen: port, target: `localhost:${echo.port}` }],
    under: (argv) => ['sh', '-c', 'ulimit -n 64; exec "$@"', 'sh', ...argv],
  })
  await healthyAs(watched, port)
  assert.equal(await askThrough(port), 'hello')
  assert.doesNotMatch(watched.log(), /EMFILE|ALERT/)
  assert.equal(await monitor.stop(), 0)
  await echo.close()
})
