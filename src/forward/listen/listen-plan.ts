import { SocketAddress } from 'node:net'
import { type ForwardOptions, targetsOf } from '../../config/forward-options.ts'
import type { HostAndPort } from '../../config/values.ts'
import { isLoopback, isWildcard, type MachineAddress, unmapped, withoutZone } from '../../os/interfaces.ts'
import { isIP } from '../../os/ip-address.ts'

/** Somewhere to listen: an IP address of the forward's port, or `unix:/path`. */
export type ListenPlace = string

/** Where a forward listens, worked out from what was asked and which addresses the machine has now. */
export interface ListenPlan {
  readonly rule: 'all' | 'addresses' | 'same-port'
  readonly addresses: readonly string[]
}

/**
 * The same-port rule: a target on loopback keeps loopback, the forward takes every other address of the machine. A bind of
 * 0.0.0.0 would fail when the target came first, make the target fail when the forward came first, and with a target on ::1
 * alone lead the forward into itself. `--bind 0.0.0.0` narrows the rule to IPv4, `--bind ::` and the default are both families.
 */
export function planListeners(options: ForwardOptions, machine: readonly MachineAddress[]): ListenPlan {
  const bind = [...new Set(options.bind.map(plainAddress))]
  const wildcards = bind.filter(isWildcard)
  if (bind.length > 0 && wildcards.length === 0) return { rule: 'addresses', addresses: bind }
  if (!isSamePort(options))
    return { rule: 'all', addresses: bind.length > 0 ? withoutCovered(bind) : ['0.0.0.0'] }
  const onlyIPv4 = wildcards.length > 0 && !wildcards.includes('::')
  const others = machine.filter(({ address, family }) => !isLoopback(address) && !(onlyIPv4 && family === 6))
  const addresses = [...bind.filter((address) => !isWildcard(address)), ...others.map((a) => a.address)]
  return { rule: 'same-port', addresses: [...new Set(addresses)] }
}

/** Leaves out what 0.0.0.0 and :: take already; :: takes IPv4 as well. */
function withoutCovered(addresses: readonly string[]): readonly string[] {
  if (addresses.includes('::')) return ['::']
  const isCovered = (address: string) => address !== '0.0.0.0' && !address.includes(':')
  return addresses.includes('0.0.0.0') ? addresses.filter((address) => !isCovered(address)) : addresses
}

/** `0:0:0:0:0:0:0:1` and `::1` are one address, and so are `::ffff:127.0.0.1` and `127.0.0.1`; a zone stays. */
function plainAddress(address: string): string {
  const [head = '', zone] = unmapped(address).split('%')
  if (isIP(head) !== 6) return head
  const plain = unmapped(new SocketAddress({ address: head, family: 'ipv6' }).address)
  return zone === undefined ? plain : `${plain}%${zone}`
}

/** True when a target is this machine's loopback on the port that the forward listens on. */
export function isSamePort(options: ForwardOptions): boolean {
  return targetsOf(options).some((target) => isOwnLoopback(options, target))
}

/** The same of one target. */
export function isOwnLoopback({ listenPort }: ForwardOptions, { host, port }: HostAndPort): boolean {
  return listenPort === port && isLoopbackHost(host)
}

/** The addresses of `localhost` without a resolver: what it gives depends on /etc/hosts, and a target may use either. */
export const loopbackAddresses: readonly string[] = ['127.0.0.1', '::1']

export function isLoopbackHost(host: string): boolean {
  return host.toLowerCase().replace(/\.$/, '') === 'localhost' || (isIP(host) !== 0 && isLoopback(host))
}

/**
 * True when a connect to this address would reach one of the given listeners of the same port, so that the forward would
 * talk to itself until its descriptors are used up.
 */
export function reachesListener(
  address: string,
  listeners: readonly string[],
  machine: readonly MachineAddress[],
): boolean {
  const dialled = withoutZone(unmapped(address))
  const isOwn =
    isLoopback(dialled) || isWildcard(dialled) || machine.some((own) => withoutZone(own.address) === dialled)
  return listeners.some((listener) => {
    if (listener === '::') return isOwn
    if (listener === '0.0.0.0') return isOwn && !dialled.includes(':')
    // The kernel takes a connect to 0.0.0.0 or :: for one to loopback.
    return withoutZone(listener) === dialled || (isWildcard(dialled) && isLoopback(listener))
  })
}
