/** `/mcp` on the HTTP address of the monitor. Who calls has been let in by the server room; what he may order is checked by `orders/`. */
import { randomUUID } from 'node:crypto'
import {
  type AuthInfo,
  createMcpHandler,
  InMemoryServerEventBus,
  isInitializeRequest,
  isLegacyRequest,
  type McpHttpHandler,
  type ServerEventBus,
  WebStandardStreamableHTTPServerTransport,
} from '@modelcontextprotocol/server'
import { carryOut, orders, ordersOf } from '../../orders/index.ts'
import type { OrderedMonitor } from '../../orders/monitor.ts'
import { type Order, refused } from '../../orders/order.ts'
import { type Principal, seenBy } from '../../orders/principal.ts'
import type { JournalEntry } from '../../record/shapes/journal.ts'
import type { McpHandler } from '../routes.ts'
import { ChangeFollower } from './changes.ts'
import { mcpServer } from './index.ts'
import { ListenedUris, listenedIn } from './listened-uris.ts'
import { isResource } from './resources.ts'
import type { GivenCall, OrderRoad } from './road.ts'
import { Traffic } from './traffic.ts'

/** Sessions of one key at once, on the older protocol; one more ends the one that was used least recently. */
const mostSessions = 32

/** Bytes of a request that begins a session: what a client says of itself there is kept for as long as the session is. */
const mostOpeningBytes = 64 * 1024

/** ms after which a session ends that nobody uses. Its client begins a new one when it comes back. */
const idleMs = 30 * 60_000

/** Streams of one key at once, on the new protocol. */
const mostStreams = 32

/** URIs that streams may name before the first one is open. */
const mostUris = 100

/** Orders of one key that may take long, under way at once. On the older protocol a call goes on when its client has left. */
const mostOrders = 32

/** ms between two looks for what is idle, and whose key is no longer valid. */
const sweepEveryMs = 15_000

/** Makes the handler. Each key has an endpoint of its own, so that none sees what another one does. */
export function mcpHandler(monitor: () => OrderedMonitor): McpHandler {
  const endpoints = new Map<string, Endpoint>()
  const isValid = (key: string | null) => key === null || monitor().keys().valid(key) !== undefined
  const sweep = () => {
    for (const [key, endpoint] of endpoints) {
      endpoint.endIdle()
      if (isValid(endpoint.key) && endpoint.isUsed) continue
      endpoints.delete(key)
      endpoint.close()
    }
    if (endpoints.size > 0) return
    clearInterval(sweeping)
    sweeping = undefined
  }
  let sweeping: NodeJS.Timeout | undefined
  return (request, principal) => {
    const key = principal.key ?? ''
    const endpoint = endpoints.get(key) ?? new Endpoint(monitor, principal)
    endpoints.set(key, endpoint)
    sweeping ??= setInterval(sweep, sweepEveryMs).unref()
    return endpoint.answer(request, principal)
  }
}

/** Orders in this process, as a principal. */
class PrincipalRoad implements OrderRoad {
  readonly #monitor: () => OrderedMonitor
  principal: Principal
  /** Of all roads of the key. */
  readonly #underWay: { count: number }

  constructor(monitor: () => OrderedMonitor, principal: Principal, underWay: { count: number }) {
    this.#monitor = monitor
    this.principal = principal
    this.#underWay = underWay
  }

  allows(order: Order): boolean {
    return ordersOf(this.principal).includes(order)
  }

  async give(order: string, input: Readonly<Record<string, unknown>>, { signal, onEvent }: GivenCall) {
    const caller = { monitor: this.#monitor(), principal: this.principal, gone: signal, emit: onEvent }
    const isLong = order === 'wait' || orders.some(({ name, changes }) => name === order && changes)
    if (!isLong) return carryOut(order, input, caller)
    if (this.#underWay.count >= mostOrders) {
      return refused('busy', `${mostOrders} orders of this key are under way`, 'wait until one has ended')
    }
    this.#underWay.count++
    try {
      return await carryOut(order, input, caller)
    } finally {
      this.#underWay.count--
    }
  }

  follow(seen: (entry: JournalEntry) => void): () => void {
    return seenBy(this.#monitor(), this.principal).follow(seen)
  }
}

/** A connection of the older protocol. */
interface Session {
  readonly transport: WebStandardStreamableHTTPServerTransport
  readonly road: PrincipalRoad
  usedAt: number
}

/** What one key has open. */
class Endpoint {
  readonly key: string | null
  readonly #monitor: () => OrderedMonitor
  readonly #traffic = new Traffic()
  readonly #underWay = { count: 0 }
  readonly #sessions = new Map<string, Session>()
  readonly #modern: McpHttpHandler
  readonly #bus: ToldBus
  #usedAt = performance.now()

  constructor(monitor: () => OrderedMonitor, { key, ...principal }: Principal) {
    this.key = key
    this.#monitor = monitor
    const road = new PrincipalRoad(monitor, { key, ...principal }, this.#underWay)
    this.#bus = new ToldBus(road)
    this.#modern = createMcpHandler(
      ({ authInfo }) => {
        // Each request of the new protocol stands alone, and comes from an address of its own.
        const { principal: caller } = (authInfo as AuthInfo).extra as { readonly principal: Principal }
        const own = new PrincipalRoad(monitor, caller, this.#underWay)
        return mcpServer({ road: own, traffic: this.#traffic, era: 'modern' })
      },
      { legacy: 'reject', bus: this.#bus, maxSubscriptions: mostStreams },
    )
  }

  /** Something is open, or was used lately. */
  get isUsed(): boolean {
    return this.#sessions.size > 0 || this.#bus.isFollowed || performance.now() - this.#usedAt < idleMs
  }

  async answer(request: Request, principal: Principal): Promise<Response> {
    this.#usedAt = performance.now()
    if (await isLegacyRequest(request)) return this.#answerLegacy(request, principal)
    if (request.headers.get('mcp-method') === 'subscriptions/listen')
      this.#bus.watch(await listenedBy(request))
    const authInfo = { token: '', clientId: principal.actor.user, scopes: [], extra: { principal } }
    return this.#modern.fetch(request, { authInfo })
  }

  async #answerLegacy(request: Request, principal: Principal): Promise<Response> {
    const id = request.headers.get('mcp-session-id')
    if (id !== null) {
      const session = this.#sessions.get(id)
      // The client begins a new session, as it does after a restart of the monitor.
      if (session === undefined) return problem(404, -32_001, 'Session not found')
      session.usedAt = performance.now()
      session.road.principal = principal
      return session.transport.handleRequest(request)
    }
    const opening = request.method === 'POST' ? await openingOf(request) : undefined
    if (opening === undefined) return problem(400, -32_000, 'Bad Request: Mcp-Session-Id header is required')
    if (opening.bytes > mostOpeningBytes)
      return problem(413, -32_600, `initialize takes ${mostOpeningBytes} bytes at most`)
    return (await this.#newSession(principal)).handleRequest(request)
  }

  async #newSession(principal: Principal): Promise<WebStandardStreamableHTTPServerTransport> {
    const road = new PrincipalRoad(this.#monitor, principal, this.#underWay)
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => {
        if (this.#sessions.size >= mostSessions) this.#endOldest()
        this.#sessions.set(id, { transport, road, usedAt: performance.now() })
      },
      onsessionclosed: (id) => void this.#sessions.delete(id),
    })
    const server = mcpServer({ road, traffic: this.#traffic, era: 'legacy', listened: new ListenedUris() })
    await server.connect(transport)
    return transport
  }

  #endOldest(): void {
    const [oldest] = [...this.#sessions].sort(([, a], [, b]) => a.usedAt - b.usedAt)
    if (oldest !== undefined) this.#end(...oldest)
  }

  #end(id: string, { transport }: Session): void {
    this.#sessions.delete(id)
    void transport.close()
  }

  endIdle(): void {
    for (const [id, session] of this.#sessions) {
      if (performance.now() - session.usedAt > idleMs) this.#end(id, session)
    }
  }

  close(): void {
    for (const [id, session] of this.#sessions) this.#end(id, session)
    void this.#modern.close()
  }
}

/** The bus of streams of the new protocol. It follows the monitor only while a stream is open. */
class ToldBus implements ServerEventBus {
  readonly #bus = new InMemoryServerEventBus()
  readonly #road: OrderRoad
  readonly #uris = new Set<string>()
  #follower: ChangeFollower | undefined

  constructor(road: OrderRoad) {
    this.#road = road
  }

  get isFollowed(): boolean {
    return this.#bus.listenerCount > 0
  }

  publish(event: Parameters<ServerEventBus['publish']>[0]): void {
    this.#bus.publish(event)
  }

  /** A stream for these URIs is about to be opened. */
  watch(uris: readonly string[]): void {
    for (const uri of uris) {
      if (this.#follower !== undefined) this.#follower.watch(uri)
      else if (isResource(uri) && this.#uris.size < mostUris) this.#uris.add(uri)
    }
  }

  subscribe(listener: Parameters<ServerEventBus['subscribe']>[0]): () => void {
    const leave = this.#bus.subscribe(listener)
    this.#follower ??= this.#follow()
    return () => {
      leave()
      if (this.isFollowed) return
      this.#follower?.close()
      this.#follower = undefined
    }
  }

  #follow(): ChangeFollower {
    const follower = new ChangeFollower(this.#road, ({ updated, isListChanged }) => {
      if (isListChanged) this.publish({ kind: 'resources_list_changed' })
      for (const uri of updated) this.publish({ kind: 'resource_updated', uri })
    })
    for (const uri of this.#uris) follower.watch(uri)
    this.#uris.clear()
    return follower
  }
}

/** The URIs that a request for a stream names. It stays readable. */
async function listenedBy(request: Request): Promise<readonly string[]> {
  try {
    return listenedIn(await request.clone().json()) ?? []
  } catch {
    return []
  }
}

/** A request that begins a session, and how long it is; undefined = it begins none. It stays readable. */
async function openingOf(request: Request): Promise<{ readonly bytes: number } | undefined> {
  try {
    const text = await request.clone().text()
    return isInitializeRequest(JSON.parse(text)) ? { bytes: Buffer.byteLength(text) } : undefined
  } catch {
    return undefined
  }
}

function problem(status: number, code: number, message: string): Response {
  return Response.json({ jsonrpc: '2.0', error: { code, message }, id: null }, { status })
}
