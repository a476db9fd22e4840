/** Who came and by which name: what is known of a request before anybody asks whether it may come in. */
import type { IncomingMessage } from 'node:http'
import type { GateGroup, GateMember, Scheme } from './group.ts'
import { isTrustedHost, OriginMap, parseHostHeader, type Visit, type VisitedHost } from './origins.ts'
import type { Visitors } from './visitors.ts'

export class Reception {
  readonly #group: GateGroup
  readonly #hosts: readonly string[]
  readonly #visitors: Visitors
  #lastDoor: Door | undefined

  /** @param hosts names, beside addresses and localhost, by which visitors may call this host. */
  constructor(group: GateGroup, hosts: readonly string[], visitors: Visitors) {
    this.#group = group
    this.#hosts = hosts
    this.#visitors = visitors
  }

  /** Who came and by which name, or why the request is refused whoever sends it. */
  receive(request: IncomingMessage): Visit | Refusal {
    const { socket, headers, rawHeaders } = request
    const scheme = 'encrypted' in socket ? 'https' : 'http'
    const coding = headers['transfer-encoding']
    if (coding !== undefined && coding.trim().toLowerCase() !== 'chunked') return refusals.coding
    if (!hasOneHost(rawHeaders)) return refusals.host
    const place = absoluteForm(request.url)
    if (place !== undefined) {
      if (place.scheme !== scheme) return refusals.scheme
      // The address counts, and not the header (RFC 9112 section 3.2.2).
      headers.host = place.authority
      request.url = place.path
    }
    const door = this.#doorOf(headers.host, scheme)
    if ('status' in door) return door
    if (request.url?.startsWith('/') !== true) return refusals.target
    const source = this.#visitors.sourceOf(socket)
    if (source === undefined) return refusals.gone
    return { host: door.host, source, origins: door.origins }
  }

  /** By which name a visitor came, and what that makes of origins. Nearly all come by the same: the last one is kept. */
  #doorOf(header: string | undefined, scheme: Scheme): Door | Refusal {
    const members = this.#group.members()
    const last = this.#lastDoor
    if (last !== undefined && last.header === header && last.scheme === scheme && last.members === members)
      return last
    const host = parseHostHeader(header, scheme)
    if (host === undefined) return refusals.host
    if (!isTrustedHost(host, this.#hosts)) return refusals.name
    this.#lastDoor = { header, scheme, members, host, origins: new OriginMap(host, members) }
    return this.#lastDoor
  }
}

interface Door {
  readonly header: string | undefined
  readonly scheme: Scheme
  readonly members: readonly GateMember[]
  readonly host: VisitedHost
  readonly origins: OriginMap
}

/** Node joins repeated headers, so that only the raw ones show a second. */
function hasOneHost(rawHeaders: readonly string[]): boolean {
  let count = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]
    if (name?.length === 4 && name.toLowerCase() === 'host') count++
  }
  return count === 1
}

export interface Refusal {
  readonly status: number
  readonly why: string
}

const refusals = {
  coding: { status: 501, why: 'The gate knows no transfer coding but "chunked".' },
  host: { status: 400, why: 'The request names no valid host, or several.' },
  scheme: { status: 421, why: 'The address names another scheme than this port speaks.' },
  name: {
    status: 421,
    why: 'This gate does not know the host name that you used. Use the IP address, or have the operator add the name: --gate-host NAME.',
  },
  target: { status: 400, why: 'The request names no path.' },
  gone: { status: 400, why: 'The visitor is gone.' },
} as const satisfies Record<string, Refusal>

/** `http://10.0.0.1:6274/path`, which a client may send instead of a path. */
function absoluteForm(url = ''): { scheme: string; authority: string; path: string } | undefined {
  const match = /^(https?):\/\/([^/?#]+)(.*)$/i.exec(url)
  if (match === null) return undefined
  const [, scheme = '', authority = '', rest = ''] = match
  return { scheme: scheme.toLowerCase(), authority, path: rest.startsWith('/') ? rest : `/${rest}` }
}
