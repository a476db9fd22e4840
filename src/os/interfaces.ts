import { SocketAddress } from 'node:net'
import { networkInterfaces } from 'node:os'
import { isIP, isIPv6 } from './ip-address.ts'
import { remembered } from './remembered.ts'

export interface MachineAddress {
  /** As it is written in a bind: an IPv6 link-local address carries its zone, `fe80::1%eth0`. */
  readonly address: string
  readonly family: 4 | 6
  readonly interfaceName: string
}

let lastKnown: MachineAddress[] = []

/**
 * Every address of the machine, loopback included, as the kernel has them now. Costs well under 1 ms. Asking takes a descriptor: while
 * there is none, the addresses are those of the last answer.
 */
export function machineAddresses(): MachineAddress[] {
  try {
    lastKnown = addressesNow()
  } catch {
    // Whoever is out of descriptors must go on with the connections there are.
  }
  return lastKnown
}

function addressesNow(): MachineAddress[] {
  const found: MachineAddress[] = []
  for (const [interfaceName, addresses] of Object.entries(networkInterfaces())) {
    for (const info of addresses ?? []) {
      const family = info.family === 'IPv6' ? 6 : 4
      const zone = family === 6 && isLinkLocal(info.address) ? `%${interfaceName}` : ''
      found.push({ address: info.address + zone, family, interfaceName })
    }
  }
  return found
}

/** True for 127.0.0.0/8 and ::1, also when written as an IPv4-mapped IPv6 address. */
export function isLoopback(address: string): boolean {
  const plain = unmapped(address)
  return plain === '::1' || plain.startsWith('127.')
}

/** Whether the host of a URL or of an address to listen on, an IPv6 one in brackets or not, is this machine alone. */
export function isLoopbackHostname(host: string): boolean {
  const bare = host.replaceAll(/[[\]]/g, '')
  return host === 'localhost' || (isIP(bare) !== 0 && isLoopback(bare))
}

/** True for the addresses that stand for all of a machine's: 0.0.0.0 and ::. */
export function isWildcard(address: string): boolean {
  return address === '0.0.0.0' || address === '::'
}

/** True for fe80::/10: reachable only with a zone, so no address to give to a person. */
export function isLinkLocal(address: string): boolean {
  return /^fe[89ab][0-9a-f]:/i.test(address)
}

/** The IPv4 address inside an IPv4-mapped IPv6 one (::ffff:10.0.0.1), or the address as it is. */
export function unmapped(address: string): string {
  if (!address.startsWith('::')) return address
  const lower = address.toLowerCase()
  return lower.startsWith('::ffff:') && lower.includes('.') ? address.slice('::ffff:'.length) : address
}

/** An address without its zone (`%eth0`). */
export function withoutZone(address: string): string {
  const at = address.indexOf('%')
  return at < 0 ? address : address.slice(0, at)
}

/** Joins host and port the way they are written in a URL, [::1]:6274; a Unix socket (unix:/path) has no port. */
export function hostAndPort(host: string, port: number): string {
  if (host.startsWith('unix:') || host.startsWith('program:')) return host
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/**
 * What counts as one source: an IPv4 address, or the /64 of an IPv6 one, which one household or machine is given (RFC 6177) and within
 * which a machine changes its address every day.
 */
export const sourceNetwork = remembered((address: string): string => {
  const plain = withoutZone(unmapped(address)).toLowerCase()
  if (!isIPv6(plain)) return plain
  const [head = '', tail] = plain.split('::')
  const front = head.split(':').filter((group) => group !== '')
  const back = (tail ?? '').split(':').filter((group) => group !== '')
  const filling = tail === undefined ? [] : Array(Math.max(0, 8 - front.length - back.length)).fill('0')
  const groups = [...front, ...filling, ...back].slice(0, 4)
  return `${groups.map((group) => group.replace(/^0+(?=.)/, '')).join(':')}::/64`
})

/** Whether a listener on one address takes connections to another one of this machine. */
export function takesConnectionsTo(listener: string, address: string): boolean {
  const wanted = canonical(address)
  if (listener === '::' || wanted === '0.0.0.0') return true
  if (listener === '0.0.0.0') return isIP(wanted) === 4
  return wanted === '::' || unmapped(listener) === wanted
}

/** An address as the kernel's tables write it. */
export function canonical(address: string): string {
  const plain = withoutZone(address)
  return isIP(plain) === 6 ? unmapped(new SocketAddress({ address: plain, family: 'ipv6' }).address) : plain
}

/** Whether a listener keeps another one from binding an address; 0.0.0.0 or :: as the address asks for any. */
export function isInTheWay(listener: string, address: string): boolean {
  if (isWildcard(listener) || isWildcard(address)) return true
  return unmapped(listener) === withoutZone(address)
}
