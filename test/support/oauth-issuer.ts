// A small issuer of tokens, with real keys and over real HTTP: what an outside authorization server is to the gateway.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'

type Keys = Awaited<ReturnType<typeof generateKeyPair>>

export interface TokenWishes {
  readonly issuer?: string
  /** Seconds from now until it expires. */
  readonly lifetime?: number
  readonly key?: Keys['privateKey']
  readonly typ?: string
}

export class OauthIssuer {
  readonly #server: Server
  readonly #keys: Keys
  /** Paths that were asked for. */
  readonly asked: string[] = []

  private constructor(server: Server, keys: Keys) {
    this.#server = server
    this.#keys = keys
  }

  static async open(): Promise<OauthIssuer> {
    const keys = await generateKeyPair('ES256')
    const server = createServer((request, response) => {
      void issuer.#answer(request).then(({ status, body }) => {
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
      })
    })
    const issuer = new OauthIssuer(server, keys)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return issuer
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** A token of this issuer, unless something else is wished. */
  token(claims: JWTPayload, wishes: TokenWishes = {}): Promise<string> {
    const { issuer = this.url, lifetime = 300, key = this.#keys.privateKey, typ = 'at+jwt' } = wishes
    return new SignJWT({ sub: 'agent', client_id: 'client', ...claims })
      .setProtectedHeader({ alg: 'ES256', kid: 'one', typ })
      .setIssuer(issuer)
      .setIssuedAt()
      .setExpirationTime(Math.floor(Date.now() / 1000) + lifetime)
      .sign(key)
  }

  async #answer(request: IncomingMessage): Promise<{ status: number; body: object }> {
    const path = request.url ?? ''
    this.asked.push(path)
    switch (path) {
      case '/.well-known/oauth-authorization-server':
      case '/.well-known/openid-configuration':
        return {
          status: 200,
          body: {
            issuer: this.url,
            jwks_uri: `${this.url}/jwks`,
            token_endpoint: `${this.url}/token`,
            response_types_supported: ['code'],
          },
        }
      case '/jwks': {
        const jwk = await exportJWK(this.#keys.publicKey)
        return { status: 200, body: { keys: [{ ...jwk, kid: 'one', alg: 'ES256', use: 'sig' }] } }
      }
      case '/token': {
        const form = new URLSearchParams(await bodyOf(request))
        const scope = form.get('scope') ?? ''
        const aud = form.get('resource') ?? 'nobody'
        const access_token = await this.token({ aud, scope })
        return { status: 200, body: { access_token, token_type: 'Bearer', expires_in: 300, scope } }
      }
      default:
        return { status: 404, body: {} }
    }
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}
