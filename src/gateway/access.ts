/** Who may use the gateway over HTTP: one function gives a principal or a refusal, and there is no third. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { existsSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import path from 'node:path'
import type { AccessConfiguration } from '../config/access-configuration.ts'
import { createFileAtomically } from '../os/atomic-file.ts'
import { readSecretFile } from '../os/regular-file.ts'
import { ApiKeys } from '../record/api-keys.ts'
import { fileNames } from '../record/state-directory.ts'
import { Attempts } from '../web/attempts.ts'
import type { Principal } from './principal.ts'

export type Admission =
  | { readonly ok: true; readonly principal: Principal }
  /** `status` 401: nothing valid was shown. 429: too many wrong keys came from there; `waitMs` says how long. */
  | { readonly ok: false; readonly status: 401 | 429; readonly message: string; readonly waitMs?: number }

export interface AccessOptions {
  readonly stateDirectory: string
  /** Nobody needs a key. Only for an address of loopback. */
  readonly allowNone: boolean
  readonly options: AccessConfiguration
}

const nobody: Principal = { id: 'anonymous', name: 'anonymous', connectors: null }

/** A first key that was just made, to be shown once. */
export interface FirstKey {
  readonly key: string
  readonly file: string
  readonly isNew: boolean
}

export class Access {
  readonly #keys: ApiKeys
  readonly #attempts = new Attempts()
  readonly #allowNone: boolean
  readonly #legacyKeys: boolean
  readonly first: FirstKey | undefined
  readonly #firstHash: Buffer | undefined

  /** @throws Failure or the system's error when the first key can neither be read nor made. */
  constructor({ stateDirectory, allowNone, options }: AccessOptions) {
    this.#keys = new ApiKeys(stateDirectory, fileNames.gatewayKeys, options.lastUsedMs)
    this.#allowNone = allowNone
    this.#legacyKeys = options.legacyKeys
    if (allowNone) return
    this.first = firstKey(stateDirectory, this.#keys.list().length > 0)
    if (this.first === undefined) return
    this.#firstHash = hashOf(this.first.key)
  }

  /** @param from the address that it comes from. */
  judge(request: IncomingMessage, from: string): Admission {
    if (this.#allowNone) return { ok: true, principal: nobody }
    const shown = secretIn(shownBy(request, this.#legacyKeys))
    if (shown === undefined) {
      const message =
        'a key is needed: X-API-Key: KEY, or Authorization: Bearer KEY; mcp-proxy status says where the key is'
      return { ok: false, status: 401, message }
    }
    const principal = this.#principalOf(shown)
    if (principal !== undefined) {
      this.#attempts.succeeded(from)
      return { ok: true, principal }
    }
    // A right key is never locked out. A source with too many wrong keys is told only to wait.
    const waits = this.#attempts.waitMs(from)
    if (waits === 0) this.#attempts.failed(from)
    const waitMs = this.#attempts.waitMs(from)
    if (waitMs > 0) return { ok: false, status: 429, message: 'too many wrong keys; wait', waitMs }
    return {
      ok: false,
      status: 401,
      message: 'this key is invalid or has expired; make one: mcp-proxy key create NAME',
    }
  }

  #principalOf(shown: string): Principal | undefined {
    if (this.#firstHash !== undefined && timingSafeEqual(hashOf(shown), this.#firstHash))
      return { id: 'first-key', name: 'first key', connectors: null }
    const judgement = this.#keys.judge(shown)
    if (judgement.kind !== 'valid') return undefined
    this.#keys.used(judgement.key)
    const { id, name, units } = judgement.key
    return { id: `key ${id}`, name, keyId: id, connectors: units }
  }

  /** Whether somebody who was let in may go on: his key may have been revoked, or have expired, since. */
  stillAdmits({ keyId }: Principal): boolean {
    return keyId === undefined || this.#keys.valid(keyId) !== undefined
  }

  /** Writes when keys were last used. */
  close(): void {
    this.#keys.save()
  }
}

/** What a request shows, by every road that is open. */
interface Shown {
  readonly keys: readonly string[]
  readonly authorization: string | undefined
}

/** @param isLegacy as older clients do, too: the header `api-key`, or `?api-key=`. */
function shownBy({ headers, url }: IncomingMessage, isLegacy: boolean): Shown {
  const named = isLegacy ? [headers['x-api-key'], headers['api-key']] : [headers['x-api-key']]
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
  const bearer = /^Bearer +([\x21-\x7e]+) *$/i.exec(authorization ?? '')?.[1]
  if (authorization !== undefined && bearer === undefined) return ''
  const [only, ...others] = new Set(bearer === undefined ? keys : [...keys, bearer])
  return others.length > 0 ? '' : only
}

function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/**
 * The key that the first start makes where there is none, so that nobody begins with an open door.
 * @param hasOthers keys that a person has made: then none is made.
 */
function firstKey(stateDirectory: string, hasOthers: boolean): FirstKey | undefined {
  const file = path.join(stateDirectory, fileNames.gatewayFirstKey)
  if (hasOthers && !existsSync(file)) return undefined
  const isNew = createFileAtomically(file, `pwg_${randomBytes(32).toString('base64url')}\n`)
  return { key: readSecretFile(file).trim(), file, isNew }
}
