import assert from 'node:assert/strict'
import { describe, it } from 'vitest'
import type { ForwarderHealth } from '../../src/record/shapes/forwarder-health.ts'
import { type Machine, whyNoLab } from '../support/namespaces.ts'
import type { Resident } from '../support/resident.ts'
import { skipFor, until } from '../support/tools.ts'
import { ask, inLab, type LabForwarder, startForwarder } from '../support/wire-room.ts'

const reason = whyNoLab()

const keeper = `require('node:net').createServer((s) => s.on('error', () => {}).on('data', (d) => s.write(d))).listen(7000, () => console.log('ready'))`

async function target(machine: Machine): Promise<Resident> {
  const server = machine.start([process.execPath, '--eval', keeper])
  await server.line(/ready/)
  return server
}

/** Opens connections to the forward and keeps them until it is stopped. */
async function holdOpen(machine: Machine, count: number): Promise<Resident> {
  const program = `let open = 0
for (let i = 0; i < ${count}; i++) require('node:net').connect(6274, '127.0.0.1').on('error', () => {}).on('data', () => { if (++open === ${count}) console.log('all open') }).write('x')`
  const clients = machine.start([process.execPath, '--eval', program])
  await clients.line(/all open/)
  return clients
}

function healthWhen(
  { health }: LabForwarder,
  isSo: (health: ForwarderHealth) => boolean,
): Promise<ForwarderHealth> {
  return until('another health', async () => {
    const now = await health()
    if (isSo(now)) return now
    throw new Error(JSON.stringify(now, null, 1))
  })
}

describe('What this machine lacks is not the target’s failure', {
  skip: skipFor(reason),
}, () => {
  it('no source port is left: said as that, counted apart, and over with the cause', () =>
    inLab(async (lab) => {
      await target(lab.visitor)
      const forwarder = await startForwarder(lab, 6274, lab.visitor.address.ipv4, '7000')
      await healthWhen(forwarder, (health) => health.target.state === 'reachable')
      // The clients' own source ports are of the same range, towards another place.
      await lab.host.run(['sysctl', '-w', 'net.ipv4.ip_local_port_range=40000 40019'])
      const clients = await holdOpen(lab.host, 20)
      const bystander = lab.host.run(['socat', '-u', 'TCP:127.0.0.2:6274', 'STDOUT'])
      const short = await healthWhen(forwarder, ({ connections }) => connections.refused['source-ports'] > 0)
      assert.equal(short.target.state, 'reachable')
      assert.equal(short.shortage?.reason, 'source-ports')
      assert.match(
        short.shortage?.message ?? '',
        /^this machine has no free source port towards 10\.77\.0\.2:7000: raise net\.ipv4\.ip_local_port_range/,
      )
      assert.equal(short.connections.ended.RC, short.connections.refused['source-ports'])
      await bystander
      await lab.host.run(['sysctl', '-w', 'net.ipv4.ip_local_port_range=40000 60999'])
      const again = await holdOpen(lab.host, 1)
      const well = await forwarder.health()
      assert.deepEqual([well.shortage, well.target.state], [null, 'reachable'])
      for (const resident of [again, clients]) await resident.stop('SIGKILL')
    }))

  it('no route: the machine is named, and the target is there as soon as the route is', () =>
    inLab(async (lab) => {
      await target(lab.visitor)
      const away = '10.99.0.1'
      await lab.visitor.run(['ip', 'address', 'add', `${away}/32`, 'dev', 'lo'])
      const forwarder = await startForwarder(lab, 6274, away, '7000', '--target-check', '200ms')
      const without = await healthWhen(forwarder, ({ target }) => target.state === 'waiting')
      assert.equal(without.target.lastError, `this machine has no route to ${away}`)
      await ask(lab.host, '127.0.0.1', 6274).catch(() => {})
      assert.equal((await forwarder.health()).connections.refused['no-route'], 1)
      await lab.host.run(['ip', 'route', 'add', `${away}/32`, 'via', lab.visitor.address.ipv4])
      const found = await healthWhen(forwarder, ({ target }) => target.state === 'reachable')
      assert.equal(found.target.address, away)
    }))

  it('no resolver: said as that, and the target is not called away', () =>
    inLab(async (lab) => {
      const forwarder = await startForwarder(
        lab,
        6274,
        'db.example',
        '7000',
        '--resolver',
        '127.0.0.1:5353',
        '--target-check',
        '200ms',
      )
      const { target, shortage } = await healthWhen(forwarder, (health) => health.shortage !== null)
      assert.deepEqual([target.state, shortage?.reason], ['unknown', 'resolver'])
      assert.match(shortage?.message ?? '', /^this machine’s resolver does not answer for db\.example/)
    }))

  it('no IPv6: a localhost that refuses is still waited for while it restarts', () =>
    inLab(async (lab) => {
      await lab.host.run(['sysctl', '-w', 'net.ipv6.conf.all.disable_ipv6=1'])
      const forwarder = await startForwarder(lab, 6274, 'localhost', '7000')
      const client = lab.host.start(['socat', '-d', 'EXEC:echo hello', 'TCP:127.0.0.1:6274'])
      await forwarder.program.line(/Waiting for target|no longer/)
      const server = await target(lab.host)
      await healthWhen(forwarder, ({ connections }) => (connections.ended['--'] ?? 0) + connections.open > 0)
      const { connections } = await forwarder.health()
      assert.equal(connections.refused['target-refused'] + connections.refused['no-route'], 0)
      await client.stop('SIGKILL')
      await server.stop('SIGKILL')
    }))
})
