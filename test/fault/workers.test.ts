import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { describe } from 'vitest'
import type { ForwarderHealth } from '../../src/record/shapes/forwarder-health.ts'
import { LongStream, RestlessClients } from '../support/exact-clients.ts'
import { it } from '../support/fixtures.ts'
import { healthOf } from '../support/inherited.ts'
import { freePort, until } from '../support/tools.ts'
import { askThrough, echoServer, type Watched, withWatched } from '../support/watched.ts'
import { allGone, healthOnce, servingOf } from '../support/workers.ts'

interface Served {
  readonly watched: Watched
  readonly port: number
  readonly words: readonly string[]
  readonly forward: ReturnType<Watched['start']>
  /** Waits for a state of the forward, whoever serves it. */
  when(what: string, isWanted: (health: ForwarderHealth) => boolean): Promise<ForwarderHealth>
}

function withForward(
  workers: number,
  options: readonly string[],
  use: (served: Served) => Promise<void>,
): Promise<void> {
  return withWatched(async (watched) => {
    const echo = await echoServer()
    const port = await freePort()
    const words = [String(port), 'localhost', String(echo.port), '--workers', String(workers), ...options]
    const forward = watched.start('tcp-proxy', ...words)
    await forward.line(/Target .* answers/)
    const when: Served['when'] = (what, isWanted) =>
      healthOnce({ health: () => healthOf(watched, port) }, what, isWanted)
    await when('all serve', (health) => servingOf(health).length === workers)
    await use({ watched, port, words, forward, when })
    forward.releaseOutput()
    await echo.close()
  })
}

/** Opens streams until each process has one; by the number of the process. */
async function streamInEach({ port, when }: Served, processes: number): Promise<Map<number, LongStream>> {
  const streams = new Map<number, LongStream>()
  const spare: LongStream[] = []
  let before = servingOf(await when('all', () => true))
  while (streams.size < processes) {
    const stream = await LongStream.open(port)
    await stream.exchange(10)
    const now = servingOf(await when('all', () => true))
    const taken = now.find(
      ({ number, total }) => total > (before.find((one) => one.number === number)?.total ?? 0),
    )
    assert.ok(taken !== undefined)
    before = now
    if (streams.has(taken.number)) spare.push(stream)
    else streams.set(taken.number, stream)
  }
  for (const stream of spare) await stream.close()
  return streams
}

describe('A worker that is killed', () => {
  it('takes its own connections with it and no others, and another takes its place', () =>
    withForward(3, ['--drain', '0'], async (served) => {
      const { port, when, forward } = served
      const streams = await streamInEach(served, 3)
      const clients = new RestlessClients(port, 6, 1000)
      try {
        await clients.after(20)
        const [, killed] = servingOf(await when('all', () => true))
        assert.ok(killed !== undefined)
        process.kill(killed.identity.pid, 'SIGKILL')
        await clients.after(50)
        await when('replaced', (health) => {
          const now = servingOf(health)
          return now.length === 3 && !now.some(({ number }) => number === killed.number)
        })
        const after = await when('counted', ({ workers }) => workers?.lost === 1)
        assert.equal(after.warnings.length, 0)
        for (const [number, stream] of streams) {
          if (number === killed.number) await assert.rejects(stream.exchange(10))
          else await stream.exchange(10)
        }
        await clients.after(50)
      } finally {
        await clients.stop()
      }
      // What was in flight was reset, or cut short where all that had come was read.
      const { exact = 0, ...others } = Object.fromEntries(clients.outcomes)
      const { ECONNRESET = 0, 'wrong bytes': cut = 0, ...unexpected } = others
      assert.deepEqual(unexpected, {})
      assert.ok(exact > 100)
      assert.ok(ECONNRESET + cut <= 6, `${ECONNRESET + cut} of 6 clients`)
      await forward.line(/Worker \d+ \(PID \d+\) was killed by SIGKILL; another one starts now/)
      assert.equal(await forward.stop(), 0)
    }))

  it('again and again is started again later and later, and the rest go on serving', () =>
    withForward(2, [], async ({ port, when, forward }) => {
      for (let deaths = 0; deaths < 3; deaths++) {
        const { workers } = await when('there', (health) => servingOf(health).length === 2)
        process.kill(workers?.processes[1]?.identity.pid ?? 0, 'SIGKILL')
        await when('counted', (health) => health.workers?.lost === deaths + 1)
        assert.equal(await askThrough(port), 'hello')
      }
      await forward.line(/another one starts now/)
      await forward.line(/another one starts in 1 s/)
      await forward.line(/another one starts in 2 s/)
      assert.equal(await forward.stop(), 0)
    }))
})

describe('A worker that is stopped', () => {
  it('is noticed within seconds, killed and replaced; new clients are served all the while', () =>
    withForward(3, ['--drain', '0'], async (served) => {
      const { port, when, forward } = served
      const streams = await streamInEach(served, 3)
      const [, stopped] = servingOf(await when('all', () => true))
      assert.ok(stopped !== undefined)
      process.kill(stopped.identity.pid, 'SIGSTOP')
      const began = performance.now()
      const clients = new RestlessClients(port, 3, 1000, 10)
      try {
        await clients.after(100)
        await allGone([stopped])
        const took = performance.now() - began
        assert.ok(took > 3000 && took < 15_000, `${took} ms`)
        await when('replaced', (health) => servingOf(health).length === 3)
        await clients.after(20)
      } finally {
        await clients.stop()
      }
      assert.deepEqual([...clients.outcomes.keys()], ['exact'])
      await forward.line(/has not answered for 4 s and was killed; another one starts/)
      for (const [number, stream] of streams) {
        if (number !== stopped.number) await stream.exchange(10)
      }
      assert.equal(await forward.stop(), 0)
    }))
})

describe('A worker that hangs while it finishes its connections', () => {
  it('is killed and counted, and nobody says that another one starts: that one is there already', () =>
    withForward(2, ['--drain', '60s'], async (served) => {
      const { port, when, forward } = served
      const streams = await streamInEach(served, 2)
      const [, leaving] = servingOf(await when('all', () => true))
      assert.ok(leaving !== undefined)
      process.kill(leaving.identity.pid, 'SIGTERM')
      await when('replaced', (health) => {
        const now = servingOf(health)
        return now.length === 2 && !now.some(({ number }) => number === leaving.number)
      })
      process.kill(leaving.identity.pid, 'SIGSTOP')
      await allGone([leaving])
      const line = await forward.line(new RegExp(`Worker ${leaving.number} .* has not answered for 4 s`))
      assert.doesNotMatch(line, /another one starts/)
      const { workers } = await when('counted', (health) => health.workers?.lost === 1)
      assert.deepEqual(
        workers?.processes.map(({ state }) => state),
        ['serving', 'serving'],
      )
      assert.equal(await askThrough(port), 'hello')
      await streams.get(0)?.close()
      assert.equal(await forward.stop(), 0)
    }))
})

describe('A forwarder with workers that is killed', () => {
  it('leaves no worker behind that accepts: the port is free at once, and what was open may finish', () =>
    withForward(3, ['--drain', '9s'], async (served) => {
      const { watched, port, words, forward, when } = served
      const streams = await streamInEach(served, 3)
      const before = servingOf(await when('all', () => true))
      process.kill(forward.pid, 'SIGKILL')
      forward.releaseOutput()
      await forward.ended()
      const began = performance.now()
      await until('nobody accepts', async () =>
        (await askThrough(port)) === 'ECONNREFUSED' ? true : undefined,
      )
      assert.ok(performance.now() - began < 8500, 'let go of before the drain time is over')
      // Within the drain time, however long the next one takes to start.
      for (const [number, stream] of streams) if (number !== 0) await stream.exchange(1000)
      const next = watched.start('tcp-proxy', ...words)
      await next.line(/Listening on/)
      assert.equal(await askThrough(port), 'hello')
      await allGone(before)
      const now = servingOf(
        await when('the next one and its workers', (health) => servingOf(health).length === 3),
      )
      assert.deepEqual((await watched.forwarders()).sort(), now.map(({ identity }) => identity.pid).sort())
      assert.equal(await next.stop(), 0)
      assert.deepEqual(await watched.forwarders(), [])
    }))

  it('has its stopped worker ended by the next one, which has the port', () =>
    withForward(2, [], async ({ watched, port, words, forward, when }) => {
      const [, worker] = servingOf(await when('all', () => true))
      assert.ok(worker !== undefined)
      process.kill(worker.identity.pid, 'SIGSTOP')
      process.kill(forward.pid, 'SIGKILL')
      forward.releaseOutput()
      await forward.ended()
      const next = watched.start('tcp-proxy', ...words)
      await next.line(/Listening on/)
      await allGone([worker])
      assert.equal(await askThrough(port), 'hello')
      assert.equal(await next.stop(), 0)
    }))
})

describe('A forwarder with workers that is told to end', () => {
  it('waits for the connections of all processes, takes no new ones, and leaves nobody', () =>
    withForward(3, ['--drain', '20s'], async (served) => {
      const { watched, port, forward, when } = served
      const streams = await streamInEach(served, 3)
      const before = servingOf(await when('all', () => true))
      process.kill(forward.pid, 'SIGTERM')
      await forward.line(/SIGTERM: no more connections are accepted, \d+ connections may finish/)
      await until('nobody accepts', async () =>
        (await askThrough(port)) === 'ECONNREFUSED' ? true : undefined,
      )
      for (const stream of streams.values()) {
        await stream.exchange(1000)
        await stream.close()
      }
      assert.equal(await forward.ended(), 0)
      await allGone(before)
      assert.deepEqual(await watched.forwarders(), [])
    }))

  it('resets what is left after the drain time, or at a second signal', () =>
    withForward(2, ['--drain', '1s'], async (served) => {
      const streams = await streamInEach(served, 2)
      const began = performance.now()
      process.kill(served.forward.pid, 'SIGTERM')
      assert.equal(await served.forward.ended(), 0)
      assert.ok(performance.now() - began < 15_000)
      for (const stream of streams.values()) await assert.rejects(stream.exchange(10))
    }))

  it('by a signal to every process, as from systemd, drains alike', () =>
    withForward(2, ['--drain', '20s'], async (served) => {
      const streams = await streamInEach(served, 2)
      for (const { identity } of servingOf(await served.when('all', () => true))) {
        process.kill(identity.pid, 'SIGTERM')
      }
      await served.forward.line(/no more connections/)
      for (const stream of streams.values()) {
        await stream.exchange(1000)
        await stream.close()
      }
      assert.equal(await served.forward.ended(), 0)
    }))
})

describe('A forwarder with workers that is replaced', () => {
  it('by SIGUSR2, time and again: nobody is refused or reset, and streams go on in the processes they are in', () =>
    withForward(2, [], async (served) => {
      const { watched, port, forward, when } = served
      const streams = await streamInEach(served, 2)
      const clients = new RestlessClients(port, 4, 10_000)
      let before = forward.pid
      try {
        for (let count = 0; count < 5; count++) {
          process.kill(before, 'SIGUSR2')
          const next = await when(
            'the next one with its workers',
            (health) => health.identity.pid !== before && servingOf(health).length === 2,
          )
          before = next.identity.pid
          await clients.after(10)
          for (const stream of streams.values()) await stream.exchange(1000)
        }
        for (const stream of streams.values()) await stream.close()
        await when('the first has ended', ({ predecessors }) => predecessors.length === 0)
      } finally {
        await clients.stop()
        forward.releaseOutput()
      }
      assert.deepEqual([...clients.outcomes.keys()], ['exact'])
      assert.equal((await watched.forwarders()).length, 2)
    }))
})

describe('A forwarder with workers under the monitor', () => {
  it('is healthy round after round, whoever accepts the probe, and back at once when it is killed', async ({
    watched,
  }) => {
    const echo = await echoServer()
    const port = await freePort()
    const roundMs = 300
    const configuration = watched.file('configuration.json')
    writeFileSync(
      configuration,
      JSON.stringify({
        interval: `${roundMs}ms`,
        forwards: [{ name: 'one', listen: port, target: `localhost:${echo.port}`, workers: 3 }],
      }),
    )
    const monitor = watched.start('proxy-monitor', '--config', configuration)
    await monitor.line(/Monitor started/)
    const health = () => healthOf(watched, port)
    const before = await healthOnce({ health }, 'all serve', (one) => servingOf(one).length === 3)
    const clients = new RestlessClients(port, 2, 100, 10)
    try {
      // Rounds are counted by the monitor itself.
      const rounds = async (count: number) => {
        const seen = new Set<number>()
        await until(
          `${count} rounds`,
          async () => {
            const { forwards } = await watched.status()
            assert.equal(forwards[0]?.state, 'healthy')
            seen.add(Math.round((performance.now() - (forwards[0]?.lastCheckAgeMs ?? 0)) / roundMs))
            return seen.size >= count ? true : undefined
          },
          60_000,
        )
      }
      await rounds(15)
    } finally {
      await clients.stop()
    }
    assert.deepEqual([...clients.outcomes.keys()], ['exact'])
    assert.doesNotMatch(watched.log(), /failure #/)
    const { connections } = await health()
    assert.equal(connections.refused['target-refused'], 0)
    process.kill(before.identity.pid, 'SIGKILL')
    await watched.logLine(/failure #1/)
    const after = await healthOnce(
      { health },
      'back with all workers',
      (one) => one.identity.pid !== before.identity.pid && servingOf(one).length === 3,
    )
    await allGone(servingOf(before), 15_000)
    const shown = await watched.run('proxy-status', 'one')
    for (const { identity } of servingOf(after))
      assert.match(shown.stdout, new RegExp(`\\b${identity.pid}\\b`))
    await monitor.stop()
    await echo.close()
  })
})
