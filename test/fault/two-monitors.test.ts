import assert from 'node:assert/strict'
import { describe } from 'vitest'
import { it } from '../support/fixtures.ts'
import { Resident } from '../support/resident.ts'
import { freePort } from '../support/tools.ts'
import { command } from '../support/watched.ts'

describe('Several monitors', () => {
  it('the second says who runs, since when and where, and ends with 69', async ({ watched }) => {
    const port = await freePort()
    const first = await watched.monitor([{ name: 'one', listen: port, target: 'localhost:1' }])
    const second = await watched.run('proxy-monitor')
    assert.equal(second.code, 69)
    assert.match(
      second.stderr,
      new RegExp(`^proxy-monitor: a monitor already runs here, as PID ${first.pid} since .*\\n$`),
    )
  })

  it('started at once over the socket of a dead one: one of them wins', async ({ watched }) => {
    const port = await freePort()
    const forwards = [{ name: 'one', listen: port, target: 'localhost:1' }]
    let holder = await watched.monitor(forwards)
    await watched.statusWhen('started', (report) => report.forwards[0]?.state === 'waiting')
    for (let round = 0; round < 2; round++) {
      await holder.stop('SIGKILL')
      const words = command(
        'proxy-monitor',
        '--config',
        watched.file('configuration.json'),
        '--state-dir',
        watched.directory,
      )
      const rivals = [1, 2, 3].map(() => watched.adopt(new Resident(words, {})))
      const outcomes = await Promise.all(
        rivals.map((rival) =>
          rival.line(/Monitor started|already runs/).then((line) => line.includes('Monitor started')),
        ),
      )
      const winners = rivals.filter((_rival, i) => outcomes[i])
      assert.equal(winners.length, 1)
      const [winner] = winners
      assert.ok(winner)
      for (const rival of rivals) if (rival !== winner) assert.equal(await rival.ended(), 69)
      assert.equal((await watched.forwarders()).length, 1)
      holder = winner
    }
    assert.equal(await holder.stop(), 0)
  })
})
