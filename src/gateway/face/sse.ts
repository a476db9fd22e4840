import type { GatewayCore } from '../gateway-core.ts'
import { RpcError, rpcCode } from '../protocol/errors.ts'
import type { Message } from '../protocol/message.ts'
import type { Session } from '../session.ts'
import { SseStream } from './sse-stream.ts'
import { refuse, send, type Visit } from './visit.ts'

/** Streams of one principal at once. */
const mostStreams = 100

interface Held {
  readonly session: Session
  readonly of: string
  readonly stream: SseStream
}

/** Clients of revision 2024-11-05: one stream brings everything, and its first event names where to send. The session is the stream. */
export class SseSessions {
  readonly #core: GatewayCore
  readonly #held = new Map<string, Held>()

  constructor(core: GatewayCore) {
    this.#core = core
  }

  /** GET /sse, /sse/ID. @param path of the stream. */
  open({ response, principal, directory }: Visit, path: string): void {
    const count = [...this.#held.values()].filter(({ of }) => of === principal.id).length
    if (count >= mostStreams) {
      const what = `this key has ${mostStreams} streams open`
      return refuse(response, 429, new RpcError(rpcCode.overloaded, what), { 'retry-after': '10' })
    }
    const stream = new SseStream(response)
    const session = this.#core.newSession(principal, directory, (text) =>
      stream.send(text, { isNeeded: false }),
    )
    this.#held.set(session.id, { session, of: principal.id, stream })
    const place = path.replace(/^\/sse/, '/messages')
    stream.send(`${place}?sessionId=${session.id}`, { event: 'endpoint' })
    response.once('close', () => {
      this.#held.delete(session.id)
      session.close()
    })
  }

  /** The session that a POST to /messages is for: the one that it names, or the only one of its key. Undefined = it was refused. */
  find({ request, response, principal, directory }: Visit): Session | undefined {
    const id = new URL(request.url ?? '', 'http://localhost').searchParams.get('sessionId')
    const own = [...this.#held.values()].filter(
      ({ of, session }) =>
        of === principal.id && session.directory === directory && (id === null || session.id === id),
    )
    const [only, ...others] = own
    if (only !== undefined && others.length === 0) {
      only.session.renew(principal)
      return only.session
    }
    const isUnclear = only !== undefined
    const what = isUnclear
      ? 'several streams are open: name one with ?sessionId='
      : 'Session not found: open a stream at /sse first'
    refuse(response, isUnclear ? 400 : 404, new RpcError(rpcCode.sessionNotFound, what))
    return undefined
  }

  /** POST /messages, /messages/ID: what comes of it goes to the stream. */
  async post(session: Session, { response }: Visit, message: Message): Promise<void> {
    const held = this.#held.get(session.id)
    if (held === undefined) return
    const { stream } = held
    send(response, 202, '{}')
    const answer = await session.take(message, { send: (text) => void stream.send(text) })
    if (answer !== undefined) stream.send(answer)
  }

  /** Ends the streams of those who are no longer admitted. */
  endUnless(mayGoOn: (session: Session) => boolean): void {
    for (const { session, stream } of this.#held.values()) {
      if (!mayGoOn(session)) stream.end()
    }
  }

  /** Ends those without calls under way: their clients connect again, to the process that has taken over. */
  endIdle(): void {
    for (const { session, stream } of this.#held.values()) if (session.inFlight === 0) stream.end()
  }

  close(): void {
    for (const { stream } of this.#held.values()) stream.end()
  }
}
