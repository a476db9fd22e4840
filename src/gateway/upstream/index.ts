/**
 * upstream/: an MCP server behind the gateway, whatever its transport and generation.
 *
 *   Upstream (this file: on demand, single start, back-off, idle end)
 *     -> Connection (connection.ts: numbers, who gets what; handshake.ts opens it, outgoing.ts and server-asks.ts are its two directions)
 *     -> Wire (wire.ts; stdio-wire.ts, http-wire.ts, sse-wire.ts: bytes) -> the server
 *
 * What it offers is read by offering.ts and kept while it sleeps. A new transport is a `Wire` and a line of `wireOf` below.
 */
import { isDeepStrictEqual } from 'node:util'
import type { ConnectorConfiguration } from '../../config/connector-configuration.ts'
import { withVariables } from '../../config/variables.ts'
import type { Log } from '../../log/index.ts'
import { redactPatterns } from '../../log/redaction.ts'
import { monotonicMs } from '../../os/clock.ts'
import { errorText } from '../../os/failure.ts'
import type { Message } from '../protocol/message.ts'
import type { Era } from '../protocol/revisions.ts'
import type { CallingClient, ClientAnswer } from './call.ts'
import { Connection, ConnectionLost } from './connection.ts'
import type { ServerFacts } from './handshake.ts'
import { httpWire } from './http-wire.ts'
import { markOf } from './leftovers.ts'
import { allListKinds, emptyOffering, type ListKind, listOf, type Offering } from './offering.ts'
import { type LastError, Restarts } from './restarts.ts'
import { sseWire } from './sse-wire.ts'
import type { StartSlots } from './start-slots.ts'
import { stdioWire } from './stdio-wire.ts'
import type { Wire, WireEvents, WireFacts } from './wire.ts'

/**
 * - `pending`: it is being started, or has not been yet.
 * - `ready`: it runs and has told what it offers.
 * - `idle`: it does not run, and is started when it is asked; what it offers is known.
 * - `error`: it could not be started, or has died.
 * - `disabled`: its configuration says so.
 */
export type UpstreamState = 'pending' | 'ready' | 'idle' | 'error' | 'disabled'

export interface UpstreamSurroundings {
  readonly log: Log
  readonly slots: StartSlots
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

/** ms until the next start that a call waits for; when it takes longer, the call is refused at once. */
const patienceMs = 2000

/** Lines of stderr that are kept with an error. */
const keptLines = 10

/** ms without a request after which a client's own connection is ended. */
const ownIdleMs = 5 * 60_000

/** The connection that all clients share. */
export const sharedSession = ''

/** A server cannot be used now. The message names it and says why. */
export class UpstreamDown extends Error {
  readonly connector: string
  /** ms until it is tried again, where that is known. */
  readonly waitMs: number | undefined

  constructor(connector: string, why: string, waitMs?: number) {
    super(`connector '${connector}' is not available: ${why}`)
    this.connector = connector
    this.waitMs = waitMs
  }
}

/** A connection, or the tries to have one. */
interface Slot {
  connection: Connection | undefined
  opening: Promise<Connection> | undefined
  readonly restarts: Restarts
  /** Monotonic ms. */
  usedAt: number
  retry: NodeJS.Timeout | undefined
  /** Ends its wait for the next start; undefined = it waits for none. */
  resume: (() => void) | undefined
  /** Whose it is; undefined = everybody's. */
  client: Pick<CallingClient, 'capabilities'> | undefined
}

export class Upstream {
  #connector: ConnectorConfiguration
  readonly #around: UpstreamSurroundings
  readonly #slots = new Map<string, Slot>()
  readonly #over = new AbortController()
  #offering: Offering | undefined
  #reading: Promise<void> | undefined
  /** Lists that have changed while others were read. */
  readonly #outdated = new Set<ListKind>()
  #era: Era | undefined
  #facts: ServerFacts | undefined
  #problem: string | undefined
  #isSettled = false
  readonly #settled: Promise<void>
  #settle: () => void = () => {}
  #idle: NodeJS.Timeout | undefined
  /** Resources that clients follow, with how many do. */
  readonly #followed = new Map<string, number>()
  /** Connections that one call has for itself. */
  readonly #aside = new Set<Connection>()
  #listening: AbortController | undefined
  #listeningOn: Connection | undefined
  #level: string | undefined
  /** Of the last start that failed. */
  #lastTried: Connection | undefined
  /** Rises when its server becomes another one. */
  #version = 0
  /** Settles when what must end before the next start has ended. */
  #left: Promise<void> = Promise.resolve()

  constructor(connector: ConnectorConfiguration, around: UpstreamSurroundings) {
    this.#connector = connector
    this.#around = around
    const remembered = around.remembered(connector)
    this.#offering = remembered?.offering
    this.#facts = remembered?.facts
    this.#settled = new Promise((resolve) => {
      this.#settle = () => {
        this.#isSettled = true
        resolve()
      }
    })
  }

  get connector(): ConnectorConfiguration {
    return this.#connector
  }

  get id(): string {
    return this.connector.id
  }

  get state(): UpstreamState {
    if (!this.connector.enabled) return 'disabled'
    if (this.#problem !== undefined) return 'error'
    if (this.#offering === undefined) return 'pending'
    const { connection, opening } = this.#slots.get(sharedSession) ?? {}
    if (connection !== undefined) return 'ready'
    return opening === undefined ? 'idle' : 'pending'
  }

  /** Why its state is `error`. */
  get problem(): string | undefined {
    return this.#problem
  }

  /** What it offered last; nothing while that is not known. */
  get offering(): Offering {
    return this.#offering ?? emptyOffering
  }

  get isKnown(): boolean {
    return this.#offering !== undefined
  }

  /** What it said of itself last. */
  get facts(): ServerFacts | undefined {
    return this.#facts
  }

  /** Of the connection that all share: restarts after failures, ms until the next start, and why it was not there last. */
  get restarts(): {
    readonly count: number
    readonly waitMs: number
    readonly lastError: LastError | undefined
  } {
    return this.#slotOf(sharedSession).restarts
  }

  get inFlight(): number {
    return [...this.#slots.values()].reduce((sum, { connection }) => sum + (connection?.inFlight ?? 0), 0)
  }

  wireFacts(): WireFacts {
    const none: WireFacts = { pid: null, junkLines: 0, lastLines: [] }
    return this.#slots.get(sharedSession)?.connection?.wireFacts() ?? none
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
  async connection(client?: Pick<CallingClient, 'connection' | 'capabilities'>): Promise<Connection> {
    const isOwn = client !== undefined && this.connector.isolation === 'session'
    const key = isOwn ? client.connection : sharedSession
    const slot = this.#slotOf(key)
    if (isOwn) slot.client = client
    slot.usedAt = monotonicMs()
    this.#watchIdle()
    if (slot.connection !== undefined && !slot.connection.isLost) return slot.connection
    if (!this.connector.enabled) throw new UpstreamDown(this.id, 'it is disabled')
    if (this.#over.signal.aborted) throw this.#over.signal.reason
    if (slot.restarts.waitMs > patienceMs) throw this.#refusalOf(slot)
    slot.opening ??= this.#open(key, slot).finally(() => {
      slot.opening = undefined
    })
    try {
      return await slot.opening
    } catch (error) {
      throw error instanceof UpstreamDown
        ? error
        : new UpstreamDown(this.id, errorText(error), slot.restarts.waitMs)
    }
  }

  /**
   * Gives a connection to one call alone, where clients have connections of their own: the next call gets another one.
   * @returns what ends it; undefined = it stays where it is.
   */
  setAside(
    { connection: key }: Pick<CallingClient, 'connection'>,
    connection: Connection,
  ): (() => void) | undefined {
    if (this.connector.isolation === 'shared') return undefined
    if (this.#slots.get(key)?.connection === connection) this.#slots.delete(key)
    this.#aside.add(connection)
    return () => {
      this.#aside.delete(connection)
      void connection.close()
    }
  }

  /**
   * Takes another configuration for the same connector.
   * @returns `restarted`: its server is another one. `changed`: it goes on under other rules.
   */
  reconfigure(connector: ConnectorConfiguration): 'same' | 'changed' | 'restarted' {
    const before = this.#connector
    if (isDeepStrictEqual(connector, before)) return 'same'
    this.#connector = connector
    clearInterval(this.#idle)
    this.#idle = undefined
    const isSameServer =
      isDeepStrictEqual(connector.transport, before.transport) && connector.isolation === before.isolation
    if (!isSameServer) this.#startOver()
    else if (!isDeepStrictEqual(connector.tools, before.tools))
      this.#around.changed(this, ['tools', 'prompts'])
    this.#watchIdle()
    if (isSameServer) this.begin()
    return isSameServer ? 'changed' : 'restarted'
  }

  /** Starts it where it is to run from the beginning, and does not. */
  begin(): void {
    if (this.#connector.enabled && this.#connector.start === 'boot') void this.connection().catch(() => {})
  }

  /** Its server is another one from now on: what runs finishes the calls that it has. */
  #startOver(): void {
    this.#version++
    this.#era = undefined
    this.#problem = undefined
    const slots = [...this.#slots.values()]
    const isIdle = slots.every(({ connection }) => this.#callsOn(connection) === 0)
    this.#slots.clear()
    this.#listeningOn = undefined
    const leaving = slots.map(async (slot) => {
      clearTimeout(slot.retry)
      const connection = slot.connection ?? (await slot.opening?.catch(() => undefined))
      slot.connection = undefined
      if (connection !== undefined) await this.#finish(connection)
    })
    // Two of the same kind may need the same port or file: one that has nothing to finish ends first.
    this.#left = isIdle ? Promise.all(leaving).then(() => {}) : Promise.resolve()
    void this.#left.then(() => this.begin())
  }

  /** Ends a connection when the calls on it are over. */
  async #finish(connection: Connection): Promise<void> {
    this.#aside.add(connection)
    connection.endStreams()
    await connection.quiet(this.#connector.timeoutMs)
    this.#aside.delete(connection)
    await connection.close()
  }

  /** It is no longer configured: takes no more calls, and ends when those that it has are over. */
  async leave(): Promise<void> {
    this.#over.abort(new UpstreamDown(this.id, 'it is no longer configured'))
    clearInterval(this.#idle)
    this.#settle()
    const slots = [...this.#slots.values()]
    this.#slots.clear()
    await Promise.all(
      slots.map(async (slot) => {
        clearTimeout(slot.retry)
        const connection = slot.connection ?? (await slot.opening?.catch(() => undefined))
        slot.connection = undefined
        if (connection !== undefined) await this.#finish(connection)
      }),
    )
  }

  /** What a call is told that cannot be taken: why it is down, and when it is tried again. */
  refusal(): UpstreamDown {
    return this.#refusalOf(this.#slotOf(sharedSession))
  }

  #refusalOf({ restarts: { waitMs, isPaused } }: Slot): UpstreamDown {
    const why = this.#problem ?? 'it has failed'
    if (waitMs === 0) return new UpstreamDown(this.id, why, waitMs)
    const often = isPaused ? 'it has failed too often, and restarts pause; ' : ''
    const when = `${often}it is tried again in ${Math.ceil(waitMs / 1000)} s`
    return new UpstreamDown(this.id, `${why}; ${when}`, waitMs)
  }

  #slotOf(key: string): Slot {
    const known = this.#slots.get(key)
    if (known !== undefined) return known
    const slot: Slot = {
      connection: undefined,
      opening: undefined,
      restarts: new Restarts(),
      usedAt: monotonicMs(),
      retry: undefined,
      resume: undefined,
      client: undefined,
    }
    this.#slots.set(key, slot)
    return slot
  }

  async #open(key: string, slot: Slot): Promise<Connection> {
    try {
      const version = this.#version
      await Promise.all([this.#around.cleared, this.#left])
      await this.#pause(slot)
      slot.restarts.begins()
      const connection = await this.#around.slots.run(() => this.#start(key, slot), this.#over.signal)
      slot.connection = connection
      // Its server is another one by now; who takes this one away ends it.
      if (version !== this.#version) return connection
      this.#facts = connection.facts
      if (this.#offering === undefined || key === sharedSession) await this.#readAll(connection)
      if (connection.isLost) throw new Error('it ended at once')
      slot.restarts.succeeded()
      const wasDown = this.#problem !== undefined
      this.#problem = undefined
      this.#follow(connection)
      if (wasDown) this.#around.log.info({ unit: this.id, good: true }, `Connector '${this.id}' works again`)
      this.#settle()
      return connection
    } catch (error) {
      const { connection } = slot
      slot.connection = undefined
      if (!this.#over.signal.aborted && this.#slots.get(key) === slot)
        this.#failed(key, slot, errorText(error), connection ?? this.#lastTried)
      await connection?.close()
      throw error
    }
  }

  /** Has the server tell of its lists and of the resources that clients follow. */
  #follow(connection: Connection): void {
    if (connection.facts.era === 'modern') return this.#listen(connection)
    this.#tellLevel(connection)
    for (const uri of this.#followed.keys()) this.#tellFollowed(connection, 'resources/subscribe', uri)
  }

  /** One stream for everything; another one with more URIs takes its place. */
  #listen(connection: Connection): void {
    const uris = [...this.#followed.keys()]
    const notifications = {
      toolsListChanged: true,
      promptsListChanged: true,
      resourcesListChanged: true,
      ...(uris.length === 0 ? {} : { resourceSubscriptions: uris }),
    }
    const before = this.#listening
    const listening = new AbortController()
    this.#listening = listening
    this.#listeningOn = connection
    connection
      .ask('subscriptions/listen', { notifications }, listening.signal)
      .then(
        () => {},
        // It has no such streams, or the connection has gone.
        () => {},
      )
      .finally(() => {
        if (this.#listeningOn === connection && this.#listening === listening) this.#listeningOn = undefined
      })
    before?.abort()
  }

  #tellFollowed(connection: Connection, method: string, uri: string): void {
    const signal = AbortSignal.timeout(this.connector.timeoutMs)
    connection.ask(method, { uri }, signal).catch((error: unknown) => {
      this.#around.log.warn(
        { unit: this.id },
        `Connector '${this.id}' refused ${method}: ${errorText(error)}`,
      )
    })
  }

  /** Passes a notification of a client on, when the server runs. */
  tell(session: string, method: string): void {
    const connection = this.#running(session)
    if (connection?.facts.era === 'legacy') connection.notify(method)
  }

  /** The level of log messages that it is to send from now on, where it has such. */
  setLevel(session: string, level: string): void {
    this.#level = level
    const connection = this.#running(session)
    if (connection !== undefined) this.#tellLevel(connection)
  }

  #running(session: string): Connection | undefined {
    return this.#slots.get(this.connector.isolation === 'shared' ? sharedSession : session)?.connection
  }

  #tellLevel(connection: Connection): void {
    const { era, capabilities } = connection.facts
    if (this.#level === undefined || era === 'modern' || capabilities.logging === undefined) return
    const signal = AbortSignal.timeout(this.connector.timeoutMs)
    connection.ask('logging/setLevel', { level: this.#level }, signal).catch(() => {})
  }

  /** A client wants to hear when a resource changes. @returns what ends that. */
  async follow(uri: string): Promise<() => void> {
    const count = this.#followed.get(uri) ?? 0
    this.#followed.set(uri, count + 1)
    const connection = await this.connection()
    if (count === 0) {
      if (connection.facts.era === 'modern') this.#listen(connection)
      else await connection.ask('resources/subscribe', { uri }, AbortSignal.timeout(this.connector.timeoutMs))
    }
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      const left = (this.#followed.get(uri) ?? 1) - 1
      if (left > 0) return void this.#followed.set(uri, left)
      this.#followed.delete(uri)
      const now = this.#slots.get(sharedSession)?.connection
      if (now === undefined) return
      if (now.facts.era === 'modern') this.#listen(now)
      else this.#tellFollowed(now, 'resources/unsubscribe', uri)
    }
  }

  /** One start: at most as many as the machine has cores are under way, and its time counts from here. */
  async #start(key: string, slot: Slot): Promise<Connection> {
    const timeout = AbortSignal.timeout(this.#around.startTimeoutMs)
    const signal = AbortSignal.any([timeout, this.#over.signal])
    const begin = async (known: Era | undefined) => {
      const connection: Connection = new Connection((events) => this.#wireOf(key, events), {
        notified: (message) => this.#notified(message, key),
        asked: (method, params, over) => this.#around.asked(this, key, method, params, over),
        closed: (problem) => {
          if (slot.connection === connection) this.#lost(key, slot, problem)
        },
      })
      try {
        this.#era = (await connection.shakeHands(known, signal, slot.client)).era
        return connection
      } catch (error) {
        const said = connection.wireFacts().lastLines.slice(-3)
        this.#lastTried = connection
        await connection.close()
        if (!timeout.aborted) throw error
        const words = said.length === 0 ? '' : `; it said last: ${said.join(' | ')}`
        throw new Error(`it did not answer within ${this.#around.startTimeoutMs / 1000} s${words}`)
      }
    }
    try {
      return await begin(this.#era)
    } catch (error) {
      // Some servers end at a request that they do not know before `initialize`; one may have been replaced by one of the other generation.
      if (signal.aborted || this.#era === 'legacy' || !(error instanceof ConnectionLost)) throw error
      return await begin('legacy')
    }
  }

  #wireOf(key: string, events: WireEvents): Wire {
    const { transport } = this.connector
    switch (transport.kind) {
      case 'stdio':
        return stdioWire(transport, markOf(this.id, key), events)
      case 'http':
        return httpWire(...this.#place(transport), events)
      case 'sse':
        return sseWire(...this.#place(transport), events)
    }
  }

  /** @throws MissingVariable */
  #place({ url, headers }: { readonly url: string; readonly headers: Readonly<Record<string, string>> }) {
    const resolved = (text: string) => withVariables(text, process.env, process.cwd())
    const own = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), resolved(value)])
    return [resolved(url), Object.fromEntries(own) as Readonly<Record<string, string>>] as const
  }

  #failed(key: string, slot: Slot, reason: string, connection: Connection | undefined): void {
    // The server may have had words for it itself.
    const why = redactPatterns(reason)
    const said = connection?.wireFacts().lastLines.slice(-keptLines).map(redactPatterns) ?? []
    const waitMs = slot.restarts.failed(this.#connector.restart, why, said)
    this.#problem = why
    const next = slot.restarts.isPaused
      ? `it has failed too often: restarts pause for ${waitMs / 1000} s`
      : waitMs === 0
        ? 'it is started again'
        : `next try in ${Math.ceil(waitMs / 1000)} s`
    const line = `Connector '${this.id}' failed: ${why}; ${next}`
    this.#around.log[waitMs === 0 ? 'warn' : 'error']({ unit: this.id }, line)
    this.#settle()
    this.#around.changed(this, [])
    if (key === sharedSession) this.#retryAfter(slot, waitMs)
  }

  /** Somebody has removed the cause of its failures: it is tried again now. */
  retry(): void {
    for (const slot of this.#slots.values()) {
      slot.restarts.retry()
      slot.resume?.()
    }
    const shared = this.#slots.get(sharedSession)
    if (shared !== undefined && this.#problem !== undefined) this.#retryAfter(shared, 0)
  }

  /** Waits until its next start may be. */
  #pause(slot: Slot): Promise<void> {
    const { waitMs } = slot.restarts
    if (waitMs === 0) return Promise.resolve()
    const { signal } = this.#over
    return new Promise((resolve) => {
      const over = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', over)
        slot.resume = undefined
        resolve()
      }
      const timer = setTimeout(over, waitMs)
      slot.resume = over
      signal.addEventListener('abort', over, { once: true })
    })
  }

  /** One that is to run is started again without being asked. */
  #retryAfter(slot: Slot, waitMs: number): void {
    clearTimeout(slot.retry)
    if (this.connector.start !== 'boot') return
    slot.retry = setTimeout(() => void this.connection().catch(() => {}), waitMs + 1)
  }

  /** Its process has ended, or its connection. */
  #lost(key: string, slot: Slot, problem: Error): void {
    const { connection } = slot
    slot.connection = undefined
    // A start that is under way fails by that.
    if (this.#over.signal.aborted || slot.opening !== undefined) return
    this.#failed(key, slot, problem.message, connection)
  }

  async #readAll(connection: Connection): Promise<void> {
    const signal = AbortSignal.any([AbortSignal.timeout(this.connector.timeoutMs), this.#over.signal])
    const lists = await Promise.all(
      allListKinds.map(async (kind) => [kind, await listOf(connection, kind, signal)]),
    )
    const before = this.#offering
    this.#offering = Object.fromEntries(lists) as unknown as Offering
    const offering = this.#offering
    const changed = allListKinds.filter((kind) => !isSameList(before?.[kind] ?? [], offering[kind]))
    this.#around.changed(this, changed)
  }

  #notified(message: Message, key: string): void {
    const kinds = listsOf(message.method)
    if (kinds.length === 0) return this.#around.notified(this, message, key)
    for (const kind of kinds) this.#outdated.add(kind)
    this.#reading ??= this.#readOutdated(key).finally(() => {
      this.#reading = undefined
    })
  }

  async #readOutdated(key: string): Promise<void> {
    try {
      while (this.#outdated.size > 0) {
        const kinds = [...this.#outdated]
        this.#outdated.clear()
        const connection = this.#slots.get(key)?.connection
        if (connection === undefined) return
        const signal = AbortSignal.any([AbortSignal.timeout(this.connector.timeoutMs), this.#over.signal])
        const lists = await Promise.all(
          kinds.map(async (kind) => [kind, await listOf(connection, kind, signal)]),
        )
        this.#offering = { ...this.offering, ...(Object.fromEntries(lists) as Partial<Offering>) }
        this.#around.changed(this, kinds)
      }
    } catch (error) {
      this.#around.log.warn(
        { unit: this.id },
        `Connector '${this.id}' said that a list has changed, but the gateway could not read the new list: ${errorText(error)}`,
      )
    }
  }

  /** A client has left: a connection of its own is ended. */
  async sessionEnded(session: string): Promise<void> {
    const slot = this.#slots.get(session)
    if (session === sharedSession || slot === undefined) return
    this.#slots.delete(session)
    const connection = slot.connection ?? (await slot.opening?.catch(() => undefined))
    slot.connection = undefined
    await connection?.close()
  }

  #watchIdle(): void {
    const { idleMs, isolation } = this.connector
    if ((idleMs === 0 && isolation === 'shared') || this.#idle !== undefined) return
    const everyMs = idleMs === 0 ? 15_000 : Math.max(50, Math.min(idleMs / 2, 15_000))
    this.#idle = setInterval(() => void this.#endIdle(), everyMs)
    this.#idle.unref()
  }

  async #endIdle(): Promise<void> {
    for (const [key, slot] of this.#slots) {
      const { connection, usedAt } = slot
      const { idleMs } = this.connector
      // A client without a session never says that it leaves.
      const limitMs = key === sharedSession ? idleMs : Math.min(idleMs || ownIdleMs, ownIdleMs)
      const isIdle = limitMs > 0 && monotonicMs() - usedAt > limitMs && this.#callsOn(connection) === 0
      if (connection === undefined && isIdle && key !== sharedSession && slot.opening === undefined)
        this.#slots.delete(key)
      if (connection === undefined || !isIdle) continue
      slot.connection = undefined
      slot.restarts.rests()
      if (key !== sharedSession) this.#slots.delete(key)
      this.#around.log.info({ unit: this.id }, `Connector '${this.id}' was ended: nobody has used it`)
      this.#around.changed(this, [])
      await connection.close()
    }
  }

  /** Requests under way, but for the stream of changes. */
  #callsOn(connection: Connection | undefined): number {
    return (
      (connection?.inFlight ?? 0) - (connection !== undefined && connection === this.#listeningOn ? 1 : 0)
    )
  }

  /** Ends it for good. Resolves when what it has started is gone. */
  async close(): Promise<void> {
    if (!this.#over.signal.aborted) this.#over.abort(new UpstreamDown(this.id, 'the gateway ends'))
    clearInterval(this.#idle)
    this.#settle()
    await Promise.all([...this.#aside].map((connection) => connection.close()))
    await Promise.all(
      [...this.#slots.values()].map(async (slot) => {
        clearTimeout(slot.retry)
        const connection = slot.connection ?? (await slot.opening?.catch(() => undefined))
        slot.connection = undefined
        await connection?.close()
      }),
    )
  }
}

function isSameList(one: Offering[ListKind], other: Offering[ListKind]): boolean {
  return one.length === other.length && one.every(({ text }, index) => text === other[index]?.text)
}

/** The lists that a notification says have changed. */
function listsOf(method: string | undefined): readonly ListKind[] {
  switch (method) {
    case 'notifications/tools/list_changed':
      return ['tools']
    case 'notifications/prompts/list_changed':
      return ['prompts']
    case 'notifications/resources/list_changed':
      return ['resources', 'resourceTemplates']
    default:
      return []
  }
}
