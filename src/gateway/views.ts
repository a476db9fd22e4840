import type { AccessConfiguration, AuthType, ProfileConfiguration } from '../config/access-configuration.ts'
import type { ConnectorConfiguration } from '../config/connector-configuration.ts'
import type { Directory } from './directory.ts'
import type { GatewayCore } from './gateway-core.ts'
import type { Principal } from './principal.ts'
import type { Upstream } from './upstream/index.ts'

/** What a request is about: one connector, one profile, or everything. */
export interface Place {
  readonly connector?: string | undefined
  readonly profile?: string | undefined
}

/**
 * - `not-permitted`: a key is not for this.
 * - `auth-type`: what was shown is of a kind that is not taken here.
 * - `scope`: the token does not allow it; `scopes` would.
 */
export type View =
  | { readonly kind: 'seen'; readonly directory: Directory }
  | { readonly kind: 'unknown'; readonly what: keyof Place; readonly known: readonly string[] }
  | {
      readonly kind: 'refused'
      readonly why: 'not-permitted' | 'auth-type' | 'scope'
      readonly scopes: readonly string[]
    }

export interface ViewOptions {
  readonly access: AccessConfiguration
  readonly allowNone: boolean
  /** Of places that are no profile's. */
  readonly isLazy: boolean
}

interface Seen {
  /** The connectors that there were then. */
  readonly upstreams: readonly Upstream[]
  readonly view: View
}

/** What somebody gets at a place. Who may see nothing is refused, so that nobody takes an empty list for an answer. */
export class Views {
  readonly #core: GatewayCore
  readonly #access: AccessConfiguration
  readonly #usual: AuthType
  readonly #allowNone: boolean
  readonly #isLazy: boolean
  /** What somebody was found to see, by place. Places that do not exist are not among them. */
  readonly #seen = new WeakMap<Principal, Map<string, Seen>>()

  constructor(core: GatewayCore, { access, allowNone, isLazy }: ViewOptions) {
    this.#isLazy = isLazy
    this.#core = core
    this.#access = access
    this.#allowNone = allowNone
    this.#usual = access.authType ?? (allowNone ? 'NONE' : access.oauth === undefined ? 'API_KEY' : 'BOTH')
  }

  of(principal: Principal, place: Place): View {
    const { upstreams } = this.#core
    const key = `${place.connector ?? ''}/${place.profile ?? ''}`
    const seen = this.#seen.get(principal) ?? new Map<string, Seen>()
    const known = seen.get(key)
    // Another configuration brings another list of connectors.
    if (known?.upstreams === upstreams) return known.view
    const view = this.#judge(principal, place)
    if (view.kind === 'seen') {
      seen.set(key, { upstreams, view })
      this.#seen.set(principal, seen)
    }
    return view
  }

  #judge(principal: Principal, place: Place): View {
    const { profiles } = this.#access
    const bound = principal.profile
    const name = bound ?? place.profile
    const profile = name === undefined ? undefined : profiles[name]
    const isElsewhere = bound !== null && place.profile !== undefined && place.profile !== bound
    // A key whose profile is gone may see nothing: not everything.
    if (isElsewhere || (bound !== null && profile === undefined)) return refused('not-permitted')
    if (name !== undefined && profile === undefined)
      return { kind: 'unknown', what: 'profile', known: Object.keys(profiles) }
    const all = this.#core.upstreams
    const isPermitted = (id: string) =>
      (place.connector === undefined || place.connector === id) &&
      (principal.connectors === null || principal.connectors.includes(id)) &&
      (profile === undefined || profile.connectors === null || profile.connectors.includes(id))
    const directory = this.#core.directoryOf(this.#keyOf(principal, place, name), {
      sees: (id) => isPermitted(id) && this.#hindrance(principal, id, profile) === undefined,
      isPrefixed: place.connector === undefined,
      rules: profile?.tools,
      isLazy: place.connector === undefined && (profile?.lazy ?? this.#isLazy),
    })
    if (directory.upstreams.length > 0) return { kind: 'seen', directory }
    if (place.connector !== undefined && !all.some(({ id }) => id === place.connector)) {
      const isSeen = (id: string) => this.of(principal, { ...place, connector: id }).kind === 'seen'
      return { kind: 'unknown', what: 'connector', known: all.map(({ id }) => id).filter(isSeen) }
    }
    const permitted = all.map(({ id }) => id).filter(isPermitted)
    if (permitted.length === 0) return refused('not-permitted')
    const needed = permitted.filter((id) => this.#hindrance(principal, id, profile) === 'scope')
    return needed.length === 0
      ? refused('auth-type')
      : refused(
          'scope',
          needed.flatMap((id) => this.#neededFor(id)),
        )
  }

  /** All that makes a difference: of scopes those alone that something needs. */
  #keyOf({ kind, connectors, scopes }: Principal, { connector }: Place, profile: string | undefined): string {
    const known = scopes === null ? null : this.scopesOf({}).filter((one) => scopes.has(one))
    return JSON.stringify([kind, connectors, known, connector, profile])
  }

  /** Why somebody may not use a connector that he is permitted; undefined = he may. */
  #hindrance(
    principal: Principal,
    id: string,
    profile: ProfileConfiguration | undefined,
  ): 'auth-type' | 'scope' | undefined {
    const upstream = this.#core.upstreams.find((one) => one.id === id)
    // One that has gone: who saw it is told of that.
    if (upstream === undefined) return undefined
    if (!this.#admits(principal, upstream.connector, profile)) return 'auth-type'
    const { scopes } = principal
    return scopes === null || this.#neededFor(id).every((one) => scopes.has(one)) ? undefined : 'scope'
  }

  #neededFor(id: string): readonly string[] {
    const upstream = this.#core.upstreams.find((one) => one.id === id)
    return [...(this.#access.oauth?.scopes ?? []), ...(upstream?.connector.scopes ?? [])]
  }

  /** The scopes that a token needs to use a place wholly, but for single tools. */
  scopesOf({ connector: only }: Place): readonly string[] {
    const usual = this.#access.oauth?.scopes ?? []
    const own = this.#core.upstreams.filter(({ id }) => only === undefined || id === only)
    return [...new Set([...usual, ...own.flatMap(({ connector }) => connector.scopes)])]
  }

  /** What is said of a connector, and of the profile it is reached through, must both admit. */
  #admits(
    { kind }: Principal,
    { authType }: ConnectorConfiguration,
    profile: ProfileConfiguration | undefined,
  ): boolean {
    const stated = [profile?.authType, authType].filter((one) => one !== undefined)
    return (stated.length === 0 ? [this.#usual] : stated).every((type) => {
      if (type === 'NONE') return this.#allowNone
      if (kind === 'key') return type !== 'OAUTH'
      return kind === 'token' ? type !== 'API_KEY' : kind === 'owner'
    })
  }
}

function refused(why: Extract<View, { kind: 'refused' }>['why'], scopes: readonly string[] = []): View {
  return { kind: 'refused', why, scopes: [...new Set(scopes)] }
}
