import assert from 'node:assert/strict'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { type ControlManner, fakeForwarder } from '../support/fake-forwarder.ts'
import { forwardersOf, healthyAs, startMonitor } from '../support/monitored.ts'
import type { Resident } from '../support/resident.ts'
import { freePort } from '../support/tools.ts'
import { askThrough, echoServer, Watched } from '../support/watched.ts'

const manners: readonly ControlManner[] = ['silent', 'slow-loris', 'flood', 'reset', 'garbage']

/** A forward of the one monitor, whose control socket is held when that starts. */
interface Held {
  readonly name: string
  readonly port: number
  readonly fake: Resident
}

// Most of their time these tests wait for a limit to be exceeded, so they do it together.
describe('The control socket of a forward is held by a process', { concurrent: true }, () => {
  const watched = new Watched()
  const proven = new Map<ControlManner, Held>()
  const unknown = new Map<ControlManner, Held>()
  let echo: Awaited<ReturnType<typeof echoServer>>
  let monitor: Resident

  beforeAll(async () => {
    echo = await echoServer()
    const hold = async (kind: string, manner: ControlManner, isProven: boolean): Promise<Held> => {
      const port = await freePort()
      return { name: `${kind}-${manner}`, port, fake: await fakeForwarder(watched, port, manner, isProven) }
    }
    for (const manner of manners) {
      proven.set(manner, await hold('proven', manner, true))
      unknown.set(manner, await hold('unknown', manner, false))
    }
    const forwards = [...proven.values(), ...unknown.values()].map(({ name, port }) => ({
      name,
      listen: port,
      target: `localhost:${echo.port}`,
    }))
    monitor = await startMonitor(watched, { forwards, restart: { killAfter: '200ms' } })
  })
  afterAll(async () => {
    assert.equal(await monitor.stop(), 0)
    await watched.remove()
    await echo.close()
  })

  const heldBy = (held: ReadonlyMap<ControlManner, Held>, manner: ControlManner): Held => {
    const one = held.get(manner)
    assert.ok(one)
    return one
  }

  for (const manner of manners) {
    it(`proven to be its forwarder, ${manner}, that ignores SIGTERM: it is killed and replaced`, async () => {
      const { port, fake } = heldBy(proven, manner)
      const { pid } = await healthyAs(watched, port)
      assert.notEqual(pid, fake.pid)
      assert.equal(await fake.ended(), null, 'by a signal')
      assert.deepEqual(forwardersOf(watched, port), [pid])
      assert.equal(await askThrough(port), 'hello')
    })

    it(`that nobody knows, ${manner}: it is neither signalled nor replaced, and followed when it is gone`, async () => {
      const { name, port, fake } = heldBy(unknown, manner)
      const blocked = await monitor.line(
        new RegExp(`${name} cannot be started: |${name} could not be started: `),
      )
      assert.match(blocked, /control socket is held|already runs, but does not answer/)
      const { exitCode, forwards } = await watched.status()
      assert.notEqual(exitCode, 0)
      assert.notEqual(forwards.find((one) => one.port === port)?.state, 'healthy')
      assert.equal(fake.isRunning, true, 'it is left alone')
      await fake.stop('SIGKILL')
      const { pid } = await healthyAs(watched, port)
      assert.deepEqual(forwardersOf(watched, port), [pid])
      assert.equal(await askThrough(port), 'hello')
    })
  }
})
