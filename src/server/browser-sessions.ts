import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { monotonicMs } from '../os/clock.ts'
import { sourceNetwork } from '../os/interfaces.ts'

/** ms without a request after which a session ends, and ms after which it ends in any case. */
const idleMs = 30 * 60_000
const longestMs = 12 * 3_600_000

/** Of all keys, and of one. The one that was quiet the longest makes room. */
const mostSessions = 1000
const mostOfOneKey = 20

interface Session {
  readonly keyId: string
  /** The visitor's network: a cookie read off a plain HTTP network is of no use from another machine. */
  readonly network: string
  readonly csrfToken: string
  readonly endsAt: number
  usedAt: number
}

/** What a browser learns of its session. */
export interface OpenSession {
  readonly csrfToken: string
  /** ms until it ends when it is not used, and in any case. */
  readonly idleMs: number
  readonly endsInMs: number
}

/**
 * Sessions of browsers: the holder of a key shows it once and gets a cookie, which the pages of this server can use and cannot read.
 * Changes need the CSRF token besides, which only a page of this server can have read. Sessions are kept in memory: a monitor that is started
 * anew has none.
 */
export class BrowserSessions {
  readonly #cookieName: string
  readonly #secure: boolean
  readonly #now: () => number
  /** By the hash of the cookie's value, the one that was used last at the end. */
  readonly #sessions = new Map<string, Session>()

  /**
   * @param port of the server: cookies do not know ports, and another monitor may be on this host.
   * @param now ms on a clock that never jumps.
   */
  constructor(port: number, secure: boolean, now: () => number = monotonicMs) {
    this.#cookieName = `${secure ? '__Host-' : ''}port_watchdog_api_${port}`
    this.#secure = secure
    this.#now = now
  }

  /** Opens a session for the holder of a key. */
  open(keyId: string, source: string): { readonly session: OpenSession; readonly cookie: string } {
    this.#sweep(keyId)
    const value = randomBytes(32).toString('base64url')
    const now = this.#now()
    const session: Session = {
      keyId,
      network: sourceNetwork(source),
      csrfToken: randomBytes(32).toString('base64url'),
      endsAt: now + longestMs,
      usedAt: now,
    }
    this.#sessions.set(hashOf(value), session)
    return { session: told(session, now), cookie: this.#cookie(value, longestMs / 1000) }
  }

  /** The session of a request; undefined when it shows none that is open. Counts as a use. */
  find(cookieHeader: string | undefined, source: string): { keyId: string; id: string } | undefined {
    for (const value of this.#values(cookieHeader)) {
      const id = hashOf(value)
      const session = this.#sessions.get(id)
      if (session === undefined || session.network !== sourceNetwork(source)) continue
      const now = this.#now()
      this.#sessions.delete(id)
      if (now >= session.endsAt || now - session.usedAt >= idleMs) continue
      session.usedAt = now
      this.#sessions.set(id, session)
      return { keyId: session.keyId, id }
    }
    return undefined
  }

  isCsrfToken(id: string, given: string | undefined): boolean {
    const expected = this.#sessions.get(id)?.csrfToken
    if (expected === undefined || given === undefined) return false
    return timingSafeEqual(Buffer.from(hashOf(expected)), Buffer.from(hashOf(given)))
  }

  tell(id: string): OpenSession | undefined {
    const session = this.#sessions.get(id)
    return session && told(session, this.#now())
  }

  /** Ends a session. @returns the `Set-Cookie` value that takes the cookie away. */
  close(id: string): string {
    this.#sessions.delete(id)
    return this.#cookie('', 0)
  }

  /** A cookie of the same name may be a planted one of another port: each is tried. */
  #values(header: string | undefined): string[] {
    return (header ?? '').split(';').flatMap((part) => {
      const [name, value = ''] = part.trim().split('=')
      return name === this.#cookieName && /^[\w-]{43}$/.test(value) ? [value] : []
    })
  }

  #sweep(keyId: string): void {
    const now = this.#now()
    const ofKey: string[] = []
    for (const [id, session] of this.#sessions) {
      if (now >= session.endsAt || now - session.usedAt >= idleMs) this.#sessions.delete(id)
      else if (session.keyId === keyId) ofKey.push(id)
    }
    if (ofKey.length >= mostOfOneKey && ofKey[0] !== undefined) this.#sessions.delete(ofKey[0])
    const [oldest] = this.#sessions.keys()
    if (this.#sessions.size >= mostSessions && oldest !== undefined) this.#sessions.delete(oldest)
  }

  #cookie(value: string, maxAgeSeconds: number): string {
    const secure = this.#secure ? '; Secure' : ''
    return `${this.#cookieName}=${value}; Max-Age=${maxAgeSeconds}; Path=/; HttpOnly; SameSite=Strict${secure}`
  }
}

function told({ csrfToken, endsAt }: Session, now: number): OpenSession {
  return { csrfToken, idleMs, endsInMs: Math.round(endsAt - now) }
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}
