import { createServer, type Server } from 'node:net'
import { describe, expect, it } from 'vitest'
import type { UnitResult } from '../../src/orders/unit-result.ts'
import { startMonitor } from '../support/monitored.ts'
import { give, giveTo, heldConnection, phaseOf } from '../support/ordered.ts'
import { freePort } from '../support/tools.ts'
import { echoServer, type Watched, withWatched } from '../support/watched.ts'

type Phase = 'backoff' | 'flapping' | 'blocked' | 'stopping' | 'down' | 'running'

/** A forward for each order, named by it. */
const orders = ['stop', 'start', 'restart', 'retry', 'drain', 'hand-over'] as const

type Results = Readonly<Record<(typeof orders)[number], UnitResult>>

/**
 * Brings a forward for each order into a phase, and keeps it there.
 * @param free takes away what keeps them from running.
 */
async function inPhase(
  phase: Phase,
  use: (watched: Watched, free: () => Promise<void>) => Promise<void>,
): Promise<void> {
  await withWatched(async (watched) => {
    const echo = await echoServer()
    const target = `localhost:${echo.port}`
    const ports = await Promise.all(orders.map(() => freePort()))
    const forwards = orders.map((name, i) => ({ name, listen: ports[i] ?? 0, target, drain: '8s' }))
    const restart = {
      backoff: phase === 'backoff' ? '1h' : 0,
      backoffLimit: '1h',
      resetAfter: '1h',
      ...(phase === 'flapping' ? { flappingRestarts: 1, flappingWindow: '1h', flappingPause: '1h' } : {}),
    }
    const holders = phase === 'blocked' ? await Promise.all(ports.map(listening)) : []
    await startMonitor(watched, { forwards, restart, interval: '10m' })
    if (phase === 'backoff' || phase === 'flapping') {
      for (const deaths of [1, 2]) await killAll(watched, ports, deaths)
    } else if (phase !== 'blocked') await Promise.all(orders.map((name) => phaseOf(watched, name, 'running')))
    if (phase === 'down') await giveTo(watched, 'stop', { all: true })
    const held = phase === 'stopping' ? await Promise.all(ports.map((port) => heldConnection(port))) : []
    if (phase === 'stopping') await giveTo(watched, 'stop', { all: true, wait: false })
    for (const name of orders) await phaseOf(watched, name, phase)
    await use(watched, async () => {
      await Promise.all(holders.map((holder) => new Promise((resolve) => holder.close(resolve))))
    })
    for (const { socket } of held) socket.destroy()
    for (const holder of holders) holder.close()
    await echo.close()
  })
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
  it('about one that runs', () =>
    inPhase('running', async (watched) => {
      expect(await giveAll(watched)).toMatchObject({
        stop: down,
        start: { ...running, outcome: 'already' },
        restart: { ...running, outcome: 'done' },
        retry: { ...running, outcome: 'already' },
        drain: down,
        'hand-over': { ...running, outcome: 'done' },
      })
    }))

  for (const phase of ['backoff', 'flapping'] as const) {
    it(`about one that waits (${phase})`, () =>
      inPhase(phase, async (watched) => {
        expect(await giveAll(watched)).toMatchObject({
          stop: down,
          start: running,
          restart: running,
          retry: running,
          drain: down,
          'hand-over': { error: { code: 'not-running' }, state: { phase } },
        })
      }))
  }

  it('about one whose port is taken, and about one whose port is free again', () =>
    inPhase('blocked', async (watched, free) => {
      const { error } = await give(watched, 'retry', { units: ['retry'] })
      expect(error).toMatchObject({ code: 'blocked', next: expect.stringMatching(/^proxy-status retry/) })
      expect(error?.message).toContain('cannot be started: ')
      await free()
      expect(await giveAll(watched)).toMatchObject({
        stop: down,
        start: running,
        restart: running,
        retry: running,
        drain: down,
        'hand-over': { error: { code: 'not-running' } },
      })
    }))

  it('about one that is ending', () =>
    inPhase('stopping', async (watched) => {
      expect(await giveAll(watched)).toMatchObject({
        stop: down,
        start: running,
        restart: running,
        retry: { error: { code: 'stopped' } },
        drain: down,
        'hand-over': { error: { code: 'not-running' } },
      })
    }))

  it('about one that is down', () =>
    inPhase('down', async (watched) => {
      expect(await giveAll(watched)).toMatchObject({
        stop: { ...down, outcome: 'already' },
        start: running,
        restart: running,
        retry: { error: { code: 'stopped' } },
        drain: { ...down, outcome: 'already' },
        'hand-over': { error: { code: 'not-running' } },
      })
    }))

  it('about one that is being started', () =>
    inPhase('down', async (watched) => {
      for (const later of orders) {
        await give(watched, 'start', { units: [later], wait: false })
        const { error, state } = await give(watched, later, { units: [later] })
        // A start is over when it is over: hand-over has nothing to hand over before, and all else leads where it always does.
        if (later === 'hand-over') expect([null, 'not-running']).toContain(error?.code ?? null)
        else
          expect([error, state.phase]).toEqual([
            null,
            later === 'stop' || later === 'drain' ? 'down' : 'running',
          ])
      }
    }))
})
