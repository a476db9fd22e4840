import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { type HostAndPort, parseHostAndPort } from '../config/values.ts'
import type { Log } from '../log/index.ts'
import { errorCode, errorText } from '../os/failure.ts'
import { isLoopback, sourceNetwork } from '../os/interfaces.ts'
import type { ForwarderHealth } from '../record/shapes/forwarder-health.ts'
import { isTrustedHost, parseHostHeader } from '../web/hosts.ts'
import type { Admission } from './limits/admission.ts'
import { exposition } from './metrics.ts'
import { healthVerdict } from './metrics-health.ts'

/** What the server tells about; asked anew at every request. */
export interface MetricsSource {
  readonly health: () => ForwarderHealth | Promise<ForwarderHealth>
  readonly admission: Admission
  /** Names, beside addresses and localhost, by which this host may be called. */
  readonly hosts: readonly string[]
  readonly log: Log
}

export interface MetricsServer {
  close(): void
}

/** ms between two tries of an address that is taken, as by the forwarder before this one, which is about to let go of it. */
const retryMs = 250

/** Connections at once from one source, and from all; this machine is counted as one source of its own, beside the others. */
const mostConnections = { ofOne: 8, ofOthers: 32, ofThisMachine: 64 }

/** ms that a request may take to come in, and without a byte either way. */
const requestTimeoutMs = 5_000

/** ms after which any connection ends, whatever state it is in. Scrapers connect again. */
const longestLifeMs = 30_000

/**
 * Serves `/metrics`, `/healthz`, `/livez` and `/readyz` over HTTP. An address that is taken is said once and tried again and again: a
 * forward does not stay down for want of its metrics.
 * @param place ADDRESS:PORT, already checked.
 */
export function serveMetrics(place: string, source: MetricsSource): MetricsServer {
  const server = createServer(
    {
      requestTimeout: requestTimeoutMs,
      headersTimeout: requestTimeoutMs,
      keepAliveTimeout: requestTimeoutMs,
      connectionsCheckingInterval: 1_000,
    },
    (request, response) => {
      answer(request, response, source).catch((error: unknown) => {
        if (response.headersSent) response.destroy()
        else send(response, 500, 'text/plain', `${errorText(error)}\n`)
      })
    },
  )
  server.setTimeout(requestTimeoutMs)
  server.maxHeadersCount = 0
  const room = new Room()
  server.on('connection', (socket) => {
    const { remoteAddress } = socket
    if (remoteAddress === undefined || !source.admission.admits(remoteAddress))
      return void socket.resetAndDestroy()
    room.enter(socket, remoteAddress)
    const end = setTimeout(() => socket.resetAndDestroy(), longestLifeMs)
    socket.once('close', () => clearTimeout(end))
  })
  server.on('clientError', (_error, socket) => {
    if (!socket.writable) return void socket.destroy()
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n', () => socket.destroy())
  })
  const stopTrying = listenAtLast(server, parsedPlace(place), place, source)
  return {
    close: () => {
      stopTrying()
      server.close()
      server.closeAllConnections()
    },
  }
}

/**
 * Who is connected. A source that takes all it may leaves room for the others. A newcomer that finds none left takes the place of the
 * oldest connection of the source that has most, so that slow connections, however many, never keep a scraper out.
 */
class Room {
  /** By source, the oldest connection first. */
  readonly #open = new Map<string, Set<Socket>>()

  enter(socket: Socket, address: string): void {
    const key = keyOf(address)
    const own = this.#open.get(key) ?? new Set()
    if (own.size >= (key === thisMachine ? mostConnections.ofThisMachine : mostConnections.ofOne))
      this.#end(key)
    else if (key !== thisMachine) this.#makeRoom()
    this.#open.set(key, own.add(socket))
    socket.once('close', () => this.#leave(socket, key))
  }

  #makeRoom(): void {
    const others = [...this.#open].filter(([key]) => key !== thisMachine)
    if (others.reduce((sum, [, { size }]) => sum + size, 0) < mostConnections.ofOthers) return
    const [most] = others.sort(([, one], [, other]) => other.size - one.size)
    if (most !== undefined) this.#end(most[0])
  }

  #end(key: string): void {
    const [oldest] = this.#open.get(key) ?? []
    if (oldest === undefined) return
    this.#leave(oldest, key)
    oldest.resetAndDestroy()
  }

  #leave(socket: Socket, key: string): void {
    const own = this.#open.get(key)
    own?.delete(socket)
    if (own?.size === 0) this.#open.delete(key)
  }
}

const thisMachine = 'this machine'

function keyOf(address: string): string {
  return isLoopback(address) ? thisMachine : sourceNetwork(address)
}

function parsedPlace(place: string): HostAndPort {
  const parsed = parseHostAndPort(place)
  if (!parsed.ok) throw new Error(parsed.problem)
  return parsed.value
}

function listenAtLast(server: Server, { host, port }: HostAndPort, place: string, { log }: MetricsSource) {
  let timer: NodeJS.Timeout | undefined
  let failures = 0
  const listen = () => server.listen({ host, port, exclusive: true })
  server.on('listening', () => log.info({ good: true }, `Metrics are at http://${place}/metrics`))
  server.on('error', (error) => {
    // An accept that fails for want of descriptors or memory concerns one scraper: the server listens on.
    if (server.listening) return
    // The second time: the forwarder before this one needs an instant to let go of it.
    if (++failures === 2) log.warn(`Metrics cannot be served at ${place}: ${problemOf(error)}; trying again`)
    timer = setTimeout(listen, retryMs)
    timer.unref()
  })
  listen()
  return () => clearTimeout(timer)
}

function problemOf(error: Error): string {
  return errorCode(error) === 'EADDRINUSE' ? 'the port is taken' : errorText(error)
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  source: MetricsSource,
): Promise<void> {
  const { method = '', url = '', headers, socket } = request
  request.resume()
  if (headers.host !== undefined && !isTrusted(headers.host, source.hosts)) {
    const cure = 'use an IP address or localhost, or add the name to the forward: --gate-host NAME'
    return send(response, 421, 'text/plain', `this server does not know that host name; ${cure}\n`)
  }
  if (method !== 'GET' && method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD')
    return send(response, 405, 'text/plain', 'only GET and HEAD\n')
  }
  const health = await source.health()
  const verdict = healthVerdict(health)
  const [path] = url.split('?')
  switch (path) {
    case '/metrics':
      try {
        const { contentType, text } = await exposition(health)
        return send(response, 200, contentType, text)
      } catch (error) {
        return send(response, 500, 'text/plain', `${errorText(error)}\n`)
      }
    case '/livez':
      return sendJson(response, verdict.live, verdict)
    case '/readyz':
      return sendJson(response, verdict.ready, verdict)
    case '/healthz':
      // Processes, files and targets are nobody's affair on the network.
      return sendJson(
        response,
        verdict.ready,
        isLoopback(socket.remoteAddress ?? '') ? { ...verdict, health } : verdict,
      )
    default:
      return send(response, 404, 'text/plain', 'there are /metrics, /healthz, /livez and /readyz\n')
  }
}

/** A name of somebody else's may have been pointed here, so that his page can read the answer (DNS rebinding). */
function isTrusted(header: string, hosts: readonly string[]): boolean {
  const host = parseHostHeader(header, 'http')
  return host !== undefined && isTrustedHost(host, hosts)
}

function sendJson(response: ServerResponse, isGood: boolean, value: unknown): void {
  send(response, isGood ? 200 : 503, 'application/json', `${JSON.stringify(value)}\n`)
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, {
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(text),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  })
  // Node leaves the body out of an answer to HEAD.
  response.end(text)
}
