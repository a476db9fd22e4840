/**
 * oauth/: tokens of outside issuers (OAuth 2.1, RFC 9728). The gateway is a resource server: it checks tokens, and makes none.
 *
 *   token -> cache -> whose is it (issuer.ts: document, keys) -> signature, issuer, audience, times (jose) -> Principal
 *
 * Loaded where `gateway.access.oauth` is configured alone. A token goes to no server behind the gateway.
 */
import { createHash } from 'node:crypto'
import { decodeJwt, errors, type JWTPayload, jwtVerify } from 'jose'
import type { OauthConfiguration } from '../../config/access-configuration.ts'
import type { HttpOptions } from '../../config/http-options.ts'
import { speaksTls } from '../../config/http-options.ts'
import { parseHostAndPort } from '../../config/values.ts'
import { withVariables } from '../../config/variables.ts'
import { monotonicMs } from '../../os/clock.ts'
import { exitCode, Failure } from '../../os/failure.ts'
import { hostAndPort, isLoopback } from '../../os/interfaces.ts'
import type { Principal } from '../principal.ts'
import { Issuer, IssuerUnavailable, type TokenIssuer } from './issuer.ts'

/** Why a token admits nobody. */
export type TokenFault =
  | 'malformed'
  | 'issuer'
  | 'audience'
  | 'expired'
  | 'too-early'
  | 'algorithm'
  | 'signature'
  | 'claims'

export type TokenJudgement =
  | { readonly kind: 'valid'; readonly principal: Principal }
  | { readonly kind: 'invalid'; readonly fault: TokenFault }
  /** It cannot be judged now: its issuer does not answer. */
  | { readonly kind: 'unjudged'; readonly why: string }

/** Only signatures made with a key pair count. Who can check a signature with a shared secret can also make one, and `none` signs nothing. */
const algorithms = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
]

/** Kinds of tokens that are for a resource server; one that names no kind may be. */
const types: readonly (string | undefined)[] = [undefined, 'jwt', 'at+jwt', 'application/at+jwt']

/** Seconds that the clocks of issuer and gateway may differ. */
const clockTolerance = 10

/** Judgements kept, and for how long in ms: good ones, and others. */
const mostKept = 2000
const keptMs = 60_000
const refusedMs = 10_000

interface Kept {
  readonly judgement: TokenJudgement
  /** Until when it need not be judged again, monotonic ms. */
  readonly until: number
  /** When the token ends, wall ms. */
  readonly end: number
}

export class Tokens {
  /** Outside ones. */
  readonly issuers: readonly Issuer[]
  /** The gateway itself, where it issues tokens. */
  readonly #own: TokenIssuer | undefined
  readonly scopes: readonly string[]
  /** URLs of this gateway, without a path. */
  readonly #bases: readonly [string, ...string[]]
  readonly #audiences: readonly string[]
  readonly #kept = new Map<string, Kept>()
  readonly #counted: (isHit: boolean) => void
  readonly #sweeping: NodeJS.Timeout

  /**
   * @param counted whether a token was known when it came.
   * @param own the gateway itself; undefined = it issues none.
   * @throws Failure when the configuration refers to a variable that is not set, or the gateway cannot know its own URL.
   */
  constructor(
    oauth: OauthConfiguration,
    http: HttpOptions,
    counted: (isHit: boolean) => void,
    own?: TokenIssuer,
  ) {
    this.#own = own
    this.#counted = counted
    const resolved = (text: string) => withVariables(text, process.env, process.cwd())
    try {
      const issuers = oauth.issuers.map(resolved).filter((url) => URL.canParse(url))
      this.issuers = [...new Set(issuers)].map((url) => new Issuer(url))
      this.#audiences = oauth.audiences.map(resolved)
      this.#bases = gatewayUrls(oauth, http)
    } catch (error) {
      throw error instanceof Failure ? error : new Failure(String(error), exitCode.configuration)
    }
    if (this.issuers.length === 0 && own === undefined)
      throw new Failure('gateway.access.oauth names no issuer', exitCode.configuration)
    this.scopes = oauth.scopes
    this.#sweeping = setInterval(() => this.#sweep(), 5 * keptMs)
    this.#sweeping.unref()
  }

  get all(): readonly TokenIssuer[] {
    return this.#own === undefined ? this.issuers : [this.#own, ...this.issuers]
  }

  /** The URL of this gateway by which a client has come, where it is one of its own. Never a name that only the client gives it. */
  baseFor(host: string): string {
    const given = this.#bases.find((base) => new URL(base).host === host)
    return given ?? this.#bases[0]
  }

  /** What admits with a token at a place. @param path of the place. */
  async judge(token: string, path: string): Promise<TokenJudgement> {
    const key = createHash('sha256').update(`${path} ${token}`).digest('base64')
    const known = this.#kept.get(key)
    const isHit = known !== undefined && known.until > monotonicMs() && known.end > Date.now()
    this.#counted(isHit)
    if (isHit) return known.judgement
    const judgement = await this.#judge(token, path)
    if (judgement.kind === 'unjudged') return judgement
    const end = judgement.kind === 'valid' ? (judgement.principal.expiresAt ?? 0) : Number.POSITIVE_INFINITY
    const until = monotonicMs() + (judgement.kind === 'valid' ? keptMs : refusedMs)
    const [oldest] = this.#kept.keys()
    if (this.#kept.size >= mostKept && oldest !== undefined) this.#kept.delete(oldest)
    this.#kept.set(key, { judgement, until, end })
    return judgement
  }

  async #judge(token: string, path: string): Promise<TokenJudgement> {
    try {
      const { iss } = decodeJwt(token)
      const issuer = this.all.find(({ url }) => url === iss)
      if (issuer === undefined) return { kind: 'invalid', fault: 'issuer' }
      const { payload, protectedHeader } = await jwtVerify(token, await issuer.keys(), {
        issuer: issuer.url,
        audience: this.#audiencesAt(path),
        algorithms,
        clockTolerance,
        requiredClaims: ['exp'],
      })
      if (!types.includes(protectedHeader.typ?.toLowerCase())) return { kind: 'invalid', fault: 'claims' }
      const principal = principalOf(payload, issuer.url)
      return { kind: 'valid', principal: issuer === this.#own ? bound(principal, payload) : principal }
    } catch (error) {
      return judgementOf(error)
    }
  }

  /** A token for a place is good below it, too: one for `/mcp` for `/mcp/files`. */
  #audiencesAt(path: string): string[] {
    const steps = path.split('/').slice(1)
    const paths = ['', '/', ...steps.map((_, index) => `/${steps.slice(0, index + 1).join('/')}`)]
    return [...this.#audiences, ...this.#bases.flatMap((base) => paths.map((one) => `${base}${one}`))]
  }

  /** Every token is looked at again. */
  forget(): void {
    this.#kept.clear()
  }

  #sweep(): void {
    const now = monotonicMs()
    for (const [key, { until }] of this.#kept) if (until <= now) this.#kept.delete(key)
  }

  close(): void {
    clearInterval(this.#sweeping)
  }
}

/** The URLs of the gateway, without a path. @throws Failure when it cannot know them. */
export function gatewayUrls(
  { resource }: OauthConfiguration,
  http: HttpOptions,
): readonly [string, ...string[]] {
  if (resource === undefined) return ownUrls(http)
  return [withVariables(resource, process.env, process.cwd()).replace(/\/$/, '')]
}

/** Where a gateway that listens on loopback is found, by each of its names; elsewhere by the one address. */
function ownUrls({ listen, ...http }: HttpOptions): readonly [string, ...string[]] {
  const parsed = parseHostAndPort(listen)
  const { host, port } = parsed.ok ? parsed.value : { host: listen, port: 0 }
  const scheme = speaksTls({ listen, ...http }) ? 'https' : 'http'
  const at = (name: string) => `${scheme}://${hostAndPort(name, port)}`
  if (host === 'localhost' || isLoopback(host)) {
    const own = host === 'localhost' ? '127.0.0.1' : host
    return [at(own), at('localhost')]
  }
  if (!['0.0.0.0', '::'].includes(host)) return [at(host)]
  const what = 'gateway.access.oauth needs resource, the URL of this gateway as clients know it'
  throw new Failure(`${what}: it listens on every address`, exitCode.configuration)
}

function principalOf(payload: JWTPayload, issuer: string): Principal {
  const { sub = '', exp = 0 } = payload
  const client = textOf(payload.client_id) ?? textOf(payload.azp) ?? ''
  const id = createHash('sha256')
    .update(JSON.stringify([issuer, sub, client]))
    .digest('hex')
    .slice(0, 16)
  return {
    id: `token ${id}`,
    name: client || sub || 'a token',
    kind: 'token',
    connectors: null,
    profile: null,
    scopes: new Set([payload.scope, payload.scp, payload.permissions].flatMap(scopesIn)),
    expiresAt: (exp + clockTolerance) * 1000,
  }
}

/** Tokens of the gateway itself also say what the key may do that has let the client in, or for which connector it was registered. */
function bound(principal: Principal, { key, connectors, profile }: JWTPayload): Principal {
  return {
    ...principal,
    ...(typeof key === 'string' ? { keyId: key } : {}),
    connectors: Array.isArray(connectors) ? connectors.map(String) : null,
    profile: typeof profile === 'string' ? profile : null,
  }
}

/** `scope` is a text with blanks (RFC 9068); some issuers write a list, and call it `scp` or `permissions`. */
function scopesIn(claim: unknown): readonly string[] {
  if (typeof claim === 'string') return claim.split(' ').filter((one) => one !== '')
  return Array.isArray(claim) ? claim.filter((one) => typeof one === 'string') : []
}

function textOf(claim: unknown): string | undefined {
  return typeof claim === 'string' && claim !== '' ? claim : undefined
}

function judgementOf(error: unknown): TokenJudgement {
  const invalid = (fault: TokenFault): TokenJudgement => ({ kind: 'invalid', fault })
  if (error instanceof errors.JWTExpired) return invalid('expired')
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === 'aud') return invalid('audience')
    if (error.claim === 'iss') return invalid('issuer')
    return invalid(error.claim === 'nbf' ? 'too-early' : 'claims')
  }
  if (error instanceof errors.JOSEAlgNotAllowed || error instanceof errors.JOSENotSupported)
    return invalid('algorithm')
  if (
    error instanceof errors.JWSSignatureVerificationFailed ||
    error instanceof errors.JWKSNoMatchingKey ||
    error instanceof errors.JWKSMultipleMatchingKeys
  )
    return invalid('signature')
  if (error instanceof errors.JWTInvalid || error instanceof errors.JWSInvalid) return invalid('malformed')
  const why = error instanceof Error ? error.message : String(error)
  // Its keys did not come, or are none.
  const isOfIssuer =
    error instanceof IssuerUnavailable ||
    error instanceof errors.JWKSTimeout ||
    error instanceof errors.JWKSInvalid ||
    !(error instanceof errors.JOSEError) ||
    error.code === 'ERR_JOSE_GENERIC'
  return isOfIssuer ? { kind: 'unjudged', why } : invalid('malformed')
}
