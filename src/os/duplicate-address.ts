import { readFileSync } from 'node:fs'
import { withoutZone } from './interfaces.ts'

/** Flags of an address in if_inet6, from linux/if_addr.h. */
const dadFailed = 0x08
const tentative = 0x40

/**
 * How far the kernel has come in making sure that nobody else has an IPv6 address of this machine (RFC 4862 section 5.4): until
 * then, and for ever when somebody has, it cannot be bound. Undefined = it can be used, is none of this machine's, or the system does
 * not tell.
 */
export function duplicateAddressDetection(address: string): 'running' | 'failed' | undefined {
  const plain = withoutZone(address)
  if (!plain.includes(':')) return undefined
  const zone = address.slice(plain.length + 1)
  for (const line of addressTable().split('\n')) {
    const [digits, , , , flagsHex = '', name] = line.trim().split(/ +/)
    if (digits !== hexDigits(plain) || (zone !== '' && zone !== name)) continue
    const flags = Number.parseInt(flagsHex, 16)
    if ((flags & dadFailed) !== 0) return 'failed'
    return (flags & tentative) !== 0 ? 'running' : undefined
  }
  return undefined
}

/** The kernel's IPv6 addresses with their flags, which Node does not tell. */
function addressTable(): string {
  try {
    return readFileSync('/proc/net/if_inet6', 'utf8')
  } catch {
    return ''
  }
}

/** An IPv6 address as the kernel's table has it: 32 digits. */
function hexDigits(address: string): string {
  const [front = '', back = ''] = address.toLowerCase().split('::')
  const digits = (groups: string) =>
    groups
      .split(':')
      .filter((group) => group !== '')
      .map((group) => group.padStart(4, '0'))
      .join('')
  return digits(front) + digits(back).padStart(32 - digits(front).length, '0')
}
