/**
 * upstream/: an MCP server behind the gateway, whatever its transport and generation.
 *
 *   Upstream (this file: its state, another configuration)
 *     -> Connections (connections.ts: on demand, again after a loss, idle end) -> Slot (slot.ts: one connection or the tries to have one)
 *     -> start.ts: one start
 *     -> Connection (connection.ts: numbers, who gets what; handshake.ts opens it, outgoing.ts and server-asks.ts are its two directions)
 *     -> Wire (wire.ts; stdio-wire.ts, http-wire.ts, sse-wire.ts: bytes) -> the server
 *
 * What it offers is read by offering.ts and kept while it sleeps (kept-offering.ts); what it tells unasked is following.ts's. A new transport
 * is a `Wire` and a line of `wireOf` in start.ts.
 */
import { isDeepStrictEqual } from 'node:util'
import type { ConnectorConfiguration } from '../../config/connector-configuration.ts'
import type { Log } from '../../log/index.ts'
import type { Message } from '../protocol/message.ts'
import type { MirroredParameter } from '../protocol/parameter-headers.ts'
import type { Tap } from '../tap/index.ts'
import type { CallingClient, ClientAnswer } from './call.ts'
import { CallHealth } from './call-health.ts'
import type { Connection } from './connection.ts'
import { Connections } from './connections.ts'
import type { UpstreamLogin } from './credentials.ts'
import { Following } from './following.ts'
import type { ServerFacts } from './handshake.ts'
import { KeptOffering, listsOf } from './kept-offering.ts'
import { emptyOffering, type ListKind, type Offering } from './offering.ts'
import type { Restarts } from './restarts.ts'
import { sharedSession, UpstreamDown } from './slot.ts'
import type { StartSlots } from './start-slots.ts'
import type { WireFacts } from './wire.ts'

/**
 * - `pending`: it is being started, or has not been yet.
 * - `ready`: it runs and has told what it offers.
 * - `idle`: it does not run, and is started when it is asked; what it offers is known.
 * - `error`: it could not be started, or has died.
 * - `awaiting-auth`: it wants a login of the gateway, and a person must log in first.
 * - `disabled`: its configuration says so.
 */
export type UpstreamState = 'pending' | 'ready' | 'idle' | 'error' | 'awaiting-auth' | 'disabled'

export interface UpstreamSurroundings {
  readonly log: Log
  readonly tap: Tap | undefined
  readonly slots: StartSlots
  /** What the gateway shows to the server of a connector; undefined = nothing. @throws MissingVariable */
  readonly loginFor: (connector: ConnectorConfiguration) => UpstreamLogin | undefined
  /** ms that a start may take, from its own turn on. */
  readonly startTimeoutMs: number
  /** Servers are started when it is settled. */
  readonly cleared: Promise<void>
  /** What it offered when it ran last; undefined = that is not known. */
  readonly remembered: (
    connector: ConnectorConfiguration,
  ) => { readonly facts: ServerFacts; readonly offering: Offering } | undefined
  /** What it offers, or whether it runs, has changed. `kinds`: the lists that are others now. */
  readonly changed: (upstream: Upstream, kinds: readonly ListKind[]) => void
  /** A notification that belongs to no call. @param session of the client whose own connection it came on. */
  readonly notified: (upstream: Upstream, message: Message, session: string) => void
  /** A request of it that belongs to no call; undefined = nobody is certainly meant. */
  readonly asked: (
    upstream: Upstream,
    session: string,
    method: string,
    params: string | undefined,
    signal: AbortSignal,
  ) => Promise<ClientAnswer> | undefined
}

/** What stands behind one connector, whichever server that is by its configuration now: its state, what it offers, and the way to it. */
export class Upstream {
  #connector: ConnectorConfiguration
  readonly #around: UpstreamSurroundings
  #connections: Connections
  /** To servers that were this connector's before, and finish their calls. */
  readonly #leaving = new Set<Connections>()
  readonly #over = new AbortController()
  /** Of clients, since the gateway has begun. */
  readonly calls = new CallHealth()
  readonly #offering: KeptOffering
  readonly #following: Following
  #facts: ServerFacts | undefined
  #isSettled = false
  readonly #settled: Promise<void>
  #settle: () => void = () => {}

  constructor(connector: ConnectorConfiguration, around: UpstreamSurroundings) {
    this.#connector = connector
    this.#around = around
    const remembered = around.remembered(connector)
    this.#facts = remembered?.facts
    this.#offering = new KeptOffering({
      connector: connector.id,
      log: around.log,
      hasHeaders: () => this.connector.transport.kind === 'http',
      remembered: remembered?.offering,
      inTime: () => AbortSignal.any([AbortSignal.timeout(this.connector.timeoutMs), this.#over.signal]),
      changed: (kinds) => around.changed(this, kinds),
    })
    this.#following = new Following(around.log, () => this.connector)
    this.#connections = this.#connect(around.cleared)
    this.#settled = new Promise((resolve) => {
      this.#settle = () => {
        this.#isSettled = true
        resolve()
      }
    })
  }

  /** The way to the server that is configured now. @param after settles when it may be started. */
  #connect(after: Promise<unknown>): Connections {
    const { log, tap, slots, startTimeoutMs, loginFor } = this.#around
    const connections: Connections = new Connections({
      connector: () => this.connector,
      log,
      tap,
      slots,
      loginFor,
      startTimeoutMs,
      after,
      over: this.#over.signal,
      ownRequestsOn: (connection) => (this.#following.isListeningOn(connection) ? 1 : 0),
      opened: async (connection, session) => {
        this.#facts = connection.facts
        if (!this.isKnown || session === sharedSession) await this.#offering.readAll(connection)
      },
      began: (connection) => {
        this.#following.began(connection)
        this.#settle()
      },
      failed: () => {
        this.#settle()
        this.#around.changed(this, [])
      },
      rested: () => this.#around.changed(this, []),
      notified: (message, session) => {
        const kinds = listsOf(message.method)
        if (kinds.length === 0) this.#around.notified(this, message, session)
        else this.#offering.outdated(kinds, () => connections.of(session))
      },
      asked: (...question) => this.#around.asked(this, ...question),
    })
    return connections
  }

  get connector(): ConnectorConfiguration {
    return this.#connector
  }

  get id(): string {
    return this.connector.id
  }

  get state(): UpstreamState {
    if (!this.connector.enabled) return 'disabled'
    if (this.problem !== undefined) return this.#connections.isLoginNeeded ? 'awaiting-auth' : 'error'
    if (!this.isKnown) return 'pending'
    const { connection, opening } = this.#connections.shared
    if (connection !== undefined) return 'ready'
    return opening === undefined ? 'idle' : 'pending'
  }

  /** Why its state is `error` or `awaiting-auth`. */
  get problem(): string | undefined {
    return this.#connections.problem
  }

  /** What it offered last; nothing while that is not known. */
  get offering(): Offering {
    return this.#offering.now ?? emptyOffering
  }

  get isKnown(): boolean {
    return this.#offering.now !== undefined
  }

  /** What it said of itself last. */
  get facts(): ServerFacts | undefined {
    return this.#facts
  }

  /** Of the connection that all share: failures, restarts after them, ms until the next start, and why it was not there last. */
  get restarts(): Pick<Restarts, 'count' | 'failures' | 'isPaused' | 'waitMs' | 'lastError'> {
    return this.#connections.shared.restarts
  }

  get inFlight(): number {
    return this.#connections.inFlight
  }

  wireFacts(): WireFacts {
    const none: WireFacts = { pid: null, junkLines: 0, lastLines: [] }
    return this.#connections.shared.connection?.wireFacts() ?? none
  }

  /** Resolves when its first start has succeeded or failed, at once when that is long ago. */
  settled(): Promise<void> {
    if (!this.#isSettled && this.connector.enabled) void this.connection().catch(() => {})
    return this.#settled
  }

  /**
   * The connection for a client, which is made when there is none. Where clients share one, it is the same for all.
   * @param client undefined = the one that all share.
   * @throws UpstreamDown
   */
  connection(client?: Pick<CallingClient, 'connection' | 'capabilities'>): Promise<Connection> {
    return this.#connections.open(client)
  }

  /** The arguments that a tool has repeated in headers, as its server says now. */
  async mirroredNow(connection: Connection, tool: string): Promise<readonly MirroredParameter[] | undefined> {
    await this.#offering.readTools(connection)
    const mirroring = this.offering.tools.find(({ key }) => key === tool)?.mirroring
    return mirroring?.ok === true ? mirroring.parameters : undefined
  }

  /**
   * Gives a connection to one call alone, where clients have connections of their own: the next call gets another one.
   * @returns what ends it; undefined = it stays where it is.
   */
  setAside(
    { connection: session }: Pick<CallingClient, 'connection'>,
    connection: Connection,
  ): (() => void) | undefined {
    if (this.connector.isolation === 'shared') return undefined
    return this.#connections.setAside(session, connection)
  }

  /**
   * Takes another configuration for the same connector.
   * @returns `restarted`: its server is another one. `changed`: it goes on under other rules.
   */
  reconfigure(connector: ConnectorConfiguration): 'same' | 'changed' | 'restarted' {
    const before = this.#connector
    if (isDeepStrictEqual(connector, before)) return 'same'
    this.#connector = connector
    const isSameServer =
      isDeepStrictEqual(connector.transport, before.transport) && connector.isolation === before.isolation
    if (!isSameServer) this.#startOver()
    else if (!isDeepStrictEqual(connector.tools, before.tools))
      this.#around.changed(this, ['tools', 'prompts'])
    this.#connections.watchIdle(true)
    if (isSameServer) this.begin()
    return isSameServer ? 'changed' : 'restarted'
  }

  /** Starts it where it is to run from the beginning, and does not. */
  begin(): void {
    if (this.#connector.enabled && this.#connector.start === 'boot') void this.connection().catch(() => {})
  }

  /** Its server is another one from now on: what runs finishes the calls that it has. */
  #startOver(): void {
    const before = this.#connections
    const isIdle = before.isQuiet
    this.#following.forget()
    const left = this.#leave(before)
    // Two of the same kind may need the same port or file: one that has nothing to finish ends first.
    const after = Promise.all([this.#around.cleared, isIdle ? left : undefined])
    this.#connections = this.#connect(after)
    void after.then(() => this.begin())
  }

  async #leave(connections: Connections): Promise<void> {
    this.#leaving.add(connections)
    await connections.leave()
    this.#leaving.delete(connections)
  }

  /** It is no longer configured: takes no more calls, and ends when those that it has are over. */
  async leave(): Promise<void> {
    this.#over.abort(new UpstreamDown(this.id, 'it is no longer configured'))
    this.#settle()
    await this.#leave(this.#connections)
  }

  /** What a call is told that cannot be taken: why it is down, and when it is tried again. */
  refusal(): UpstreamDown {
    return this.#connections.refusal(this.#connections.shared)
  }

  /** Passes a notification of a client on, when the server runs. */
  tell(session: string, method: string): void {
    const connection = this.#running(session)
    if (connection?.facts.era === 'legacy') connection.notify(method)
  }

  /** The level of log messages that it is to send from now on, where it has such. */
  setLevel(session: string, level: string): void {
    this.#following.setLevel(level, this.#running(session))
  }

  #running(session: string): Connection | undefined {
    return this.#connections.of(this.connector.isolation === 'shared' ? sharedSession : session)
  }

  /** A client wants to hear when a resource changes. @returns what ends that. */
  follow(uri: string): Promise<() => void> {
    const running = () => this.#connections.of(sharedSession)
    return this.#following.follow(uri, () => this.connection(), running)
  }

  /** A client wants to hear how a task stands. @returns what ends that. */
  followTask(id: string): () => void {
    return this.#following.followTask(id, () => this.#running(sharedSession))
  }

  /** Somebody has removed the cause of its failures: it is tried again now. */
  retry(): void {
    this.#connections.retry()
  }

  /** Its server ends, where no calls are under way; the next call starts it. */
  rest(): Promise<void> {
    return this.#connections.rest()
  }

  /** A client has left: a connection of its own is ended. */
  sessionEnded(session: string): Promise<void> {
    return this.#connections.sessionEnded(session)
  }

  /** Ends it for good. Resolves when what it has started is gone. */
  async close(): Promise<void> {
    if (!this.#over.signal.aborted) this.#over.abort(new UpstreamDown(this.id, 'the gateway ends'))
    this.#settle()
    await Promise.all([this.#connections, ...this.#leaving].map((connections) => connections.close()))
  }
}
