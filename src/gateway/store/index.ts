/**
 * store/: what is kept of the keys of clients, behind one small interface: in a file of the state directory, or in PostgreSQL for several
 * gateways.
 *
 *   key that a request shows -> KnownKeys (known-keys.ts: what is known, for a minute) -> Store (store.ts): file-store.ts, or postgres/
 *   a change made elsewhere -> Store -> KnownKeys forgets the key
 *   uses of keys -> LastUses (last-uses.ts) -> Store, all of them at once
 *
 * Connectors and profiles are not kept here: they are in the configuration file (see DECISIONS.md). Another kind of store is a `Store` and a
 * line of `openStore`.
 */
import type { StoreConfiguration } from '../../config/store-configuration.ts'
import { FileStore } from './file-store.ts'
import type { Store } from './store.ts'

/**
 * @param configuration undefined = files of the state directory.
 * @throws Failure when the configuration is not complete.
 */
export async function openStore(
  stateDirectory: string,
  configuration: StoreConfiguration | undefined,
): Promise<Store> {
  if (configuration === undefined) return new FileStore(stateDirectory)
  // Few need it: it is loaded where it is configured.
  const { PostgresStore } = await import('./postgres/index.ts')
  return await PostgresStore.open(configuration)
}
