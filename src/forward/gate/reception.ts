/** The source of a request and the host name that it used, before it is judged. */
import type { IncomingMessage } from 'node:http'
import {
  faultStatus,
  isTrustedHost,
  parseHostHeader,
  type RequestFault,
  requestTarget,
  type Scheme,
  type VisitedHost,
} from '../../web/hosts.ts'
import type { GateGroup, GateMember } from './group.ts'
import { type GateVisit, OriginMap } from './origins.ts'
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

  /** The source of the request and the host name that it used, or why it is refused even with a login. */
  receive(request: IncomingMessage): GateVisit | Refusal {
    const { socket, headers } = request
    const scheme = 'encrypted' in socket ? 'https' : 'http'
    const coding = headers['transfer-encoding']
    if (coding !== undefined && coding.trim().toLowerCase() !== 'chunked') return refusalOf('coding')
    const target = requestTarget(request.url, headers.host, request.rawHeaders, scheme)
    if (typeof target === 'string') return refusalOf(target)
    headers.host = target.host
    request.url = target.path
    const door = this.#doorOf(target.host, scheme)
    if (typeof door === 'string') return refusalOf(door)
    if (!target.path.startsWith('/')) return refusalOf('path')
    const source = this.#visitors.sourceOf(socket)
    if (source === undefined) return gone
    return { host: door.host, source, origins: door.origins }
  }

  /** By which name a visitor came, and what that makes of origins. Nearly all come by the same: the last one is kept. */
  #doorOf(header: string | undefined, scheme: Scheme): Door | RequestFault {
    const members = this.#group.members()
    const last = this.#lastDoor
    if (last !== undefined && last.header === header && last.scheme === scheme && last.members === members)
      return last
    const host = parseHostHeader(header, scheme)
    if (host === undefined) return 'host'
    if (!isTrustedHost(host, this.#hosts)) return 'unknown-name'
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

export interface Refusal {
  readonly status: number
  readonly why: string
}

function refusalOf(fault: RequestFault): Refusal {
  return { status: faultStatus[fault], why: words[fault] }
}

const words: Readonly<Record<RequestFault, string>> = {
  coding: 'The gate knows no transfer coding but "chunked".',
  host: 'The request names no valid host, or several.',
  scheme: 'The address names another scheme than this port speaks.',
  'unknown-name':
    'This gate does not know the host name that you used. Use the IP address, or have the operator add the name: --gate-host NAME.',
  path: 'The request names no path.',
}

const gone: Refusal = { status: 400, why: 'The visitor is gone.' }
