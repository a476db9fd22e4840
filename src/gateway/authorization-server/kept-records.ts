import { generateKeyPairSync, randomBytes } from 'node:crypto'
import path from 'node:path'
import type { JWK } from 'jose'
import type { Adapter, AdapterPayload } from 'oidc-provider'
import type { BuiltInIssuer } from '../../config/access-configuration.ts'
import { createFileAtomically, writeFileAtomically } from '../../os/atomic-file.ts'
import { errorCode, errorText, exitCode, Failure } from '../../os/failure.ts'
import { readSecretFile } from '../../os/regular-file.ts'
import { fileNames } from '../../record/state-directory.ts'

interface SigningKey {
  readonly jwk: JWK
  /** Wall ms. */
  readonly madeAt: number
}

interface Kept {
  readonly payload: AdapterPayload
  /** Wall ms; null = it does not expire. */
  readonly expiresAt: number | null
}

interface Content {
  readonly version: 1
  readonly cookieKey: string
  readonly keys: readonly SigningKey[]
  readonly records: Readonly<Record<string, Kept>>
}

/** What outlives the gateway. A login that was under way, and codes, are begun anew. */
const lasting = ['Client', 'Grant', 'RefreshToken', 'RegistrationAccessToken']

/** ms that a key signs, and that it is published after that: longer than any token lives. */
const signsMs = 90 * 24 * 3_600_000
const publishedMs = signsMs + 2 * 24 * 3_600_000

/** Records of short life: logins that anybody can begin. */
const mostPassing = 2000

/** Clients that can be registered. */
const mostClients = 1000

/** What the authorization server keeps: clients, grants and keys, in one file (0600) that is replaced at each change. */
export class KeptRecords {
  readonly #file: string
  readonly #cookieKey: string
  #keys: readonly SigningKey[]
  readonly #lasting: Map<string, Kept>
  readonly #passing = new Map<string, Kept>()
  /** Undefined = registration needs none, or is off. */
  readonly registrationFile: string | undefined
  readonly registrationToken: string | undefined

  /** @throws Failure (78) when what is there cannot be read: a new file would forget every client. */
  constructor(stateDirectory: string, { registration }: BuiltInIssuer) {
    this.#file = path.join(stateDirectory, fileNames.gatewayOauth)
    const content = contentOf(this.#file)
    this.#cookieKey = content?.cookieKey ?? randomBytes(32).toString('base64url')
    this.#keys = content?.keys ?? []
    this.#lasting = new Map(Object.entries(content?.records ?? {}))
    if (registration !== 'token') return
    this.registrationFile = path.join(stateDirectory, fileNames.gatewayRegistrationToken)
    createFileAtomically(this.registrationFile, `pwr_${randomBytes(32).toString('base64url')}\n`)
    this.registrationToken = readSecretFile(this.registrationFile).trim()
  }

  get cookieKey(): string {
    return this.#cookieKey
  }

  get isFull(): boolean {
    return [...this.#lasting.keys()].filter((key) => key.startsWith('Client:')).length >= mostClients
  }

  /** The newest signs. */
  get keys(): readonly JWK[] {
    return this.#keys.map(({ jwk }) => jwk)
  }

  publicKeys(): JWK[] {
    return this.keys.map(({ kty = '', n = '', e = '', kid = '', alg = '', use = '' }) => ({
      kty,
      n,
      e,
      kid,
      alg,
      use,
    }))
  }

  /** Makes a signing key when there is none, or the newest is old, and forgets those whose tokens have all expired. @returns whether one was made. */
  rotate(now = Date.now()): boolean {
    const [newest] = this.#keys
    if (newest !== undefined && now - newest.madeAt < signsMs) return false
    this.#keys = [newKey(now), ...this.#keys.filter(({ madeAt }) => now - madeAt < publishedMs)]
    this.#write()
    return true
  }

  /** The records of one kind, as oidc-provider wants them. */
  adapter(kind: string): Adapter {
    const records = lasting.includes(kind) ? this.#lasting : this.#passing
    const changed = () => records === this.#lasting && this.#write()
    const keyOf = (id: string) => `${kind}:${id}`
    const find = async (id: string) => {
      const kept = records.get(keyOf(id))
      return kept === undefined || isOver(kept) ? undefined : kept.payload
    }
    return {
      find,
      upsert: async (id, payload, expiresIn) => {
        const expiresAt = expiresIn === undefined ? null : Date.now() + expiresIn * 1000
        records.set(keyOf(id), { payload, expiresAt })
        this.#bound()
        changed()
      },
      findByUid: async (uid) => [...records.values()].find(({ payload }) => payload.uid === uid)?.payload,
      findByUserCode: async () => undefined,
      consume: async (id) => {
        const kept = records.get(keyOf(id))
        if (kept === undefined) return
        records.set(keyOf(id), {
          ...kept,
          payload: { ...kept.payload, consumed: Math.floor(Date.now() / 1000) },
        })
        changed()
      },
      destroy: async (id) => {
        if (records.delete(keyOf(id))) changed()
      },
      revokeByGrantId: async (grantId) => {
        for (const [key, { payload }] of records) if (payload.grantId === grantId) records.delete(key)
        changed()
      },
    }
  }

  #bound(): void {
    if (this.#passing.size <= mostPassing) return
    for (const [key, kept] of this.#passing) if (isOver(kept)) this.#passing.delete(key)
    const [oldest] = this.#passing.keys()
    if (this.#passing.size > mostPassing && oldest !== undefined) this.#passing.delete(oldest)
  }

  #write(): void {
    for (const [key, kept] of this.#lasting) if (isOver(kept)) this.#lasting.delete(key)
    const records = Object.fromEntries(this.#lasting)
    const content: Content = { version: 1, cookieKey: this.#cookieKey, keys: this.#keys, records }
    writeFileAtomically(this.#file, `${JSON.stringify(content)}\n`)
  }
}

function contentOf(file: string): Content | undefined {
  try {
    const content = JSON.parse(readSecretFile(file)) as Content
    if (content.version === 1 && Array.isArray(content.keys)) return content
    throw new Error('it is of another version')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    const what = `the clients of the authorization server cannot be read: ${file}: ${errorText(error)}`
    throw new Failure(`${what}; mend it, or remove it to begin without clients`, exitCode.configuration)
  }
}

function newKey(madeAt: number): SigningKey {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const jwk = privateKey.export({ format: 'jwk' }) as JWK
  return { jwk: { ...jwk, kid: randomBytes(9).toString('base64url'), alg: 'RS256', use: 'sig' }, madeAt }
}

function isOver({ expiresAt }: Kept): boolean {
  return expiresAt !== null && expiresAt <= Date.now()
}
