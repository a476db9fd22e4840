import type { Client } from 'pg'
import { exitCode, Failure } from '../../../os/failure.ts'
import type { StoreWatcher } from '../store.ts'
import { type Database, leave } from './database.ts'
import { channel } from './schema.ts'

/** ms between two questions whether the connection still works: one that is half open says nothing. */
const lookMs = 10_000

/** ms before the first new attempt, and the most. */
const firstWaitMs = 200
const longestWaitMs = 5000

/** ms before an attempt after so many that have failed; at random, so that gateways do not come all at once. */
export function waitBefore(failed: number, random: number): number {
  return Math.min(longestWaitMs, firstWaitMs * 2 ** Math.min(failed, 10)) * (0.5 + random / 2)
}

/** The connection on which a database tells of changes. While it stands, the database counts as there; it is made again until it does. */
export class Listener {
  readonly #database: Database
  readonly #watcher: StoreWatcher
  #client: Client | undefined
  #failed = 0
  #next: NodeJS.Timeout | undefined
  #looking: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(database: Database, watcher: StoreWatcher) {
    this.#database = database
    this.#watcher = watcher
  }

  /** The first attempt. @throws Failure (78) when others would fail, too. */
  async begin(): Promise<void> {
    try {
      await this.#connect()
    } catch (error) {
      const failure = this.#database.failure(error)
      if (failure.exitCode === exitCode.configuration) throw failure
      this.#lost(failure)
    }
  }

  /** Something else has failed: whether the database is there shows in a new connection. */
  suspect(failure: Failure): void {
    if (this.#client !== undefined) this.#lost(failure)
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#next)
    this.#drop()
  }

  async #connect(): Promise<void> {
    const client = await this.#database.connect()
    const ended = () => {
      if (this.#client === client) this.#lost(new Failure(this.#words('it has closed the connection'), 0))
    }
    client.on('error', ended)
    client.on('end', ended)
    client.on('notification', ({ payload = '' }) =>
      this.#watcher.changed(payload === '' ? undefined : payload),
    )
    try {
      await client.query(`LISTEN ${channel}`)
      // What requests ask for, so that a table which is locked or gone shows here.
      await client.query('SELECT id FROM mcp_proxy_keys WHERE id = ANY($1)', [[]])
    } catch (error) {
      leave(client)
      throw error
    }
    if (this.#isClosed) return leave(client)
    this.#client = client
    this.#failed = 0
    this.#looking = setInterval(() => void this.#look(client), lookMs).unref()
    this.#watcher.back()
  }

  async #look(client: Client): Promise<void> {
    try {
      await client.query('SELECT 1')
    } catch (error) {
      if (this.#client === client) this.#lost(this.#database.failure(error))
    }
  }

  #words(what: string): string {
    return `the store ${this.#database.place}: ${what}`
  }

  #lost({ message }: Failure): void {
    this.#drop()
    if (this.#isClosed) return
    this.#watcher.lost(message)
    clearTimeout(this.#next)
    this.#next = setTimeout(() => void this.#again(), waitBefore(this.#failed++, Math.random())).unref()
  }

  async #again(): Promise<void> {
    try {
      await this.#connect()
    } catch (error) {
      this.#lost(this.#database.failure(error))
    }
  }

  #drop(): void {
    clearInterval(this.#looking)
    const client = this.#client
    this.#client = undefined
    if (client !== undefined) leave(client)
  }
}
