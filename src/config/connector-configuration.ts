import type { AuthType } from './access-configuration.ts'
import type { RestartPolicy } from './restart-policy.ts'

/** How an MCP server is reached. Texts may hold references such as `${env:NAME}`, which are resolved when it is started. */
export type ConnectorTransport =
  /** A child process that speaks on stdin and stdout. `cwd` is absolute. */
  | {
      readonly kind: 'stdio'
      readonly command: readonly [string, ...string[]]
      readonly cwd: string
      readonly env: Readonly<Record<string, string>>
      /** Files of NAME=value lines; `env` overrides them. Absolute. */
      readonly envFile: readonly string[]
    }
  /** `http`: Streamable HTTP. `sse`: HTTP with Server-Sent Events, as revision 2024-11-05 has it. */
  | {
      readonly kind: 'http' | 'sse'
      readonly url: string
      readonly headers: Readonly<Record<string, string>>
      /** How the gateway logs in there; undefined = it does not. */
      readonly auth?: UpstreamAuth
    }

/** How the gateway gets tokens of OAuth for a server that wants some. Texts may hold references. */
export interface UpstreamAuth {
  /** `authorization_code`: a person logs in once. `client_credentials`: the gateway does by itself. */
  readonly grant: (typeof upstreamGrants)[number]
  /** Undefined = the gateway registers itself (RFC 7591). A URL is that of a client ID metadata document. */
  readonly clientId: string | undefined
  readonly clientSecret: string | undefined
  /** Asked for; empty = what the server says that it needs. */
  readonly scopes: readonly string[]
  /** Undefined = the one that the server names. */
  readonly issuer: string | undefined
}

export const upstreamGrants = ['authorization_code', 'client_credentials'] as const

/** Which tools and prompts are offered. Names as the server has them, `*` for any characters; no `allow` = all. */
export interface ToolRules {
  readonly allow: readonly string[]
  readonly deny: readonly string[]
}

/** As what tools and prompts are offered. Keys are names as the server has them. */
export interface ToolOffer extends ToolRules {
  /** What stands before their names where all connectors are offered; undefined = the id; empty = nothing. */
  readonly prefix: string | undefined
  readonly rename: Readonly<Record<string, string>>
  readonly describe: Readonly<Record<string, string>>
  /** Not listed, and can be called all the same. `*` for any characters. */
  readonly hide: readonly string[]
}

/**
 * What becomes of a tool whose description is not what it was when the gateway saw it first:
 * - `alert`: an alert, until somebody accepts it.
 * - `strict`: besides, it is neither offered nor called until then.
 * - `off`: nothing.
 */
export const pinModes = ['off', 'alert', 'strict'] as const

export type PinMode = (typeof pinModes)[number]

/** An MCP server behind the gateway. */
export interface ConnectorConfiguration {
  /** Lower-case letters, digits and single hyphens: {@link connectorIdOf}. Unique. */
  readonly id: string
  /** As it was written. */
  readonly name: string
  readonly enabled: boolean
  readonly transport: ConnectorTransport
  /** `boot`: started with the gateway. `demand`: when its first request comes. */
  readonly start: 'boot' | 'demand'
  /** `shared`: one connection for all clients. `session`: one for each client. */
  readonly isolation: 'shared' | 'session'
  /** Connections of its clients at once, where each has one of its own. */
  readonly maxConnections: number
  /** ms that one request may take. */
  readonly timeoutMs: number
  /** ms without a request after which it is ended; 0 = never. */
  readonly idleMs: number
  readonly tools: ToolOffer
  /** Undefined = as the gateway says; with `isolation: session` off. */
  readonly pin: PinMode | undefined
  /** What clients must show to use it; undefined = what holds for all. */
  readonly authType: AuthType | undefined
  /** What a token must allow to use it, and besides for tools of these names (`*` for any characters). */
  readonly scopes: readonly string[]
  readonly toolScopes: Readonly<Record<string, readonly string[]>>
  readonly restart: RestartPolicy
  /** The file that it was read from, for messages. */
  readonly source: string
}

export const connectorDefaults = {
  start: 'boot',
  isolation: 'shared',
  maxConnections: 50,
  timeoutMs: 120_000,
  idleMs: 0,
} as const

/** Longest id: 64 characters of a tool's name leave as many for the tool. */
const longestId = 30

/**
 * The id of a connector of this name: lower case; everything but letters and digits becomes one hyphen; at most 30 characters. So no id holds
 * `__`. Empty when nothing is left.
 */
export function connectorIdOf(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, longestId)
    .replaceAll(/^-+|-+$/g, '')
}
