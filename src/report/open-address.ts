import { inspectorPorts } from '../config/forward-options.ts'
import { hostAndPort, isLinkLocal, isLoopback, isWildcard, withoutZone } from '../os/interfaces.ts'
import type { ForwarderHealth } from '../record/shapes/forwarder-health.ts'

/**
 * Every address at which a forward can be reached, as it is typed or pasted: a URL where it is known to speak HTTP, else HOST:PORT; the one
 * to try first first. A wildcard address is replaced by the machine's own addresses.
 * @param machine the addresses of this machine.
 */
export function openAddresses(health: ForwarderHealth, machine: readonly string[]): string[] {
  const { listen, gate, tls, inspector } = health
  // TLS of the target passes through a plain forward.
  const isHttps = tls?.certificate || (gate == null && inspector?.isHttps)
  const scheme = isHttps ? 'https://' : 'http://'
  const bound = listen.addresses.flatMap(({ address, port }) =>
    isWildcard(address)
      ? machine.filter((own) => address === '::' || !own.includes(':')).map((own) => ({ address: own, port }))
      : [{ address, port }],
  )
  const reachable = bound.filter(({ address }) => !isLinkLocal(withoutZone(address)))
  const known = reachable.length === 0 ? bound : reachable
  const ordered = [...known].sort((a, b) => rank(a.address) - rank(b.address))
  const isHttp = gate != null || inspector != null || inspectorPorts.has(listen.port)
  const addresses = ordered.map(({ address, port }) => {
    const joined = hostAndPort(address, port)
    return isHttp ? `${scheme}${joined}` : joined
  })
  const paths = listen.paths.map((path) => (path.startsWith('unix:') ? path : `unix:${path}`))
  return [...new Set([...addresses, ...paths])]
}

/** What other machines reach comes first, and what is short to type. */
function rank(address: string): number {
  if (isLoopback(address)) return 2
  return address.includes(':') ? 1 : 0
}
