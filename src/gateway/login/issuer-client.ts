/** What the gateway asks an issuer as its client. `resource` goes with each request for a token (RFC 8707). */
import * as oauth from 'oauth4webapi'
import type { UpstreamAuth } from '../../config/connector-configuration.ts'
import type { KeptTokens, LoginRecord } from './kept-login.ts'

/** ms that each answer may take. */
const answerMs = 15_000

/** An issuer and who the gateway is there. */
export type Membership = Pick<LoginRecord, 'issuer' | 'resource'> & { readonly client: oauth.Client }

/** A client that a person has registered, or that is described by a document at its URL. Undefined = it must register itself. */
export function configuredClient(
  { clientId, clientSecret }: UpstreamAuth,
  { token_endpoint_auth_methods_supported: methods = ['client_secret_basic'] }: oauth.AuthorizationServer,
): oauth.Client | undefined {
  if (clientId === undefined) return undefined
  if (clientSecret === undefined) return { client_id: clientId, token_endpoint_auth_method: 'none' }
  const method = methods.includes('client_secret_basic') ? 'client_secret_basic' : 'client_secret_post'
  return { client_id: clientId, client_secret: clientSecret, token_endpoint_auth_method: method }
}

/** Registers the gateway (RFC 7591). @param redirectUri undefined = no person logs in. @throws Error in words. */
export async function register(
  issuer: oauth.AuthorizationServer,
  redirectUri: string | undefined,
): Promise<oauth.Client> {
  if (issuer.registration_endpoint === undefined)
    throw new Error(
      `the issuer ${issuer.issuer} registers no clients by itself: register one there, and write its clientId below auth`,
    )
  const ofPerson = {
    redirect_uris: redirectUri === undefined ? [] : [redirectUri],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
    application_type: 'native',
  }
  const ofMachine = {
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    token_endpoint_auth_method: 'client_secret_basic',
  }
  const metadata = {
    client_name: 'port-watchdog MCP gateway',
    ...(redirectUri === undefined ? ofMachine : ofPerson),
  }
  const response = await oauth.dynamicClientRegistrationRequest(issuer, metadata, options())
  const client = await oauth.processDynamicClientRegistrationResponse(await withExpiry(response))
  return { ...client, client_id: client.client_id }
}

/** Some issuers leave out when a secret expires, which RFC 7591 demands: such a one does not expire. */
async function withExpiry(response: Response): Promise<Response> {
  const text = await response.text()
  const said = membersOf(text)
  const isOmitted = said?.client_secret !== undefined && said.client_secret_expires_at === undefined
  const body = isOmitted ? JSON.stringify({ ...said, client_secret_expires_at: 0 }) : text
  return new Response(body, { status: response.status, headers: response.headers })
}

function membersOf(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? (value as Readonly<Record<string, unknown>>) : undefined
  } catch {
    return undefined
  }
}

export async function codeTokens(
  { issuer, client, resource }: Membership,
  answer: URLSearchParams,
  redirectUri: string,
  verifier: string,
): Promise<KeptTokens> {
  const response = await oauth.authorizationCodeGrantRequest(
    issuer,
    client,
    authentication(client),
    answer,
    redirectUri,
    verifier,
    { ...options(), additionalParameters: { resource } },
  )
  return kept(await oauth.processAuthorizationCodeResponse(issuer, client, response), undefined)
}

export async function refreshedTokens(
  { issuer, client, resource }: Membership,
  refresh: string,
): Promise<KeptTokens> {
  const response = await oauth.refreshTokenGrantRequest(issuer, client, authentication(client), refresh, {
    ...options(),
    additionalParameters: { resource },
  })
  return kept(await oauth.processRefreshTokenResponse(issuer, client, response), refresh)
}

export async function machineTokens(
  { issuer, client, resource }: Membership,
  scopes: readonly string[],
): Promise<KeptTokens> {
  const response = await oauth.clientCredentialsGrantRequest(
    issuer,
    client,
    authentication(client),
    { resource, ...(scopes.length === 0 ? {} : { scope: scopes.join(' ') }) },
    options(),
  )
  return kept(await oauth.processClientCredentialsResponse(issuer, client, response), undefined)
}

/** Takes tokens back at an issuer that can (RFC 7009). Never rejects. */
export async function revoke({ issuer, client }: Membership, { access, refresh }: KeptTokens): Promise<void> {
  if (issuer.revocation_endpoint === undefined) return
  for (const token of [refresh, access]) {
    if (token === undefined) continue
    try {
      const asked = oauth.revocationRequest(issuer, client, authentication(client), token, options())
      await oauth.processRevocationResponse(await asked)
    } catch {
      // It expires by itself.
    }
  }
}

/** What the issuer has said against a request: `invalid_grant`; undefined = it has said nothing. */
export function refusalIn(error: unknown): string | undefined {
  return error instanceof oauth.ResponseBodyError || error instanceof oauth.AuthorizationResponseError
    ? error.error
    : undefined
}

/** @param before the refresh token that was used: it holds on where the answer has no other. */
function kept(
  { access_token, refresh_token, expires_in }: oauth.TokenEndpointResponse,
  before: string | undefined,
): KeptTokens {
  return {
    access: access_token,
    refresh: refresh_token ?? before,
    expiresAt: expires_in === undefined ? undefined : Date.now() + expires_in * 1000 - spareMs(expires_in),
  }
}

/** ms before its end in which a token is not used any more: what is sent must arrive. @param lifetime s. */
function spareMs(lifetime: number): number {
  return Math.min(30_000, lifetime * 100)
}

function authentication({ client_secret, token_endpoint_auth_method }: oauth.Client): oauth.ClientAuth {
  if (typeof client_secret !== 'string' || token_endpoint_auth_method === 'none') return oauth.None()
  return token_endpoint_auth_method === 'client_secret_post'
    ? oauth.ClientSecretPost(client_secret)
    : basic(client_secret)
}

/** RFC 6749, 2.3.1, as forms are encoded: issuers that do not decode understand ids with hyphens, points and underscores. */
function basic(secret: string): oauth.ClientAuth {
  const encoded = (text: string) => new URLSearchParams({ '': text }).toString().slice(1)
  return (_issuer, { client_id }, _body, headers) => {
    const pair = Buffer.from(`${encoded(client_id)}:${encoded(secret)}`).toString('base64')
    headers.set('authorization', `Basic ${pair}`)
  }
}

/** Places without TLS were refused when they were discovered, but for those of this machine. */
function options() {
  return { [oauth.allowInsecureRequests]: true, signal: AbortSignal.timeout(answerMs) }
}
