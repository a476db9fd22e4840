import assert from 'node:assert/strict'
import { symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { describe, it } from 'node:test'
import type { ForwardConfiguration } from '../../src/config/configuration.ts'
import { loadConfiguration } from '../../src/config/load.ts'
import { ForwardWatcher, type WatcherSurroundings } from '../../src/watch/forward-watcher.ts'
import { forwardersOf } from '../support/monitored.ts'
import { until } from '../support/tools.ts'
import { askThrough, echoServer, freePort, type Watched, withWatched } from '../support/watched.ts'

/** What the watcher of a forward calls, one of them broken. */
function surroundings(
  stateDirectory: string,
  broken: keyof WatcherSurroundings,
  said: string[],
): WatcherSurroundings {
  const around: WatcherSurroundings = {
    stateDirectory,
    prepareDirectory: () => {},
    intervalMs: () => 1000,
    sockets: [],
    log: (_level, message) => void said.push(message),
    alert: () => {},
    changed: () => {},
    journal: () => {},
  }
  const fail = () => {
    throw new Error(`${broken} is broken`)
  }
  return { ...around, [broken]: fail }
}

/** The configuration of one forward, as a file gives it. */
async function forwardOn(watched: Watched, listen: number, target: number): Promise<ForwardConfiguration> {
  const file = watched.file('configuration.json')
  const forwards = [{ name: 'web', listen, target: `localhost:${target}` }]
  writeFileSync(file, JSON.stringify({ restart: { failureThreshold: 1 }, forwards }))
  const [forward] = (await loadConfiguration(file)).forwards
  return forward ?? assert.fail()
}

describe('A watcher whose surroundings fail', { timeout: 60_000 }, () => {
  for (const broken of ['log', 'alert', 'changed', 'journal'] as const) {
    it(`(${broken}) goes on watching: what dies is started again`, () =>
      withWatched(async (watched) => {
        const echo = await echoServer()
        const port = await freePort()
        const forward = await forwardOn(watched, port, echo.port)
        const said: string[] = []
        const watcher = new ForwardWatcher(forward, undefined, surroundings(watched.directory, broken, said))
        const runs = (not = 0) =>
          until('it runs', async () => {
            const { phase } = watcher.state
            await watcher.check()
            return phase.id === 'running' && phase.identity.pid !== not ? phase.identity.pid : undefined
          })
        await watcher.check()
        const pid = await runs()
        process.kill(pid, 'SIGKILL')
        await runs(pid)
        assert.equal(await askThrough(port), 'hello')
        if (broken !== 'log')
          assert.match(said.join('\n'), new RegExp(`a fault in port-watchdog .*${broken} is broken`))
        await watcher.stop('the test is over')
        watcher.close()
        assert.deepEqual(forwardersOf(watched, port), [])
        await echo.close()
      }))
  }
})

const asRoot = {
  skip: process.getuid?.() === 0 ? false : 'SKIPPED, NOT TESTED: only root can act as another user',
}

/** Lets `act` make its system calls as a user to whom nothing here belongs. */
function asNobody<T>(act: () => T): T {
  process.seteuid?.(65_534)
  try {
    return act()
  } finally {
    process.seteuid?.(0)
  }
}

describe('A control socket that cannot be opened', { timeout: 60_000 }, () => {
  for (const [why, code, options, look] of [
    ['it belongs to another user', 'EACCES', asRoot, asNobody],
    ['its name is a link to itself', 'ELOOP', {}, (act: () => Promise<void>) => act()],
  ] as const) {
    it(`(${why}) gives no verdict: nothing is started, and it is looked at again`, options, () =>
      withWatched(async (watched) => {
        const forward = await forwardOn(watched, await freePort(), 9)
        const said: string[] = []
        const watcher = new ForwardWatcher(forward, undefined, {
          ...surroundings(watched.directory, 'prepareDirectory', said),
          log: (_level, message) => void said.push(message),
        })
        const socket = watched.file(`tcp_proxy_${forward.options.listenPort}.sock`)
        const holder = createServer()
        if (code === 'ELOOP') symlinkSync(socket, socket)
        else await new Promise<void>((resolve) => holder.listen(socket, resolve))
        await look(() => watcher.check())
        assert.equal(watcher.state.phase.id, 'unknown')
        assert.match(said.join('\n'), new RegExp(`^web cannot be looked at: its control socket .*${code}`))
        assert.equal(said.length, 1)
        holder.close()
        if (code === 'ELOOP') unlinkSync(socket)
        await watcher.check()
        assert.match(said.join('\n'), /web can be looked at again/)
        watcher.close()
      }),
    )
  }
})
