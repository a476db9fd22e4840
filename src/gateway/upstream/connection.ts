import { version } from '../../os/version.ts'
import { RpcError, rpcCode } from '../protocol/errors.ts'
import {
  elementsOf,
  isObjectAt,
  isStringAt,
  type Member,
  membersOf,
  NotJson,
  rebuilt,
  type Span,
  spliced,
  stringOf,
  textOf,
} from '../protocol/json-text.ts'
import {
  idOf,
  isRequest,
  type Message,
  messageText,
  metaOf,
  paramsOf,
  readMessage,
  resultText,
} from '../protocol/message.ts'
import {
  type Era,
  envelopeKeys,
  metaKey,
  modernRevision,
  newestLegacyRevision,
} from '../protocol/revisions.ts'
import type { Call, CallingClient, ClientAnswer } from './call.ts'
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

/** What a server says of itself. */
export interface ServerFacts {
  readonly era: Era
  readonly revision: string
  /** As parsed; only their presence is looked at. */
  readonly capabilities: Readonly<Record<string, unknown>>
  readonly instructions: string | undefined
  /** JSON text of `serverInfo`. */
  readonly info: string | undefined
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

const ourInfo = JSON.stringify({ name: 'port-watchdog', title: 'port-watchdog', version })

/** What a client may be asked. Which one can what is known only when it calls: who cannot answers with an error. */
const ourCapabilities = JSON.stringify({
  roots: { listChanged: true },
  sampling: { tools: {}, context: {} },
  elicitation: { form: {}, url: {} },
})

/** ms that a server has to answer or refuse `server/discover`, before it is asked in the older way. */
const discoverWaitMs = 3000

/** The error that a server gets which asks for somebody who cannot be told. */
const nobody = JSON.stringify({
  code: rpcCode.methodNotFound,
  message:
    'the gateway cannot tell which client this request is for: several have calls under way, or none has',
})

/**
 * One connection to an MCP server: its handshake in either generation, the numbers of requests, and who gets what arrives. The text of a
 * message goes through as it is, but for its id, its progress token, and in `_meta` what the other generation does not know.
 */
export class Connection {
  readonly #wire: Wire
  readonly #events: ConnectionEvents
  readonly #pending = new Map<number, Pending>()
  /** Requests of the server that wait for a client, by their id as JSON text. */
  readonly #asks = new Map<string, AbortController>()
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
   * Finds out which generation the server speaks: `server/discover` first, `initialize` when that is refused, or passed over for a while.
   * @param known what it spoke last time; then only that is tried.
   * @param client whose own connection this is; undefined = it is for all.
   * @throws ConnectionLost, RpcError
   */
  async shakeHands(
    known: Era | undefined,
    signal: AbortSignal,
    client: Pick<CallingClient, 'capabilities'> | undefined,
  ): Promise<ServerFacts> {
    const capabilities = client?.capabilities ?? ourCapabilities
    this.#facts =
      (known === 'legacy' ? undefined : await this.#tryModern(known, signal)) ??
      (await this.#initialize(capabilities, signal))
    this.#wire.speaks(this.#facts.revision)
    if (this.#facts.era === 'legacy') this.notify('notifications/initialized')
    return this.#facts
  }

  /** @returns undefined when the server is to be asked by `initialize`. */
  async #tryModern(known: Era | undefined, signal: AbortSignal): Promise<ServerFacts | undefined> {
    const discovered = this.#discover(signal)
    if (known === 'modern') return discovered
    const answer = discovered.catch((error: unknown) => {
      if (error instanceof RpcError) return undefined
      throw error
    })
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), discoverWaitMs)
    })
    // What comes of it later is of no use any more.
    answer.catch(() => {})
    try {
      return await Promise.race([answer, patience])
    } finally {
      clearTimeout(timer)
    }
  }

  async #discover(signal: AbortSignal): Promise<ServerFacts> {
    const answer = await this.ask('server/discover', {}, signal, 'modern')
    const members = membersOf(answer.text, resultOf(answer).start)
    const versions = parsedMember(answer.text, members, 'supportedVersions')
    if (!Array.isArray(versions) || !versions.includes(modernRevision))
      throw new RpcError(rpcCode.unsupportedVersion, 'it does not speak 2026-07-28')
    const info = metaOf(answer.text, members).get(metaKey.serverInfo) ?? members.get('serverInfo')
    return this.#factsOf(answer.text, members, 'modern', modernRevision, info)
  }

  async #initialize(capabilities: string, signal: AbortSignal): Promise<ServerFacts> {
    const params = `{"protocolVersion":"${newestLegacyRevision}","capabilities":${capabilities},"clientInfo":${ourInfo}}`
    const answer = await this.#request({
      method: 'initialize',
      text: messageText('0', 'initialize', params),
      signal,
    })
    const members = membersOf(answer.text, resultOf(answer).start)
    const revision = parsedMember(answer.text, members, 'protocolVersion')
    if (typeof revision !== 'string')
      throw new RpcError(rpcCode.invalidRequest, 'its answer names no revision')
    return this.#factsOf(answer.text, members, 'legacy', revision, members.get('serverInfo'))
  }

  #factsOf(
    text: string,
    members: ReadonlyMap<string, Member>,
    era: Era,
    revision: string,
    info: Span | undefined,
  ): ServerFacts {
    const capabilities = parsedMember(text, members, 'capabilities')
    const instructions = parsedMember(text, members, 'instructions')
    return {
      era,
      revision,
      capabilities:
        typeof capabilities === 'object' && capabilities !== null
          ? (capabilities as Readonly<Record<string, unknown>>)
          : {},
      instructions: typeof instructions === 'string' ? instructions : undefined,
      info: info && textOf(text, info),
    }
  }

  /**
   * A request of the gateway itself.
   * @throws RpcError when the server refuses it, ConnectionLost.
   */
  ask(
    method: string,
    params: Readonly<Record<string, unknown>>,
    signal: AbortSignal,
    era: Era = this.facts.era,
  ): Promise<Message> {
    const own = era === 'modern' ? { ...params, _meta: this.#ourEnvelope() } : params
    const about = typeof params.uri === 'string' ? params.uri : undefined
    return this.#request({ method, text: messageText('0', method, JSON.stringify(own)), signal, about })
  }

  #ourEnvelope() {
    return {
      [metaKey.protocolVersion]: modernRevision,
      [metaKey.clientInfo]: JSON.parse(ourInfo),
      [metaKey.clientCapabilities]: JSON.parse(ourCapabilities),
    }
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
    const { text, progressToken } = this.#outgoing(call, id)
    return this.#begin(id, text, call.method, call.about?.value, call.signal, call, progressToken)
  }

  /** The text of a client's request as the server is to get it. */
  #outgoing(call: Call, id: number): { text: string; progressToken: string | undefined } {
    const { message, about, client } = call
    const { era } = this.facts
    const { text } = message
    const params = paramsOf(message)
    const meta = metaOf(text, params)
    const token = meta.get('progressToken')
    const progressToken = token && textOf(text, token)
    const metaSet: Record<string, string> = token === undefined ? {} : { progressToken: String(id) }
    const set: Record<string, string> =
      about === undefined ? {} : { [about.parameter]: JSON.stringify(about.value) }
    const drop: string[] = []
    if (client.era === 'legacy' && era === 'modern') {
      metaSet[metaKey.protocolVersion] = JSON.stringify(modernRevision)
      metaSet[metaKey.clientInfo] = client.info
      metaSet[metaKey.clientCapabilities] = client.capabilities
      if (client.logLevel !== undefined) metaSet[metaKey.logLevel] = JSON.stringify(client.logLevel)
    }
    const foreign = client.era === 'modern' && era === 'legacy' ? envelopeKeys : []
    if (foreign.length > 0) drop.push('inputResponses', 'requestState')
    if (Object.keys(metaSet).length > 0 || foreign.some((key) => meta.has(key))) {
      const changed = rebuilt(text, meta, { set: metaSet, drop: foreign })
      if (changed === '{}') drop.push('_meta')
      else set._meta = changed
    }
    const edits = [{ ...(message.id ?? { start: 0, end: 0 }), by: String(id) }]
    if (Object.keys(set).length > 0 || drop.some((key) => params.has(key))) {
      const changed = rebuilt(text, params, { set, drop })
      if (message.params !== undefined) edits.push({ ...message.params, by: changed })
      else return { text: messageText(String(id), call.method, changed), progressToken }
    }
    return { text: spliced(text, edits), progressToken }
  }

  async #request(asked: {
    readonly method: string
    readonly text: string
    readonly signal: AbortSignal
    readonly about?: string | undefined
  }): Promise<Message> {
    const id = this.#nextId++
    const { method, signal, about } = asked
    const message = readMessage(asked.text)
    const text = spliced(asked.text, [{ ...(message.id ?? { start: 0, end: 0 }), by: String(id) }])
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
    signal: AbortSignal,
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
      this.#wire.send(text, { id, method, about })
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
    for (const ask of this.#asks.values()) ask.abort()
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
    else if (isRequest(message)) this.#askedBy(message, message.method, exchange)
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
      if (id !== undefined) this.#asks.get(textOf(message.text, id))?.abort()
      return
    }
    const isLog = method === 'notifications/message'
    const call =
      exchange !== undefined ? this.#pending.get(exchange)?.call : isLog ? this.#onlyCall() : undefined
    if (call === undefined) this.#events.notified(message)
    else call.notify(message.text)
  }

  /** A request of the server, for the client whose call it belongs to. */
  #askedBy(message: Message, method: string, exchange: number | undefined): void {
    const id = idOf(message)
    const answer = (text: string) => this.#wire.send(text, { id: undefined, method: undefined })
    if (method === 'ping') return answer(resultText(id, '{}'))
    const params = message.params && textOf(message.text, message.params)
    const over = new AbortController()
    const isShared = exchange === undefined
    const call = isShared ? this.#onlyCall() : this.#pending.get(exchange)?.call
    // Of several clients with calls under way none is certainly meant.
    const isUnclear = call === undefined && isShared && this.#hasCalls()
    const key =
      message.id !== undefined && isStringAt(message.text, message.id)
        ? stringOf(message.text, message.id)
        : id
    const asked =
      call?.ask({ method, params, key, signal: over.signal }) ??
      (isUnclear ? undefined : this.#events.asked(method, params, over.signal))
    if (asked === undefined) return answer(`{"jsonrpc":"2.0","id":${id},"error":${nobody}}`)
    this.#asks.set(id, over)
    void asked
      .catch((problem: unknown): ClientAnswer => ({ ok: false, error: errorOf(problem) }))
      .then((given) => {
        this.#asks.delete(id)
        if (over.signal.aborted) return
        answer(
          given.ok ? resultText(id, given.result) : `{"jsonrpc":"2.0","id":${id},"error":${given.error}}`,
        )
      })
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

function errorOf(problem: unknown): string {
  const { code, message, data } =
    problem instanceof RpcError
      ? problem
      : {
          code: rpcCode.internalError,
          message: problem instanceof Error ? problem.message : String(problem),
          data: undefined,
        }
  return JSON.stringify({ code, message, ...(data === undefined ? {} : { data }) })
}

/** @throws RpcError when the answer has no object for a result. */
export function resultOf({ text, result }: Message): Span {
  if (result !== undefined && isObjectAt(text, result)) return result
  throw new RpcError(rpcCode.invalidRequest, 'its answer has no result')
}

function parsedMember(text: string, members: ReadonlyMap<string, Member>, name: string): unknown {
  const member = members.get(name)
  return member === undefined ? undefined : JSON.parse(textOf(text, member))
}

/** A string member of the result; undefined when it is missing. */
export function stringMember(
  text: string,
  members: ReadonlyMap<string, Member>,
  name: string,
): string | undefined {
  const member = members.get(name)
  return member !== undefined && isStringAt(text, member) ? stringOf(text, member) : undefined
}
