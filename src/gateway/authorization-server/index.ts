/**
 * authorization-server/: the gateway issues tokens itself, where `gateway.access.oauth.builtIn` says so. oauth/ takes them as those of any issuer.
 *
 *   request below /oauth/ -> front.ts (JSON becomes a form, what older clients leave out is filled in) -> oidc-provider (provider.ts)
 *     -> kept-records.ts: clients, grants and signing keys, in one file of the state directory
 *   a client whose id is a URL -> client-documents.ts: what that document says of it, from hosts that are configured
 *   a person's browser -> /oauth/interaction/… -> interaction.ts: he shows a key of the gateway, and his client gets what that key may do
 *
 * oidc-provider is an optional package and needs Node 22; it is loaded here alone. What a client may ask for is a line of provider.ts.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createLocalJWKSet } from 'jose'
import { errorCode, exitCode, Failure } from '../../os/failure.ts'
import type { TokenIssuer } from '../oauth/issuer.ts'
import { ClientDocuments } from './client-documents.ts'
import { forward } from './front.ts'
import { interact } from './interaction.ts'
import { KeptRecords } from './kept-records.ts'
import { type AuthorizationServerOptions, makeProvider, type ProviderParts } from './provider.ts'

/** The first Node that oidc-provider supports. */
const leastNode = 22

/** Where it says what it is: what is switched on, and nothing else. */
const documents = ['/.well-known/oauth-authorization-server', '/.well-known/openid-configuration']

/** What Node says of a package that is not there, to an import and to a bundle that requires it. */
const notFound = ['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND']

/** ms between two looks at whether the signing key is due. */
const lookEveryMs = 3_600_000

export class AuthorizationServer implements TokenIssuer {
  readonly url: string
  readonly #options: AuthorizationServerOptions
  readonly #records: KeptRecords
  readonly #parts: ProviderParts
  #provider: ReturnType<typeof makeProvider>
  readonly #looking: NodeJS.Timeout

  /** @throws Failure (78) when it cannot run here: an old Node, or its package is missing. */
  static async open(options: AuthorizationServerOptions): Promise<AuthorizationServer> {
    const major = Number(process.versions.node.split('.')[0])
    if (major < leastNode)
      throw new Failure(
        `gateway.access.oauth.builtIn needs Node ${leastNode} or newer; this is Node ${process.versions.node}. Keys and outside issuers work here`,
        exitCode.configuration,
      )
    try {
      const library = await import('oidc-provider')
      return new AuthorizationServer(options, library)
    } catch (error) {
      if (!notFound.includes(errorCode(error) ?? '')) throw error
      throw new Failure(
        'gateway.access.oauth.builtIn needs the package oidc-provider: npm install oidc-provider where port-watchdog is installed',
        exitCode.configuration,
      )
    }
  }

  private constructor(options: AuthorizationServerOptions, library: ProviderParts['library']) {
    this.#options = options
    this.url = options.url
    this.#records = new KeptRecords(options.stateDirectory, options.builtIn)
    const documents = new ClientDocuments(options.builtIn.clientDocuments)
    this.#parts = { ...options, library, records: this.#records, documents }
    this.#records.rotate()
    this.#provider = makeProvider(this.#parts)
    this.#looking = setInterval(() => this.#rotate(), lookEveryMs)
    this.#looking.unref()
  }

  /** The keys of a provider are fixed: a new key needs a new one, with the same records. */
  #rotate(): void {
    if (this.#records.rotate()) this.#provider = makeProvider(this.#parts)
  }

  takes(path: string): boolean {
    return path.startsWith('/oauth/') || documents.includes(path)
  }

  async answer(request: IncomingMessage, response: ServerResponse, from: string): Promise<void> {
    const provider = this.#provider
    const { access, url } = this.#options
    if (request.url?.startsWith('/oauth/interaction/') === true)
      return await interact({ provider, access, from }, request, response)
    await forward({ provider, url, records: this.#records }, request, response)
  }

  async keys() {
    return createLocalJWKSet({ keys: this.#records.publicKeys() })
  }

  /** Where a person finds the token that registers clients; undefined = none is needed, or nobody can register. */
  get registrationFile(): string | undefined {
    return this.#records.registrationFile
  }

  close(): void {
    clearInterval(this.#looking)
  }
}
