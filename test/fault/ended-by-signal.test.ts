// Somebody ends a forwarder while it has connections: its port must not stay closed until the last of them is over.
import { describe, expect } from 'vitest'
import { LongStream } from '../support/exact-clients.ts'
import { it } from '../support/fixtures.ts'
import { healthOf, healthWhen } from '../support/inherited.ts'
import { forwardersOf, healthyAs, restartsOf, startMonitor } from '../support/monitored.ts'
import { freePort, until } from '../support/tools.ts'
import { askThrough, echoServer } from '../support/watched.ts'

/** No round comes to help: what is noticed, is noticed by an event. */
const interval = '10m'

/** Far longer than a test may take. */
const drain = '10m'

describe('SIGTERM to a forwarder with an open connection', { timeout: 240_000 }, () => {
  for (const [kind, options] of [
    ['one process', {}],
    ['two workers', { workers: 2 }],
    ['a Unix socket beside its port, and metrics', { metrics: true, path: true }],
  ] as const) {
    it(`under a monitor (${kind}): the next one serves at once, and the connection is finished`, async ({
      watched,
    }) => {
      const echo = await echoServer()
      const port = await freePort()
      const more = {
        ...('workers' in options ? { workers: options.workers } : {}),
        ...('metrics' in options ? { metrics: `127.0.0.1:${await freePort()}` } : {}),
        ...('path' in options ? { listenUnix: [watched.file('web.listen')] } : {}),
      }
      const forward = { name: 'web', listen: port, target: `localhost:${echo.port}`, drain, ...more }
      await startMonitor(watched, { forwards: [forward], interval })
      const first = (await healthyAs(watched, port)).pid ?? 0
      const stream = await LongStream.open(port)
      await stream.exchange(100)
      process.kill(first, 'SIGTERM')
      const second = await healthWhen(watched, port, ({ identity }) => identity.pid !== first)
      expect(await askThrough(port)).toBe('hello')
      await stream.exchange(100)
      expect(forwardersOf(watched, port)).toContain(first)
      await watched.logLine(/web takes no more connections: PID \d+ was ended by a signal/)
      await healthyAs(watched, port)
      await stream.close()
      await until('the first one is gone', async () => {
        return !forwardersOf(watched, port).includes(first) || undefined
      })
      // Its end takes nothing from the one that came after it, and is no second failure.
      expect((await healthOf(watched, port)).identity.pid).toBe(second.identity.pid)
      expect(watched.pid(port)).toBe(second.identity.pid)
      expect(watched.log().match(/failure #/g)).toHaveLength(1)
      expect(await restartsOf(watched, port)).toBe(1)
      await echo.close()
    })
  }

  it('without a monitor: the next one can be started at once, by hand', async ({ watched }) => {
    const echo = await echoServer()
    const port = await freePort()
    const words = [String(port), 'localhost', String(echo.port), '--drain', drain]
    const first = watched.start('tcp-proxy', ...words)
    await healthWhen(watched, port)
    const stream = await LongStream.open(port)
    await stream.exchange(100)
    const refused = watched.start('tcp-proxy', ...words)
    expect(await refused.ended()).toBe(69)
    process.kill(first.pid, 'SIGTERM')
    await healthWhen(watched, port, ({ endedBySignal }) => endedBySignal === true)
    const second = watched.start('tcp-proxy', ...words)
    await healthWhen(watched, port, ({ identity }) => identity.pid === second.pid)
    expect(await askThrough(port)).toBe('hello')
    await stream.exchange(100)
    await stream.close()
    expect(await first.ended()).toBe(0)
    expect((await healthOf(watched, port)).identity.pid).toBe(second.pid)
    expect(watched.pid(port)).toBe(second.pid)
    await echo.close()
  })
})
