import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, writeSync } from 'node:fs'
import { describe, it } from 'vitest'
import { forwardersOf, monitorCommand } from '../support/monitored.ts'
import { Resident } from '../support/resident.ts'
import { freePort, until } from '../support/tools.ts'
import { withWatched } from '../support/watched.ts'

const rounds = Number(process.env.MONITOR_RACES ?? 8)

describe('Two monitors started in the same millisecond', () => {
  it(`${rounds} times: one wins, the other ends with 69, one forwarder`, { timeout: rounds * 10_000 }, (t) =>
    withWatched(async (watched) => {
      const port = await freePort()
      const argv = monitorCommand(watched, {
        forwards: [{ name: 'one', listen: port, target: 'localhost:1' }],
      })
      const gates = [watched.file('gate-0'), watched.file('gate-1')]
      execFileSync('mkfifo', gates)
      // Each shell waits at its gate until it is told to go, and becomes the monitor.
      const waitingAt = (gate: string) => ['sh', '-c', 'read -r _ < "$0"; exec "$@"', gate, ...argv]
      const wins = [0, 0]
      for (let round = 0; round < rounds; round++) {
        const rivals = gates.map((gate) => watched.adopt(new Resident(waitingAt(gate), {})))
        // Opening a pipe waits for its reader: from here on both stand at their gates.
        const keys = gates.map((gate) => openSync(gate, 'w'))
        for (const key of keys) writeSync(key, 'go\n')
        for (const key of keys) closeSync(key)
        const lines = await Promise.all(rivals.map((rival) => rival.line(/Monitor started|already runs/)))
        const won = lines.map((line) => line.includes('Monitor started'))
        assert.equal(won.filter(Boolean).length, 1, `round ${round}: ${lines.join('\n')}`)
        const [winner, loser] = won[0] ? rivals : [rivals[1], rivals[0]]
        assert.ok(winner !== undefined && loser !== undefined)
        wins[won[0] ? 0 : 1] = (wins[won[0] ? 0 : 1] ?? 0) + 1
        assert.equal(await loser.ended(), 69, `round ${round}`)
        const [copy, ...others] = await until('a forwarder', async () => {
          const found = forwardersOf(watched, port)
          return found.length > 0 ? found : undefined
        })
        assert.deepEqual(others, [], `round ${round}`)
        // Every other time it dies and leaves its socket, else it ends and leaves none; and the forwarder with it, or not.
        if (round % 2 === 0) await winner.stop('SIGKILL')
        else assert.equal(await winner.stop(), 0)
        if (round % 4 === 3 && copy !== undefined) process.kill(copy, 'SIGKILL')
      }
      void t.annotate(`the first of the two won ${wins[0]} times, the second ${wins[1]} times`)
    }),
  )
})
