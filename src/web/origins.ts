import { originOf, type VisitedHost } from './hosts.ts'

/** What an `Origin` is to a server. */
export type OriginKind =
  /** No page asked: curl, or a navigation. */
  | 'none'
  /** A page of this very port. */
  | 'same'
  /** A page of another port that shares the login. */
  | 'family'
  | 'foreign'

/** The origins whose pages share a login, as a browser sees them that came by one name of this host. */
export class Origins {
  /** The origin of this very port. */
  readonly own: string
  /** Those of the other ports. */
  readonly family: readonly string[]

  constructor({ scheme, host }: VisitedHost, family: readonly string[]) {
    this.own = originOf(scheme, host)
    this.family = family
  }

  kindOf(origin: string | undefined): OriginKind {
    if (origin === undefined) return 'none'
    const known = origin.toLowerCase()
    if (known === this.own) return 'same'
    return this.family.includes(known) ? 'family' : 'foreign'
  }
}

/** The source of a request and the host name that it used. */
export interface Visit {
  readonly host: VisitedHost
  /** The visitor's IP address, which may come from a PROXY header. */
  readonly source: string
  readonly origins: Origins
}
