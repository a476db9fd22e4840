import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { sourceNetwork } from '../os/interfaces.ts'
import type { LoginSecrets } from './login-secrets.ts'

/** The longest cookie value looked at; ours have about 80 characters. */
const longestSession = 128

/**
 * What the name of a cookie from https begins with. A page on plain http may not replace such a cookie, and needs one of its own: with
 * one name, a visitor who had logged in at a port with TLS could not log in at one without.
 */
const securePrefix = '__Host-'

/** What it began with before; a sister domain could set such a cookie. It is taken out of the `Cookie` header, too. */
const formerPrefix = '__Secure-'

/**
 * Sessions, as signed values that every process with the same secrets can check alone: `1.EXPIRY.NONCE.SIGNATURE`. The visitor's address is
 * signed with it, so that a value read off a plain HTTP network is of no use from another machine. Nothing is kept on this
 * side: a logout takes the cookie away, and a new token or key ends every session.
 */
export class Sessions {
  readonly #secrets: LoginSecrets
  readonly #lifetimeMs: number
  readonly #now: () => number

  /** @param now wall time in ms: an expiry must hold across restarts and between processes. */
  constructor(secrets: LoginSecrets, lifetimeMs: number, now: () => number = Date.now) {
    this.#secrets = secrets
    this.#lifetimeMs = lifetimeMs
    this.#now = now
  }

  /** Compares HMACs, so that neither length nor content of the token shows in the time taken. */
  isToken(given: string): boolean {
    const digest = (text: string) => createHmac('sha256', this.#secrets.key).update(text).digest()
    return timingSafeEqual(digest(given), digest(this.#secrets.token))
  }

  /** The `Set-Cookie` value of a visitor who has just given the token. */
  issue(source: string, secure: boolean): string {
    const expiry = this.#now() + this.#lifetimeMs
    const claim = `1.${expiry.toString(36)}.${randomBytes(12).toString('base64url')}`
    const value = `${claim}.${this.#sign(claim, source)}`
    return this.#cookie(value, Math.floor(this.#lifetimeMs / 1000), secure)
  }

  /** The `Set-Cookie` value that takes the session away. */
  revoke(secure: boolean): string {
    return this.#cookie('', 0, secure)
  }

  /** True when the `Cookie` header holds a session of this visitor that has not expired. */
  admits(cookieHeader: string | undefined, source: string): boolean {
    return this.expiryOf(cookieHeader, source) !== undefined
  }

  /** When the session of this visitor in the `Cookie` header expires, ms of wall time; undefined when it holds none that is valid. */
  expiryOf(cookieHeader: string | undefined, source: string): number | undefined {
    // All of them: another port of this host may have set any number before ours, and a header has room for some hundred.
    for (const { name, value } of cookies(cookieHeader)) {
      const expiry = this.#isOurs(name) ? this.#expiry(value, source) : undefined
      if (expiry !== undefined) return expiry
    }
    return undefined
  }

  hasExpired(expiry: number): boolean {
    return expiry <= this.#now()
  }

  /** The `Cookie` header without our cookie: what is behind the login has no business with it. */
  withoutOurs(cookieHeader: string | undefined): string | undefined {
    const others = cookies(cookieHeader).filter(({ name }) => !this.#isOurs(name))
    return others.length === 0 ? undefined : others.map(({ text }) => text).join('; ')
  }

  /** `Set-Cookie` values of what is behind the login, without those that would replace or remove a visitor's session. */
  withoutOursSet(setCookies: readonly string[]): string[] {
    return setCookies.filter((setCookie) => {
      const [pair = ''] = setCookie.split(';')
      // A browser sends a cookie without a name as its value alone: `=NAME=VALUE` comes back as `NAME=VALUE`.
      const [name = ''] = pair.trim().replace(/^=\s*/, '').split('=')
      return !this.#isOurs(name.trim())
    })
  }

  #expiry(value: string, source: string): number | undefined {
    if (value.length > longestSession) return undefined
    const match = /^(1\.([0-9a-z]{1,11})\.[\w-]{16})\.([\w-]{43})$/.exec(value)
    const [, claim, digits, signature] = match ?? []
    if (claim === undefined || digits === undefined || signature === undefined) return undefined
    const expected = Buffer.from(this.#sign(claim, source))
    const expiry = Number.parseInt(digits, 36)
    return timingSafeEqual(expected, Buffer.from(signature)) && !this.hasExpired(expiry) ? expiry : undefined
  }

  #sign(claim: string, source: string): string {
    return createHmac('sha256', this.#secrets.key)
      .update(`session\n${claim}\n${sourceNetwork(source)}`)
      .digest('base64url')
  }

  #cookie(value: string, maxAgeSeconds: number, secure: boolean): string {
    const attributes = `Max-Age=${maxAgeSeconds}; Path=/; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}`
    return `${secure ? securePrefix : ''}${this.#secrets.cookieName}=${value}; ${attributes}`
  }

  #isOurs(name: string): boolean {
    const { cookieName } = this.#secrets
    return name === cookieName || [securePrefix, formerPrefix].some((prefix) => name === prefix + cookieName)
  }
}

function cookies(header: string | undefined): { name: string; value: string; text: string }[] {
  return (header ?? '')
    .split(';')
    .map((part) => part.trim())
    .filter((text) => text !== '')
    .map((text) => {
      const at = text.indexOf('=')
      return { name: text.slice(0, at < 0 ? text.length : at), value: at < 0 ? '' : text.slice(at + 1), text }
    })
}
