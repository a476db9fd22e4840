import { randomUUID } from 'node:crypto'
import { monotonicMs } from '../../os/clock.ts'
import type { Directory } from '../directory.ts'
import type { GatewayCore } from '../gateway-core.ts'
import type { Principal } from '../principal.ts'
import { RpcError, rpcCode } from '../protocol/errors.ts'
import { isRequest, type Message } from '../protocol/message.ts'
import { legacyRevisions, newestLegacyRevision } from '../protocol/revisions.ts'
import type { Session } from '../session.ts'
import type { SessionRecord } from '../session-record.ts'
import { Waiting } from '../waiting.ts'
import { accepts, RequestReply } from './reply.ts'
import { ReplayRoom, SessionStreams, type StreamNumbers } from './resumable.ts'
import { bareStatuses, legacyStatuses, statusOf } from './statuses.ts'
import { refuse, send, type Visit } from './visit.ts'

/** ms between two looks at what is idle. */
const sweepEveryMs = { least: 50, most: 15_000 }

/** Sessions of one principal at once; one more ends the one that was quiet the longest. */
const mostSessions = 500

/** What our ids begin with: another one was made up by its client. */
const idPrefix = 'pw-'

/** What a client says by these is kept for as long as its session. */
const remembered: readonly (string | undefined)[] = [
  'initialize',
  'logging/setLevel',
  'resources/subscribe',
  'resources/unsubscribe',
]

interface Inherited {
  readonly record: SessionRecord
  /** Monotonic ms. */
  readonly at: number
}

interface Held {
  readonly session: Session
  readonly of: string
  usedAt: number
  readonly streams: SessionStreams
}

const notFound = new RpcError(
  rpcCode.sessionNotFound,
  'Session not found: it has ended; begin a new one with initialize',
)

/** Sessions of the older generation, by the id that stands in `Mcp-Session-Id`. */
export class LegacySessions {
  readonly #core: GatewayCore
  readonly #held = new Map<string, Held>()
  readonly #room = new ReplayRoom()
  /** Sessions of the process before, by their ids: each goes on when its client comes. */
  readonly #inherited = new Map<string, Inherited>()
  /** Settles when all of them are known. */
  #isInherited: Promise<void> | undefined
  /** Tells the process that has taken over what changes here. */
  #passOn: ((record: SessionRecord) => Promise<void>) | undefined
  readonly #idleMs: number
  readonly #sweeping: NodeJS.Timeout

  /**
   * @param idleMs ms without a byte of its client after which a session ends.
   * @param isInherited settles when all sessions of the process before are known: who names another one waits for that.
   */
  constructor(core: GatewayCore, idleMs: number, isInherited: Promise<void> | undefined) {
    this.#core = core
    this.#isInherited = isInherited
    void isInherited?.then(() => {
      this.#isInherited = undefined
    })
    this.#idleMs = idleMs
    const everyMs = Math.max(sweepEveryMs.least, Math.min(idleMs / 2, sweepEveryMs.most))
    this.#sweeping = setInterval(() => this.#sweep(), everyMs)
    this.#sweeping.unref()
  }

  async post(visit: Visit, message: Message): Promise<void> {
    const { request, response, isLenient } = visit
    const { headers } = request
    const takesStreams = accepts(headers.accept, 'text/event-stream')
    const isBegin = message.method === 'initialize'
    // What curl and simple programs send: no session, no streams, only a question.
    const isBare = isLenient && !takesStreams
    if (!isBare && !(takesStreams && accepts(headers.accept, 'application/json'))) {
      const what = 'Not Acceptable: Accept must name application/json and text/event-stream'
      return refuse(response, 406, new RpcError(rpcCode.invalidRequest, what))
    }
    const revision = headers['mcp-protocol-version']
    if (revision !== undefined && !isBegin && !legacyRevisions.some((known) => known === revision)) {
      const what = `Bad Request: unsupported protocol version ${JSON.stringify(revision)}; known are ${legacyRevisions.join(', ')}`
      return refuse(response, 400, new RpcError(rpcCode.invalidRequest, what))
    }
    if (isBegin) return this.#begin(visit, message, takesStreams)
    const id = headers['mcp-session-id']
    const isMadeUp = typeof id === 'string' && !id.startsWith(idPrefix)
    if (id === undefined || (isBare && isMadeUp)) {
      if (isBare) return this.#alone(visit, message)
      const what = 'Bad Request: Mcp-Session-Id header is required'
      return refuse(response, 400, new RpcError(rpcCode.invalidRequest, what))
    }
    const held = this.#find(visit) ?? (await this.#findLate(visit))
    if (held === undefined) return refuse(response, 404, notFound)
    held.usedAt = monotonicMs()
    await this.#reply(held, visit, message, takesStreams, {})
  }

  async #begin(visit: Visit, message: Message, takesStreams: boolean): Promise<void> {
    const { principal, directory, response } = visit
    if (!isRequest(message))
      return refuse(response, 400, new RpcError(rpcCode.invalidRequest, 'initialize needs an id'))
    const id = `${idPrefix}${randomUUID()}`
    const of = [...this.#held].filter(([, one]) => one.of === principal.id)
    if (of.length >= mostSessions) {
      const [oldest] = of.sort(([, a], [, b]) => a.usedAt - b.usedAt)
      if (oldest !== undefined) this.#end(oldest[0], oldest[1])
    }
    const held = this.#hold(id, principal, directory)
    await this.#reply(held, visit, message, takesStreams, { 'mcp-session-id': id })
  }

  #hold(id: string, principal: Principal, directory: Directory, begun?: StreamNumbers): Held {
    const unsolicited = (text: string) => this.#unsolicited(id, text)
    const session = this.#core.newSession(principal, directory, unsolicited, id.slice(idPrefix.length))
    const isPrimed = () => session.revision === newestLegacyRevision
    const streams = new SessionStreams(this.#room, isPrimed, begun)
    const held = { session, of: principal.id, usedAt: monotonicMs(), streams }
    this.#held.set(id, held)
    return held
  }

  /** The sessions, for the process that takes over. */
  get records(): readonly SessionRecord[] {
    const own = [...this.#held].flatMap(([id, held]) => this.#recordOf(id, held) ?? [])
    return [...own, ...[...this.#inherited.values()].map(({ record }) => record)]
  }

  #recordOf(id: string, { session, of, streams }: Held): SessionRecord | undefined {
    const view = this.#core.keyOf(session.directory)
    const { state } = session
    if (view === undefined || state === undefined) return undefined
    return { id, of, view, ...state, ...streams.numbers }
  }

  /** Another process has taken over. Streams end, so that clients go there. @param passOn tells it of a session that changes here. */
  leave(passOn: (record: SessionRecord) => Promise<void>): void {
    this.#passOn = passOn
    for (const { streams } of this.#held.values()) streams.unsolicited.end()
  }

  /** Sessions of the process before. */
  inherit(records: readonly SessionRecord[]): void {
    const at = monotonicMs()
    for (const record of records) {
      // It tells of it again, when something has changed there: what was said here is newer.
      if (!this.#held.has(record.id)) this.#inherited.set(record.id, { record, at })
    }
  }

  /** Goes on with a session of the process before. */
  #restored(id: string, { principal, directory }: Visit): Held | undefined {
    const { record } = this.#inherited.get(id) ?? {}
    if (record?.of !== principal.id || record.view !== this.#core.keyOf(directory)) return undefined
    this.#inherited.delete(id)
    const held = this.#hold(id, principal, directory, record)
    held.session.goOn(record)
    return held
  }

  /** A request without a session, answered by itself. */
  async #alone(visit: Visit, message: Message): Promise<void> {
    const session = this.#core.newSession(visit.principal, visit.directory, () => false)
    const waiting = new RequestReply(visit.response, false)
    // Nobody else can take the answer.
    const own = new Waiting()
    visit.response.once('close', () => {
      if (!visit.response.writableFinished) own.abort(new Error('the client has gone'))
    })
    try {
      const answer = await session.take(message, waiting, own)
      const { status, headers } = statusOf(answer, bareStatuses, visit)
      waiting.answer(answer, status, headers)
    } finally {
      session.close()
    }
  }

  /** The session that a request names: of the same principal and the same view. */
  #find(visit: Visit): Held | undefined {
    const { request, principal, directory } = visit
    const id = request.headers['mcp-session-id']
    if (typeof id !== 'string') return undefined
    const held = this.#held.get(id) ?? this.#restored(id, visit)
    const isSame = held?.of === principal.id && held.session.directory === directory
    if (!isSame) return undefined
    held.session.renew(principal)
    return held
  }

  /** The same where the process before may be about to tell of it. */
  async #findLate(visit: Visit): Promise<Held | undefined> {
    if (this.#isInherited === undefined) return undefined
    await this.#isInherited
    return this.#find(visit)
  }

  #unsolicited(id: string, text: string): boolean {
    const held = this.#held.get(id)
    held?.streams.unsolicited.send(text, false)
    return held !== undefined
  }

  /**
   * GET: the stream for what belongs to no request, or with `Last-Event-ID` the one that this event was on. A new connection takes the place of
   * the one before.
   */
  async stream(visit: Visit): Promise<void> {
    const { request, response } = visit
    if (!accepts(request.headers.accept, 'text/event-stream')) {
      const what = 'Not Acceptable: Accept must name text/event-stream'
      return refuse(response, 406, new RpcError(rpcCode.invalidRequest, what))
    }
    if (request.headers['mcp-session-id'] === undefined) {
      const what = 'Method Not Allowed: there is a stream for sessions alone'
      return refuse(response, 405, new RpcError(rpcCode.invalidRequest, what), { allow: 'POST' })
    }
    const held = this.#find(visit) ?? (await this.#findLate(visit))
    if (held === undefined) return refuse(response, 404, notFound)
    held.usedAt = monotonicMs()
    const after = request.headers['last-event-id']
    if (typeof after !== 'string' || after === '') return held.streams.unsolicited.connect(response)
    if (held.streams.resume(after, response)) return
    const what = 'Bad Request: the stream of this Last-Event-ID is unknown, or was over long ago'
    refuse(response, 400, new RpcError(rpcCode.invalidRequest, what))
  }

  async end(visit: Visit): Promise<void> {
    const { request, response } = visit
    const id = request.headers['mcp-session-id']
    if (typeof id !== 'string') {
      const what = 'Bad Request: Mcp-Session-Id header is required'
      return refuse(response, 400, new RpcError(rpcCode.invalidRequest, what))
    }
    const held = this.#find(visit) ?? (await this.#findLate(visit))
    if (held === undefined) return refuse(response, 404, notFound)
    this.#end(id, held)
    send(response, 200, '{}')
  }

  #end(id: string, { session, streams }: Held): void {
    this.#held.delete(id)
    session.close()
    streams.close()
  }

  /** Ends the sessions of those who are no longer admitted. */
  endUnless(mayGoOn: (session: Session) => boolean): void {
    for (const [id, held] of this.#held) {
      if (!mayGoOn(held.session)) this.#end(id, held)
    }
  }

  #sweep(): void {
    const now = monotonicMs()
    for (const [id, held] of this.#held) {
      // A client that reads its stream is there, and one that waits for an answer.
      if (held.streams.areDrained || held.session.inFlight > 0) held.usedAt = now
      held.streams.sweep(now)
      if (now - held.usedAt > this.#idleMs) this.#end(id, held)
    }
    for (const [id, { at }] of this.#inherited) {
      if (now - at > this.#idleMs) this.#inherited.delete(id)
    }
  }

  close(): void {
    clearInterval(this.#sweeping)
    for (const [id, held] of this.#held) this.#end(id, held)
  }

  async #reply(
    held: Held,
    visit: Visit,
    message: Message,
    takesStreams: boolean,
    headers: Readonly<Record<string, string>>,
  ): Promise<void> {
    const { session, streams } = held
    const { response, principal } = visit
    const waiting = new RequestReply(response, takesStreams && isRequest(message), {
      headers,
      resumable: (...begun) => streams.begin(...begun),
    })
    // That the connection ends does not mean that the client gives its request up, says the protocol.
    const answer = await session.take(message, waiting)
    if (this.#passOn !== undefined && remembered.includes(message.method)) {
      const record = this.#recordOf(`${idPrefix}${session.id}`, held)
      if (record !== undefined) await this.#passOn(record)
    }
    const needsScopes = principal.scopes !== null
    const { status, headers: more } = statusOf(needsScopes ? answer : undefined, legacyStatuses, visit)
    waiting.answer(answer, status, more)
  }
}
