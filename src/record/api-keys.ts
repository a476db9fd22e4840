import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { statSync } from 'node:fs'
import path from 'node:path'
import { writeFileAtomically } from '../os/atomic-file.ts'
import { monotonicMs, wallTime } from '../os/clock.ts'
import { errorCode, errorText, exitCode, Failure } from '../os/failure.ts'
import { readRegularFile } from '../os/regular-file.ts'
import { demandOwnDirectory, fileNames } from './state-directory.ts'

/** What a key may allow: to read, to start and stop, to type into programs, to change the configuration. */
export const keyScopes = ['read', 'control', 'input', 'config'] as const

export type KeyScope = (typeof keyScopes)[number]

/** A key, as it is kept: without its secret. */
export interface ApiKey {
  /** The public part of the key: it stands in logs and lists. */
  readonly id: string
  readonly name: string
  /** SHA-256 of the whole key, in hex. */
  readonly hash: string
  readonly scopes: readonly KeyScope[]
  /** The names of the programs and forwards that it may see and order; null = all. */
  readonly units: readonly string[] | null
  /** Of the gateway: the profile that it is bound to; missing = none. */
  readonly profile?: string
  /** Wall times, ISO 8601. */
  readonly createdAt: string
  /** null = never. */
  readonly expiresAt: string | null
  readonly lastUsedAt: string | null
}

/** What somebody who shows a key is. `unknown` is also a key whose file cannot be read. */
export type KeyJudgement =
  | { readonly kind: 'valid'; readonly key: ApiKey }
  | { readonly kind: 'expired'; readonly key: ApiKey }
  | { readonly kind: 'unknown' }

/** `pwk_`, the public id, the secret of 256 bits. */
const form = /^pwk_([a-z0-9]{10})_[\w-]{43}$/

/** Letters of an id. */
const letters = 'abcdefghijklmnopqrstuvwxyz234567'

/** ms between two looks at the file: a flood of wrong keys must not cost a system call each. */
const lookEveryMs = 100

/** ms between two writes of when keys were last used, where nothing else is said. */
const usualSaveEveryMs = 60_000

const noHash = Buffer.alloc(32)

/**
 * The API keys of a monitor, in `api_keys.json` (0600). The file is the truth: what another process changes in it holds within a tenth of a
 * second. One that is missing has no keys; one that is damaged admits nobody and is not written over.
 */
export class ApiKeys {
  readonly #directory: string
  readonly #file: string
  #stamp = ''
  #revision = 0
  #lookedAt = Number.NEGATIVE_INFINITY
  #keys = new Map<string, ApiKey>()
  #problem: string | undefined
  #saving: NodeJS.Timeout | undefined
  /** Uses that are not written yet: apart from the keys, which another process may change at any time. Wall ms. */
  readonly #usedAt = new Map<string, number>()
  readonly #saveEveryMs: number

  /**
   * @param name of the file: other keys than those of the monitor are kept in another one.
   * @param saveEveryMs between two writes of when keys were last used; 0 = that is not kept.
   */
  constructor(
    stateDirectory: string,
    name: string = fileNames.apiKeys,
    saveEveryMs: number = usualSaveEveryMs,
  ) {
    this.#saveEveryMs = saveEveryMs
    this.#directory = stateDirectory
    this.#file = path.join(stateDirectory, name)
  }

  /** @throws Failure (78) when the file is damaged. */
  list(): readonly ApiKey[] {
    this.#read()
    this.#demandWhole()
    return [...this.#asUsed().values()]
  }

  /**
   * Makes a key.
   * @returns the key itself, which is kept nowhere, and what is kept of it.
   * @throws Failure (78) when the file is damaged; the system's error when it cannot be written.
   */
  create(given: KeyRequest): MadeKey {
    this.#read()
    this.#demandWhole()
    const made = makeKey(given)
    this.#write(new Map(this.#keys).set(made.key.id, made.key))
    return made
  }

  /** Makes a key in the place of another one, which is taken away: at once, so that never both or none are there. @throws as `create`. */
  replace(id: string, given: KeyRequest): MadeKey {
    this.#read()
    this.#demandWhole()
    const made = makeKey(given)
    const left = new Map(this.#keys).set(made.key.id, made.key)
    left.delete(id)
    this.#write(left)
    return made
  }

  /** Takes a key away. @throws as `create`. */
  revoke(id: string): void {
    this.#read()
    this.#demandWhole()
    const left = new Map(this.#keys)
    left.delete(id)
    this.#write(left)
  }

  /** Whose key this is. Takes as long for a wrong secret as for an unknown id. */
  judge(secret: string): KeyJudgement {
    this.#look()
    return judgeKey(secret, this.#keys.get(publicIdOf(secret) ?? ''))
  }

  /** The key of this id, valid or not. @throws Failure (78) when the file is damaged. */
  find(id: string): ApiKey | undefined {
    this.#look()
    this.#demandWhole()
    return this.#keys.get(id)
  }

  /** Grows when the file was read again, because somebody has changed it. Looks at it, as the others do. */
  revision(): number {
    this.#look()
    return this.#revision
  }

  /** The key of this id, while it is valid: for sessions that stand for it. */
  valid(id: string): ApiKey | undefined {
    this.#look()
    const known = this.#keys.get(id)
    return known === undefined || hasExpired(known) ? undefined : known
  }

  /** Remembers that a key was used; it is written later, with others. */
  used({ id }: ApiKey): void {
    if (this.#saveEveryMs === 0 || !this.#keys.has(id)) return
    this.#usedAt.set(id, Date.now())
    this.#saving ??= setTimeout(() => this.save(), this.#saveEveryMs).unref()
  }

  /** Writes when these keys were last used, in wall ms by id. As `save`. */
  touch(times: ReadonlyMap<string, number>): void {
    for (const [id, at] of times) if (this.#keys.has(id)) this.#usedAt.set(id, at)
    this.save()
  }

  /** Writes when keys were last used, if that has changed. Never fails: what could not be written is with the next. */
  save(): void {
    clearTimeout(this.#saving)
    this.#saving = undefined
    if (this.#usedAt.size === 0) return
    try {
      // Not over what a person has changed meanwhile.
      this.#read()
      if (this.#problem !== undefined) return
      this.#write(this.#asUsed())
      this.#usedAt.clear()
    } catch {
      // A full disk.
    }
  }

  /** With the uses that are not written yet. */
  #asUsed(): Map<string, ApiKey> {
    const times = [...this.#keys].map(([id, key]) => {
      const at = this.#usedAt.get(id)
      return [id, at === undefined ? key : { ...key, lastUsedAt: new Date(at).toISOString() }] as const
    })
    return new Map(times)
  }

  #write(keys: Map<string, ApiKey>): void {
    demandOwnDirectory(this.#directory)
    const content = { schemaVersion: 1, keys: [...keys.values()] }
    writeFileAtomically(this.#file, `${JSON.stringify(content, null, 1)}\n`)
    this.#keys = keys
    this.#stamp = stampOf(this.#file)
  }

  #look(): void {
    const now = monotonicMs()
    if (now - this.#lookedAt < lookEveryMs) return
    this.#lookedAt = now
    this.#read()
  }

  #read(): void {
    const stamp = stampOf(this.#file)
    if (stamp === this.#stamp) return
    this.#stamp = stamp
    this.#revision++
    this.#problem = undefined
    this.#keys = new Map()
    try {
      this.#keys = new Map(parseApiKeys(readRegularFile(this.#file)).map((key) => [key.id, key]))
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') this.#problem = errorText(error)
    }
  }

  #demandWhole(): void {
    if (this.#problem === undefined) return
    throw new Failure(
      `${this.#file} cannot be used: ${this.#problem}; mend it, or move it away and make new keys`,
      exitCode.configuration,
    )
  }
}

interface Parsed {
  readonly hash: Buffer
  /** Wall ms. */
  readonly expiresAt: number
}

const allParsed = new WeakMap<ApiKey, Parsed>()

/** What its texts say: a key is looked at again and again. */
function parsed(key: ApiKey): Parsed {
  const known = allParsed.get(key)
  if (known !== undefined) return known
  const { hash, expiresAt } = key
  const made = {
    hash: Buffer.from(hash, 'hex'),
    expiresAt: expiresAt === null ? Number.POSITIVE_INFINITY : Date.parse(expiresAt),
  }
  allParsed.set(key, made)
  return made
}

/** What somebody asks for who makes a key. */
export type KeyRequest = Pick<ApiKey, 'name' | 'scopes' | 'units' | 'profile' | 'expiresAt'>

/** A new key: its secret is kept nowhere. */
export interface MadeKey {
  readonly secret: string
  readonly key: ApiKey
}

export function makeKey(given: KeyRequest): MadeKey {
  const id = Array.from(randomBytes(10), (byte) => letters[byte % letters.length]).join('')
  const secret = `pwk_${id}_${randomBytes(32).toString('base64url')}`
  const kept = { id, hash: hashOf(secret).toString('hex'), ...given }
  return { secret, key: { ...kept, createdAt: wallTime(), lastUsedAt: null } }
}

/** The id that stands in a key; undefined = the text is no key. */
export function publicIdOf(secret: string): string | undefined {
  return form.exec(secret)?.[1]
}

/** Whose key this is. Takes as long for a wrong secret as for an unknown id. @param known the key of its id; undefined = there is none. */
export function judgeKey(secret: string, known: ApiKey | undefined): KeyJudgement {
  const isSame = timingSafeEqual(hashOf(secret), known === undefined ? noHash : parsed(known).hash)
  if (known === undefined || !isSame) return { kind: 'unknown' }
  return { kind: hasExpired(known) ? 'expired' : 'valid', key: known }
}

export function hasExpired(key: ApiKey): boolean {
  return parsed(key).expiresAt <= Date.now()
}

/** @throws when it is not what `ApiKeys` writes: a key of which anything is in doubt must admit nobody. */
export function parseApiKeys(text: string): ApiKey[] {
  const { schemaVersion, keys } = JSON.parse(text) as { schemaVersion?: unknown; keys?: unknown }
  if (schemaVersion !== 1 || !Array.isArray(keys)) throw new Error('it holds no API keys of this version')
  return keys.map((key, index) => {
    if (!isApiKey(key)) throw new Error(`keys[${index}] is damaged`)
    return key
  })
}

function isApiKey(value: unknown): value is ApiKey {
  const key = value as { readonly [Name in keyof ApiKey]?: unknown } | null
  return (
    typeof key === 'object' &&
    key !== null &&
    [key.id, key.name].every((one) => typeof one === 'string') &&
    typeof key.hash === 'string' &&
    /^[0-9a-f]{64}$/.test(key.hash) &&
    isTextList(key.scopes) &&
    key.scopes.every((scope) => (keyScopes as readonly string[]).includes(scope)) &&
    (key.units === null || isTextList(key.units)) &&
    (key.profile === undefined || typeof key.profile === 'string') &&
    isTime(key.createdAt) &&
    [key.expiresAt, key.lastUsedAt].every((time) => time === null || isTime(time))
  )
}

function isTextList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string')
}

function isTime(value: unknown): boolean {
  return typeof value === 'string' && Number.isFinite(Date.parse(value))
}

function hashOf(secret: string): Buffer {
  return hash('sha256', secret, 'buffer')
}

function stampOf(file: string): string {
  try {
    const { dev, ino, size, mtimeMs } = statSync(file)
    return [dev, ino, size, mtimeMs].join(':')
  } catch (error) {
    return errorCode(error) ?? 'unreadable'
  }
}
