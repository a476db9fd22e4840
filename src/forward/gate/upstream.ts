import { Agent, type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createProxyServer, type ProxyServer } from 'httpxy'
import {
  type BodyTreatment,
  isTreatable,
  longestTranslated,
  translateDocument,
  translateOrigins,
} from './document.ts'
import { rewriteResponseHeaders } from './headers.ts'
import type { OriginMap } from './origins.ts'
import { noticePage } from './pages.ts'

/** Connects to the target; the callback is called once. */
export type ConnectTarget = (done: (error: Error | undefined, socket: Socket | undefined) => void) => void

/** How one request's answer is to be treated. */
export interface Passage {
  readonly origins: OriginMap
  readonly origin: string | undefined
  readonly isFamily: boolean
  readonly treatment: BodyTreatment
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
  /** Only its protocol is looked at: where the target is, the agent alone knows. */
  readonly #options

  constructor(connect: ConnectTarget) {
    this.#options = {
      target: 'http://localhost',
      agent: new DialAgent(connect),
      upgradeTimeout: upgradeTimeoutMs,
    }
    this.#proxy = createProxyServer({})
    this.#proxy.on('proxyRes', (answer, request, response) => {
      this.#answer(answer, request as IncomingMessage, response as ServerResponse)
    })
    this.#proxy.on('proxyReq', (outgoing, _request, response) => {
      // An answer to what nobody asked; Node would drop it in silence and let the visitor wait.
      outgoing.once('upgrade', (_answer, target) => {
        target.destroy()
        failVisitor(response as ServerResponse)
      })
    })
    this.#proxy.on('proxyReqWs', (request, _incoming, client) => {
      client.once('close', () => request.destroy())
      const stopWatching = endWhenGone(client)
      request.once('response', stopWatching)
      request.once('upgrade', (_answer, target) => {
        stopWatching()
        tieTogether(client, target)
      })
    })
    this.#proxy.on('error', (_error, _request, client) => failVisitor(client))
  }

  /** Passes a request on. Its headers must be rewritten already. */
  pass(request: IncomingMessage, response: ServerResponse, passage: Passage): void {
    this.#passages.set(request, passage)
    // Said without `Connection: upgrade` it is no wish to upgrade, and must not become one.
    delete request.headers.upgrade
    const options = { ...this.#options, selfHandleResponse: true, headers: { connection: 'close' } }
    this.#proxy.web(request, response, options).catch(() => failVisitor(response))
  }

  /** Passes a WebSocket on. */
  passUpgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    request.headers.connection = 'Upgrade'
    this.#proxy.ws(request, socket, this.#options, head).catch(() => failVisitor(socket))
  }

  #answer(answer: IncomingMessage, request: IncomingMessage, response: ServerResponse): void {
    const passage = this.#passages.get(request)
    if (passage === undefined || response.headersSent) return void answer.destroy()
    const { origins, treatment } = passage
    rewriteResponseHeaders(answer.headers, origins, passage)
    const { 'content-type': type, 'content-encoding': encoding } = answer.headers
    if (isTreatable(treatment, { status: answer.statusCode, type, encoding })) {
      sendTranslated(answer, response, (text) =>
        treatment === 'document' ? translateDocument(text, origins) : translateOrigins(text, origins),
      )
    } else {
      if (sendHead(answer, response, answer.headers)) answer.pipe(response)
    }
  }
}

/** @returns false when the target's answer is none that can be passed on, and the visitor was told so. */
function sendHead(answer: IncomingMessage, response: ServerResponse, headers: OutgoingHttpHeaders): boolean {
  try {
    response.writeHead(answer.statusCode ?? 502, answer.statusMessage, headers)
  } catch {
    // Node reads more than it writes: a status of 000, control characters in the reason.
    answer.destroy()
    response.statusMessage = ''
    failVisitor(response)
    return false
  }
  // Else the head would wait for the first byte of the body, and an event stream may have none for hours.
  response.flushHeaders()
  return true
}

/** ms after which a page that is still being written is passed on as far as it has come. */
const gatherMs = 2_000

/**
 * Reads the body, changes it, sends it. Of one that turns out too long, or that its target goes on writing, what has come so far
 * is changed, and the rest passed on as it is.
 */
function sendTranslated(
  answer: IncomingMessage,
  response: ServerResponse,
  translate: (text: string) => string,
): void {
  const chunks: Buffer[] = []
  let bytes = 0
  const translated = () => Buffer.from(translate(Buffer.concat(chunks).toString('latin1')), 'latin1')
  const {
    'content-length': _length,
    'transfer-encoding': _framing,
    etag: _etag,
    'last-modified': _modified,
    ...headers
  } = answer.headers
  const gather = (chunk: Buffer) => {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes > longestTranslated) passOn()
  }
  const passOn = () => {
    clearTimeout(deadline)
    answer.removeListener('data', gather).removeListener('end', send)
    if (!sendHead(answer, response, headers)) return
    response.write(translated())
    answer.pipe(response)
  }
  const send = () => {
    clearTimeout(deadline)
    const body = translated()
    if (sendHead(answer, response, { ...headers, 'content-length': body.length })) response.end(body)
  }
  const deadline = setTimeout(passOn, gatherMs)
  answer.on('data', gather).once('end', send)
  answer.once('close', () => clearTimeout(deadline))
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

/** Tells the visitor that the target did not answer, if there is still a way to. */
function failVisitor(client: ServerResponse | Duplex | undefined): void {
  if (client === undefined) return
  const { html, headers } = noticePage(
    'The target does not answer',
    'Nothing listens behind this port now. Try again when it runs.',
  )
  if (!('setHeader' in client)) {
    if (client.writable)
      client.end('HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
    return
  }
  if (client.headersSent) return void client.destroy()
  client.writeHead(502, { ...headers, connection: 'close', 'content-length': Buffer.byteLength(html) })
  client.end(html)
}

/** Lets Node's HTTP client use the forward's own way of dialling: both loopbacks, a timeout, never itself. */
class DialAgent extends Agent {
  readonly #connect: ConnectTarget

  constructor(connect: ConnectTarget) {
    super({ keepAlive: false, maxSockets: Number.POSITIVE_INFINITY })
    this.#connect = connect
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
