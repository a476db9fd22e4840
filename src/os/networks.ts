import { BlockList, isIPv4 } from 'node:net'
import { unmapped, withoutZone } from './interfaces.ts'
import { isIP } from './ip-address.ts'
import { remembered } from './remembered.ts'

/**
 * Networks that cannot be reached from the Internet at large: RFC 1918, RFC 4193 (ULA), link-local (RFC 3927, RFC 4291) and
 * the shared address space of RFC 6598, which overlay networks use.
 */
const privateNetworks = [
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '169.254.0.0/16',
  '100.64.0.0/10',
  'fc00::/7',
  'fe80::/10',
]

/**
 * Says whether an address is in one of these networks, and not by any other right. An IPv6 network holds IPv6 addresses alone: one list of
 * Node's for both would take `::/0` for every IPv4 address, too.
 * @param entries CIDRs, `private` or `any`, already checked.
 */
export function networks(entries: readonly string[]): (address: string) => boolean {
  if (entries.includes('any')) return () => true
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() }
  for (const network of entries.flatMap((entry) => (entry === 'private' ? privateNetworks : [entry]))) {
    const [address = '', prefix] = network.split('/')
    const family = familyOf(address)
    lists[family].addSubnet(address, Number(prefix), family)
  }
  return remembered((source) => {
    const address = withoutZone(unmapped(source))
    const family = familyOf(address)
    return isIP(address) !== 0 && lists[family].check(address, family)
  }, mostVerdicts)
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv4(address) ? 'ipv4' : 'ipv6'
}

/** Verdicts remembered at once: a look into a list takes microseconds, and sources come again and again. */
const mostVerdicts = 1000
