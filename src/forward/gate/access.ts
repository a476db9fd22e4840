import type { IncomingMessage } from 'node:http'
import { Attempts } from './attempts.ts'
import type { GateSecrets } from './secrets.ts'
import { Sessions } from './session.ts'

/** Whether a request is let in, and by what. */
export type Access =
  | { readonly kind: 'admitted'; readonly by: 'session' | 'token' }
  /** `waitMs`: until this source may try a token again; 0 = now. */
  | { readonly kind: 'refused'; readonly waitMs: number; readonly wasWrong: boolean }

/** Judges requests and tokens, and counts. */
export class Guard {
  readonly sessions: Sessions
  readonly #attempts = new Attempts()
  logins = 0
  failedAttempts = 0

  constructor(secrets: GateSecrets, sessionMs: number) {
    this.sessions = new Sessions(secrets, sessionMs)
  }

  judge({ headers }: IncomingMessage, source: string): Access {
    // A session first: with it, an Authorization header is the target's affair.
    if (this.sessions.admits(headers.cookie, source)) return { kind: 'admitted', by: 'session' }
    const bearer = /^Bearer +([\x21-\x7e]+) *$/i.exec(headers.authorization ?? '')?.[1]
    if (bearer === undefined) return { kind: 'refused', waitMs: 0, wasWrong: false }
    const waitMs = this.tryToken(bearer, source)
    if (waitMs === undefined) return { kind: 'admitted', by: 'token' }
    return { kind: 'refused', waitMs, wasWrong: true }
  }

  /** @returns undefined when the token is right; else the ms until this source may try again. */
  tryToken(token: string, source: string): number | undefined {
    // Not even the right token counts while a source must wait: the answer would tell which one it is.
    const waitMs = this.#attempts.waitMs(source)
    if (waitMs > 0) return waitMs
    if (this.sessions.isToken(token)) {
      this.#attempts.succeeded(source)
      return undefined
    }
    this.failedAttempts++
    this.#attempts.failed(source)
    return this.#attempts.waitMs(source)
  }
}
