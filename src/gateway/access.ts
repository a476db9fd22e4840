/** Who may use the gateway over HTTP: one function gives a principal or a refusal, and there is no third. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import path from 'node:path'
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
  readonly first: FirstKey | undefined
  readonly #firstHash: Buffer | undefined

  /** @throws Failure or the system's error when the first key can neither be read nor made. */
  constructor({ stateDirectory, allowNone }: AccessOptions) {
    this.#keys = new ApiKeys(stateDirectory, fileNames.gatewayKeys)
    this.#allowNone = allowNone
    if (allowNone) return
    this.first = firstKey(stateDirectory)
    this.#firstHash = hashOf(this.first.key)
  }

  /** @param from the address that it comes from. */
  judge(headers: IncomingHttpHeaders, from: string): Admission {
    if (this.#allowNone) return { ok: true, principal: nobody }
    const shown = secretIn(headers)
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
    return { id: `key ${id}`, name, connectors: units }
  }

  /** Writes when keys were last used. */
  close(): void {
    this.#keys.save()
  }
}

/** The secret that a request shows. Two different ones are none. */
function secretIn(headers: IncomingHttpHeaders): string | undefined {
  const own = headers['x-api-key']
  const key = typeof own === 'string' ? own.trim() : undefined
  const bearer = /^Bearer +([\x21-\x7e]+) *$/i.exec(headers.authorization ?? '')?.[1]
  if (headers.authorization !== undefined && bearer === undefined) return ''
  if (key !== undefined && bearer !== undefined && key !== bearer) return ''
  return key ?? bearer
}

function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** The key that the first start makes, so that nobody begins with an open door. */
function firstKey(stateDirectory: string): FirstKey {
  const file = path.join(stateDirectory, fileNames.gatewayFirstKey)
  const isNew = createFileAtomically(file, `pwg_${randomBytes(32).toString('base64url')}\n`)
  return { key: readSecretFile(file).trim(), file, isNew }
}
