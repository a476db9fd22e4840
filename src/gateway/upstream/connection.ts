import { RpcError, rpcCode } from '../protocol/errors.ts'
import { elementsOf, NotJson, spliced, textOf } from '../protocol/json-text.ts'
import {
  idOf,
  isRequest,
  type Message,
  messageText,
  paramsOf,
  readMessage,
  relatedTaskOf,
} from '../protocol/message.ts'
import { parameterHeaders } from '../protocol/parameter-headers.ts'
import type { Era } from '../protocol/revisions.ts'
import type { WaitSignal } from '../waiting.ts'
import type { Call, CallingClient, ClientAnswer } from './call.ts'
import { ourEnvelope, type ServerFacts, shakeHands } from './handshake.ts'
import { outgoing } from './outgoing.ts'
import { ServerAsks } from './server-asks.ts'
import { SessionLost, type Wire, type WireEvents, type WireFacts } from './wire.ts'

/** A server has gone, or does not answer. */
export class ConnectionLost extends Error {
  /** The request was certainly not carried out. */
  readonly isUntouched: boolean

  constructor(message: string, isUntouched = false) {
    super(message)
    this.isUntouched = isUntouched
  }
}

export interface ConnectionEvents {
  /** A notification that belongs to no call. */
  readonly notified: (message: Message) => void
  readonly closed: (problem: Error) => void
  /**
   * A request of the server that belongs to no call that is known. Undefined = there is nobody whom it is certainly for.
   */
  readonly asked: (
    method: string,
    params: string | undefined,
    signal: AbortSignal,
  ) => Promise<ClientAnswer> | undefined
}

/** A request of ours that waits for its answer. */
interface Pending {
  readonly method: string
  readonly call: Call | undefined
  /** The client's progress token, as JSON text. */
  readonly progressToken: string | undefined
  readonly answered: (message: Message) => void
  readonly failed: (problem: Error) => void
}

/**
 * One connection to an MCP server: the numbers of requests (outgoing.ts says what else changes in their text), and who gets what arrives.
 * handshake.ts opens it; server-asks.ts takes what the server asks meanwhile.
 */
export class Connection {
  readonly #wire: Wire
  readonly #events: ConnectionEvents
  readonly #pending = new Map<number, Pending>()
  readonly #asks: ServerAsks
  readonly #whenQuiet: (() => void)[] = []
  #nextId = 1
  #facts: ServerFacts | undefined
  #lost: Error | undefined
  #junk = 0

  /** @param open makes the wire. */
  constructor(open: (events: WireEvents) => Wire, events: ConnectionEvents) {
    this.#events = events
    this.#wire = open({
      message: (text, exchange) => this.#received(text, exchange),
      unanswered: (id, problem) => this.#pending.get(id)?.failed(lostBy(problem)),
      closed: (problem) => this.#closed(problem),
    })
    this.#asks = new ServerAsks((text) => this.#wire.send(text, { id: undefined, method: undefined }))
  }

  /** @throws Error before the handshake. */
  get facts(): ServerFacts {
    if (this.#facts === undefined) throw new Error('the handshake is not over')
    return this.#facts
  }

  get isLost(): boolean {
    return this.#lost !== undefined
  }

  get inFlight(): number {
    return this.#pending.size
  }

  wireFacts(): WireFacts {
    const facts = this.#wire.facts()
    return { ...facts, junkLines: facts.junkLines + this.#junk }
  }

  /**
   * Finds out which generation the server speaks, and opens the connection in it.
   * @param known what it spoke last time; then only that is tried.
   * @param client whose own connection this is; undefined = it is for all.
   * @throws ConnectionLost, RpcError
   */
  async shakeHands(
    known: Era | undefined,
    signal: WaitSignal,
    client: Pick<CallingClient, 'capabilities'> | undefined,
  ): Promise<ServerFacts> {
    const ask = (method: string, params: string) => this.#request({ method, params, signal })
    this.#facts = await shakeHands(ask, known, client?.capabilities)
    this.#wire.speaks(this.#facts.revision)
    if (this.#facts.era === 'legacy') this.notify('notifications/initialized')
    return this.#facts
  }

  /**
   * A request of the gateway itself.
   * @throws RpcError when the server refuses it, ConnectionLost.
   */
  ask(method: string, params: Readonly<Record<string, unknown>>, signal: WaitSignal): Promise<Message> {
    const own = this.facts.era === 'modern' ? { ...params, _meta: ourEnvelope } : params
    const named = params.uri ?? params.taskId
    const about = typeof named === 'string' ? named : undefined
    return this.#request({ method, params: JSON.stringify(own), signal, about })
  }

  /** A notification of the gateway itself. @param params as JSON text. */
  notify(method: string, params?: string): void {
    this.#wire.send(messageText(undefined, method, params), { id: undefined, method })
  }

  /**
   * Sends a client's request and resolves with the answer, under the number that it has on this connection; an error that the server
   * answers is an answer.
   * @throws ConnectionLost
   */
  call(call: Call): Promise<Message> {
    const id = this.#nextId++
    const { text, progressToken } = outgoing(call, id, this.facts.era)
    return this.#begin(id, text, call.method, call.about?.value, call.signal, call, progressToken)
  }

  async #request(asked: {
    readonly method: string
    /** JSON text. */
    readonly params: string
    readonly signal: WaitSignal
    readonly about?: string | undefined
  }): Promise<Message> {
    const id = this.#nextId++
    const { method, params, signal, about } = asked
    const text = messageText(String(id), method, params)
    const answer = await this.#begin(id, text, method, about, signal, undefined, undefined)
    if (answer.error === undefined) return answer
    const {
      code = rpcCode.internalError,
      message: said = 'an error without words',
      data,
    } = JSON.parse(textOf(answer.text, answer.error))
    throw new RpcError(code, String(said), data)
  }

  #begin(
    id: number,
    text: string,
    method: string,
    about: string | undefined,
    signal: WaitSignal,
    call: Call | undefined,
    progressToken: string | undefined,
  ): Promise<Message> {
    return new Promise<Message>((resolve, reject) => {
      if (this.#lost !== undefined) return reject(new ConnectionLost(this.#lost.message, true))
      if (signal.aborted) return reject(signal.reason)
      const over = () => {
        this.#pending.delete(id)
        if (this.#pending.size === 0) for (const resolve of this.#whenQuiet.splice(0)) resolve()
        signal.removeEventListener('abort', aborted)
      }
      const aborted = () => {
        over()
        this.#cancel(id, method)
        reject(signal.reason)
      }
      signal.addEventListener('abort', aborted, { once: true })
      this.#pending.set(id, {
        method,
        call,
        progressToken,
        answered: (message) => {
          over()
          resolve(message)
        },
        failed: (problem) => {
          over()
          reject(problem)
        },
      })
      const isMirrored = call?.mirrored !== undefined && this.#facts?.era === 'modern'
      const parameters = isMirrored ? parameterHeaders(call.mirrored, call.message) : undefined
      this.#wire.send(text, { id, method, about, parameters, client: call?.client.info })
    })
  }

  #cancel(id: number, method: string): void {
    // An opening is not cancelled, says the protocol; and a stream that is closed tells it already.
    if (method === 'initialize' || this.#wire.abandon(id)) return
    this.notify('notifications/cancelled', `{"requestId":${id},"reason":"the client no longer waits"}`)
  }

  /** Ends the streams of changes that this gateway has asked for: nobody reads them any more. */
  endStreams(): void {
    for (const pending of [...this.#pending.values()]) {
      if (pending.method === 'subscriptions/listen') pending.failed(new ConnectionLost('it is left', true))
    }
  }

  /** Resolves when no request is under way, and at the latest after so many ms. */
  quiet(withinMs: number): Promise<void> {
    if (this.#pending.size === 0 || this.isLost) return Promise.resolve()
    return new Promise((resolve) => {
      const late = setTimeout(() => resolve(), withinMs)
      this.#whenQuiet.push(() => {
        clearTimeout(late)
        resolve()
      })
    })
  }

  /** Ends it. Resolves when what it has started is gone. */
  close(): Promise<void> {
    return this.#wire.close()
  }

  #closed(problem: Error): void {
    this.#lost = problem
    for (const { failed } of [...this.#pending.values()]) failed(lostBy(problem))
    this.#asks.close()
    this.#events.closed(problem)
  }

  #received(text: string, exchange: number | undefined): void {
    try {
      this.#take(text, exchange)
    } catch (problem) {
      // Whatever a server writes is its own affair, and that of those who ask it.
      if (!(problem instanceof NotJson || problem instanceof SyntaxError)) throw problem
      this.#junk++
    }
  }

  /** @throws NotJson, SyntaxError for what is no message. */
  #take(text: string, exchange: number | undefined): void {
    if (text.trimStart().startsWith('[')) {
      for (const element of elementsOf(text, 0)) this.#received(textOf(text, element), exchange)
      return
    }
    const message = readMessage(text)
    // A client could not read it, and all that it is offered would go with one bad entry of a list.
    if (!isJson(text)) this.#unreadable(message)
    else if (message.method === undefined) this.#answered(message)
    else if (isRequest(message)) this.#asks.take(message, message.method, this.#addressee(message, exchange))
    else this.#notified(message, message.method, exchange)
  }

  /** It has the outline of a message. Whoever waits for it is told. */
  #unreadable(message: Message): void {
    this.#junk++
    if (message.method !== undefined) return
    const problem = new RpcError(rpcCode.internalError, 'the answer of the server is no JSON')
    this.#pending.get(Number(idOf(message)))?.failed(problem)
  }

  #answered(message: Message): void {
    const pending = this.#pending.get(Number(idOf(message)))
    // Answered twice, or too late: nobody waits.
    if (pending === undefined) this.#junk++
    else pending.answered(message)
  }

  #notified(message: Message, method: string, exchange: number | undefined): void {
    if (method === 'notifications/progress') {
      const token = paramsOf(message).get('progressToken')
      const pending = token && this.#pending.get(Number(textOf(message.text, token)))
      if (token === undefined || pending?.progressToken === undefined) return
      pending.call?.notify(spliced(message.text, [{ ...token, by: pending.progressToken }]))
      return
    }
    if (method === 'notifications/cancelled') {
      const id = paramsOf(message).get('requestId')
      if (id !== undefined) this.#asks.cancelled(textOf(message.text, id))
      return
    }
    const isLog = method === 'notifications/message'
    const call =
      exchange !== undefined ? this.#pending.get(exchange)?.call : isLog ? this.#onlyCall() : undefined
    if (call === undefined) this.#events.notified(message)
    else call.notify(message.text)
  }

  /** Whom a request of the server is for. */
  #addressee(message: Message, exchange: number | undefined) {
    const isShared = exchange === undefined
    const task = isShared ? relatedTaskOf(message) : undefined
    if (task !== undefined) return { call: this.#callAbout(task), otherwise: this.#events.asked }
    const call = isShared ? this.#onlyCall() : this.#pending.get(exchange)?.call
    // Of several clients with calls under way none is certainly meant.
    const isUnclear = call === undefined && isShared && this.#hasCalls()
    return { call, otherwise: isUnclear ? () => undefined : this.#events.asked }
  }

  /** The call that asks for a task: its result, or how it stands. */
  #callAbout(task: string): Call | undefined {
    for (const { call } of this.#pending.values()) {
      if (call?.about?.parameter === 'taskId' && call.about.value === task) return call
    }
    return undefined
  }

  #hasCalls(): boolean {
    return [...this.#pending.values()].some(({ call }) => call !== undefined)
  }

  /** The call that a request of the server must belong to: one of the only client that has any under way. */
  #onlyCall(): Call | undefined {
    let found: Call | undefined
    for (const { call } of this.#pending.values()) {
      if (call === undefined) continue
      if (found !== undefined && found.owner !== call.owner) return undefined
      found = call
    }
    return found
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function lostBy(problem: Error): ConnectionLost {
  return new ConnectionLost(problem.message, problem instanceof SessionLost)
}
