import net from 'node:net'
import { describe, expect, it } from 'vitest'
import { type Listed, Roster } from '../../src/forward/roster.ts'
import { startTcpProxy } from '../support/forwarder-process.ts'

class Guest implements Listed<Guest> {
  listedBefore: Guest | undefined
  listedAfter: Guest | undefined
  readonly name: string

  constructor(name: string) {
    this.name = name
  }
}

const namesIn = (roster: Roster<Guest>) => [...roster].map(({ name }) => name).join('')
const guests = (...names: string[]) => names.map((name) => new Guest(name))

describe('A roster', () => {
  it('keeps the order of arrival, whoever leaves', () => {
    for (const leaving of ['a', 'b', 'c', 'ab', 'bc', 'ca', 'abc', 'cba']) {
      const roster = new Roster<Guest>()
      const all = guests('a', 'b', 'c')
      for (const guest of all) roster.add(guest)
      for (const name of leaving) roster.delete(all.find((guest) => guest.name === name) as Guest)
      const left = ['a', 'b', 'c'].filter((name) => !leaving.includes(name)).join('')
      expect(namesIn(roster)).toBe(left)
      expect(roster.size).toBe(left.length)
      const late = new Guest('d')
      roster.add(late)
      expect(namesIn(roster)).toBe(`${left}d`)
    }
  })

  it('has nobody twice, and loses nobody by the removal of a stranger', () => {
    const roster = new Roster<Guest>()
    const [a, b, stranger] = guests('a', 'b', 'x') as [Guest, Guest, Guest]
    for (const guest of [a, b, a, b]) roster.add(guest)
    roster.delete(stranger)
    expect([namesIn(roster), roster.size]).toEqual(['ab', 2])
  })

  it('leaves out who has left while it is walked through', () => {
    const roster = new Roster<Guest>()
    const all = guests('a', 'b', 'c', 'd')
    for (const guest of all) roster.add(guest)
    const seen: string[] = []
    for (const guest of roster) {
      seen.push(guest.name)
      if (guest.name === 'b') for (const one of all.slice(1, 3)) roster.delete(one)
    }
    expect(seen.join('')).toBe('abd')
  })
})

const connections = 6000
const atOnce = 16

it('connections that have ended are not kept among the old objects of a forwarder', async () => {
  const target = net.createServer((socket) => socket.on('error', () => {}).end('x'))
  await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve))
  const { port } = target.address() as net.AddressInfo
  // Node tells of each collection on its standard output.
  const traced = 'node=$1; shift; set -- "$node" --trace-gc-nvp "$@"'
  const forwarder = await startTcpProxy(`127.0.0.1 ${port}`, [], traced)
  try {
    let left = connections
    const one = () =>
      new Promise<void>((resolve, reject) => {
        const client = net.connect(forwarder.port, '127.0.0.1')
        client.resume().on('error', reject).on('close', resolve)
      })
    await Promise.all(
      Array.from({ length: atOnce }, async () => {
        while (left-- > 0) await one()
      }),
    )
    // Words until Node 24, JSON from 26 on.
    const young = forwarder.lines.all.filter((line) => /(?: gc=s |"gc":"s")/.test(line))
    const promoted = young.map((line) => Number(/\bpromoted(?:=|":)(\d+)/.exec(line)?.[1]))
    expect(promoted.length).toBeGreaterThan(4)
    // The first collections move what lives as long as the process.
    const bytes = promoted.slice(2).reduce((sum, each) => sum + each, 0)
    expect(bytes / connections).toBeLessThan(250)
  } finally {
    await forwarder.close()
    target.close()
  }
}, 60_000)
