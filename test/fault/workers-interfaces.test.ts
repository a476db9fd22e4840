import assert from 'node:assert/strict'
import { describe, it } from 'vitest'
import { successful } from '../support/bad-wire.ts'
import { whyNoLab } from '../support/namespaces.ts'
import { skipFor, until } from '../support/tools.ts'
import { type Hammered, inLab, peer, reached, startForwarder, told } from '../support/wire-room.ts'
import { healthOnce, servingOf } from '../support/workers.ts'

const skip = skipFor(whyNoLab())
const added = '10.79.0.1'

describe('an address that comes and goes, with workers', { skip }, () => {
  it('is served by all processes and let go by all; no connection on another is cut or refused', () =>
    inLab(async (lab) => {
      await peer(lab.host, 'echo', '127.0.0.1', 6274).line(/listening/)
      const forward = await startForwarder(lab, 6274, 'localhost', '6274', '--workers', '3')
      const numbers = async () => {
        const health = await healthOnce(forward, 'all serve', (one) => servingOf(one).length === 3)
        return servingOf(health).map(({ number }) => number)
      }
      assert.deepEqual(await numbers(), [0, 1, 2])
      const { ipv4 } = lab.host.address
      const steady = Array.from({ length: 6 }, () => peer(lab.visitor, 'steady', ipv4, 6274))
      const hammer = peer(lab.visitor, 'hammer', ipv4, 6274)
      for (const one of steady) await one.line(/answer 1/)
      await hammer.line(/hammering/)

      for (const round of [1, 2]) {
        await successful(lab.host.run(['ip', 'address', 'add', `${added}/32`, 'dev', 'veth0']))
        await successful(lab.visitor.run(['ip', 'route', 'add', `${added}/32`, 'via', ipv4]))
        await reached(lab.visitor, added, 6274)
        const before = Math.max(...(await numbers()))
        await until('all workers listen on it', async () => {
          const now = (await numbers()).filter((number) => number !== 0)
          return Math.min(...now) > (round === 1 ? 2 : before - 2) ? true : undefined
        })
        await successful(lab.host.run(['ip', 'address', 'delete', `${added}/32`, 'dev', 'veth0']))
        await successful(lab.visitor.run(['ip', 'route', 'delete', `${added}/32`]))
        await healthOnce(forward, 'it is let go', ({ listen }) =>
          [...listen.addresses, ...listen.failed].every(({ address }) => address !== added),
        )
        await until('no process listens on it any more', async () => {
          const { stdout } = await lab.host.run(['ss', '-Hltn', `src ${added}`])
          return stdout.trim() === '' ? true : undefined
        })
      }
      process.kill(hammer.pid, 'SIGTERM')
      const { answered, otherwise } = await told<Hammered>(hammer)
      assert.deepEqual(otherwise, [])
      assert.ok(answered > 100, `${answered} exchanges`)
      for (const one of steady) {
        assert.ok(!one.output.includes('ended'), one.output)
        one.stop('SIGKILL')
      }
      const { workers } = await healthOnce(
        forward,
        'those that were replaced end when their connections have',
        (health) => health.workers?.processes.length === 3,
      )
      assert.equal(workers?.lost, 0)
    }))
})
