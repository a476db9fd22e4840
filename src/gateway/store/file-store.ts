import path from 'node:path'
import { errorText, exitCode, Failure } from '../../os/failure.ts'
import { oneLine } from '../../os/printable.ts'
import { type ApiKey, ApiKeys, type KeyRequest, type MadeKey } from '../../record/api-keys.ts'
import { fileNames } from '../../record/state-directory.ts'
import { nameTaken, type Store, type StoreWatcher } from './store.ts'

/** Keys in `mcp_proxy_keys.json` of the state directory. What another process changes there holds within a tenth of a second. */
export class FileStore implements Store {
  readonly kind = 'files'
  readonly place: string
  readonly #keys: ApiKeys
  #watcher: StoreWatcher | undefined
  #revision = -1

  constructor(stateDirectory: string) {
    this.place = path.join(stateDirectory, fileNames.gatewayKeys)
    this.#keys = new ApiKeys(stateDirectory, fileNames.gatewayKeys)
  }

  find(id: string): ApiKey | undefined {
    return this.#keys.find(id)
  }

  async list(): Promise<readonly ApiKey[]> {
    return this.#keys.list()
  }

  async create(given: KeyRequest): Promise<MadeKey> {
    if (this.#keys.list().some(({ name }) => name === given.name))
      throw new Failure(nameTaken(oneLine(given.name)), exitCode.usage)
    return this.#keys.create(given)
  }

  async replace(id: string, given: KeyRequest): Promise<MadeKey> {
    return this.#keys.replace(id, given)
  }

  async revoke(id: string): Promise<void> {
    this.#keys.revoke(id)
  }

  async touch(times: ReadonlyMap<string, number>): Promise<void> {
    this.#keys.touch(times)
  }

  async watch(watcher: StoreWatcher): Promise<void> {
    this.#watcher = watcher
    this.peek()
  }

  peek(): void {
    const revision = this.#keys.revision()
    if (revision === this.#revision) return
    this.#revision = revision
    this.#watcher?.changed()
    try {
      this.#keys.find('')
      this.#watcher?.back()
    } catch (error) {
      this.#watcher?.lost(errorText(error))
    }
  }

  async close(): Promise<void> {}
}
