import { unixPath } from '../../config/values.ts'
import { hostAndPort } from '../../os/interfaces.ts'
import { originOf, type Scheme, type VisitedHost } from '../../web/hosts.ts'
import { Origins, type Visit } from '../../web/origins.ts'
import { isLoopbackHost } from '../listen/listen-plan.ts'
import type { GateMember } from './group.ts'

/** A visit to a gate. */
export interface GateVisit extends Visit {
  readonly origins: OriginMap
}

/**
 * Translates between the origins that a browser sees and those that the targets believe in, port by port. The targets' own
 * checks of Host and Origin then go on working, and go on telling pages of different ports apart.
 */
export class OriginMap extends Origins {
  readonly #members: readonly GateMember[]

  /** @param members the visited gate first, then the others of its login. */
  constructor(visited: VisitedHost, members: readonly GateMember[]) {
    super(
      visited,
      members.slice(1).map(({ scheme, listenPort }) => originOf(scheme, `${visited.name}:${listenPort}`)),
    )
    this.#members = members
  }

  /** The origin that a target knows for one that a browser sees; undefined when it is none of ours. */
  inward(origin: string): string | undefined {
    const known = origin.toLowerCase()
    if (known === this.own) return targetOrigin(this.#members[0])
    const index = this.family.indexOf(known)
    return index < 0 ? undefined : targetOrigin(this.#members[index + 1])
  }

  /** The origin that a browser sees for one of a target; undefined when it is none of ours. */
  outward(origin: string): string | undefined {
    const index = this.#members.findIndex((member) => targetOrigins(member).includes(origin.toLowerCase()))
    return index < 0 ? undefined : this.#visible(index)
  }

  /** Every pair that `outward` translates, for texts in which origins stand. */
  pairs(): readonly (readonly [target: string, visible: string])[] {
    return this.#members.flatMap((member, index) =>
      targetOrigins(member).map((origin) => [origin, this.#visible(index)] as const),
    )
  }

  /** The other ports of the group, as they stand in a URL. */
  familyPorts(): readonly string[] {
    return this.#members.slice(1).map(({ listenPort }) => String(listenPort))
  }

  #visible(index: number): string {
    return index === 0 ? this.own : (this.family[index - 1] ?? this.own)
  }
}

/** The `Host` for the target: what a browser on its own machine would send. */
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
