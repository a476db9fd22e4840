import { randomBytes } from 'node:crypto'
import type Provider from 'oidc-provider'
import type { Client, Configuration } from 'oidc-provider'
import type { BuiltInIssuer } from '../../config/access-configuration.ts'
import { connectorIdOf } from '../../config/connector-configuration.ts'
import type { Access } from '../access.ts'
import type { ClientDocuments } from './client-documents.ts'
import type { KeptRecords } from './kept-records.ts'

/** What is asked of a gateway that issues tokens. */
export interface AuthorizationServerOptions {
  readonly stateDirectory: string
  readonly builtIn: BuiltInIssuer
  /** URL of the gateway as clients know it, without a path. */
  readonly url: string
  /** Whether tokens for this URL are for the gateway. */
  readonly isOwn: (resource: string) => boolean
  readonly access: Access
  readonly scopes: readonly string[]
}

export interface ProviderParts extends AuthorizationServerOptions {
  readonly library: typeof import('oidc-provider')
  readonly records: KeptRecords
  readonly documents: ClientDocuments
}

/** s that a login may take, and that a client may go on without one. */
const interactionSeconds = 600
const grantSeconds = 30 * 24 * 3600

/** Seconds for which a client's document is kept: bounds for its `Cache-Control`. */
const documentSeconds = { min: 60, max: 24 * 3600 }

/** The server as it is configured. What it advertises is made from the same values. */
export function makeProvider(parts: ProviderParts): Provider {
  const { library, records, documents, builtIn, url, isOwn, scopes, access } = parts
  const { Provider: Server, errors } = library
  const lifetime = builtIn.tokenLifetimeMs / 1000
  const configuration: Configuration = {
    adapter: (kind) => records.adapter(kind),
    jwks: { keys: [...records.keys] as never },
    cookies: { keys: [records.cookieKey] },
    scopes: [...scopes],
    responseTypes: ['code'],
    clientAuthMethods: ['none', 'client_secret_post', 'client_secret_basic'],
    routes: {
      authorization: '/oauth/authorize',
      token: '/oauth/token',
      registration: '/oauth/register',
      revocation: '/oauth/revoke',
      jwks: '/oauth/jwks',
    },
    // For documents of clients alone: nothing else that the provider could fetch is switched on.
    fetch: (place) => documents.fetch(String(place)),
    pkce: { required: () => true },
    extraClientMetadata: { properties: ['user_id', 'mcp_server_instance_id'] },
    features: {
      devInteractions: { enabled: false },
      userinfo: { enabled: false },
      rpInitiatedLogout: { enabled: false },
      // They are on by default, and have no path here.
      pushedAuthorizationRequests: { enabled: false },
      dPoP: { enabled: false },
      clientCredentials: { enabled: true },
      revocation: { enabled: true },
      registration: {
        enabled: builtIn.registration !== 'off',
        ...(records.registrationToken === undefined ? {} : { initialAccessToken: records.registrationToken }),
        idFactory: () => `client_${randomBytes(12).toString('hex')}`,
        secretFactory: () => `secret_${randomBytes(32).toString('base64url')}`,
      },
      clientIdMetadataDocument: {
        enabled: documents.isOn,
        // The draft that has been looked at: the provider warns when it follows another one.
        ack: 'draft-02',
        allowFetch: (_context, clientId) => documents.isAllowed(clientId),
        cacheDuration: documentSeconds,
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => url,
        useGrantedResource: () => true,
        getResourceServerInfo: (_context, resource) => {
          if (!isOwn(resource)) throw new errors.InvalidTarget()
          return {
            audience: resource,
            scope: scopes.join(' '),
            accessTokenFormat: 'jwt',
            accessTokenTTL: lifetime,
            jwt: { sign: { alg: 'RS256' } },
          }
        },
      },
    },
    ttl: {
      AccessToken: lifetime,
      ClientCredentials: lifetime,
      AuthorizationCode: 60,
      Interaction: interactionSeconds,
      Session: interactionSeconds,
      Grant: grantSeconds,
      RefreshToken: grantSeconds,
      IdToken: lifetime,
    },
    rotateRefreshToken: true,
    // The session is the browser's: what it has let in goes on without it.
    expiresWithSession: async () => false,
    issueRefreshToken: async (_context, client) => client.grantTypeAllowed('refresh_token'),
    interactions: { url: (_context, { uid }) => `/oauth/interaction/${uid}` },
    // A key that was revoked is nobody any more: what it has let in ends with it.
    findAccount: async (_context, sub) =>
      (await access.holderOfId(sub)) === undefined ? undefined : { accountId: sub, claims: () => ({ sub }) },
    extraTokenClaims: async (_context, token) => {
      const accountId = 'accountId' in token ? token.accountId : undefined
      if (typeof accountId === 'string') {
        const { keyId, connectors, profile } = (await access.holderOfId(accountId)) ?? {}
        return { key: keyId, connectors: connectors ?? undefined, profile: profile ?? undefined }
      }
      const only = (token.client as (Client & { readonly mcp_server_instance_id?: unknown }) | undefined)
        ?.mcp_server_instance_id
      return typeof only === 'string' ? { connectors: [connectorIdOf(only)] } : undefined
    },
    renderError: (context, { error, error_description }) => {
      context.type = 'text/plain'
      context.body = `${error}${error_description === undefined ? '' : `: ${error_description}`}\n`
    },
  }
  const provider = new Server(url, configuration)
  // front.ts says what the scheme and the host are, whatever a client sends.
  provider.proxy = true
  return provider
}
