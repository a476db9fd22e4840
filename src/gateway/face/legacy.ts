import { monotonicMs } from '../../os/clock.ts'
import type { GatewayCore } from '../gateway-core.ts'
import { RpcError, rpcCode } from '../protocol/errors.ts'
import { isRequest, type Message } from '../protocol/message.ts'
import { legacyRevisions, newestLegacyRevision } from '../protocol/revisions.ts'
import type { Session } from '../session.ts'
import { Waiting } from '../waiting.ts'
import { accepts, RequestReply } from './reply.ts'
import { ReplayRoom, SessionStreams } from './resumable.ts'
import { bareStatuses, legacyStatuses, statusOf } from './statuses.ts'
import { refuse, send, type Visit } from './visit.ts'

/** ms between two looks at what is idle. */
const sweepEveryMs = { least: 50, most: 15_000 }

/** Sessions of one principal at once; one more ends the one that was quiet the longest. */
const mostSessions = 500

/** What our ids begin with: another one was made up by its client. */
const idPrefix = 'pw-'

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
  readonly #idleMs: number
  readonly #sweeping: NodeJS.Timeout

  /** @param idleMs ms without a byte of its client after which a session ends. */
  constructor(core: GatewayCore, idleMs: number) {
    this.#core = core
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
    const held = this.#find(visit)
    if (held === undefined) return refuse(response, 404, notFound)
    held.usedAt = monotonicMs()
    await reply(held, visit, message, takesStreams, {})
  }

  async #begin(visit: Visit, message: Message, takesStreams: boolean): Promise<void> {
    const { principal, directory, response } = visit
    if (!isRequest(message))
      return refuse(response, 400, new RpcError(rpcCode.invalidRequest, 'initialize needs an id'))
    const session = this.#core.newSession(principal, directory, (text) => this.#unsolicited(id, text))
    const id = `${idPrefix}${session.id}`
    const of = [...this.#held].filter(([, one]) => one.of === principal.id)
    if (of.length >= mostSessions) {
      const [oldest] = of.sort(([, a], [, b]) => a.usedAt - b.usedAt)
      if (oldest !== undefined) this.#end(oldest[0], oldest[1])
    }
    const streams = new SessionStreams(this.#room, () => session.revision === newestLegacyRevision)
    const held = { session, of: principal.id, usedAt: monotonicMs(), streams }
    this.#held.set(id, held)
    await reply(held, visit, message, takesStreams, { 'mcp-session-id': id })
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
  #find({ request, principal, directory }: Visit): Held | undefined {
    const id = request.headers['mcp-session-id']
    const held = typeof id === 'string' ? this.#held.get(id) : undefined
    const isSame = held?.of === principal.id && held.session.directory === directory
    if (!isSame) return undefined
    held.session.renew(principal)
    return held
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
  stream(visit: Visit): void {
    const { request, response } = visit
    if (!accepts(request.headers.accept, 'text/event-stream')) {
      const what = 'Not Acceptable: Accept must name text/event-stream'
      return refuse(response, 406, new RpcError(rpcCode.invalidRequest, what))
    }
    if (request.headers['mcp-session-id'] === undefined) {
      const what = 'Method Not Allowed: there is a stream for sessions alone'
      return refuse(response, 405, new RpcError(rpcCode.invalidRequest, what), { allow: 'POST' })
    }
    const held = this.#find(visit)
    if (held === undefined) return refuse(response, 404, notFound)
    held.usedAt = monotonicMs()
    const after = request.headers['last-event-id']
    if (typeof after !== 'string' || after === '') return held.streams.unsolicited.connect(response)
    if (held.streams.resume(after, response)) return
    const what = 'Bad Request: the stream of this Last-Event-ID is unknown, or was over long ago'
    refuse(response, 400, new RpcError(rpcCode.invalidRequest, what))
  }

  end(visit: Visit): void {
    const { request, response } = visit
    const id = request.headers['mcp-session-id']
    if (typeof id !== 'string') {
      const what = 'Bad Request: Mcp-Session-Id header is required'
      return refuse(response, 400, new RpcError(rpcCode.invalidRequest, what))
    }
    const held = this.#find(visit)
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
  }

  close(): void {
    clearInterval(this.#sweeping)
    for (const [id, held] of this.#held) this.#end(id, held)
  }
}

async function reply(
  { session, streams }: Held,
  visit: Visit,
  message: Message,
  takesStreams: boolean,
  headers: Readonly<Record<string, string>>,
): Promise<void> {
  const { response, principal } = visit
  const waiting = new RequestReply(response, takesStreams && isRequest(message), {
    headers,
    resumable: (...begun) => streams.begin(...begun),
  })
  // That the connection ends does not mean that the client gives its request up, says the protocol.
  const answer = await session.take(message, waiting)
  const needsScopes = principal.scopes !== null
  const { status, headers: more } = statusOf(needsScopes ? answer : undefined, legacyStatuses, visit)
  waiting.answer(answer, status, more)
}
