import { createRemoteJWKSet, type JWTVerifyGetKey } from 'jose'
import { monotonicMs } from '../../os/clock.ts'
import { errorText } from '../../os/failure.ts'
import { isLoopbackHostname } from '../../os/interfaces.ts'
import { documentPlaces } from './document-places.ts'

/** What an issuer says of itself (RFC 8414, OpenID Connect Discovery). */
export type IssuerDocument = Readonly<Record<string, unknown>> & { readonly jwks_uri: string }

/** Whose tokens are taken. */
export interface TokenIssuer {
  /** The same as `iss` in its tokens. */
  readonly url: string
  /** The keys that it signs with. @throws IssuerUnavailable */
  keys(): Promise<JWTVerifyGetKey>
}

/** An issuer does not answer now. */
export class IssuerUnavailable extends Error {}

/** ms that its document holds, that it may take to come, and after which a missing one is asked for again. */
const freshMs = 10 * 60_000
const answerMs = 5000
const againMs = 5000

/** Who issues tokens: its document and its keys, asked for when they are first needed. Where it does not answer, what was known goes on to hold. */
export class Issuer implements TokenIssuer {
  /** The same as `iss` in its tokens. */
  readonly url: string
  #document: IssuerDocument | undefined
  #keys: JWTVerifyGetKey | undefined
  #reading: Promise<IssuerDocument> | undefined
  #askedAt = Number.NEGATIVE_INFINITY

  constructor(url: string) {
    this.url = url
  }

  /** @throws IssuerUnavailable */
  async document(): Promise<IssuerDocument> {
    const age = monotonicMs() - this.#askedAt
    if (this.#document !== undefined && age < freshMs) return this.#document
    if (this.#reading === undefined && age < againMs) {
      if (this.#document !== undefined) return this.#document
      throw new IssuerUnavailable(`the issuer ${this.url} does not answer`)
    }
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  /** The keys that it signs with. @throws IssuerUnavailable */
  async keys(): Promise<JWTVerifyGetKey> {
    const { jwks_uri } = await this.document()
    this.#keys ??= createRemoteJWKSet(new URL(jwks_uri), { timeoutDuration: answerMs })
    return this.#keys
  }

  async #read(): Promise<IssuerDocument> {
    const problems: string[] = []
    for (const place of documentPlaces(this.url)) {
      try {
        const document = await read(place, this.url)
        if (document.jwks_uri !== this.#document?.jwks_uri) this.#keys = undefined
        this.#document = document
        this.#askedAt = monotonicMs()
        return document
      } catch (error) {
        problems.push(`${place}: ${errorText(error)}`)
      }
    }
    this.#askedAt = monotonicMs()
    if (this.#document !== undefined) return this.#document
    throw new IssuerUnavailable(problems.join('; '))
  }
}

async function read(place: string, issuer: string): Promise<IssuerDocument> {
  const response = await fetch(place, { redirect: 'error', signal: AbortSignal.timeout(answerMs) })
  if (!response.ok) throw new Error(`status ${response.status}`)
  const document = (await response.json()) as Readonly<Record<string, unknown>>
  const { issuer: named, jwks_uri: keys } = document
  if (named !== issuer) throw new Error('it is the document of another issuer')
  if (typeof keys !== 'string' || !isSafe(keys)) throw new Error('it names no keys at a URL of https')
  return { ...document, jwks_uri: keys }
}

/** Keys that come in the clear can be anybody's, but for those of this machine. */
function isSafe(url: string): boolean {
  if (!URL.canParse(url)) return false
  const { protocol, hostname } = new URL(url)
  const isOwn = isLoopbackHostname(hostname)
  return protocol === 'https:' || (protocol === 'http:' && isOwn)
}
