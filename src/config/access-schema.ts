/** What `gateway:` may say of access. */
import type { z as Zod } from 'zod'
import { isLoopbackHostname } from '../os/interfaces.ts'
import {
  type AccessConfiguration,
  type AuthType,
  accessDefaults,
  authTypes,
  type BuiltInIssuer,
  type OauthConfiguration,
  type ProfileConfiguration,
  type RequestLimits,
  registrations,
} from './access-configuration.ts'
import type { Problem } from './problems.ts'
import { count, duration, oneOrMore, text } from './schema-parts.ts'
import type { Parsed } from './values.ts'
import * as z from './zod.ts'

export const authType = z.enum(authTypes)

/** A scope of OAuth (RFC 6749, 3.3): no blank, no quotation mark, no backslash. */
export const scope = z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'is no scope of OAuth')

const builtIn = z.strictObject({
  registration: z
    .enum(registrations)
    .optional()
    .describe(
      'token = who shows the registration token can register clients; open = everybody can, on loopback alone; off = nobody can; default token',
    ),
  tokenLifetime: duration.optional().describe('how long a token is good; default 1h; at most 24h'),
  clientDocuments: oneOrMore(text(parseHost))
    .optional()
    .describe(
      'hosts such as vscode.dev whose client ID metadata documents are taken instead of a registration; HOST:PORT for another port than 443; default: none',
    ),
})

const oauth = z.strictObject({
  builtIn: z
    .union([z.boolean(), builtIn])
    .optional()
    .describe('true, or keys below it: the gateway issues tokens itself; needs Node 22 and oidc-provider'),
  issuer: oneOrMore(text(parseUrl))
    .optional()
    .describe('URL of the issuer, the same as iss in its tokens; several as a list'),
  audience: oneOrMore(z.string().min(1))
    .optional()
    .describe('what tokens may be for, beside the URL of this gateway'),
  resource: text(parseUrl)
    .optional()
    .describe(
      'URL of this gateway as clients know it, such as https://mcp.example.com; default: where it listens',
    ),
  scopes: oneOrMore(scope).optional().describe('scopes that every token needs; default: none'),
  auth0: z
    .boolean()
    .optional()
    .describe(
      'true = issuers and audience come from the variables AUTH0_DOMAIN and AUTH0_M2M_DOMAIN; default false',
    ),
})

const profile = z.strictObject({
  connectors: oneOrMore(z.string().min(1)).optional().describe('ids of connectors; default: all'),
  tools: z
    .strictObject({
      allow: oneOrMore(z.string()).optional().describe('only these tools and prompts, such as files__read_*'),
      deny: oneOrMore(z.string()).optional().describe('none of these'),
    })
    .optional()
    .describe('which tools and prompts; default: all of the connectors'),
  authType: authType.optional().describe('what clients of this profile must show'),
  lazy: z.boolean().optional().describe('as lazy of the gateway, for this profile'),
})

const profileName = z.string().regex(/^[a-z0-9][a-z0-9-]{0,29}$/, 'takes small letters, digits and hyphens')

const requests = z.strictObject({
  inFlight: count.optional().describe('requests under way at once; default 2000; beyond it 503'),
  inFlightPerKey: count.optional().describe('the same of one key or token; default 1500; beyond it 429'),
  inFlightPerSource: count.optional().describe('the same from one address; default 1500; beyond it 429'),
  ratePerKey: count.optional().describe('requests a second of one key or token; default 0 = any number'),
  ratePerSource: count.optional().describe('requests a second from one address; default 0 = any number'),
})
const sessions = z.strictObject({
  idle: duration
    .optional()
    .describe('how long a client may say nothing and read no stream before its session ends; default 5m'),
  peerTimeout: duration
    .optional()
    .describe(
      'how long a client may acknowledge nothing of its stream before it counts as gone; default 20s',
    ),
})

export const access = z.strictObject({
  authType: authType
    .optional()
    .describe(
      'what clients must show: API_KEY, OAUTH, BOTH (either), or NONE, which admits nobody without --allow-none; default API_KEY, with oauth BOTH',
    ),
  oauth: oauth.optional().describe('whose tokens of OAuth admit clients'),
  profiles: z
    .record(profileName, profile)
    .optional()
    .describe(
      'parts of what the gateway offers, by name: served at /mcp/p/NAME, and keys can be bound to one',
    ),
  legacyKeys: z
    .boolean()
    .optional()
    .describe(
      'true = keys are also taken from the header api-key and from ?api-key=, where proxies and browsers may record them; default false',
    ),
  lastUsed: duration
    .optional()
    .describe('how often the gateway writes when keys were last used; default 15m; 0 = never'),
  cors: oneOrMore(text(parseOrigin))
    .optional()
    .describe('origins whose web pages may use the gateway, such as https://app.example.com; default: none'),
  requests: requests.optional().describe('how many requests the gateway takes'),
  sessions: sessions.optional().describe('how long clients that say nothing are taken to be there'),
})

/** Keys below those of `access`. */
export const accessKeys: Readonly<Record<string, readonly string[]>> = {
  access: Object.keys(access.shape),
  requests: Object.keys(requests.shape),
  sessions: Object.keys(sessions.shape),
  oauth: Object.keys(oauth.shape),
  builtIn: Object.keys(builtIn.shape),
}

export function accessConfiguration(given: Zod.output<typeof access> = {}): AccessConfiguration {
  return {
    authType: given.authType,
    oauth: given.oauth && oauthConfiguration(given.oauth),
    profiles: Object.fromEntries(
      Object.entries(given.profiles ?? {}).map(([name, one]) => [name, profileConfiguration(one)]),
    ),
    legacyKeys: given.legacyKeys ?? accessDefaults.legacyKeys,
    lastUsedMs: given.lastUsed ?? accessDefaults.lastUsedMs,
    cors: given.cors ?? accessDefaults.cors,
    requests: limitsOf(given.requests ?? {}),
    sessions: {
      idleMs: given.sessions?.idle ?? accessDefaults.sessions.idleMs,
      peerTimeoutMs: given.sessions?.peerTimeout ?? accessDefaults.sessions.peerTimeoutMs,
    },
  }
}

function limitsOf(given: Zod.output<typeof requests>): RequestLimits {
  const usual = accessDefaults.requests
  return {
    inFlight: given.inFlight ?? usual.inFlight,
    inFlightPerKey: given.inFlightPerKey ?? usual.inFlightPerKey,
    inFlightPerSource: given.inFlightPerSource ?? usual.inFlightPerSource,
    ratePerKey: given.ratePerKey ?? usual.ratePerKey,
    ratePerSource: given.ratePerSource ?? usual.ratePerSource,
  }
}

function oauthConfiguration(given: Zod.output<typeof oauth>): OauthConfiguration {
  const { issuer = [], audience = [], resource, scopes = [], auth0 = false } = given
  return {
    issuers: auth0 ? [...issuer, ...auth0Issuers] : issuer,
    audiences: auth0 ? [...audience, auth0Audience] : audience,
    resource,
    scopes,
    ...(given.builtIn === undefined || given.builtIn === false
      ? {}
      : { builtIn: builtInIssuer(given.builtIn) }),
  }
}

const usualLifetimeMs = 3_600_000
const longestLifetimeMs = 24 * 3_600_000

function builtInIssuer(given: true | Zod.output<typeof builtIn>): BuiltInIssuer {
  const {
    registration = 'token',
    tokenLifetime = usualLifetimeMs,
    clientDocuments = [],
  } = given === true ? {} : given
  return { registration, tokenLifetimeMs: tokenLifetime, clientDocuments }
}

// What people who use Auth0 have set already. The id and the secret of their client are for their client.
const auth0Issuers = ['AUTH0_DOMAIN', 'AUTH0_M2M_DOMAIN:-'].map((name) => `https://\${env:${name}}/`)
// biome-ignore lint/suspicious/noTemplateCurlyInString: it is resolved at the start of the gateway.
const auth0Audience = 'https://${env:AUTH0_DOMAIN}/api'

function profileConfiguration(given: Zod.output<typeof profile>): ProfileConfiguration {
  return {
    connectors: given.connectors ?? null,
    tools: { allow: given.tools?.allow ?? [], deny: given.tools?.deny ?? [] },
    authType: given.authType,
    lazy: given.lazy,
  }
}

/** What is wrong with access beside the form. @param others what connectors say. */
export function accessProblems(
  given: Zod.output<typeof access> | undefined,
  others: Readonly<Record<string, AuthType | undefined>>,
): Problem[] {
  const place = ['gateway', 'access']
  const { oauth: issuing, profiles = {} } = given ?? {}
  if (issuing !== undefined) {
    const { builtIn: own } = issuing
    const isOwn = own !== undefined && own !== false
    const lifetime = typeof own === 'object' ? (own.tokenLifetime ?? usualLifetimeMs) : usualLifetimeMs
    if (lifetime < 60_000 || lifetime > longestLifetimeMs) {
      const at = [...place, 'oauth', 'builtIn', 'tokenLifetime']
      return [{ place: at, text: `${at.join('.')}: it must be from 1m to 24h` }]
    }
    const isNamed = (issuing.issuer ?? []).length > 0 || issuing.auth0 === true || isOwn
    return isNamed
      ? []
      : [
          {
            place: [...place, 'oauth'],
            text: 'gateway.access.oauth: it needs an issuer, builtIn: true, or auth0: true',
          },
        ]
  }
  const needs = (at: Problem['place'], type: AuthType | undefined): Problem[] =>
    type === 'OAUTH' || type === 'BOTH'
      ? [
          {
            place: at,
            text: `${at.join('.')}: ${type} needs gateway.access.oauth, which says whose tokens admit`,
          },
        ]
      : []
  return [
    ...needs([...place, 'authType'], given?.authType),
    ...Object.entries(profiles).flatMap(([name, { authType: type }]) =>
      needs([...place, 'profiles', name, 'authType'], type),
    ),
    ...Object.entries(others).flatMap(([name, type]) => needs(['connectors', name, 'authType'], type)),
  ]
}

/** A URL of https, or of this machine, or one with references that are not resolved yet. */
export function parseUrl(value: string): Parsed<string> {
  // With a reference as its port it is no URL yet.
  const isOwn = URL.canParse(value)
    ? isLoopbackHostname(new URL(value).hostname)
    : /^http:\/\/localhost(?:[:/]|$)/.test(value)
  const isPlain = value.startsWith('http://') && isOwn
  const hasRest = /[?#]/.test(value)
  return (value.startsWith('https://') || value.startsWith('${') || isPlain) && !hasRest
    ? { ok: true, value }
    : {
        ok: false,
        problem: `"${value}" must be a URL that begins with https:// (http:// for this machine alone)`,
      }
}

/** A host as a URL of https has it, with a port that is not 443. */
function parseHost(value: string): Parsed<string> {
  const place = URL.canParse(`https://${value}`) ? new URL(`https://${value}`) : undefined
  const isHost = place !== undefined && place.href === `https://${place.host}/` && !/[/*@]/.test(value)
  return isHost
    ? { ok: true, value: place.host }
    : { ok: false, problem: `"${value}" is no host; write it as example.com or example.com:8443` }
}

/** An origin as browsers send it: scheme, host and port, without a path. */
function parseOrigin(value: string): Parsed<string> {
  const isOrigin = URL.canParse(value) && /^https?:$/.test(new URL(value).protocol)
  return isOrigin && [value, `${value}/`].includes(new URL(value).href)
    ? { ok: true, value: new URL(value).origin }
    : { ok: false, problem: `"${value}" is no origin; write it as https://app.example.com` }
}
