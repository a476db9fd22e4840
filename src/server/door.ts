/** Who is let in: the checks of a request in their order. What a principal may order is checked by `orders/`. */
import type { IncomingMessage } from 'node:http'
import type { HttpOptions } from '../config/http-options.ts'
import { keyPrincipal, type Principal } from '../orders/principal.ts'
import type { ApiKey, ApiKeys } from '../record/api-keys.ts'
import { Attempts } from '../web/attempts.ts'
import { isStrangersPage } from '../web/fetch-metadata.ts'
import { isTrustedHost, parseHostHeader, requestTarget, type Scheme } from '../web/hosts.ts'
import { Origins } from '../web/origins.ts'
import type { Reply } from '../web/reply.ts'
import { RequestRate } from '../web/request-rate.ts'
import { BrowserSessions } from './browser-sessions.ts'
import { type DoorError, type DoorErrorCode, doorReply } from './errors.ts'

/** Somebody who was let in. */
export interface Visitor {
  readonly principal: Principal
  readonly key: ApiKey
  /** The session that he came by; undefined = he showed the key itself. */
  readonly session: string | undefined
}

/**
 * - `visitor`: he may ask, within what his key allows.
 * - `stranger`: he shows nothing and asks for what is everybody's: `isOpen`.
 * - `refused`: he gets this answer, and his connection ends.
 * - `dropped`: so many came from there that the connection ends without an answer.
 */
export type DoorJudgement =
  | { readonly kind: 'visitor'; readonly visitor: Visitor; readonly path: string }
  | { readonly kind: 'stranger'; readonly path: string }
  | { readonly kind: 'refused'; readonly reply: Reply }
  | { readonly kind: 'dropped' }

/** A refusal that belongs into log and audit; of a flood only a few. */
export interface DoorRefusal {
  readonly from: string
  readonly code: DoorErrorCode
  readonly message: string
  /** Whose key it was, where that is known. */
  readonly key: ApiKey | undefined
  /** Refusals before this one that were not told. */
  readonly suppressed: number
}

export interface DoorOptions {
  readonly http: HttpOptions
  readonly scheme: Scheme
  readonly port: number
  readonly keys: () => ApiKeys
  /** True for a path that needs no key. */
  readonly isOpen: (method: string, path: string) => boolean
  readonly tell: (refusal: DoorRefusal) => void
}

/** Requests without a key a second from one source, and how many at once: probes need a few, and a flood is cut off. */
const strangers = { perSecond: 20, burst: 100 }

const makeKey = 'proxy-ctl key create NAME --scope read'

export class Door {
  readonly sessions: BrowserSessions
  readonly #options: DoorOptions
  readonly #attempts = new Attempts()
  readonly #strangers = new RequestRate(strangers.perSecond, strangers.burst)
  /** Refusals by code, since the start. */
  readonly refusals = new Map<DoorErrorCode | 'dropped', number>()

  constructor(options: DoorOptions) {
    this.#options = options
    this.sessions = new BrowserSessions(options.port, options.scheme === 'https')
  }

  /** Host, Origin, limits, key, in this order: what is refused by one of them is looked at no further. */
  judge(request: IncomingMessage): DoorJudgement {
    const from = request.socket.remoteAddress ?? ''
    const judged = this.#judge(request, from)
    if (judged.kind === 'visitor') return judged
    if (judged.kind === 'stranger') {
      // What is everybody's is cheap, and still not for a flood.
      return this.#strangers.take(from) ? judged : this.#drop()
    }
    const { error, key, headers } = judged
    this.#count(error.code)
    if (!this.#strangers.take(from)) return this.#drop()
    if (error.code === 'no-key') return { kind: 'refused', reply: doorReply(error, headers) }
    const isAttempt = error.code === 'wrong-key' || error.code === 'expired-key'
    const waits = this.#attempts.waitMs(from)
    const suppressed = isAttempt && waits === 0 ? this.#attempts.failed(from) : this.#attempts.count(from)
    if (suppressed !== undefined) {
      this.#options.tell({ from, code: error.code, message: error.message, key, suppressed })
    }
    // A right key is never locked out: it cannot be guessed. Whoever guesses wrong hears no more than that he must wait.
    const waitMs = isAttempt ? this.#attempts.waitMs(from) : 0
    return { kind: 'refused', reply: waitMs > 0 ? tooMany(waitMs) : doorReply(error, headers) }
  }

  /** Whether a key that was let in may go on: it may have been revoked, or have expired, since. */
  isStillValid({ id }: ApiKey): boolean {
    return this.#options.keys().valid(id) !== undefined
  }

  #judge(request: IncomingMessage, from: string): Admission {
    const { http, scheme, isOpen } = this.#options
    const { headers, method = '' } = request
    const target = requestTarget(request.url, headers.host, request.rawHeaders, scheme)
    const host = typeof target === 'string' ? undefined : parseHostHeader(target.host, scheme)
    if (typeof target === 'string' || host === undefined || !target.path.startsWith('/'))
      return refusal(
        'unknown-host',
        'the request names no host, or no path',
        'use the address of this server',
      )
    if (!isTrustedHost(host, http.hosts)) {
      const next = 'use an IP address or localhost, or give the name to the monitor: --http-host NAME'
      return refusal('unknown-host', `this server is not called ${host.name}`, next)
    }
    const origins = new Origins(host, [])
    if (!['none', 'same'].includes(origins.kindOf(headers.origin)))
      return refusal('foreign-origin', 'the request comes from a page of another server')
    const path = target.path.split('?')[0] ?? ''
    const shown = headers.authorization
    if (shown !== undefined) return this.#byKey(shown, from, target.path)
    const session = this.sessions.find(headers.cookie, from)
    const key = session && this.#options.keys().valid(session.keyId)
    if (session === undefined || key === undefined) {
      if (isOpen(method, path)) return { kind: 'stranger', path: target.path }
      return refusal('no-key', 'a key is needed: Authorization: Bearer KEY', makeKey, {
        'www-authenticate': 'Bearer realm="port-watchdog"',
      })
    }
    // For a browser, another port of this host is the same site: it sends the cookie along.
    if (isStrangersPage(request, origins))
      return refusal('foreign-origin', 'the request comes from a page of another server', null, {}, key)
    const isReading = method === 'GET' || method === 'HEAD'
    const csrf = headers['x-csrf-token']
    if (!isReading && !this.sessions.isCsrfToken(session.id, typeof csrf === 'string' ? csrf : undefined)) {
      const message = 'a session changes something only with its CSRF token: X-CSRF-Token'
      return refusal('no-csrf-token', message, 'GET /api/session tells the token', {}, key)
    }
    return this.#admit(key, from, session.id, target.path)
  }

  #byKey(authorization: string, from: string, path: string): Admission {
    const secret = /^Bearer +([\x21-\x7e]+) *$/i.exec(authorization)?.[1] ?? ''
    const judgement = this.#options.keys().judge(secret)
    switch (judgement.kind) {
      case 'valid':
        this.#attempts.succeeded(from)
        return this.#admit(judgement.key, from, undefined, path)
      case 'expired': {
        const { name, expiresAt } = judgement.key
        const message = `the key ${name} expired at ${expiresAt}`
        return refusal('expired-key', message, makeKey, challenge, judgement.key)
      }
      case 'unknown':
        return refusal('wrong-key', 'there is no such key', makeKey, challenge)
    }
  }

  #admit(key: ApiKey, from: string, session: string | undefined, path: string): Admission {
    this.#options.keys().used(key)
    return { kind: 'visitor', visitor: { principal: keyPrincipal(key, 'http', from), key, session }, path }
  }

  #drop(): DoorJudgement {
    this.#count('dropped')
    return { kind: 'dropped' }
  }

  #count(code: DoorErrorCode | 'dropped'): void {
    this.refusals.set(code, (this.refusals.get(code) ?? 0) + 1)
  }
}

type Admission =
  | Extract<DoorJudgement, { kind: 'visitor' | 'stranger' }>
  | {
      readonly kind: 'refused'
      readonly error: DoorError
      readonly headers: Reply['headers']
      readonly key: ApiKey | undefined
    }

const challenge = { 'www-authenticate': 'Bearer realm="port-watchdog", error="invalid_token"' }

function refusal(
  code: DoorErrorCode,
  message: string,
  next: string | null = null,
  headers: Reply['headers'] = {},
  key?: ApiKey,
): Admission {
  return { kind: 'refused', error: { code, message, next }, headers, key }
}

/** The refusal of somebody who must wait. */
export function tooMany(waitMs: number): Reply {
  const error: DoorError = {
    code: 'too-many-requests',
    message: 'too many requests, or too many wrong keys',
    next: 'wait as long as Retry-After says',
  }
  return doorReply(error, { 'retry-after': String(Math.max(1, Math.ceil(waitMs / 1000))) })
}
