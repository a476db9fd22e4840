import pg from 'pg'
import { storePlace } from '../../../config/store-configuration.ts'
import { redactPatterns } from '../../../log/redaction.ts'
import { errorCode, errorText, exitCode, Failure } from '../../../os/failure.ts'
import { oneLine } from '../../../os/printable.ts'
import { within } from '../../../os/time-limit.ts'
import { prepareSchema } from './schema.ts'

/** Connections for queries. */
const poolSize = 10

/** ms for a new connection, and for a query: clients wait for it. */
const connectMs = 3000
const queryMs = 3000

/** ms after which a connection that nobody needs is closed. */
const idleMs = 30_000

/** ms that saying goodbye may take: a database that hangs answers nothing. */
const closeMs = 1000

/** SQLSTATE codes of faults that do not go away by waiting: who may not come in, or not do this; what is not there. */
const lasting: readonly string[] = ['28P01', '28000', '3D000', '3F000', '42501']

/**
 * `require` and its like mean `verify-full` to this version of pg, which warns at each start that the next one will be content with less: here
 * they go on to mean it.
 */
function withVerifiedTls(url: string): string {
  if (/[?&]uselibpqcompat=true/.test(url)) return url
  return url.replace(/(?<=[?&]sslmode=)(?:prefer|require|verify-ca)(?=&|$)/, 'verify-full')
}

/** Connections to one database. Errors come out as `Failure`, in words that hold no secret. */
export class Database {
  /** For people. */
  readonly place: string
  readonly #pool: pg.Pool
  readonly #settings: pg.ClientConfig
  #prepared: Promise<void> | undefined

  constructor(url: string) {
    this.place = storePlace(url)
    this.#settings = {
      connectionString: withVerifiedTls(url),
      application_name: 'mcp-proxy',
      connectionTimeoutMillis: connectMs,
      query_timeout: queryMs,
      keepAlive: true,
    }
    try {
      this.#pool = new pg.Pool({
        ...this.#settings,
        max: poolSize,
        idleTimeoutMillis: idleMs,
        allowExitOnIdle: true,
      })
    } catch (error) {
      throw this.failure(error)
    }
    // A connection that breaks while nobody uses it: the pool has dropped it.
    this.#pool.on('error', () => {})
  }

  /** Asks one thing. A connection on which that fails is closed: after a time-out nobody knows what comes on it next. @throws Failure */
  async rows<Row extends pg.QueryResultRow>(
    text: string,
    values: readonly unknown[] = [],
  ): Promise<readonly Row[]> {
    try {
      return (await this.#pool.query<Row>(text, [...values])).rows
    } catch (error) {
      throw this.failure(error)
    }
  }

  /** The same for commands that run without a `watch`: the schema is looked at first. @throws Failure */
  async prepare(): Promise<void> {
    this.#prepared ??= this.#prepare()
    await this.#prepared
  }

  async #prepare(): Promise<void> {
    leave(await this.connect())
  }

  /** A connection outside of the pool, to a database whose schema is up to date. @throws Failure */
  async connect(): Promise<pg.Client> {
    const client = new pg.Client(this.#settings)
    // Who uses it hears of its end.
    client.on('error', () => {})
    try {
      await client.connect()
      await prepareSchema(client, this.place)
      return client
    } catch (error) {
      leave(client)
      throw this.failure(error)
    }
  }

  /** An error of the database in words. */
  failure(error: unknown): Failure {
    if (error instanceof Failure) return error
    const what = redactPatterns(oneLine(errorText(error)))
    const isLasting = lasting.includes(errorCode(error) ?? '')
    return new Failure(
      `the store ${this.place} cannot be used: ${what}`,
      isLasting ? exitCode.configuration : exitCode.unavailable,
    )
  }

  /** Never rejects. */
  async close(): Promise<void> {
    await within(
      this.#pool.end().catch(() => {}),
      closeMs,
    )
  }
}

/** Ends a connection. This process need not wait for it. */
export function leave(client: pg.Client): void {
  // Its types do not know this.
  const known = client as pg.Client & { unref(): void }
  known.unref()
  client.end().catch(() => {})
}
