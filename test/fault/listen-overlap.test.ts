import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'vitest'
import { withDefaults } from '../../src/config/option-table.ts'
import { planListeners } from '../../src/forward/listen/listen-plan.ts'
import { connected, openForward, openTarget, roundTrip, temporaryFolder } from '../support/forward.ts'

const machine = [
  { address: '127.0.0.1', family: 4, interfaceName: 'lo' },
  { address: '::1', family: 6, interfaceName: 'lo' },
  { address: '10.0.0.2', family: 4, interfaceName: 'eth0' },
] as const

describe('Listening addresses that repeat or cover each other', () => {
  for (const [bind, expected] of [
    [['0.0.0.0', '127.0.0.1'], ['0.0.0.0']],
    [
      ['127.0.0.1', '0.0.0.0', '::1'],
      ['0.0.0.0', '::1'],
    ],
    [['0.0.0.0', '::', '10.0.0.2'], ['::']],
    [['127.0.0.1', '::ffff:127.0.0.1', '127.0.0.1'], ['127.0.0.1']],
    [['::1', '0:0:0:0:0:0:0:1'], ['::1']],
    [
      ['fe80::1%eth0', 'FE80:0::1%eth0', 'fe80::1%eth1'],
      ['fe80::1%eth0', 'fe80::1%eth1'],
    ],
  ] as const) {
    it(`are each bound once: ${bind.join(' ')}`, () => {
      const place = { listenPort: 80, targetHost: '10.9.9.9', targetPort: 81 }
      assert.deepEqual(planListeners(withDefaults(place, { bind }), machine).addresses, expected)
    })
  }

  it('leave a target on loopback alone, and keep what is named beside the others', () => {
    const place = { listenPort: 80, targetHost: 'localhost', targetPort: 80 }
    const { addresses } = planListeners(withDefaults(place, { bind: ['::', '127.0.0.2'] }), machine)
    assert.deepEqual(addresses, ['127.0.0.2', '10.0.0.2'])
  })

  it('are served, and none is reported as taken', async () => {
    const target = await openTarget()
    const folder = temporaryFolder()
    const path = join(folder.path, 'in')
    const forward = await openForward(target, {
      bind: ['127.0.0.1', '0.0.0.0', '::ffff:127.0.0.1'],
      listenUnix: [path, join(folder.path, '.', 'in'), `${folder.path}/./in`],
    })
    const { listen } = forward.forwarder.health()
    assert.deepEqual(listen.failed, [])
    assert.deepEqual(
      listen.addresses.map(({ address }) => address),
      ['0.0.0.0'],
    )
    assert.deepEqual(listen.paths, [path])
    for (const to of [{ host: '127.0.0.1', port: forward.port }, { path }]) {
      const client = await connected(to)
      await roundTrip(client)
      client.destroy()
    }
    forward.close()
    await target.close()
    folder.remove()
  })
})
