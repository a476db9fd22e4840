import type { ConnectorConfiguration } from '../../config/connector-configuration.ts'
import type { Log } from '../../log/index.ts'
import { redactPatterns } from '../../log/redaction.ts'
import { monotonicMs } from '../../os/clock.ts'
import { errorText } from '../../os/failure.ts'
import type { Message } from '../protocol/message.ts'
import type { Era } from '../protocol/revisions.ts'
import type { Tap } from '../tap/index.ts'
import type { CallingClient, ClientAnswer } from './call.ts'
import type { Connection } from './connection.ts'
import type { UpstreamLogin } from './credentials.ts'
import { Slot, sharedSession, UpstreamDown } from './slot.ts'
import { started } from './start.ts'
import type { StartSlots } from './start-slots.ts'

export interface ConnectionsOptions {
  /** As it is configured now. */
  readonly connector: () => ConnectorConfiguration
  readonly log: Log
  readonly tap: Tap | undefined
  readonly slots: StartSlots
  /** What is shown to its server; undefined = nothing. @throws MissingVariable */
  readonly loginFor: (connector: ConnectorConfiguration) => UpstreamLogin | undefined
  /** ms that a start may take, from its own turn on. */
  readonly startTimeoutMs: number
  /** Nothing is started before it is settled. */
  readonly after: Promise<unknown>
  /** Aborted when the connector is served no more. The reason is what calls are told. */
  readonly over: AbortSignal
  /** Requests on a connection that are no calls of clients. */
  readonly ownRequestsOn: (connection: Connection) => number
  /** A connection is open. It is used when this resolves. @throws Error: it cannot be used. */
  readonly opened: (connection: Connection, session: string) => Promise<void>
  /** It is in use from here on. */
  readonly began: (connection: Connection) => void
  /** A start has failed, or a connection was lost. */
  readonly failed: () => void
  /** One was ended because nobody has used it. */
  readonly rested: () => void
  readonly notified: (message: Message, session: string) => void
  readonly asked: (
    session: string,
    method: string,
    params: string | undefined,
    signal: AbortSignal,
  ) => Promise<ClientAnswer> | undefined
}

/** ms until the next start that a call waits for; when it takes longer, the call is refused at once. */
const patienceMs = 2000

/** Lines of stderr that are kept with an error. */
const keptLines = 10

/** ms without a request after which a client's own connection is ended. */
const ownIdleMs = 5 * 60_000

/** The connections to one server: one that all share, or one for each client; opened when asked for, again after a loss, ended when idle. */
export class Connections {
  readonly #options: ConnectionsOptions
  readonly #slots = new Map<string, Slot>()
  /** Those that take no new calls: one call has it for itself, or it finishes what it has. */
  readonly #aside = new Set<Connection>()
  #idle: NodeJS.Timeout | undefined
  #era: Era | undefined
  #problem: string | undefined
  #login: UpstreamLogin | undefined
  #isLeft = false

  constructor(options: ConnectionsOptions) {
    this.#options = options
  }

  /** Why it does not work; undefined = it does, or has not been tried. */
  get problem(): string | undefined {
    return this.#problem
  }

  /** It does not work because nobody has logged in. */
  get isLoginNeeded(): boolean {
    return this.#login?.isNeeded === true
  }

  get inFlight(): number {
    return [...this.#slots.values()].reduce((sum, { connection }) => sum + (connection?.inFlight ?? 0), 0)
  }

  /** No call of a client is under way. */
  get isQuiet(): boolean {
    return [...this.#slots.values()].every(({ connection }) => this.#callsOn(connection) === 0)
  }

  /** The one that all share. */
  get shared(): Slot {
    return this.#slotOf(sharedSession)
  }

  /** The connection of a client, where there is one now. */
  of(session: string): Connection | undefined {
    return this.#slots.get(session)?.connection
  }

  #slotOf(key: string): Slot {
    const known = this.#slots.get(key)
    if (known !== undefined) return known
    const slot = new Slot()
    this.#slots.set(key, slot)
    return slot
  }

  /**
   * The connection for a client, which is made when there is none.
   * @param client undefined = the one that all share.
   * @throws UpstreamDown
   */
  async open(client?: Pick<CallingClient, 'connection' | 'capabilities'>): Promise<Connection> {
    const { connector, over } = this.#options
    const { id, isolation, enabled } = connector()
    const isOwn = client !== undefined && isolation === 'session'
    const key = isOwn ? client.connection : sharedSession
    if (isOwn) this.#demandRoom(key)
    const slot = this.#slotOf(key)
    if (isOwn) slot.client = client
    slot.usedAt = monotonicMs()
    this.watchIdle()
    if (slot.connection !== undefined && !slot.connection.isLost) return slot.connection
    if (!enabled) throw new UpstreamDown(id, 'it is disabled')
    if (over.aborted) throw over.reason
    if (slot.restarts.waitMs > patienceMs) throw this.refusal(slot)
    slot.opening ??= this.#open(key, slot).finally(() => {
      slot.opening = undefined
    })
    try {
      return await slot.opening
    } catch (error) {
      throw error instanceof UpstreamDown
        ? error
        : new UpstreamDown(id, errorText(error), slot.restarts.waitMs)
    }
  }

  /** @throws UpstreamDown when the clients of this connector have as many connections as they may. */
  #demandRoom(key: string): void {
    if (this.#slots.has(key)) return
    const { id, maxConnections } = this.#options.connector()
    const own = [...this.#slots].filter(
      ([of, { connection, opening }]) => of !== sharedSession && (connection ?? opening) !== undefined,
    )
    if (own.length < maxConnections) return
    const what = `it has ${own.length} connections of clients, as many as it may have (maxConnections)`
    throw new UpstreamDown(id, `${what}; one ends when its client leaves or rests`)
  }

  async #open(key: string, slot: Slot): Promise<Connection> {
    const { connector, log, slots, after, over, opened, began } = this.#options
    try {
      await after
      await slot.pause(over)
      slot.restarts.begins()
      slot.tried = undefined
      const connection = await slots.run(() => this.#start(key, slot), over)
      slot.connection = connection
      // Its server is another one by now; who takes this one away ends it.
      if (this.#isLeft) return connection
      this.#era = connection.facts.era
      await opened(connection, key)
      if (connection.isLost) throw new Error('it ended at once')
      slot.restarts.succeeded()
      if (this.#problem !== undefined) {
        const { id } = connector()
        log.info({ unit: id, good: true }, `Connector '${id}' works again`)
      }
      this.#problem = undefined
      began(connection)
      return connection
    } catch (error) {
      const { connection } = slot
      slot.connection = undefined
      // One of the other generation may have taken its place.
      this.#era = undefined
      if (!over.aborted && !this.#isLeft && this.#slots.get(key) === slot)
        this.#failed(key, slot, errorText(error), connection ?? slot.tried)
      slot.tried = undefined
      await connection?.close()
      throw error
    }
  }

  /** One start: at most as many as the machine has cores are under way, and its time counts from here. */
  async #start(key: string, slot: Slot): Promise<Connection> {
    const { connector, loginFor, startTimeoutMs, over, log, tap, notified, asked } = this.#options
    log.debug({ unit: connector().id }, `Connector '${connector().id}' is being started`)
    this.#login = loginFor(connector())
    return await started({
      connector: connector(),
      credentials: this.#login,
      session: key,
      known: this.#era,
      timeoutMs: startTimeoutMs,
      signal: over,
      client: slot.client,
      tap,
      events: {
        notified: (message) => notified(message, key),
        asked: (method, params, signal) => asked(key, method, params, signal),
      },
      lost: (connection, problem) => {
        if (slot.connection === connection) this.#lost(key, slot, problem)
      },
      failed: (connection) => {
        slot.tried = connection
      },
    })
  }

  /** Its process has ended, or its connection. */
  #lost(key: string, slot: Slot, problem: Error): void {
    const { connection } = slot
    slot.connection = undefined
    // A start that is under way fails by that.
    if (this.#options.over.aborted || this.#isLeft || slot.opening !== undefined) return
    this.#failed(key, slot, problem.message, connection)
  }

  #failed(key: string, slot: Slot, reason: string, connection: Connection | undefined): void {
    const { id, restart } = this.#options.connector()
    // The server may have had words for it itself.
    const why = redactPatterns(reason)
    if (this.isLoginNeeded) return this.#awaitLogin(why)
    const said = connection?.wireFacts().lastLines.slice(-keptLines).map(redactPatterns) ?? []
    const waitMs = slot.restarts.failed(restart, why, said)
    this.#problem = why
    const next = slot.restarts.isPaused
      ? `it has failed too often: restarts pause for ${waitMs / 1000} s`
      : waitMs === 0
        ? 'it is started again'
        : `next try in ${Math.ceil(waitMs / 1000)} s`
    const line = `Connector '${id}' failed: ${why}; ${next}`
    this.#options.log[waitMs === 0 ? 'warn' : 'error']({ unit: id }, line)
    this.#options.failed()
    if (key === sharedSession) this.#retryAfter(slot, waitMs)
  }

  /** Another try before a person has logged in is of no use; who asks meanwhile is told at once. */
  #awaitLogin(why: string): void {
    const { id } = this.#options.connector()
    if (why !== this.#problem) this.#options.log.warn({ unit: id }, `Connector '${id}' waits: ${why}`)
    this.#problem = why
    this.#options.failed()
  }

  /** What a call is told that cannot be taken: why it is down, and when it is tried again. */
  refusal(slot: Slot): UpstreamDown {
    return slot.refusal(this.#options.connector().id, this.#problem ?? 'it has failed')
  }

  /** Somebody has removed the cause of the failures: it is tried again now. */
  retry(): void {
    for (const slot of this.#slots.values()) slot.retry()
    const shared = this.#slots.get(sharedSession)
    if (shared !== undefined && this.#problem !== undefined) this.#retryAfter(shared, 0)
  }

  /** One that is to run is started again without being asked. */
  #retryAfter(slot: Slot, waitMs: number): void {
    if (this.#options.connector().start === 'boot')
      slot.startAfter(waitMs, () => void this.open().catch(() => {}))
  }

  /** Gives a connection to one call alone: the next call of this client gets another one. @returns what ends it. */
  setAside(session: string, connection: Connection): () => void {
    if (this.of(session) === connection) this.#slots.delete(session)
    this.#aside.add(connection)
    return () => {
      this.#aside.delete(connection)
      void connection.close()
    }
  }

  /** A client has left: a connection of its own is ended. */
  async sessionEnded(session: string): Promise<void> {
    const slot = this.#slots.get(session)
    if (session === sharedSession || slot === undefined) return
    this.#slots.delete(session)
    const connection = await slot.emptied()
    await connection?.close()
  }

  /** Ends connections that nobody uses, by the rules that the connector has now. */
  watchIdle(hasChanged = false): void {
    if (hasChanged) this.#watchNoMore()
    const { idleMs, isolation } = this.#options.connector()
    if ((idleMs === 0 && isolation === 'shared') || this.#idle !== undefined) return
    const everyMs = idleMs === 0 ? 15_000 : Math.max(50, Math.min(idleMs / 2, 15_000))
    this.#idle = setInterval(() => void this.#endIdle(), everyMs)
    this.#idle.unref()
  }

  #watchNoMore(): void {
    clearInterval(this.#idle)
    this.#idle = undefined
  }

  async #endIdle(): Promise<void> {
    const { connector, log } = this.#options
    for (const [key, slot] of this.#slots) {
      const { connection, usedAt } = slot
      const { id, idleMs } = connector()
      // A client without a session never says that it leaves.
      const limitMs = key === sharedSession ? idleMs : Math.min(idleMs || ownIdleMs, ownIdleMs)
      const isIdle = limitMs > 0 && monotonicMs() - usedAt > limitMs && this.#callsOn(connection) === 0
      if (connection === undefined && isIdle && key !== sharedSession && slot.opening === undefined)
        this.#slots.delete(key)
      if (connection === undefined || !isIdle) continue
      log.info({ unit: id }, `Connector '${id}' was ended: nobody has used it`)
      await this.#endOne(key, slot, connection)
    }
  }

  async #endOne(key: string, slot: Slot, connection: Connection): Promise<void> {
    slot.connection = undefined
    slot.restarts.rests()
    if (key !== sharedSession) this.#slots.delete(key)
    this.#options.rested()
    await connection.close()
  }

  /** Ends those without calls now. The next call opens one. */
  async rest(): Promise<void> {
    const idle = [...this.#slots].flatMap(([key, slot]) => {
      const { connection } = slot
      return connection === undefined || this.#callsOn(connection) > 0 ? [] : [{ key, slot, connection }]
    })
    await Promise.all(idle.map(({ key, slot, connection }) => this.#endOne(key, slot, connection)))
  }

  /** Requests of clients under way. */
  #callsOn(connection: Connection | undefined): number {
    return connection === undefined ? 0 : connection.inFlight - this.#options.ownRequestsOn(connection)
  }

  /** It takes no more calls, and ends when those that it has are over. */
  async leave(): Promise<void> {
    this.#isLeft = true
    this.#watchNoMore()
    const slots = [...this.#slots.values()]
    this.#slots.clear()
    await Promise.all(
      slots.map(async (slot) => {
        const connection = await slot.emptied()
        if (connection !== undefined) await this.#finish(connection)
      }),
    )
  }

  /** Ends a connection when the calls on it are over. */
  async #finish(connection: Connection): Promise<void> {
    this.#aside.add(connection)
    connection.endStreams()
    await connection.quiet(this.#options.connector().timeoutMs)
    this.#aside.delete(connection)
    await connection.close()
  }

  /** Ends all. Resolves when what they have started is gone. */
  async close(): Promise<void> {
    this.#watchNoMore()
    await Promise.all([...this.#aside].map((connection) => connection.close()))
    await Promise.all(
      [...this.#slots.values()].map(async (slot) => {
        const connection = await slot.emptied()
        await connection?.close()
      }),
    )
  }
}
