import assert from 'node:assert/strict'
import { describe, it } from 'vitest'
import { successful } from '../support/bad-wire.ts'
import { type Lab, whyNoLab } from '../support/namespaces.ts'
import { skipFor, until } from '../support/tools.ts'
import { ask, type Hammered, inLab, peer, reached, startForwarder, told } from '../support/wire-room.ts'

const skip = skipFor(whyNoLab())
/** Between two looks at the machine's interfaces, and what a busy machine adds. */
const followedWithinMs = 2_000 + 4_000

const own = { ipv4: '10.79.0.1', ipv6: 'fd79::1', linkLocal: 'fe80::79:1' }

describe('an interface', { skip }, () => {
  it('added under the same-port rule is served soon, one removed is let go, and nobody on another notices', () =>
    inLab(async (lab) => {
      await peer(lab.host, 'echo', '127.0.0.1', 6274).line(/listening/)
      const { health, program } = await startForwarder(lab, 6274, 'localhost', '6274')
      const { ipv4 } = lab.host.address
      const steady = peer(lab.visitor, 'steady', ipv4, 6274)
      const hammer = peer(lab.visitor, 'hammer', ipv4, 6274)
      await steady.line(/answer 1/)
      await hammer.line(/hammering/)

      // A client's process may take longer to start than what is measured.
      const timesTold = () => program.output.match(/Listening on .*10\.79\.0\.1/g)?.length

      for (const round of [1, 2]) {
        await addInterface(lab)
        const added = performance.now()
        await until(`${own.ipv4} is served`, async () => (timesTold() === round ? true : undefined))
        const took = performance.now() - added
        assert.ok(took < followedWithinMs, `round ${round}: listened on after ${took} ms`)
        for (const address of [own.ipv4, own.ipv6, `${own.linkLocal}%veth1`]) {
          await reached(lab.visitor, address, 6274)
        }
        // A stream on it, too: what it reaches must not keep the address.
        await peer(lab.visitor, 'steady', own.ipv4, 6274).line(/answer 1/)

        await successful(lab.host.run(['ip', 'link', 'delete', 'veth1']))
        const removed = performance.now()
        await until('its addresses are let go', async () => {
          const { addresses, failed } = (await health()).listen
          const places = [...addresses, ...failed].map(({ address }) => address)
          // Not by a part of them: the address of the other interface is made of random digits.
          const isGone = !places.some(
            (place) => place.endsWith('%veth1') || [own.ipv4, own.ipv6].includes(place),
          )
          return isGone ? true : undefined
        })
        const letGo = performance.now() - removed
        assert.ok(letGo < followedWithinMs, `round ${round}: let go after ${letGo} ms`)
      }

      process.kill(hammer.pid, 'SIGTERM')
      const { answered, otherwise } = await told<Hammered>(hammer)
      assert.deepEqual(otherwise, [])
      assert.ok(answered > 100, `${answered} exchanges`)
      assert.ok(!steady.output.includes('ended'), steady.output)
      assert.doesNotMatch(program.output, /Cannot listen/)
      assert.equal(timesTold(), 2)
    }))
})

describe('IPv6', { skip }, () => {
  it('listener and target: clients get through, and the record names both', () =>
    inLab(async (lab) => {
      const [host, visitor] = [lab.host.address.ipv6, lab.visitor.address.ipv6]
      await peer(lab.visitor, 'echo', visitor, 7000).line(/listening/)
      const { program } = await startForwarder(lab, 6274, visitor, '7000', '--bind', host)
      assert.equal(await ask(lab.visitor, host, 6274), 'hello')
      assert.equal(await ask(lab.host, '127.0.0.1', 6274), 'ECONNREFUSED')
      const record = JSON.parse(await program.line(/"code":"--"/)) as Record<string, unknown>
      assert.match(JSON.stringify(record), /\[?fd77::2\]?:7000/)
      assert.match(JSON.stringify(record), /"fd77::2"|\[fd77::2\]:\d+/)
    }))

  it('on :: an IPv4 client is who it is: admitted by its IPv4 network, or not', () =>
    inLab(async (lab) => {
      const { ipv4, ipv6, publicIpv4 } = lab.host.address
      await peer(lab.host, 'echo', '127.0.0.1', 7000).line(/listening/)
      const visitors = ['203.0.113.5/32', 'fd77::/64'].flatMap((network) => ['--allow', network])
      const { program } = await startForwarder(lab, 6274, 'localhost', '7000', '--bind', '::', ...visitors)
      const fates = [publicIpv4, ipv6, ipv4].map((address) => ask(lab.visitor, address, 6274))
      assert.deepEqual(await Promise.all(fates), ['hello', 'hello', 'ECONNRESET'])
      const refused = await program.line(/"code":"PR"/)
      assert.match(refused, /10\.77\.0\.2/)
    }))

  it('happy eyeballs: a target whose IPv6 address is silent is reached by its IPv4 one', () =>
    inLab(
      async (lab) => {
        const { ipv4, ipv6 } = lab.visitor.address
        // Packets for what is behind the visitor end there without a word.
        await successful(lab.host.run(['ip', 'route', 'add', 'fd78::/64', 'via', ipv6]))
        await peer(lab.visitor, 'echo', ipv4, 7000).line(/listening/)
        const { program } = await startForwarder(lab, 6274, 'both.test', '7000', '--target-check', '0')
        assert.equal(await ask(lab.visitor, lab.host.address.ipv4, 6274), 'hello')
        const record = JSON.parse(await program.line(/"code":"--"/)) as { target: string; connectMs: number }
        assert.equal(record.target, `${ipv4}:7000`)
        assert.ok(record.connectMs >= 240 && record.connectMs < 4_500, `${record.connectMs} ms`)
      },
      { hostsFile: '127.0.0.1 localhost\nfd78::1 both.test\n10.77.0.2 both.test\n' },
    ))

  it('link-local with a zone, listener and target: clients get through', () =>
    inLab(async (lab) => {
      for (const [machine, address] of [
        [lab.host, 'fe80::77:1'],
        [lab.visitor, 'fe80::77:2'],
      ] as const) {
        await successful(machine.run(['ip', 'address', 'add', `${address}/64`, 'dev', 'veth0', 'nodad']))
      }
      await peer(lab.visitor, 'echo', 'fe80::77:2%veth0', 7000).line(/listening/)
      const { health, program } = await startForwarder(
        lab,
        6274,
        'fe80::77:2%veth0',
        '7000',
        '--bind',
        'fe80::77:1%veth0',
      )
      assert.equal(await ask(lab.visitor, 'fe80::77:1%veth0', 6274), 'hello')
      await program.line(/"code":"--"/)
      const { listen, target } = await health()
      assert.deepEqual(
        listen.addresses.map(({ address }) => address),
        ['fe80::77:1%veth0'],
      )
      assert.equal(target.address, 'fe80::77:2%veth0')
    }))
})

/** A second wire between the machines, at once in full. */
async function addInterface(lab: Lab): Promise<void> {
  const ends = [
    [lab.host, { ...own, ipv4: `${own.ipv4}/30` }],
    [lab.visitor, { ipv4: '10.79.0.2/30', ipv6: 'fd79::2', linkLocal: 'fe80::79:2' }],
  ] as const
  await successful(
    lab.host.run(['ip', 'link', 'add', 'veth1', 'type', 'veth', 'peer', 'veth1', 'netns', lab.visitor.name]),
  )
  for (const [machine, { ipv4, ipv6, linkLocal }] of ends) {
    const add = (...words: string[]) =>
      successful(machine.run(['ip', 'address', 'add', ...words, 'dev', 'veth1']))
    await add(ipv4)
    await add(`${ipv6}/64`, 'nodad')
    await add(`${linkLocal}/64`, 'nodad')
    await successful(machine.run(['ip', 'link', 'set', 'veth1', 'up']))
  }
}
