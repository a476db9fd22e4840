// An authorization server that we did not write, oidc-provider, at which every person is let in at once. It issues tokens for one MCP server.
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import Provider, { type ClientMetadata } from 'oidc-provider'

export interface OidcWishes {
  /** Clients that are registered already. */
  readonly clients?: readonly ClientMetadata[]
  /** Seconds that a token is good for. */
  readonly lifetime?: () => number
  /** Answers to a refresh name no new refresh token. */
  readonly omitsRefresh?: boolean
}

export class OidcIssuer {
  readonly #server: Server
  /** What was asked of the token endpoint. */
  readonly grants: URLSearchParams[] = []
  /** Refresh tokens are spent by their use. */
  rotates = true
  omitsRefresh = false

  private constructor(server: Server) {
    this.#server = server
  }

  static async open({ clients = [], lifetime = () => 300 }: OidcWishes = {}): Promise<OidcIssuer> {
    const server = createServer()
    const issuer = new OidcIssuer(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const provider = new Provider(issuer.url, {
      clients: [...clients],
      scopes: ['docs:read', 'docs:write'],
      features: {
        devInteractions: { enabled: false },
        registration: { enabled: true },
        clientCredentials: { enabled: true },
        revocation: { enabled: true },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: (_context, resource) => ({
            audience: resource,
            scope: 'docs:read docs:write',
            accessTokenFormat: 'jwt',
            accessTokenTTL: lifetime(),
            jwt: { sign: { alg: 'RS256' } },
          }),
          useGrantedResource: () => true,
        },
      },
      ttl: { ClientCredentials: () => lifetime() },
      rotateRefreshToken: () => issuer.rotates,
      issueRefreshToken: async (_context, client) => client.grantTypeAllowed('refresh_token'),
      findAccount: (_context, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
      interactions: { url: (_context, { uid }) => `/let-in/${uid}` },
    })
    provider.use(async (context, next) => {
      await next()
      const { oidc, body } = context as unknown as {
        oidc?: { route?: string; params?: Record<string, string> }
        body: Record<string, unknown>
      }
      if (oidc?.route !== 'token') return
      issuer.grants.push(new URLSearchParams(oidc.params))
      if (issuer.omitsRefresh && oidc.params?.grant_type === 'refresh_token') delete body.refresh_token
    })
    const callback = provider.callback()
    server.on('request', (request, response) => {
      if (!request.url?.startsWith('/let-in/')) return void callback(request, response)
      void letIn(provider, request, response)
    })
    return issuer
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** How often tokens were asked for by this grant. */
  count(grant: string): number {
    return this.grants.filter((one) => one.get('grant_type') === grant).length
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

async function letIn(
  provider: Provider,
  ...[request, response]: Parameters<ReturnType<Provider['callback']>>
): Promise<void> {
  const { params, session } = await provider.interactionDetails(request, response)
  const accountId = session?.accountId ?? 'person'
  const grant = new provider.Grant({ accountId, clientId: String(params.client_id) })
  const { resource, scope } = params
  if (typeof resource === 'string') grant.addResourceScope(resource, String(scope ?? ''))
  grant.addOIDCScope(`openid ${String(scope ?? '')}`)
  const consent = { grantId: await grant.save() }
  await provider.interactionFinished(request, response, { login: { accountId }, consent })
}
