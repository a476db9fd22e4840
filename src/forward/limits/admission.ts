import { isLoopback, machineAddresses, unmapped, withoutZone } from '../../os/interfaces.ts'
import { networks } from '../../os/networks.ts'

/** Says which sources may come in. A forward is a door in a wall: what stands behind it may start programs. */
export interface Admission {
  /** In words, for the health report: `private`, `any`, or the networks. */
  readonly description: string
  /** For the address that a socket came from. */
  admits(address: string): boolean
  /**
   * For an address that somebody else told, in a PROXY header: only the networks count. A word is not on this machine, and behind a tunnel
   * on the proxy's machine every client is 127.0.0.1.
   */
  admitsClaimed(address: string): boolean
}

/**
 * @param allow CIDRs, `private` or `any`, already checked; empty = `private`. Loopback and the machine's own addresses
 *   are always admitted: whoever is on the machine can reach the target anyway.
 */
export function createAdmission(allow: readonly string[]): Admission {
  const entries = allow.length === 0 ? ['private'] : allow
  if (entries.includes('any')) return { description: 'any', admits: () => true, admitsClaimed: () => true }
  const isNamed = networks(entries)
  return {
    description: entries.join(', '),
    admits: (source) => {
      const address = withoutZone(unmapped(source))
      if (isLoopback(address) || isNamed(address)) return true
      return machineAddresses().some((own) => withoutZone(own.address) === address)
    },
    admitsClaimed: isNamed,
  }
}
