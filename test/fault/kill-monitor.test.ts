import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, it } from 'vitest'
import { parseJournalLine } from '../../src/record/journal.ts'
import { readRuntimeState } from '../../src/record/runtime-state.ts'
import { forwardersOf, launchMonitor, startMonitor } from '../support/monitored.ts'
import { freePort, until } from '../support/tools.ts'
import { askThrough, echoServer, type Watched, withWatched } from '../support/watched.ts'

/** How many kills; scripts/soak-kills asks for 1,000. */
const kills = Number(process.env.MONITOR_KILLS ?? 12)

/** ms from the start of a monitor within which it is killed: its loading, its taking over, its first rounds. */
const latestKillMs = 400

/** In one round of so many a forwarder is killed too, so that monitors die while they start one. */
const forwarderKillEvery = 4

/** The number of the last state written; every file is whole or not there. */
function intactState(watched: Watched, kill: number): number {
  const found = ['runtime-state.json', 'runtime-state.json.previous'].map((name) =>
    readRuntimeState(watched.file(name)),
  )
  for (const reading of found) {
    assert.ok(
      reading.kind === 'read' || reading.kind === 'missing',
      `kill ${kill}: ${JSON.stringify(reading)}`,
    )
  }
  const left = readdirSync(watched.directory)
  assert.ok(!left.includes('runtime-state.json.corrupt'), `kill ${kill}`)
  const [current] = found
  return current?.kind === 'read' ? current.state.sequence : 0
}

describe('kill -9 of the monitor in a loop', () => {
  it(
    `${kills} times at random moments: state intact, one copy of every forwarder`,
    { timeout: 60_000 + kills * 2500 },
    (t) =>
      withWatched(async (watched) => {
        const echo = await echoServer()
        const ports = [await freePort(), await freePort()]
        const forwards = ports.map((listen) => ({
          name: `p${listen}`,
          listen,
          target: `localhost:${echo.port}`,
        }))
        const first = await startMonitor(watched, { forwards })
        const copies = new Map<number, number>()
        for (const port of ports) copies.set(port, await onlyCopy(watched, port))
        await first.stop('SIGKILL')
        let sequence = intactState(watched, 0)
        let murdered = 0

        for (let kill = 1; kill <= kills; kill++) {
          const monitor = launchMonitor(watched, { forwards })
          const port = ports[kill % ports.length] ?? 0
          const isMurder = kill % forwarderKillEvery === 0
          await randomly(latestKillMs / (isMurder ? 2 : 1))
          if (isMurder) {
            process.kill(copies.get(port) ?? 0, 'SIGKILL')
            murdered++
            await randomly(latestKillMs / 2)
          }
          await monitor.stop('SIGKILL')
          const now = intactState(watched, kill)
          assert.ok(now >= sequence, `kill ${kill}: the state went back from ${sequence} to ${now}`)
          sequence = now
          // What nobody killed is the same one as before, and the only one.
          for (const other of isMurder ? ports.filter((one) => one !== port) : ports) {
            assert.deepEqual(forwardersOf(watched, other), [copies.get(other)], `kill ${kill}`)
          }
          if (!isMurder) continue
          const next = await startMonitor(watched, { forwards })
          copies.set(port, await onlyCopy(watched, port))
          await next.stop('SIGKILL')
          sequence = Math.max(sequence, intactState(watched, kill))
        }

        for (const port of ports) assert.equal(await askThrough(port), 'hello')
        const journal = readFileSync(watched.file('events.jsonl'), 'utf8').split('\n').slice(0, -1)
        const torn = journal.filter((line) => parseJournalLine(line).length === 0)
        assert.deepEqual(torn, [], 'every line of the journal is whole')
        const leftovers = readdirSync(watched.directory).filter((name) => /\.claim$|\.stale-/.test(name))
        void t.annotate(
          `${kills} kills of monitors, ${murdered} of forwarders, ${journal.length} events, state ${sequence}, left: ${leftovers.join(' ') || 'nothing'}`,
        )
        const last = await startMonitor(watched, { forwards })
        const report = await watched.statusWhen('all healthy', ({ exitCode }) => exitCode === 0)
        assert.equal(report.forwards.length, ports.length)
        for (const { port, pid } of report.forwards) assert.equal(pid, copies.get(port))
        assert.equal(await last.stop(), 0)
        await echo.close()
      }),
  )
})

/** Waits until there is one forwarder of a port, named in its PID file; one that lost against it may still be ending. */
function onlyCopy(watched: Watched, port: number): Promise<number> {
  return until(`one forwarder of port ${port}`, async () => {
    const found = forwardersOf(watched, port)
    const [pid] = found
    if (found.length !== 1 || pid === undefined) throw new Error(`${found}\n${watched.log()}`)
    return watched.pid(port) === pid ? pid : undefined
  })
}

/** The moment is what is random here: this waits for nothing. */
function randomly(withinMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.random() * withinMs))
}
