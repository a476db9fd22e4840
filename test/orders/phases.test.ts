import { createServer, type Server } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { UnitResult } from '../../src/orders/unit-result.ts'
import type { UnitState } from '../../src/orders/unit-state.ts'
import { startMonitor } from '../support/monitored.ts'
import { give, giveTo, heldConnection, phaseOf } from '../support/ordered.ts'
import { freePort } from '../support/tools.ts'
import { echoServer, Watched } from '../support/watched.ts'

/** A forward for each order, named by it. */
const orders = ['stop', 'start', 'restart', 'retry', 'drain', 'hand-over'] as const

type Results = Readonly<Record<(typeof orders)[number], UnitResult>>

/** A monitor with a forward for each order. */
class Room {
  readonly watched = new Watched()
  #ports: readonly number[] = []
  #target: Server | undefined

  get ports(): readonly number[] {
    return this.#ports
  }

  /** @param before what is done with the ports before the monitor starts. */
  async open(restart: object = {}, before?: (ports: readonly number[]) => Promise<void>): Promise<void> {
    const echo = await echoServer()
    this.#target = echo.server
    const target = `localhost:${echo.port}`
    this.#ports = await Promise.all(orders.map(() => freePort()))
    await before?.(this.#ports)
    const forwards = orders.map((name, i) => ({ name, listen: this.#ports[i] ?? 0, target, drain: '8s' }))
    const policy = { backoffLimit: '1h', resetAfter: '1h', ...restart }
    await startMonitor(this.watched, { forwards, restart: policy, interval: '10m' })
  }

  async are(phase: UnitState['phase']): Promise<void> {
    for (const name of orders) await phaseOf(this.watched, name, phase)
  }

  async close(): Promise<void> {
    await this.watched.remove()
    this.#target?.close()
  }
}

/** For what needs a policy of its own, or ports that are taken. */
async function ownRoom(
  restart: object,
  use: (room: Room) => Promise<void>,
  before?: (ports: readonly number[]) => Promise<void>,
): Promise<void> {
  const room = new Room()
  try {
    await room.open(restart, before)
    await use(room)
  } finally {
    await room.close()
  }
}

/** For the phases that orders lead to, from whatever the case before has left. */
const shared = new Room()

async function allRun(): Promise<void> {
  await giveTo(shared.watched, 'start', { all: true })
  await shared.are('running')
}

async function allAreDown(): Promise<void> {
  await giveTo(shared.watched, 'stop', { all: true })
  await shared.are('down')
}

function listening(port: number): Promise<Server> {
  const server = createServer()
  return new Promise((resolve) => server.listen(port, '0.0.0.0', () => resolve(server)))
}

/** Kills each forwarder as soon as it runs for the `deaths`th time. */
async function killAll(watched: Watched, ports: readonly number[], deaths: number): Promise<void> {
  for (const name of orders) await phaseOf(watched, name, 'running', (restarts) => restarts === deaths - 1)
  for (const port of ports) process.kill(watched.pid(port), 'SIGKILL')
}

/** Gives each forward the order that it is named by, all at once. */
async function giveAll(watched: Watched): Promise<Results> {
  const given = await Promise.all(
    orders.map(async (name) => [name, await give(watched, name, { units: [name] })]),
  )
  return Object.fromEntries(given) as Results
}

const down = { error: null, state: { phase: 'down' } }
const running = { error: null, state: { phase: 'running', stopped: null } }

describe('Every order', { timeout: 180_000 }, () => {
  beforeAll(() => shared.open())
  afterAll(() => shared.close())

  it('about one that runs', async () => {
    await allRun()
    expect(await giveAll(shared.watched)).toMatchObject({
      stop: down,
      start: { ...running, outcome: 'already' },
      restart: { ...running, outcome: 'done' },
      retry: { ...running, outcome: 'already' },
      drain: down,
      'hand-over': { ...running, outcome: 'done' },
    })
  })

  for (const phase of ['backoff', 'flapping'] as const) {
    const flapping = { backoff: 0, flappingRestarts: 1, flappingWindow: '1h', flappingPause: '1h' }
    it(`about one that waits (${phase})`, () =>
      ownRoom(phase === 'flapping' ? flapping : { backoff: '1h' }, async (room) => {
        for (const deaths of [1, 2]) await killAll(room.watched, room.ports, deaths)
        await room.are(phase)
        expect(await giveAll(room.watched)).toMatchObject({
          stop: down,
          start: running,
          restart: running,
          retry: running,
          drain: down,
          'hand-over': { error: { code: 'not-running' }, state: { phase } },
        })
      }))
  }

  it('about one whose port is taken, and about one whose port is free again', () => {
    const holders: Server[] = []
    const check = async (room: Room) => {
      await room.are('blocked')
      const { error } = await give(room.watched, 'retry', { units: ['retry'] })
      expect(error).toMatchObject({ code: 'blocked', next: expect.stringMatching(/^proxy-status retry/) })
      expect(error?.message).toContain('cannot be started: ')
      await Promise.all(holders.map((holder) => new Promise((resolve) => holder.close(resolve))))
      expect(await giveAll(room.watched)).toMatchObject({
        stop: down,
        start: running,
        restart: running,
        retry: running,
        drain: down,
        'hand-over': { error: { code: 'not-running' } },
      })
    }
    return ownRoom({}, check, async (ports) => {
      for (const port of ports) holders.push(await listening(port))
    }).finally(() => holders.forEach((holder) => void holder.close()))
  })

  it('about one that is ending', async () => {
    await allRun()
    const held = await Promise.all(shared.ports.map((port) => heldConnection(port)))
    await giveTo(shared.watched, 'stop', { all: true, wait: false })
    await shared.are('stopping')
    expect(await giveAll(shared.watched)).toMatchObject({
      stop: down,
      start: running,
      restart: running,
      retry: { error: { code: 'stopped' } },
      drain: down,
      'hand-over': { error: { code: 'not-running' } },
    })
    for (const { socket } of held) socket.destroy()
  })

  it('about one that is down', async () => {
    await allAreDown()
    expect(await giveAll(shared.watched)).toMatchObject({
      stop: { ...down, outcome: 'already' },
      start: running,
      restart: running,
      retry: { error: { code: 'stopped' } },
      drain: { ...down, outcome: 'already' },
      'hand-over': { error: { code: 'not-running' } },
    })
  })

  it('about one that is being started', async () => {
    await allAreDown()
    for (const later of orders) {
      await give(shared.watched, 'start', { units: [later], wait: false })
      const { error, state } = await give(shared.watched, later, { units: [later] })
      // A start is over when it is over: hand-over has nothing to hand over before, and all else leads where it always does.
      if (later === 'hand-over') expect([null, 'not-running']).toContain(error?.code ?? null)
      else
        expect([error, state.phase]).toEqual([
          null,
          later === 'stop' || later === 'drain' ? 'down' : 'running',
        ])
    }
  })
})
