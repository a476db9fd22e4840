import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { describe, it } from 'vitest'
import { parseJournalLine } from '../../src/record/journal.ts'
import { forwardersOf, healthyAs, restartsOf, startMonitor } from '../support/monitored.ts'
import { freePort } from '../support/tools.ts'
import { askThrough, echoServer, withWatched } from '../support/watched.ts'

/** Its library reads the offset from a file at every question for the time, so that the clock can be set under a running process. */
const hasFaketime = spawnSync('faketime', ['--version']).error === undefined

const hour = 3600

describe('The wall clock jumps by an hour', { concurrent: true }, () => {
  for (const [words, offset] of [
    ['an hour forward', hour],
    ['an hour back', -hour],
  ] as const) {
    it(`${words} under the monitor: it is noticed and not acted on, and a death is still answered`, async (t) => {
      if (!hasFaketime) return t.skip('faketime is missing; run scripts/install-test-tools')
      await withWatched(async (watched) => {
        const echo = await echoServer()
        const port = await freePort()
        const clock = watched.file('clock')
        const set = (seconds: number) => {
          writeFileSync(`${clock}.new`, `${seconds < 0 ? '' : '+'}${seconds}\n`)
          renameSync(`${clock}.new`, clock)
        }
        set(0)
        const monitor = await startMonitor(watched, {
          forwards: [{ name: 'one', listen: port, target: `localhost:${echo.port}` }],
          under: (argv) => ['faketime', '-f', '+0', 'env', '-u', 'FAKETIME', ...argv],
          environment: {
            FAKETIME_TIMESTAMP_FILE: clock,
            FAKETIME_NO_CACHE: '1',
            FAKETIME_DONT_FAKE_MONOTONIC: '1',
          },
        })
        const { pid } = await healthyAs(watched, port)
        set(offset)
        const told = await monitor.line(/clock was set/)
        assert.match(told, offset > 0 ? /Nothing was monitored for .*the machine slept, or/ : /back/)
        const after = await healthyAs(watched, port)
        assert.equal(after.pid, pid)
        assert.equal(after.report.monitor.state, 'RUNNING')
        assert.equal(after.report.exitCode, 0)
        assert.equal(await restartsOf(watched, port), 0)
        const events = readFileSync(watched.file('events.jsonl'), 'utf8')
          .split('\n')
          .flatMap(parseJournalLine)
        assert.equal(events.filter(({ event }) => event === 'monitor-gap').length, offset > 0 ? 1 : 0)
        process.kill(pid, 'SIGKILL')
        const back = await healthyAs(watched, port, pid)
        assert.deepEqual(forwardersOf(watched, port), [back.pid])
        assert.equal(await askThrough(port), 'hello')
        // faketime waits for it, and would be ended by a signal to both.
        process.kill(after.report.monitor.pid ?? 0, 'SIGTERM')
        assert.equal(await monitor.ended(), 0)
        await echo.close()
      })
    })
  }
})
