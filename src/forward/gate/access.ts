import type { IncomingMessage } from 'node:http'
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

/** Judges requests and tokens, and counts. */
export class Guard {
  readonly sessions: Sessions
  readonly #attempts = new Attempts()
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

  judge({ headers }: IncomingMessage, source: string): Access {
    // A session first: with it, an Authorization header is the target's affair.
    if (this.sessions.admits(headers.cookie, source)) return { kind: 'admitted', by: 'session' }
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
