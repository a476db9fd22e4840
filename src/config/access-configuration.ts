/** What somebody must show to use a connector: a key, a token of an OAuth issuer, either of both, or nothing. */
export const authTypes = ['API_KEY', 'OAUTH', 'BOTH', 'NONE'] as const

export type AuthType = (typeof authTypes)[number]

/** Who may use the gateway over HTTP, and how much at once. */
export interface AccessConfiguration {
  /** Of connectors that say nothing themselves; undefined = BOTH with `oauth`, else API_KEY. */
  readonly authType: AuthType | undefined
  readonly oauth: OauthConfiguration | undefined
  readonly profiles: Readonly<Record<string, ProfileConfiguration>>
  /** Keys are taken from the header `api-key` and from `?api-key=`, too. */
  readonly legacyKeys: boolean
  /** ms between two writes of when keys were last used; 0 = that is not kept. */
  readonly lastUsedMs: number
  /** Origins whose pages may ask: `https://app.example`. */
  readonly cors: readonly string[]
  readonly requests: RequestLimits
  readonly sessions: SessionLimits
}

/** How long a client is taken to be there that says nothing. */
export interface SessionLimits {
  /** ms without a byte of its client after which a session ends, unless he reads a stream of it. */
  readonly idleMs: number
  /** ms for which a client may acknowledge nothing of what its stream is sent. */
  readonly peerTimeoutMs: number
}

/** Who issues tokens, and for what. Texts may hold references such as `${env:NAME}`, which are resolved at the start of the gateway. */
export interface OauthConfiguration {
  /** URLs that stand in tokens as `iss`; the first one's documents are served at `/.well-known/`. */
  readonly issuers: readonly string[]
  /** What else than the gateway's own URL a token may be for (`aud`). */
  readonly audiences: readonly string[]
  /** The gateway's URL as clients know it, such as `https://mcp.example.com`; undefined = where it listens. */
  readonly resource: string | undefined
  /** What every token must allow. */
  readonly scopes: readonly string[]
  /** The gateway issues tokens itself; undefined = it does not. */
  readonly builtIn?: BuiltInIssuer
}

/** The authorization server of the gateway. */
export interface BuiltInIssuer {
  /** Who may register clients: who shows the registration token, everybody, or nobody. */
  readonly registration: (typeof registrations)[number]
  readonly tokenLifetimeMs: number
  /** HOST or HOST:PORT, whose documents may say what a client is (client ID metadata documents); empty = none are taken. */
  readonly clientDocuments: readonly string[]
}

export const registrations = ['token', 'open', 'off'] as const

/** A part of what the gateway offers, under a name of its own: `/mcp/p/NAME`. */
export interface ProfileConfiguration {
  /** Ids; null = all. */
  readonly connectors: readonly string[] | null
  /** `CONNECTOR__TOOL`: the id, and the name that the server has. `*` for any characters. */
  readonly tools: { readonly allow: readonly string[]; readonly deny: readonly string[] }
  readonly authType: AuthType | undefined
  /** Its tools are found and called by three others; undefined = what holds for all. */
  readonly lazy: boolean | undefined
}

/** Requests; 0 = no limit. */
export interface RequestLimits {
  /** Under way at once: of all clients, of one key, from one address. */
  readonly inFlight: number
  readonly inFlightPerKey: number
  readonly inFlightPerSource: number
  /** A second. As many may come at once. */
  readonly ratePerKey: number
  readonly ratePerSource: number
}

export const accessDefaults: AccessConfiguration = {
  authType: undefined,
  oauth: undefined,
  profiles: {},
  legacyKeys: false,
  lastUsedMs: 15 * 60_000,
  cors: [],
  requests: {
    inFlight: 2000,
    inFlightPerKey: 1500,
    inFlightPerSource: 1500,
    ratePerKey: 0,
    ratePerSource: 0,
  },
  sessions: { idleMs: 5 * 60_000, peerTimeoutMs: 20_000 },
}
