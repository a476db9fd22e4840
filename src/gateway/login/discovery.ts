/** Who issues the tokens of a server: RFC 9728 says where the server says so, RFC 8414 and OpenID Connect what the issuer says of itself. */
import { type AuthorizationServer, processDiscoveryResponse } from 'oauth4webapi'
import { errorText } from '../../os/failure.ts'
import { isLoopbackHostname } from '../../os/interfaces.ts'
import { documentPlaces } from '../oauth/document-places.ts'
import { challengePart, scopesIn } from './challenge.ts'

/** ms that each document may take. */
const answerMs = 10_000

/** What a server and its issuer say. */
export interface Discovered {
  readonly issuer: AuthorizationServer
  /** What tokens must be for. */
  readonly resource: string
  /** Scopes that the server names; empty = it names none. */
  readonly scopes: readonly string[]
}

/**
 * @param server URL of the MCP server.
 * @param configured issuer that a person has named; undefined = the server names it.
 * @throws Error in words.
 */
export async function discover(server: string, configured: string | undefined): Promise<Discovered> {
  const challenge = await challengeOf(server)
  const said = await metadataOf(server, challenge.metadata)
  const {
    resource = canonical(server),
    authorization_servers: named = [],
    scopes_supported = [],
  } = said ?? {}
  const scopes = challenge.scopes.length > 0 ? challenge.scopes : scopes_supported
  // Servers of 2025-03-26 say nothing: their own origin is the issuer.
  const issuer = configured ?? named[0] ?? new URL(server).origin
  return { issuer: await issuerDocument(issuer, server), resource, scopes }
}

/** The document of an issuer. @param server whose tokens it issues: one on this machine may have an issuer there. @throws Error in words. */
export async function issuerDocument(issuer: string, server: string): Promise<AuthorizationServer> {
  demandSafe(issuer, server)
  const problems: string[] = []
  for (const place of documentPlaces(issuer)) {
    try {
      const document = await processDiscoveryResponse(new URL(issuer), await get(place))
      const { authorization_endpoint, token_endpoint, registration_endpoint, revocation_endpoint } = document
      for (const one of [authorization_endpoint, token_endpoint, registration_endpoint, revocation_endpoint])
        if (one !== undefined) demandSafe(one, server)
      return document
    } catch (error) {
      problems.push(`${place}: ${errorText(error)}`)
    }
  }
  throw new Error(`the issuer ${issuer} cannot be used: ${problems.join('; ')}`)
}

interface ResourceDocument {
  readonly resource?: string
  readonly authorization_servers?: readonly string[]
  readonly scopes_supported?: readonly string[]
}

/** What a refusal of the server says. */
async function challengeOf(
  server: string,
): Promise<{ readonly metadata: string | undefined; readonly scopes: readonly string[] }> {
  const body = '{"jsonrpc":"2.0","id":1,"method":"ping"}'
  const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }
  const response = await fetch(server, {
    method: 'POST',
    headers,
    body,
    redirect: 'manual',
    signal: AbortSignal.timeout(answerMs),
  })
  await response.body?.cancel()
  const text = response.headers.get('www-authenticate') ?? ''
  return { metadata: challengePart(text, 'resource_metadata'), scopes: scopesIn(text) }
}

async function metadataOf(server: string, named: string | undefined): Promise<ResourceDocument | undefined> {
  const { origin, pathname } = new URL(server)
  const wellKnown = `${origin}/.well-known/oauth-protected-resource`
  const places = named === undefined ? [`${wellKnown}${pathname.replace(/\/$/, '')}`, wellKnown] : [named]
  for (const place of new Set(places)) {
    demandSafe(place, server)
    const response = await get(place)
    if (!response.ok) {
      await response.body?.cancel()
      continue
    }
    const document = (await response.json()) as ResourceDocument
    // A server must not have tokens made that are good at another one.
    if (document.resource !== undefined && !covers(document.resource, server))
      throw new Error(`${place} is about another server (${document.resource})`)
    return document
  }
  return undefined
}

function covers(resource: string, server: string): boolean {
  if (!URL.canParse(resource)) return false
  const [one, other] = [new URL(resource), new URL(server)]
  const above = one.pathname.replace(/\/$/, '')
  return one.origin === other.origin && (other.pathname === above || other.pathname.startsWith(`${above}/`))
}

function get(place: string): Promise<Response> {
  const headers = { accept: 'application/json' }
  return fetch(place, { headers, redirect: 'error', signal: AbortSignal.timeout(answerMs) })
}

/** The URL of a server as a resource: without a fragment, and no slash alone as its path. */
function canonical(server: string): string {
  const { origin, pathname, search } = new URL(server)
  return `${origin}${pathname === '/' ? '' : pathname}${search}`
}

/** Secrets go through TLS, or stay on this machine: a server elsewhere names nothing here. */
function demandSafe(url: string, server: string): void {
  const isAllowed =
    URL.canParse(url) &&
    (new URL(url).protocol === 'https:' ? isOwn(server) || !isOwn(url) : isOwn(url) && isOwn(server))
  if (!isAllowed) throw new Error(`${url} is no place for secrets: a URL of https is wanted`)
}

function isOwn(url: string): boolean {
  const { hostname } = new URL(url)
  return isLoopbackHostname(hostname)
}
