import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { loadConfiguration } from '../../src/config/load.ts'
import { ForwardWatcher, type WatcherSurroundings } from '../../src/watch/forward-watcher.ts'
import { forwardersOf } from '../support/monitored.ts'
import { until } from '../support/tools.ts'
import { askThrough, echoServer, freePort, withWatched } from '../support/watched.ts'

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

describe('A watcher whose surroundings fail', { timeout: 60_000 }, () => {
  for (const broken of ['log', 'alert', 'changed', 'journal'] as const) {
    it(`(${broken}) goes on watching: what dies is started again`, () =>
      withWatched(async (watched) => {
        const echo = await echoServer()
        const port = await freePort()
        const file = watched.file('configuration.json')
        const forwards = [{ name: 'web', listen: port, target: `localhost:${echo.port}` }]
        writeFileSync(file, JSON.stringify({ restart: { failureThreshold: 1 }, forwards }))
        const [forward] = (await loadConfiguration(file)).forwards
        const said: string[] = []
        const watcher = new ForwardWatcher(
          forward ?? assert.fail(),
          undefined,
          surroundings(watched.directory, broken, said),
        )
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
