import { isIP } from 'node:net'

export type Scheme = 'http' | 'https'

/** The `Host` of a request, taken apart. */
export interface VisitedHost {
  readonly scheme: Scheme
  /** As it stands in a URL: an IPv6 address in brackets. Lower case. */
  readonly name: string
  /** As given, in lower case: `10.0.0.1:6274`. */
  readonly host: string
}

/** Reads a `Host` header; undefined when it is none (RFC 9110 section 7.2), or its port is no port. */
export function parseHostHeader(header: string | undefined, scheme: Scheme): VisitedHost | undefined {
  const match = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(\d{1,5}))?$/i.exec(header ?? '')
  const name = match?.[1]?.toLowerCase()
  const port = Number(match?.[2] ?? 1)
  return name === undefined || port < 1 || port > 65535
    ? undefined
    : { scheme, name, host: (header ?? '').toLowerCase() }
}

/**
 * True for a host name that an attacker cannot point here: an IP address, localhost, or a name that the operator gave. Any other
 * name may be an attacker's that was made to point at this machine (DNS rebinding).
 */
export function isTrustedHost({ name }: VisitedHost, hosts: readonly string[]): boolean {
  const plain = name.replace(/^\[|\]$/g, '').replace(/\.$/, '')
  if (isIP(plain) !== 0 || plain === 'localhost' || plain.endsWith('.localhost')) return true
  return hosts.some((host) => host.toLowerCase().replace(/\.$/, '') === plain)
}

/** The origin of pages that come from a host. Browsers leave the default port out of it. */
export function originOf(scheme: Scheme, host: string): string {
  return `${scheme}://${host.replace(scheme === 'http' ? /:80$/ : /:443$/, '')}`
}

/** Where a request goes, as its sender wrote it. */
export interface RequestTarget {
  /** What counts as its `Host`. */
  readonly host: string | undefined
  /** With the query; begins with `/`, or is `*`, or is what a broken client sent. */
  readonly path: string
}

/**
 * Why a request is refused even with a login, with its status:
 *
 * - `host`: it names no valid host, or several.
 * - `scheme`: its address names another scheme than this port speaks.
 * - `unknown-name`: the host name is not one of this server's; see `isTrustedHost`.
 * - `path`: it names no path.
 * - `coding`: it has a transfer coding that is not known here.
 */
export type RequestFault = keyof typeof faultStatus
export const faultStatus = { host: 400, scheme: 421, 'unknown-name': 421, path: 400, coding: 501 } as const

/**
 * Reads where a request goes. A client may send `http://10.0.0.1:6274/path` instead of a path: then the address counts, and not the
 * header (RFC 9112 section 3.2.2).
 * @param rawHeaders names and values in turn: Node joins repeated headers, so that only these show a second `Host`.
 */
export function requestTarget(
  url: string | undefined,
  hostHeader: string | undefined,
  rawHeaders: readonly string[],
  scheme: Scheme,
): RequestTarget | RequestFault {
  if (!hasOneHost(rawHeaders)) return 'host'
  const match = /^(https?):\/\/([^/?#]+)(.*)$/i.exec(url ?? '')
  if (match === null) return { host: hostHeader, path: url ?? '' }
  const [, given = '', authority = '', rest = ''] = match
  if (given.toLowerCase() !== scheme) return 'scheme'
  return { host: authority, path: rest.startsWith('/') ? rest : `/${rest}` }
}

function hasOneHost(rawHeaders: readonly string[]): boolean {
  let count = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]
    if (name?.length === 4 && name.toLowerCase() === 'host') count++
  }
  return count === 1
}
