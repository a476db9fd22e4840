import { readFileSync } from 'node:fs'

/**
 * Whether the kernel may pick this port for a connection's own end (net.ipv4.ip_local_port_range, ip(7)), as of the first call. Where
 * that cannot be read, it may be any that needs no privilege.
 */
export function mayBeEphemeral(port: number): boolean {
  range ??= readRange()
  return port >= range.first && port <= range.last
}

let range: { readonly first: number; readonly last: number } | undefined

function readRange() {
  try {
    const text = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8')
    const [first = Number.NaN, last = Number.NaN] = text.trim().split(/\s+/).map(Number)
    if (first <= last) return { first, last }
  } catch {
    // Not Linux.
  }
  return { first: 1024, last: 65_535 }
}
