import assert from 'node:assert/strict'
import { symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { describe } from 'vitest'
import type { ForwardConfiguration } from '../../src/config/configuration.ts'
import { loadConfiguration } from '../../src/config/load.ts'
import { ForwardUnit } from '../../src/forward/unit/index.ts'
import { plainLog } from '../../src/log/index.ts'
import { UnitWatcher, type WatcherSurroundings } from '../../src/watch/unit-watcher.ts'
import { it } from '../support/fixtures.ts'
import { forwardersOf } from '../support/monitored.ts'
import { freePort, skipFor, until } from '../support/tools.ts'
import { askThrough, echoServer, type Watched } from '../support/watched.ts'

/** What the watcher of a forward calls, one of them broken. */
function surroundings(broken: keyof WatcherSurroundings | undefined, said: string[]): WatcherSurroundings {
  const around: WatcherSurroundings = {
    intervalMs: () => 1000,
    log: plainLog((_level, message) => void said.push(message)),
    alert: () => {},
    changed: () => {},
    journal: () => {},
  }
  if (broken === undefined) return around
  const fail = () => {
    throw new Error(`${broken} is broken`)
  }
  return { ...around, [broken]: broken === 'log' ? plainLog(fail) : fail }
}

/** The configuration of one forward, as a file gives it. */
async function forwardOn(watched: Watched, listen: number, target: number): Promise<ForwardConfiguration> {
  const file = watched.file('configuration.json')
  const forwards = [{ name: 'web', listen, target: `localhost:${target}` }]
  writeFileSync(file, JSON.stringify({ restart: { failureThreshold: 1 }, forwards }))
  const [forward] = (await loadConfiguration(file)).forwards
  return forward ?? assert.fail()
}

function unitOf({ directory }: Watched, forward: ForwardConfiguration): ForwardUnit {
  return new ForwardUnit(forward, {
    stateDirectory: directory,
    prepareDirectory: () => {},
    sockets: [],
  })
}

describe('A watcher whose surroundings fail', () => {
  for (const broken of ['log', 'alert', 'changed', 'journal'] as const) {
    it(`(${broken}) goes on watching: what dies is started again`, async ({ watched }) => {
      const echo = await echoServer()
      const port = await freePort()
      const forward = await forwardOn(watched, port, echo.port)
      const said: string[] = []
      const watcher = new UnitWatcher(unitOf(watched, forward), undefined, surroundings(broken, said))
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
    })
  }
})

const asRoot = {
  skip: skipFor(process.getuid?.() !== 0 && 'only root can act as another user'),
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

describe('A control socket that cannot be opened', () => {
  for (const [why, code, options, look] of [
    ['it belongs to another user', 'EACCES', asRoot, asNobody],
    ['its name is a link to itself', 'ELOOP', {}, (act: () => Promise<void>) => act()],
  ] as const) {
    it(
      `(${why}) gives no verdict: nothing is started, and it is looked at again`,
      options,
      async ({ watched }) => {
        const forward = await forwardOn(watched, await freePort(), 9)
        const said: string[] = []
        const watcher = new UnitWatcher(unitOf(watched, forward), undefined, surroundings(undefined, said))
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
      },
    )
  }
})
