import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { Attempts, type FailureCount } from './attempts.ts'
import type { GateEvent } from './gate-events.ts'
import type { GateSecrets } from './secrets.ts'
import { Sessions } from './session.ts'

/** Brings the token where `Authorization` is the target's own. It ends here. */
export const tokenHeader = 'x-port-watchdog-token'

/** Whether a request is let in, and by what. */
export type Access =
  | {
      readonly kind: 'admitted'
      /** `authorization`: by the token in that header, which is then not the target's. */
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

/** Judges requests and tokens, and counts. */
export class Guard {
  readonly sessions: Sessions
  readonly #attempts = new Attempts()
  /** By connection, so that what one visitor has shown is never compared with what another one guesses. */
  readonly #admitted = new WeakMap<Duplex, Admitted>()
  readonly #isGuessable: boolean
  readonly #tell: (event: GateEvent) => void
  logins = 0
  failedAttempts = 0

  /** @param tell is told of logins and wrong tokens; of a flood of them, a few. */
  constructor(secrets: GateSecrets, sessionMs: number, tell: (event: GateEvent) => void) {
    this.sessions = new Sessions(secrets, sessionMs)
    this.#isGuessable = secrets.isGuessable
    this.#tell = tell
  }

  /** Wrong tokens of late, in this process: workers count alone. */
  failures(): FailureCount {
    return this.#attempts.counts()
  }

  loggedIn(source: string): void {
    this.logins++
    this.#tell({ kind: 'login', source })
  }

  /** @param source of every request of this connection. */
  judge({ headers, socket }: IncomingMessage, source: string): Access {
    const known = this.#admitted.get(socket)
    if (known !== undefined && isSame(known, headers) && !this.sessions.hasExpired(known.expiry))
      return known.access
    // A session first: with it, an Authorization header is the target's affair.
    const expiry = this.sessions.expiryOf(headers.cookie, source)
    const access: Access =
      expiry === undefined ? this.#judgeTokens(headers, source) : { kind: 'admitted', by: 'session' }
    if (access.kind === 'admitted') {
      const { cookie, authorization, [tokenHeader]: ownHeader } = headers
      this.#admitted.set(socket, {
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
    // A token that nobody can guess opens always: else whoever sends wrong ones would keep its owner out. A short one of one's own does
    // not while the source must wait: each answer would be a guess more.
    const isJudged = waitMs === 0 || !this.#isGuessable
    if (isJudged && this.sessions.isToken(token)) {
      this.#attempts.succeeded(source)
      return undefined
    }
    this.failedAttempts++
    const untold = waitMs > 0 ? this.#attempts.count(source) : this.#attempts.failed(source)
    const waitsNow = this.#attempts.waitMs(source)
    if (untold !== undefined) this.#tell({ kind: 'wrong-token', source, waitMs: waitsNow, untold })
    if (this.#attempts.isLockOutNews()) this.#tell({ kind: 'locked-out', waitMs: this.#attempts.totalWaitMs })
    return waitsNow
  }
}
