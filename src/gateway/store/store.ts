import type { ApiKey, KeyRequest, MadeKey } from '../../record/api-keys.ts'

/** The keys of clients. */
export interface Store {
  readonly kind: 'files' | 'postgres'
  /** Where it is, for people, without a secret. */
  readonly place: string
  /** The key of a public id; at once where that is in memory. @throws, or rejects, when the store cannot be read now. */
  find(id: string): ApiKey | undefined | Promise<ApiKey | undefined>
  /** In the order in which they were made. @throws Failure */
  list(): Promise<readonly ApiKey[]>
  /** @throws Failure, also when the name is taken. */
  create(given: KeyRequest): Promise<MadeKey>
  /** Makes a key in the place of another one, at once. @throws Failure */
  replace(id: string, given: KeyRequest): Promise<MadeKey>
  /** @throws Failure */
  revoke(id: string): Promise<void>
  /** Writes when keys were last used, in wall ms by id. @throws when it cannot. */
  touch(times: ReadonlyMap<string, number>): Promise<void>
  /**
   * Begins to tell of changes and of its own troubles. Resolves when the first attempt to reach it is over, however that went.
   * @throws Failure when waiting would not help: a wrong password, another schema.
   */
  watch(watcher: StoreWatcher): Promise<void>
  /** Tells the watcher of what is new, where the store cannot tell by itself. Called before each use of what is known; costs next to nothing. */
  peek(): void
  close(): Promise<void>
}

export interface StoreWatcher {
  /** @param id of the key that was made, changed or taken away; undefined = any of them may have been. */
  changed(id?: string): void
  /** It cannot be read any more, or changes are not heard of. */
  lost(problem: string): void
  back(): void
}

/** The store cannot be read now, and what is known is not enough. */
export class StoreUnavailable extends Error {}

/** The name that a key is to have is taken. */
export function nameTaken(name: string): string {
  return `there is a key ${name} already; revoke or rotate it`
}
