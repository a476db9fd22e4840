import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, it } from 'vitest'
import type { Resident } from '../support/resident.ts'
import { freePort } from '../support/tools.ts'
import { askThrough, echoServer, Watched } from '../support/watched.ts'

type Victim = 'first forwarder' | 'second forwarder' | 'monitor'

const orders: readonly (readonly Victim[])[] = [
  ['first forwarder', 'second forwarder', 'monitor'],
  ['first forwarder', 'monitor', 'second forwarder'],
  ['second forwarder', 'first forwarder', 'monitor'],
  ['second forwarder', 'monitor', 'first forwarder'],
  ['monitor', 'first forwarder', 'second forwarder'],
  ['monitor', 'second forwarder', 'first forwarder'],
]

interface Place {
  readonly watched: Watched
  readonly ports: readonly [number, number]
  readonly forwards: readonly object[]
  readonly monitor: Resident
}

describe('kill -9 of the forwarders and the monitor', () => {
  const opened: Watched[] = []
  let echo: Awaited<ReturnType<typeof echoServer>>
  /** All is well there after one order, and the next one begins with it. */
  let left: Place | undefined

  beforeAll(async () => {
    echo = await echoServer()
  })
  afterAll(async () => {
    assert.equal(await left?.monitor.stop(), 0)
    for (const watched of opened) await watched.remove()
    await echo.close()
  })

  async function newPlace(): Promise<Place> {
    const watched = new Watched()
    opened.push(watched)
    const ports = [await freePort(), await freePort()] as const
    const forwards = ports.map((port, i) => ({
      name: `forward-${i}`,
      listen: port,
      target: `localhost:${echo.port}`,
    }))
    return { watched, ports, forwards, monitor: await watched.monitor(forwards) }
  }

  for (const order of orders) {
    it(`in the order ${order.join(', ')}`, async () => {
      const place = left ?? (await newPlace())
      left = undefined
      const { watched, ports, forwards } = place
      let monitorLives = true
      await allHealthy(watched)
      for (const victim of order) {
        if (victim === 'monitor') {
          await killMonitor(watched, ports[0], place.monitor.pid)
          monitorLives = false
        } else {
          const [port, other] = victim === 'first forwarder' ? ports : ([ports[1], ports[0]] as const)
          await (monitorLives ? killWatched(watched, port, other) : killUnwatched(watched, port))
        }
      }
      const survivors = await watched.forwarders()
      const monitor = await watched.monitor(forwards)
      await allHealthy(watched)
      const now = await watched.forwarders()
      assert.equal(now.length, 2, 'exactly one forwarder a port')
      for (const pid of survivors) assert.ok(now.includes(pid), 'what survived is adopted, not replaced')
      for (const port of ports) assert.equal(await askThrough(port), 'hello')
      left = { ...place, monitor }
    })
  }
})

async function allHealthy(watched: Watched): Promise<void> {
  const report = await watched.statusWhen(
    'all healthy',
    ({ exitCode, forwards }) => exitCode === 0 && forwards.every(({ state }) => state === 'healthy'),
  )
  assert.equal(report.monitor.state, 'RUNNING')
}

/** A forwarder that is watched is back at once, and its neighbour has noticed nothing. */
async function killWatched(watched: Watched, port: number, neighbour: number): Promise<void> {
  const before = await watched.status()
  const neighbourPid = watched.pid(neighbour)
  const victim = watched.pid(port)
  const told = watched.log().length
  process.kill(victim, 'SIGKILL')
  await watched.statusWhen('the forward is back', ({ forwards }) => {
    const forward = forwards.find((one) => one.port === port)
    return forward?.state === 'healthy' && forward.pid !== victim && forward.pid === watched.pid(port)
  })
  assert.equal(watched.pid(neighbour), neighbourPid)
  assert.equal(await askThrough(port), 'hello')
  const restartsOf = (report: typeof before) => report.forwards.find((one) => one.port === port)?.restarts
  assert.equal(restartsOf(await watched.status()), (restartsOf(before) ?? 0) + 1)
  assert.match(watched.log().slice(told), /forward-\d is not running: .* \(failure #1\)/)
}

/** The monitor's death ends no connection, and the status says at once that nobody watches. */
async function killMonitor(watched: Watched, port: number, pid: number): Promise<void> {
  const lives = (await watched.forwarders()).length > 0 && (await askThrough(port)) === 'hello'
  const open = lives ? connect({ port, host: '127.0.0.1' }) : undefined
  if (open !== undefined) await once(open, 'connect')
  process.kill(pid, 'SIGKILL')
  const report = await watched.statusWhen('STALE', ({ monitor }) => monitor.state === 'STALE')
  assert.equal(report.exitCode, 1)
  assert.match(report.monitor.reason ?? '', /it died/)
  if (open === undefined) return
  open.write('still there')
  assert.equal(String((await once(open, 'data'))[0]), 'still there')
  open.destroy()
}

/** A forwarder that nobody watches stays dead, and the status says so. */
async function killUnwatched(watched: Watched, port: number): Promise<void> {
  const victim = watched.pid(port)
  process.kill(victim, 'SIGKILL')
  const report = await watched.statusWhen('dead', ({ forwards }) =>
    forwards.some((forward) => forward.port === port && forward.state === 'dead'),
  )
  assert.equal(report.exitCode, 1)
  assert.equal(report.monitor.state, 'STALE')
  assert.equal(await askThrough(port), 'ECONNREFUSED')
}
