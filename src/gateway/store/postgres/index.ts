/**
 * postgres/: keys in PostgreSQL, for several gateways. Loaded where `gateway.store` is configured alone.
 *
 *   id -> lookups.ts: one question at a time -> database.ts: the pool -> mcp_proxy_keys
 *   change -> trigger (schema.ts) -> NOTIFY -> listener.ts -> KnownKeys
 *
 * Every value goes to the database as a parameter, never within the text of a statement.
 */
import type { StoreConfiguration } from '../../../config/store-configuration.ts'
import { storeUrl } from '../../../config/store-configuration.ts'
import { exitCode, Failure } from '../../../os/failure.ts'
import { oneLine } from '../../../os/printable.ts'
import {
  type ApiKey,
  type KeyRequest,
  type KeyScope,
  keyScopes,
  type MadeKey,
  makeKey,
} from '../../../record/api-keys.ts'
import { nameTaken, type Store, type StoreWatcher } from '../store.ts'
import { Database } from './database.ts'
import { Listener } from './listener.ts'
import { Lookups } from './lookups.ts'

interface KeyRow {
  readonly id: string
  readonly name: string
  readonly hash: string
  readonly scopes: readonly unknown[]
  readonly connectors: readonly unknown[] | null
  readonly profile: string | null
  readonly created_at: RowTime
  readonly expires_at: RowTime | null
  readonly last_used_at: RowTime | null
}

/** A number is infinity, which is a time to PostgreSQL. */
type RowTime = Date | number

const columns = 'id, name, hash, scopes, connectors, profile, created_at, expires_at, last_used_at'

export class PostgresStore implements Store {
  readonly kind = 'postgres'
  readonly #database: Database
  readonly #lookups: Lookups<ApiKey>
  #listener: Listener | undefined

  constructor(database: Database) {
    this.#database = database
    this.#lookups = new Lookups(async (ids) => {
      const rows = await database.rows<KeyRow>(`SELECT ${columns} FROM mcp_proxy_keys WHERE id = ANY($1)`, [
        ids,
      ])
      return new Map(rows.map((row) => [row.id, keyOf(row)]))
    })
  }

  /** @throws Failure when the configuration is not complete. */
  static async open(configuration: StoreConfiguration): Promise<PostgresStore> {
    return new PostgresStore(new Database(storeUrl(configuration, process.env)))
  }

  get place(): string {
    return this.#database.place
  }

  async find(id: string): Promise<ApiKey | undefined> {
    try {
      return await this.#lookups.find(id)
    } catch (error) {
      this.#listener?.suspect(this.#database.failure(error))
      throw error
    }
  }

  async list(): Promise<readonly ApiKey[]> {
    const rows = await this.#rows<KeyRow>(`SELECT ${columns} FROM mcp_proxy_keys ORDER BY created_at, id`)
    return rows.map(keyOf)
  }

  async create(given: KeyRequest): Promise<MadeKey> {
    const made = makeKey(given)
    const { id, name, hash, scopes, units, profile = null, createdAt, expiresAt } = made.key
    const rows = await this.#rows<{ id: string }>(
      `INSERT INTO mcp_proxy_keys (id, name, hash, scopes, connectors, profile, created_at, expires_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (name) DO NOTHING RETURNING id`,
      [id, name, hash, scopes, units, profile, createdAt, expiresAt],
    )
    if (rows.length === 0) throw new Failure(nameTaken(oneLine(name)), exitCode.usage)
    return made
  }

  async replace(old: string, given: KeyRequest): Promise<MadeKey> {
    const made = makeKey(given)
    const { id, hash, createdAt, expiresAt, name } = made.key
    const rows = await this.#rows<{ id: string }>(
      `UPDATE mcp_proxy_keys SET id = $2, hash = $3, created_at = $4, expires_at = $5, last_used_at = NULL
       WHERE id = $1 RETURNING id`,
      [old, id, hash, createdAt, expiresAt],
    )
    if (rows.length === 0)
      throw new Failure(`the key ${oneLine(name)} was revoked meanwhile`, exitCode.orderFailed)
    return made
  }

  async revoke(id: string): Promise<void> {
    await this.#rows('DELETE FROM mcp_proxy_keys WHERE id = $1', [id])
  }

  async touch(times: ReadonlyMap<string, number>): Promise<void> {
    const ids = [...times.keys()]
    const dates = [...times.values()].map((at) => new Date(at))
    // Several gateways write, and not in the order of the uses.
    await this.#rows(
      `UPDATE mcp_proxy_keys AS keys SET last_used_at = used.at
       FROM unnest($1::text[], $2::timestamptz[]) AS used (id, at)
       WHERE keys.id = used.id AND (keys.last_used_at IS NULL OR keys.last_used_at < used.at)`,
      [ids, dates],
    )
  }

  async watch(watcher: StoreWatcher): Promise<void> {
    this.#listener = new Listener(this.#database, watcher)
    await this.#listener.begin()
  }

  peek(): void {
    // It tells by itself.
  }

  async close(): Promise<void> {
    this.#listener?.close()
    await this.#database.close()
  }

  async #rows<Row extends object>(text: string, values: readonly unknown[] = []): Promise<readonly Row[]> {
    if (this.#listener === undefined) await this.#database.prepare()
    return await this.#database.rows<Row>(text, values)
  }
}

/**
 * Reads a row that anybody may have written. The table takes more than the gateway writes, and one odd row must not keep the keys beside it
 * from being read. What the gateway does not understand gives no right.
 */
export function keyOf(row: KeyRow): ApiKey {
  const { id, name, hash, scopes, connectors, profile, created_at, expires_at, last_used_at } = row
  return {
    id,
    name,
    hash,
    scopes: scopes.filter((scope): scope is KeyScope => (keyScopes as readonly unknown[]).includes(scope)),
    units: connectors?.filter((one) => typeof one === 'string') ?? null,
    ...(profile === null ? {} : { profile }),
    createdAt: timeText(created_at),
    expiresAt: expires_at === null || isNever(expires_at) ? null : timeText(expires_at),
    lastUsedAt: last_used_at === null ? null : timeText(last_used_at),
  }
}

function isNever(time: RowTime): boolean {
  return time === Number.POSITIVE_INFINITY
}

/** Times that JavaScript does not have, years beyond 275760 and the two infinities, are its beginning: a key with such an end has expired. */
function timeText(time: RowTime): string {
  const date = new Date(time)
  return (Number.isNaN(date.getTime()) ? new Date(0) : date).toISOString()
}
