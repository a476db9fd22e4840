import { describe, expect, it } from 'vitest'
import { whatIsOpen } from '../../../src/forward/unit/what-is-open.ts'
import type { MachineAddress } from '../../../src/os/interfaces.ts'
import type { ForwarderHealth } from '../../../src/record/shapes/forwarder-health.ts'

const forward = { name: 'web', options: { listenPort: 80 } } as Parameters<typeof whatIsOpen>[0]

const loopback: MachineAddress[] = [
  { address: '127.0.0.1', family: 4, interfaceName: 'lo' },
  { address: '::1', family: 6, interfaceName: 'lo' },
]
const machine: MachineAddress[] = [...loopback, { address: '192.0.2.7', family: 4, interfaceName: 'eth0' }]

function told(bound: readonly string[], machineNow: readonly MachineAddress[], state = 'reachable') {
  const listen = { addresses: bound.map((address) => ({ address, port: 80 })) }
  const health = { listen, target: { host: 'localhost', port: 3000, state } } as unknown as ForwarderHealth
  return whatIsOpen(forward, health, machineNow)?.map(({ message }) => message)
}

describe('What is said to be open', () => {
  it('a forward on loopback alone is not open to other machines', () => {
    expect(told(['127.0.0.1'], machine)).toStrictEqual(['web is open on this machine only: 127.0.0.1:80'])
    expect(told(['::1'], loopback)).toStrictEqual(['web is open on this machine only: [::1]:80'])
  })

  it('names only addresses that other machines reach', () => {
    expect(told(['127.0.0.1', '192.0.2.7'], machine)).toStrictEqual([
      'web is open to other machines: 192.0.2.7:80',
    ])
    expect(told(['0.0.0.0'], machine)).toStrictEqual(['web is open to other machines: 192.0.2.7:80'])
  })

  it('tells what is missing', () => {
    expect(told(['0.0.0.0'], loopback)).toStrictEqual(['web: this machine has no address but loopback yet'])
    expect(told(['192.0.2.7'], machine, 'waiting')?.at(-1) ?? '').toMatch(
      /nothing is listening on localhost:3000 yet/,
    )
  })

  it('says nothing when the addresses of the machine could not be read', () => {
    expect(told(['0.0.0.0'], [])).toBe(undefined)
  })
})
