/**
 * web/: HTTP pieces that several servers of this package need, such as the gate before a forward. It knows nothing of forwards and takes no
 * part in bytes: requests come in as Node's header objects, answers go out as data (`Reply`). Only node-http.ts touches a stream.
 *
 *   hosts.ts (where to, and by a name that is known?) -> origins.ts (whose page asks?)
 *   -> login-desk.ts (login and logout, without a login) or guard.ts (a session or a token; attempts.ts limits guesses)
 *   -> fetch-metadata.ts (a session that a stranger's page has sent along?) -> the server itself
 *
 * A server brings its own words and paths (`LoginDeskOptions`) and its own files of secrets (`LoginPlace`). A new way to prove who one is goes
 * to `Guard`, a new page to pages.ts, a new sign of a stranger's page to fetch-metadata.ts.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { Attempts, type FailureCount } from './attempts.ts'
import type { LoginSecrets } from './login-secrets.ts'
import { Sessions } from './sessions.ts'

/** Brings the token where the program behind the login needs `Authorization` itself. It is not passed on. */
export const tokenHeader = 'x-port-watchdog-token'

/** Whether a request is let in, and by what. */
export type Access =
  | {
      readonly kind: 'admitted'
      /** `authorization`: by the token in that header, which is then not passed on. */
      readonly by: 'session' | 'authorization' | 'own-header'
    }
  /** `waitMs`: until this source may try a token again; 0 = now. */
  | { readonly kind: 'refused'; readonly waitMs: number; readonly wasWrong: boolean }

/** What the last request of a connection that was let in has shown, and until when that holds. */
interface Admitted {
  readonly cookie: string | undefined
  readonly authorization: string | undefined
  readonly ownHeader: string | readonly string[] | undefined
  /** ms of wall time. */
  readonly expiry: number
  readonly access: Access
}

function isSame(known: Admitted, headers: IncomingHttpHeaders): boolean {
  return (
    known.cookie === headers.cookie &&
    known.authorization === headers.authorization &&
    known.ownHeader === headers[tokenHeader]
  )
}

/** The events that a guard reports for the log. They never hold a token. */
export type AccessEvent =
  | { readonly kind: 'login'; readonly source: string }
  | {
      readonly kind: 'wrong-token'
      readonly source: string
      /** ms until this source may try again; 0 = now. */
      readonly waitMs: number
      /** Wrong tokens before this one, of this source and others, that were not logged. */
      readonly suppressed: number
    }
  /** So many wrong tokens came that new sources must wait. */
  | { readonly kind: 'locked-out'; readonly waitMs: number }

/** Judges requests and tokens, and counts. */
export class Guard {
  readonly sessions: Sessions
  readonly #attempts = new Attempts()
  /** By connection, so that what one visitor has shown is never compared with what another one guesses. */
  readonly #admitted = new WeakMap<object, Admitted>()
  readonly #isGuessable: boolean
  readonly #tell: (event: AccessEvent) => void
  logins = 0
  failedAttempts = 0

  /** @param tell called for logins and wrong tokens; for a flood of them, only a few times. */
  constructor(secrets: LoginSecrets, sessionMs: number, tell: (event: AccessEvent) => void) {
    this.sessions = new Sessions(secrets, sessionMs)
    this.#isGuessable = secrets.isGuessable
    this.#tell = tell
  }

  /** Wrong tokens of late, in this process alone. */
  failures(): FailureCount {
    return this.#attempts.counts()
  }

  loggedIn(source: string): void {
    this.logins++
    this.#tell({ kind: 'login', source })
  }

  /**
   * Whether a request is let in.
   * @param source of every request of this connection.
   * @param connection stands for it: what its last request has shown need not be computed again.
   */
  judge(headers: IncomingHttpHeaders, source: string, connection: object): Access {
    const known = this.#admitted.get(connection)
    if (known !== undefined && isSame(known, headers) && !this.sessions.hasExpired(known.expiry))
      return known.access
    // A session first: with it, an Authorization header is for the program behind the login.
    const expiry = this.sessions.expiryOf(headers.cookie, source)
    const access: Access =
      expiry === undefined ? this.#judgeTokens(headers, source) : { kind: 'admitted', by: 'session' }
    if (access.kind === 'admitted') {
      const { cookie, authorization, [tokenHeader]: ownHeader } = headers
      this.#admitted.set(connection, {
        cookie,
        authorization,
        ownHeader,
        expiry: expiry ?? Number.POSITIVE_INFINITY,
        access,
      })
    }
    return access
  }

  #judgeTokens(headers: IncomingHttpHeaders, source: string): Access {
    const ownHeader = headers[tokenHeader]
    if (typeof ownHeader === 'string') return this.#judgeToken(ownHeader, source, 'own-header')
    const bearer = /^Bearer +([\x21-\x7e]+) *$/i.exec(headers.authorization ?? '')?.[1]
    if (bearer === undefined) return { kind: 'refused', waitMs: 0, wasWrong: false }
    return this.#judgeToken(bearer, source, 'authorization')
  }

  #judgeToken(token: string, source: string, by: 'authorization' | 'own-header'): Access {
    const waitMs = this.tryToken(token, source)
    return waitMs === undefined ? { kind: 'admitted', by } : { kind: 'refused', waitMs, wasWrong: true }
  }

  /** @returns undefined when the token is right; else the ms until this source may try again. */
  tryToken(token: string, source: string): number | undefined {
    const waitMs = this.#attempts.waitMs(source)
    // A token that cannot be guessed is always accepted: otherwise wrong tokens of an attacker could lock its owner out. A short token is
    // not judged while its source must wait, because each answer would allow another guess.
    const isJudged = waitMs === 0 || !this.#isGuessable
    if (isJudged && this.sessions.isToken(token)) {
      this.#attempts.succeeded(source)
      return undefined
    }
    this.failedAttempts++
    const suppressed = waitMs > 0 ? this.#attempts.count(source) : this.#attempts.failed(source)
    const waitsNow = this.#attempts.waitMs(source)
    if (suppressed !== undefined) this.#tell({ kind: 'wrong-token', source, waitMs: waitsNow, suppressed })
    if (this.#attempts.isLockOutNews()) this.#tell({ kind: 'locked-out', waitMs: this.#attempts.totalWaitMs })
    return waitsNow
  }
}
