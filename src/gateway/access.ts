/** Who may use the gateway over HTTP: one function gives a principal or a refusal, and there is no third. */
import { hash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { AccessConfiguration } from '../config/access-configuration.ts'
import { type ApiKey, hasExpired, judgeKey, publicIdOf } from '../record/api-keys.ts'
import { Attempts } from '../web/attempts.ts'
import type { TokenFault, Tokens } from './oauth/tokens.ts'
import { anonymous, firstKeyHolder, type Principal } from './principal.ts'
import type { KnownKeys } from './store/known-keys.ts'
import type { LastUses } from './store/last-uses.ts'

export type Admission = { readonly ok: true; readonly principal: Principal } | NotAdmitted

/**
 * 401: nothing valid was shown. 429: too many wrong keys came from there. 503: the issuer of the token, or the store of the keys, does not
 * answer. `waitMs` says how long to wait; `isToken`: what was shown is a token, and no good one.
 */
export interface NotAdmitted {
  readonly ok: false
  readonly status: 401 | 429 | 503
  readonly message: string
  readonly waitMs?: number
  readonly isToken?: boolean
}

export interface AccessParts {
  readonly keys: KnownKeys
  readonly uses: LastUses
  /** Undefined = there is none. */
  readonly first: FirstKey | undefined
  /** Nobody needs a key. Only for an address of loopback. */
  readonly allowNone: boolean
  readonly options: AccessConfiguration
}

/** A first key that was just made, to be shown once. */
export interface FirstKey {
  readonly key: string
  readonly file: string
  readonly isNew: boolean
}

export class Access {
  readonly keys: KnownKeys
  readonly #uses: LastUses
  readonly #attempts = new Attempts()
  readonly #allowNone: boolean
  readonly #legacyKeys: boolean
  /** Who checks tokens; undefined = none are taken. */
  tokens: Tokens | undefined
  readonly first: FirstKey | undefined
  readonly #firstHash: Buffer | undefined
  readonly #holders = new WeakMap<ApiKey, Principal>()

  constructor({ keys, uses, first, allowNone, options }: AccessParts) {
    this.keys = keys
    this.#uses = uses
    this.#allowNone = allowNone
    this.#legacyKeys = options.legacyKeys
    this.first = first
    if (first !== undefined) this.#firstHash = hashOf(first.key)
  }

  /**
   * Who asks. At once for a key that is known; others, and a token, may have to be looked up.
   * @param from the address that it comes from. @param path of what it asks for, which a token must be for.
   */
  judge(request: IncomingMessage, from: string, path: string): Admission | Promise<Admission> {
    const shown = secretIn(shownBy(request, this.#legacyKeys))
    if (shown === undefined) {
      if (this.#allowNone) return { ok: true, principal: anonymous }
      const message =
        'a key is needed: X-API-Key: KEY, or Authorization: Bearer KEY; mcp-proxy status says where the key is'
      return { ok: false, status: 401, message }
    }
    if (this.tokens !== undefined && isTokenLike(shown)) return this.#judgeToken(this.tokens, shown, path)
    return this.judgeKey(shown, from)
  }

  /** Who shows a key by another road than a request: on a page. */
  judgeKey(shown: string, from: string): Admission | Promise<Admission> {
    const isFirst =
      this.#firstHash !== undefined &&
      shown.startsWith(firstKeyPrefix) &&
      timingSafeEqual(hashOf(shown), this.#firstHash)
    if (isFirst) return this.#admitted(firstKeyHolder, from)
    const id = publicIdOf(shown)
    let found: ReturnType<KnownKeys['find']>
    try {
      found = id === undefined ? undefined : this.keys.find(id)
    } catch {
      // The store of the keys is away, which the gateway's log has.
      return this.#unjudged()
    }
    if (!(found instanceof Promise)) return this.#judgeFound(shown, found, from)
    return found.then(
      (key) => this.#judgeFound(shown, key, from),
      () => this.#unjudged(),
    )
  }

  /** @param found the key of the id that was shown. */
  #judgeFound(shown: string, found: ApiKey | undefined, from: string): Admission {
    const judgement = judgeKey(shown, found)
    if (judgement.kind === 'valid' && opensSomething(judgement.key)) {
      this.#uses.used(judgement.key.id)
      return this.#admitted(this.#holderOf(judgement.key), from)
    }
    // It may have been made for another gateway: here nobody needs one.
    if (this.#allowNone) return { ok: true, principal: anonymous }
    // A right key is never locked out. A source that has shown too many wrong keys gets 429 for further wrong ones.
    const waits = this.#attempts.waitMs(from)
    if (waits === 0) this.#attempts.failed(from)
    const waitMs = this.#attempts.waitMs(from)
    if (waitMs > 0) return { ok: false, status: 429, message: 'too many wrong keys; wait', waitMs }
    const message = 'this key is invalid or has expired; make one: mcp-proxy key create NAME'
    return { ok: false, status: 401, message }
  }

  #admitted(principal: Principal, from: string): Admission {
    this.#attempts.succeeded(from)
    return { ok: true, principal }
  }

  /** Nobody can say whether the key is good: that is no fault of the client. */
  #unjudged(): Admission {
    if (this.#allowNone) return { ok: true, principal: anonymous }
    const message = 'this key cannot be checked now: the store of the keys does not answer'
    return { ok: false, status: 503, message, waitMs: unjudgedMs }
  }

  /** Nobody guesses a token: wrong ones are not counted. */
  async #judgeToken(tokens: Tokens, token: string, path: string): Promise<Admission> {
    const judgement = await tokens.judge(token, path)
    switch (judgement.kind) {
      case 'valid':
        return await this.#asHeld(judgement.principal)
      case 'invalid':
        return { ok: false, status: 401, message: tokenFaults[judgement.fault], isToken: true }
      case 'unjudged': {
        const message = 'tokens cannot be checked now: their issuer does not answer'
        return { ok: false, status: 503, message, waitMs: unjudgedMs }
      }
    }
  }

  /** What a key has let in is let in no longer than the key. */
  async #asHeld(principal: Principal): Promise<Admission> {
    if (principal.keyId === undefined) return { ok: true, principal }
    try {
      if ((await this.holderOfId(`key ${principal.keyId}`)) !== undefined) return { ok: true, principal }
    } catch {
      return this.#unjudged()
    }
    const message = 'the key that has let this client in is no longer valid'
    return { ok: false, status: 401, message, isToken: true }
  }

  /** Who holds the key of this id of a principal, as long as it is valid. @throws Error when the store does not answer. */
  async holderOfId(id: string): Promise<Principal | undefined> {
    if (id === firstKeyHolder.id) return this.first === undefined ? undefined : firstKeyHolder
    const key = id.startsWith('key ') ? await this.keys.find(id.slice('key '.length)) : undefined
    if (key === undefined || hasExpired(key) || !opensSomething(key)) return undefined
    return this.#holderOf(key)
  }

  /** Who holds a key: the same one each time, so that what was found out about him can be kept. */
  #holderOf(key: ApiKey): Principal {
    const known = this.#holders.get(key)
    if (known !== undefined) return known
    const { id, name, units, scopes, profile = null } = key
    const mayCall = scopes.includes('control')
    const holder: Principal = {
      id: `key ${id}`,
      name,
      kind: 'key',
      keyId: id,
      connectors: units,
      profile,
      scopes: null,
      ...(scopes.includes('read') ? { logs: mayCall ? 'besides' : 'alone' } : {}),
    }
    this.#holders.set(key, holder)
    return holder
  }

  /**
   * Whether somebody who was let in may go on: his key may have been revoked, or have expired, since.
   * @param graceMs after the end of a token, or of the time for which keys are taken without their store: what was begun before it may be
   *   finished.
   */
  stillAdmits({ keyId, expiresAt }: Principal, graceMs = 0): boolean {
    if (expiresAt !== undefined && expiresAt + graceMs <= Date.now()) return false
    return keyId === undefined || this.keys.admits(keyId, graceMs)
  }

  /** Nothing that is known of keys and tokens holds: it is asked for again. */
  doubt(): void {
    this.keys.doubt()
    this.tokens?.forget()
  }

  /** Writes when keys were last used. */
  async close(): Promise<void> {
    this.tokens?.close()
    this.keys.close()
    await this.#uses.close()
  }
}

/** Whether a key has a scope that the gateway knows: one that names others alone, or none, is good for nothing here. */
function opensSomething({ scopes }: ApiKey): boolean {
  return scopes.includes('control') || scopes.includes('read')
}

/** What the first key begins with. */
export const firstKeyPrefix = 'pwg_'

/** ms after which what could not be judged is worth another try: an issuer or a store did not answer. */
const unjudgedMs = 5000

const tokenFaults: Readonly<Record<TokenFault, string>> = {
  malformed: 'this is no token',
  issuer: 'the token is of an issuer that this gateway does not know',
  audience: 'the token is not for this gateway',
  expired: 'the token has expired',
  'too-early': 'the token is not good yet',
  algorithm: 'the token is signed in a way that is not taken',
  signature: 'the token is not signed with a key of its issuer',
  claims: 'the token lacks what it must say, or is for something else than access',
}

/** Three parts of base64url: no key has a dot. */
function isTokenLike(text: string): boolean {
  return /^[\w-]+\.[\w-]+\.[\w-]*$/.test(text)
}

/** What a request shows, by every road that is open. */
interface Shown {
  readonly keys: readonly string[]
  readonly authorization: string | undefined
}

/** @param isLegacy as older clients do, too: the header `api-key`, or `?api-key=`. */
function shownBy({ headers, url }: IncomingMessage, isLegacy: boolean): Shown {
  const usual = headers['x-api-key']
  if (!isLegacy && typeof usual === 'string')
    return { keys: [usual.trim()], authorization: headers.authorization }
  const named = isLegacy ? [usual, headers['api-key']] : [usual]
  const inQuery = isLegacy ? new URLSearchParams(/\?(.*)$/s.exec(url ?? '')?.[1] ?? '').getAll('api-key') : []
  const keys = [...named.flatMap((one) => one ?? []), ...inQuery].map((one) => one.trim())
  return { keys, authorization: headers.authorization }
}

/** Whether a request shows anything at all. */
export function showsSomething(request: IncomingMessage): boolean {
  const { keys, authorization } = shownBy(request, true)
  return keys.length > 0 || authorization !== undefined
}

/** The secret that is shown. Two different ones are none. */
function secretIn({ keys, authorization }: Shown): string | undefined {
  if (authorization === undefined && keys.length < 2) return keys[0]
  const bearer = /^Bearer +([\x21-\x7e]+) *$/i.exec(authorization ?? '')?.[1]
  if (authorization !== undefined && bearer === undefined) return ''
  const [only, ...others] = new Set(bearer === undefined ? keys : [...keys, bearer])
  return others.length > 0 ? '' : only
}

function hashOf(text: string): Buffer {
  return hash('sha256', text, 'buffer')
}
