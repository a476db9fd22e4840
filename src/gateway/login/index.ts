/**
 * login/: the gateway's own logins, at servers that want tokens of OAuth. oauth/ is the other side: tokens that clients show to the gateway.
 *
 *   request to a server -> Login.authorization (this file): the kept token while it is good, else one is got, once for all processes
 *     -> kept-login.ts (file and lock of one server) -> discovery.ts (who issues its tokens) -> issuer-client.ts (oauth4webapi)
 *   mcp-proxy login -> person-login.ts: the page of the issuer, and the way back from it
 *
 * What speaks with issuers is loaded when it is needed. Another grant is a line of `#obtain`, and a function of issuer-client.ts.
 */
import type { Client } from 'oauth4webapi'
import type { ConnectorConfiguration, UpstreamAuth } from '../../config/connector-configuration.ts'
import { withVariables } from '../../config/variables.ts'
import { monotonicMs } from '../../os/clock.ts'
import { errorText } from '../../os/failure.ts'
import { CredentialProblem, type Credentials } from '../upstream/credentials.ts'
import { challengePart, scopesIn } from './challenge.ts'
import { KeptLogin, type KeptTokens, type LoginRecord } from './kept-login.ts'

/** ms that the document of an issuer holds. */
const documentMs = 3_600_000

/** ms between two looks at whether another process has changed the login. */
const lookEveryMs = 1000

export interface LoginOptions {
  readonly stateDirectory: string
  /** Id of the connector, for the command that a person has to type. */
  readonly connector: string
  /** URL, and the configuration; both without references. */
  readonly server: string
  readonly auth: UpstreamAuth
}

/** The login at one server. */
export class Login implements Credentials {
  readonly #options: LoginOptions
  readonly #kept: KeptLogin
  #record: LoginRecord | undefined
  #stamp: string | undefined
  #lookedAt = Number.NEGATIVE_INFINITY
  #renewing: Promise<string> | undefined
  /** A person must log in. */
  isNeeded = false

  constructor(options: LoginOptions) {
    this.#options = options
    this.#kept = new KeptLogin(options.stateDirectory, options.server)
  }

  /** The value of `Authorization`. @throws CredentialProblem */
  async authorization(): Promise<string> {
    const { tokens } = this.#known() ?? {}
    const authorization =
      tokens !== undefined && isGood(tokens) ? bearer(tokens) : await this.#renew(undefined)
    this.isNeeded = false
    return authorization
  }

  /** @throws CredentialProblem when there is no better one. */
  async refused(authorization: string, challenge: string): Promise<string> {
    if (challengePart(challenge, 'error') !== 'insufficient_scope') return await this.#renew(authorization)
    this.#read()
    const { tokens } = this.#record ?? {}
    // A person may just have logged in for it.
    if (tokens !== undefined && isGood(tokens) && bearer(tokens) !== authorization) return bearer(tokens)
    const scopes = scopesIn(challenge)
    this.#remember(scopes)
    const { connector, auth } = this.#options
    const what = `it wants a token that allows ${scopes.join(' ') || 'more'}`
    const cure =
      auth.scopes.length > 0
        ? `add that to auth.scopes of '${connector}'`
        : this.#isOfPerson
          ? `log in again: mcp-proxy login ${connector}`
          : 'its client needs that at the issuer'
    throw new CredentialProblem(`${what}; ${cure}`, 'other')
  }

  /** What is kept, read again when another process has changed it. */
  #known(): LoginRecord | undefined {
    if (monotonicMs() - this.#lookedAt < lookEveryMs) return this.#record
    this.#lookedAt = monotonicMs()
    const stamp = this.#kept.stamp()
    if (stamp !== this.#stamp) this.#read(stamp)
    return this.#record
  }

  #read(stamp = this.#kept.stamp()): void {
    try {
      const record = this.#kept.read()
      const { clientId } = this.#options.auth
      const isOurs = clientId === undefined || record?.client?.client_id === clientId
      this.#record = isOurs ? record : undefined
      this.#stamp = stamp
    } catch (error) {
      throw new CredentialProblem(`the login cannot be read: ${errorText(error)}`, 'other')
    }
  }

  #write(record: LoginRecord): void {
    this.#kept.write(record)
    this.#record = record
    this.#stamp = this.#kept.stamp()
  }

  /** @param refused what the server did not take; undefined = it was not asked. */
  #renew(refused: string | undefined): Promise<string> {
    this.#renewing ??= this.#renewAlone(refused).finally(() => {
      this.#renewing = undefined
    })
    return this.#renewing
  }

  async #renewAlone(refused: string | undefined): Promise<string> {
    this.#read()
    if (this.#record?.tokens === undefined && this.#isOfPerson) throw this.#needed('nobody has logged in')
    try {
      return await this.#kept.alone(async () => {
        // Another process may have got a new one while this one waited.
        this.#read()
        const { tokens } = this.#record ?? {}
        if (tokens !== undefined && isGood(tokens) && bearer(tokens) !== refused) return bearer(tokens)
        return bearer(await this.#obtain(tokens))
      })
    } catch (error) {
      throw error instanceof CredentialProblem
        ? error
        : new CredentialProblem(`no token could be got: ${errorText(error)}`, 'other')
    }
  }

  get #isOfPerson(): boolean {
    return this.#options.auth.grant === 'authorization_code'
  }

  /** New tokens, by what is configured and what is kept. */
  async #obtain(before: KeptTokens | undefined): Promise<KeptTokens> {
    if (!this.#isOfPerson) return await this.#obtainAsMachine()
    const record = this.#record
    if (record?.client === undefined || before?.refresh === undefined) {
      if (record !== undefined) this.#write({ ...record, tokens: undefined })
      throw this.#needed('the login has expired')
    }
    const { client, resource } = record
    const { issuer, discoveredAt } = await this.#issuerNow(record)
    const { refreshedTokens, refusalIn } = await import('./issuer-client.ts')
    try {
      const tokens = await refreshedTokens(
        { issuer, client: this.#secretOf(client), resource },
        before.refresh,
      )
      this.#write({ ...record, issuer, discoveredAt, tokens })
      return tokens
    } catch (error) {
      const refusal = refusalIn(error)
      if (refusal !== 'invalid_grant' && refusal !== 'invalid_client') throw error
      const known = refusal === 'invalid_client' ? undefined : client
      this.#write({ ...record, client: known, tokens: undefined })
      throw this.#needed(`the issuer does not take the login any more (${refusal})`)
    }
  }

  async #obtainAsMachine(): Promise<KeptTokens> {
    const { server, auth } = this.#options
    const [{ discover }, { configuredClient, machineTokens, refusalIn, register }] = await Promise.all([
      import('./discovery.ts'),
      import('./issuer-client.ts'),
    ])
    const isFresh = this.#record !== undefined && isFreshAt(this.#record.discoveredAt)
    const said = isFresh && this.#record !== undefined ? this.#record : await discover(server, auth.issuer)
    const { issuer, resource } = said
    const isSame = this.#record?.issuer.issuer === issuer.issuer
    const known = isSame ? this.#record?.client : undefined
    const client = configuredClient(auth, issuer) ?? known ?? (await register(issuer, undefined))
    const { scopes } = said
    const record = {
      version: 1,
      server,
      resource,
      issuer,
      discoveredAt: isFresh ? (this.#record?.discoveredAt ?? 0) : Date.now(),
      client: withoutConfiguredSecret(client, auth),
      redirectUri: undefined,
      scopes,
    } as const
    try {
      const tokens = await machineTokens({ issuer, resource, client }, wantedScopes(auth, scopes))
      this.#write({ ...record, tokens })
      return tokens
    } catch (error) {
      // A registration that the issuer has forgotten is made again next time.
      if (refusalIn(error) === 'invalid_client') this.#kept.remove()
      throw error
    }
  }

  /** The document of the issuer, read again when it is old. An issuer that does not answer now may still give tokens. */
  async #issuerNow({ issuer, discoveredAt, server }: LoginRecord) {
    if (isFreshAt(discoveredAt)) return { issuer, discoveredAt }
    try {
      const { issuerDocument } = await import('./discovery.ts')
      return { issuer: await issuerDocument(issuer.issuer, server), discoveredAt: Date.now() }
    } catch {
      return { issuer, discoveredAt }
    }
  }

  #secretOf(client: Client): Client {
    const { clientSecret } = this.#options.auth
    return clientSecret === undefined ? client : { ...client, client_secret: clientSecret }
  }

  /** The next login asks for them, too. */
  #remember(more: readonly string[]): void {
    const record = this.#record
    const scopes = [...new Set([...(record?.scopes ?? []), ...more])]
    if (record !== undefined && scopes.length > record.scopes.length) this.#write({ ...record, scopes })
  }

  #needed(why: string): CredentialProblem {
    this.isNeeded = true
    return new CredentialProblem(`${why}; log in: mcp-proxy login ${this.#options.connector}`, 'login')
  }
}

/** What to ask for: what a person has configured, else what the server has named. */
export function wantedScopes({ scopes }: UpstreamAuth, named: readonly string[]): readonly string[] {
  return scopes.length > 0 ? scopes : named
}

/** What was configured is kept where it was configured alone. */
export function withoutConfiguredSecret(client: Client, { clientSecret }: UpstreamAuth): Client {
  if (clientSecret === undefined) return client
  const { client_secret: _, ...rest } = client
  return rest as Client
}

function isGood({ expiresAt }: KeptTokens): boolean {
  return expiresAt === undefined || Date.now() < expiresAt
}

function bearer({ access }: KeptTokens): string {
  return `Bearer ${access}`
}

/** The logins of a gateway. Connections to one server share theirs. */
export class Logins {
  readonly #stateDirectory: string
  readonly #known = new Map<string, Login>()

  constructor(stateDirectory: string) {
    this.#stateDirectory = stateDirectory
  }

  /** Undefined = the connector has none. @throws MissingVariable */
  of({ id, transport }: ConnectorConfiguration): Login | undefined {
    if (transport.kind === 'stdio' || transport.auth === undefined) return undefined
    const key = JSON.stringify([id, transport.url, transport.auth])
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const options = loginOptions(this.#stateDirectory, id, transport.url, transport.auth)
    const login = new Login(options)
    this.#known.set(key, login)
    return login
  }
}

/** With the references in the configuration resolved. @throws MissingVariable */
export function loginOptions(
  stateDirectory: string,
  connector: string,
  url: string,
  { grant, scopes, ...auth }: UpstreamAuth,
): LoginOptions {
  const resolved = (text: string) => withVariables(text, process.env, process.cwd())
  const server = resolved(url)
  const [clientId, clientSecret, issuer] = [auth.clientId, auth.clientSecret, auth.issuer].map((text) =>
    text === undefined ? undefined : resolved(text),
  )
  return { stateDirectory, connector, server, auth: { grant, scopes, clientId, clientSecret, issuer } }
}

/** Whether a document that was read then (wall time) is good still. One of the future was read before the clock was set back. */
function isFreshAt(discoveredAt: number): boolean {
  const age = Date.now() - discoveredAt
  return age >= 0 && age < documentMs
}
