/** Makes what `Access` stands on: the store of keys, and the key of the first start. */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { AccessConfiguration } from '../config/access-configuration.ts'
import { usualOutageMs } from '../config/store-configuration.ts'
import type { Log } from '../log/index.ts'
import { createFileAtomically } from '../os/atomic-file.ts'
import { duration } from '../os/duration.ts'
import { readSecretFile } from '../os/regular-file.ts'
import type { GatewayStore } from '../record/shapes/gateway-state.ts'
import { fileNames } from '../record/state-directory.ts'
import { Access, type FirstKey, firstKeyPrefix } from './access.ts'
import type { Figures } from './figures.ts'
import type { GatewayOptions } from './options.ts'
import { openStore } from './store/index.ts'
import { KnownKeys, type StoreNews } from './store/known-keys.ts'
import { LastUses } from './store/last-uses.ts'
import type { Store } from './store/store.ts'

/** What is open before there is a log, which must not have the first key in it. */
export interface OpenedStore {
  readonly store: Store
  readonly first: FirstKey | undefined
}

/** Undefined = nobody comes over HTTP, and nobody needs a key. @throws Failure when it cannot be used as it is configured. */
export async function openedStore(options: GatewayOptions): Promise<OpenedStore | undefined> {
  const { stateDirectory, allowNone, wanted } = options
  if (wanted.http === undefined) return undefined
  const store = await openStore(stateDirectory, wanted.store)
  return { store, first: allowNone ? undefined : await firstKey(stateDirectory, store, wanted.access) }
}

interface Surroundings {
  readonly log: Log
  readonly figures: Figures
  /** The status is another one now. */
  readonly changed: () => void
}

/** Who may use the gateway, and what becomes of the store. */
export class OpenedAccess {
  readonly access: Access
  readonly #store: Store
  readonly #outageMs: number
  readonly #log: Log
  readonly #isPublic: boolean
  readonly #changed: () => void

  constructor({ store, first }: OpenedStore, { wanted, allowNone }: GatewayOptions, around: Surroundings) {
    const { log, figures } = around
    const { access: options } = wanted
    this.#store = store
    this.#log = log
    this.#changed = around.changed
    this.#isPublic = allowNone
    this.#outageMs = wanted.store?.outageMs ?? usualOutageMs
    const keys = new KnownKeys({
      store,
      outageMs: this.#outageMs,
      counted: (isHit) => figures.lookedUp('key', isHit),
      told: (news) => {
        this.#tell(news)
        this.#changed()
      },
    })
    const uses = new LastUses(store, options.lastUsedMs, (message) => log.warn(message))
    this.access = new Access({ keys, uses, first, allowNone, options })
  }

  /**
   * Begins to hear of changes. A store that is away for a while is no reason not to start.
   * @returns what a person should hear who has just started the gateway. @throws Failure when waiting would not help.
   */
  async begin(): Promise<string | undefined> {
    await this.access.keys.begin()
    const { state } = this.access.keys.health()
    if (this.#store.kind === 'files' || this.#isPublic) return undefined
    if (state === 'down') return `Keys cannot be checked yet: ${this.access.keys.health().problem}`
    const isEmpty = (await this.#store.list()).length === 0
    return isEmpty
      ? 'There are no keys yet; make one: mcp-proxy key create NAME, with the same store'
      : undefined
  }

  /** How the store is, for status and probes. */
  state(): GatewayStore {
    return { kind: this.#store.kind, place: this.#store.place, ...this.access.keys.health() }
  }

  async close(): Promise<void> {
    await this.access.close()
    await this.#store.close()
  }

  #tell(news: StoreNews): void {
    switch (news.kind) {
      case 'lost':
        return this.#log.error(
          `Keys cannot be looked up, those that are known are taken for ${duration(this.#outageMs)}: ${news.problem}`,
        )
      case 'exhausted':
        return this.#log.error(
          'Keys could not be looked up for so long that none is taken any more: clients get 503',
        )
      case 'back':
        return this.#log.info({ good: true }, `Keys can be looked up again, after ${duration(news.afterMs)}`)
    }
  }
}

/**
 * The key that the first start makes where there is none, so that nobody begins with an open door. None is made where a person has made
 * keys, or others say who may come in: issuers of tokens, or a store that several gateways share, each of which would make another one.
 * @throws Failure or the system's error when it can neither be read nor made.
 */
async function firstKey(
  stateDirectory: string,
  store: Store,
  { authType }: AccessConfiguration,
): Promise<FirstKey | undefined> {
  if (store.kind !== 'files') return undefined
  const file = path.join(stateDirectory, fileNames.gatewayFirstKey)
  const hasOthers = authType === 'OAUTH' || (await store.list()).length > 0
  if (hasOthers && !existsSync(file)) return undefined
  const isNew = createFileAtomically(file, `${firstKeyPrefix}${randomBytes(32).toString('base64url')}\n`)
  return { key: readSecretFile(file).trim(), file, isNew }
}
