import {
  Agent,
  type ClientRequest,
  type IncomingMessage,
  type ServerResponse,
  request as startRequest,
} from 'node:http'
import type { Socket } from 'node:net'
import { type Duplex, Readable } from 'node:stream'
import { createProxyServer, type ProxyServer } from 'httpxy'
import { sendAnswer } from './answer.ts'
import type { BodyTreatment } from './document.ts'
import { preflightHeaders, rewriteResponseHeaders } from './headers.ts'
import type { OriginMap } from './origins.ts'
import { noticePage } from './pages.ts'
import { plainText, refuseUpgrade, sendPage, sendText, wantsPage } from './replies.ts'
import { expectsTls, failureOf, failureWords, type TargetFailure } from './target-failure.ts'

/** Connects to the target; the callback is called once. */
export type ConnectTarget = (done: (error: Error | undefined, socket: Socket | undefined) => void) => void

/** How one request's answer is to be treated. */
export interface Passage {
  readonly origins: OriginMap
  readonly origin: string | undefined
  readonly isFamily: boolean
  readonly treatment: BodyTreatment
  readonly hidesReferrer: boolean
}

/** What of a preflight the target is told. */
const preflightQuestions = [
  'access-control-request-method',
  'access-control-request-headers',
  'access-control-request-private-network',
  'user-agent',
] as const

export interface UpstreamOptions {
  readonly connect: ConnectTarget
  /** The target as a person writes it. */
  readonly targetName: string
  /** TLS is spoken with it. */
  readonly isTls: boolean
  /** Told how each request went: undefined = the target answered. */
  readonly outcome: (failure: TargetFailure | undefined) => void
}

/** ms for the target's answer to an upgrade. */
const upgradeTimeoutMs = 10_000

/**
 * Passes requests that were let in to the target, through httpxy. Every request has a connection of its own to the target: there
 * is no other request that a smuggled one could hide in, and no kept connection that the target closes at the wrong moment.
 */
export class Upstream {
  readonly #proxy: ProxyServer
  readonly #passages = new WeakMap<IncomingMessage, Passage>()
  readonly #upstream: UpstreamOptions
  /** Only its protocol is looked at: where the target is, the agent alone knows. */
  readonly #options

  constructor(options: UpstreamOptions) {
    this.#upstream = options
    this.#options = {
      target: 'http://localhost',
      agent: new DialAgent(options.connect),
      upgradeTimeout: upgradeTimeoutMs,
    }
    this.#proxy = createProxyServer({})
    this.#proxy.on('proxyRes', (answer, request, response) => {
      this.#answer(answer, request as IncomingMessage, response as ServerResponse)
    })
    this.#proxy.on('proxyReq', (outgoing, request, response) => {
      // An answer to what nobody asked; Node would drop it in silence and let the visitor wait.
      outgoing.once('upgrade', (_answer, target) => {
        target.destroy()
        const failure: TargetFailure = { problem: 'switched', detail: 'it answered 101' }
        this.#fail(failure, request as IncomingMessage, response as ServerResponse)
      })
    })
    this.#proxy.on('proxyReqWs', (request, _incoming, client) => {
      client.once('close', () => request.destroy())
      const stopWatching = endWhenGone(client)
      request.once('response', stopWatching)
      request.once('upgrade', (_answer, target) => {
        stopWatching()
        options.outcome(undefined)
        tieTogether(client, target)
      })
    })
    this.#proxy.on('error', (error, request, client) => {
      this.#failed(error, request as IncomingMessage, client as ServerResponse | Socket)
    })
  }

  /** Passes a request on. Its headers must be rewritten already. */
  pass(request: IncomingMessage, response: ServerResponse, passage: Passage): void {
    this.#passages.set(request, passage)
    // Said without `Connection: upgrade` it is no wish to upgrade, and must not become one.
    delete request.headers.upgrade
    const options = {
      ...this.#options,
      selfHandleResponse: true,
      headers: { connection: 'close' },
      // Without framing no body is passed on, whatever was read: the target would take it for a request of its own.
      ...(!isFramed(request) && { buffer: Readable.from([]) }),
    }
    this.#proxy.web(request, response, options).catch((error) => this.#failed(error, request, response))
  }

  /**
   * Asks the target what it grants to a page of another port of the family, and tells that.
   * @param headers of the question; what of it is the visitor's is added.
   */
  askPreflight(
    request: IncomingMessage,
    response: ServerResponse,
    origins: OriginMap,
    headers: Record<string, string>,
  ): void {
    const { origin = '' } = request.headers
    const question: Record<string, string> = {
      ...headers,
      origin: origins.inward(origin) ?? origin,
      connection: 'close',
    }
    for (const name of preflightQuestions) {
      const value = request.headers[name]
      if (typeof value === 'string') question[name] = value
    }
    const path = request.url?.split('?')[0] ?? '/'
    const outgoing = startRequest({ agent: this.#options.agent, method: 'OPTIONS', path, headers: question })
    response.once('close', () => outgoing.destroy())
    outgoing.once('upgrade', (_answer, target) => target.destroy())
    outgoing.on('error', () => {
      if (!response.destroyed && !response.headersSent)
        sendText(response, 502, 'The target did not answer.\n', plainText)
    })
    outgoing.once('response', (answer) => {
      answer.destroy()
      if (response.destroyed || response.headersSent) return
      const isGood = (answer.statusCode ?? 0) >= 200 && (answer.statusCode ?? 0) < 300
      const granted = isGood ? preflightHeaders(answer.headers, request.headers, origins) : undefined
      if (granted === undefined)
        return sendText(response, 403, 'The target does not grant this.\n', plainText)
      response.writeHead(204, granted)
      response.end()
    })
    outgoing.end()
  }

  /** Passes a WebSocket on. */
  passUpgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    request.headers.connection = 'Upgrade'
    this.#proxy
      .ws(request, socket, this.#options, head)
      .catch((error) => this.#failed(error, request, socket))
  }

  #answer(answer: IncomingMessage, request: IncomingMessage, response: ServerResponse): void {
    const passage = this.#passages.get(request)
    if (passage === undefined || response.headersSent) return void answer.destroy()
    const { origins, treatment } = passage
    rewriteResponseHeaders(answer.headers, origins, passage)
    let isGood = true
    const fail = (failure: TargetFailure) => {
      isGood = false
      this.#fail(failure, request, response)
    }
    sendAnswer(answer, response, { origins, treatment, fail })
    if (isGood) this.#upstream.outcome(undefined)
  }

  #failed(error: unknown, request: IncomingMessage, client: ServerResponse | Socket | undefined): void {
    // A visitor who left takes the request to the target along; the target is not to blame for that.
    const isThere = () => client !== undefined && !client.destroyed && !request.destroyed
    if (client === undefined || !isThere()) return
    const failure = failureOf(error)
    if (
      failure.problem !== 'closed' ||
      this.#upstream.isTls ||
      !('setHeader' in client) ||
      client.headersSent
    )
      return this.#fail(failure, request, client)
    void expectsTls(this.#upstream.connect).then((isTls) => {
      const found: TargetFailure = isTls
        ? { problem: 'speaks-tls', detail: 'it took a TLS handshake' }
        : failure
      if (isThere()) this.#fail(found, request, client)
    })
  }

  /** Tells the visitor what the target did, if there is still a way to, and whoever keeps the log. */
  #fail(failure: TargetFailure, request: IncomingMessage, client: ServerResponse | Socket): void {
    this.#upstream.outcome(failure)
    const { status, title, text } = failureWords(failure, this.#upstream.targetName)
    if (!('setHeader' in client)) return client.writable ? refuseUpgrade(client, status, text) : undefined
    if (client.headersSent) return void client.destroy()
    if (wantsPage(request)) sendPage(client, status, noticePage(title, text))
    else sendText(client, status, `${text}\n`, plainText)
  }
}

/**
 * Ends a socket that nothing is read from yet when its visitor goes away. What the visitor sends meanwhile stays in its buffer;
 * a buffer that is told to be readable and is empty is at its end.
 */
function endWhenGone(client: Duplex): () => void {
  const look = () => {
    if (client.readableLength === 0) client.destroy()
  }
  client.on('readable', look)
  return () => client.removeListener('readable', look)
}

/** ms for which the second half of a WebSocket may go on after the first has ended, or its last bytes be taken. */
const endingMs = 30_000

/**
 * A WebSocket ends as a whole. A pipe alone would keep one side for ever when the other is cut off instead of closed, when it
 * answers an end with nothing, or when its last bytes are never read.
 */
function tieTogether(client: Duplex, target: Duplex): void {
  let deadline: NodeJS.Timeout | undefined
  const endSoon = () => {
    deadline ??= setTimeout(() => {
      client.destroy()
      target.destroy()
    }, endingMs)
  }
  client.once('end', endSoon)
  target.once('end', endSoon)
  client.once('close', () => {
    clearTimeout(deadline)
    target.destroy()
  })
  target.once('close', () => {
    if (client.destroyed) return
    endSoon()
    client.end(() => client.destroy())
  })
}

function isFramed({ headers }: IncomingMessage): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined
}

/** Lets Node's HTTP client use the forward's own way of dialling: both loopbacks, a timeout, never itself. */
class DialAgent extends Agent {
  readonly #connect: ConnectTarget

  constructor(connect: ConnectTarget) {
    super({ keepAlive: false, maxSockets: Number.POSITIVE_INFINITY })
    this.#connect = connect
  }

  /** Node's types leave this out. Every header of an answer is seen: one that is dropped may be its policy. */
  addRequest(request: ClientRequest, options: unknown): void {
    request.maxHeadersCount = 0
    Reflect.apply(nodesAddRequest, this, [request, options])
  }

  override createConnection(
    _options: unknown,
    done?: (error: Error | null, socket: Duplex) => void,
  ): undefined {
    // Node's own type asks for a socket beside an error, which Node then does not look at.
    const tell = done as ((error: Error | null, socket?: Duplex) => void) | undefined
    this.#connect((error, socket) =>
      socket === undefined ? tell?.(error ?? new Error('no connection')) : tell?.(null, socket),
    )
  }
}

const nodesAddRequest = (Agent.prototype as unknown as { addRequest: () => void }).addRequest
