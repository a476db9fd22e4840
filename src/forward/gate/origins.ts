import { isIP } from 'node:net'
import { unixPath } from '../../config/values.ts'
import { hostAndPort } from '../../os/interfaces.ts'
import { isLoopbackHost } from '../listen/listen-plan.ts'
import type { GateMember, Scheme } from './group.ts'

/** The `Host` of a request, taken apart. */
export interface VisitedHost {
  readonly scheme: Scheme
  /** As it stands in a URL: an IPv6 address in brackets. Lower case. */
  readonly name: string
  /** As given: `10.0.0.1:6274`. */
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
 * True for a host by which nobody can have been lured here: an IP address, localhost, or a name that the operator gave. Any other
 * name may be an attacker's that was made to point at this machine (DNS rebinding).
 */
export function isTrustedHost({ name }: VisitedHost, hosts: readonly string[]): boolean {
  const plain = name.replace(/^\[|\]$/g, '').replace(/\.$/, '')
  if (isIP(plain) !== 0 || plain === 'localhost' || plain.endsWith('.localhost')) return true
  return hosts.some((host) => host.toLowerCase().replace(/\.$/, '') === plain)
}

/** Who came, and by which name. */
export interface Visit {
  readonly host: VisitedHost
  readonly source: string
  readonly origins: OriginMap
}

/** What an `Origin` is to a gate. */
export type OriginKind =
  /** No page asked: curl, or a navigation. */
  | 'none'
  /** A page of this very port. */
  | 'same'
  /** A page of another gated port of the same group, on the same host. */
  | 'family'
  | 'foreign'

/**
 * Translates between the origins that a browser sees and those that the targets believe in, port by port. The targets' own
 * checks of Host and Origin then go on working, and go on telling pages of different ports apart.
 */
export class OriginMap {
  readonly #visited: VisitedHost
  readonly #members: readonly GateMember[]
  /** The origin of this very port, as a browser sees it. */
  readonly own: string

  constructor(visited: VisitedHost, members: readonly GateMember[]) {
    this.#visited = visited
    this.#members = members
    this.own = originOf(visited.scheme, visited.host)
  }

  kindOf(origin: string | undefined): OriginKind {
    if (origin === undefined) return 'none'
    if (origin.toLowerCase() === this.own) return 'same'
    return this.#memberAt(origin) === undefined ? 'foreign' : 'family'
  }

  /** The origin that a target knows for one that a browser sees; undefined when it is none of ours. */
  inward(origin: string): string | undefined {
    if (origin.toLowerCase() === this.own) return targetOrigin(this.#members[0])
    return targetOrigin(this.#memberAt(origin))
  }

  /** The origin that a browser sees for one of a target; undefined when it is none of ours. */
  outward(origin: string): string | undefined {
    const index = this.#members.findIndex((member) => targetOrigins(member).includes(origin.toLowerCase()))
    const member = this.#members[index]
    if (member === undefined) return undefined
    return index === 0 ? this.own : this.#publicOrigin(member)
  }

  /** Every pair that `outward` translates, for texts in which origins stand. */
  pairs(): readonly (readonly [target: string, visible: string])[] {
    return this.#members.flatMap((member, index) =>
      targetOrigins(member).map(
        (origin) => [origin, index === 0 ? this.own : this.#publicOrigin(member)] as const,
      ),
    )
  }

  /** The other ports of the group, as they stand in a URL. */
  familyPorts(): readonly string[] {
    return this.#members.slice(1).map(({ listenPort }) => String(listenPort))
  }

  /** The origins of those, as a browser sees them. */
  familyOrigins(): readonly string[] {
    return this.#members.slice(1).map((member) => this.#publicOrigin(member))
  }

  #memberAt(origin: string): GateMember | undefined {
    return this.#members.slice(1).find((member) => this.#publicOrigin(member) === origin.toLowerCase())
  }

  #publicOrigin({ scheme, listenPort }: GateMember): string {
    return originOf(scheme, `${this.#visited.name}:${listenPort}`)
  }
}

/** The `Host` that a target is told: what it would see from a browser on its own machine. */
export function targetHostHeader({ targetHost, targetPort, targetScheme }: GateMember): string {
  // What is behind a Unix socket has no name of its own.
  if (unixPath(targetHost) !== undefined) return 'localhost'
  const host = isLoopbackHost(targetHost) ? 'localhost' : targetHost
  return targetPort === defaultPorts[targetScheme] ? host : hostAndPort(host, targetPort)
}

function targetOrigin(member: GateMember | undefined): string | undefined {
  return member === undefined ? undefined : originOf(member.targetScheme, targetHostHeader(member))
}

/** A target on loopback may name itself in any of three ways. */
function targetOrigins(member: GateMember): string[] {
  if (unixPath(member.targetHost) !== undefined) return []
  const hosts = isLoopbackHost(member.targetHost) ? ['localhost', '127.0.0.1', '::1'] : [member.targetHost]
  return hosts.map((host) => originOf(member.targetScheme, hostAndPort(host, member.targetPort)))
}

const defaultPorts: Readonly<Record<Scheme, number>> = { http: 80, https: 443 }

/** Browsers leave the default port out of an origin. */
function originOf(scheme: Scheme, host: string): string {
  return `${scheme}://${host.replace(scheme === 'http' ? /:80$/ : /:443$/, '')}`
}
