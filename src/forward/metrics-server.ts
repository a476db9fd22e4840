import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type HostAndPort, parseHostAndPort } from '../config/values.ts'
import { errorCode, errorText } from '../os/failure.ts'
import type { ForwarderHealth } from '../record/forwarder-health.ts'
import type { Admission } from './limits/admission.ts'
import { exposition } from './metrics.ts'
import { healthVerdict } from './metrics-health.ts'

/** What the server tells about; asked anew at every request. */
export interface MetricsSource {
  readonly health: () => ForwarderHealth | Promise<ForwarderHealth>
  readonly admission: Admission
  readonly log: (level: 'info' | 'warn', message: string, good?: boolean) => void
}

export interface MetricsServer {
  close(): void
}

/** ms between two tries of an address that is taken, as by the forwarder before this one, which is about to let go of it. */
const retryMs = 250

/** Scrapers and probes at once; whoever holds more is not one. */
const mostConnections = 32

/** ms that a request may take to come in. */
const requestTimeoutMs = 5000

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
    },
    (request, response) => void answer(request, response, source),
  )
  server.maxConnections = mostConnections
  server.on('connection', (socket) => {
    const { remoteAddress } = socket
    if (remoteAddress === undefined || !source.admission.admits(remoteAddress)) socket.destroy()
  })
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')
    else socket.destroy()
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

function parsedPlace(place: string): HostAndPort {
  const parsed = parseHostAndPort(place)
  if (!parsed.ok) throw new Error(parsed.problem)
  return parsed.value
}

function listenAtLast(server: Server, { host, port }: HostAndPort, place: string, { log }: MetricsSource) {
  let timer: NodeJS.Timeout | undefined
  let failures = 0
  const listen = () => server.listen({ host, port, exclusive: true })
  server.on('listening', () => log('info', `Metrics are at http://${place}/metrics`, true))
  server.on('error', (error) => {
    // An accept that fails for want of descriptors or memory concerns one scraper: the server listens on.
    if (server.listening) return
    // The second time: the forwarder before this one needs an instant to let go of it.
    if (++failures === 2)
      log('warn', `Metrics cannot be served at ${place}: ${problemOf(error)}; trying again`)
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
  const { method = '', url = '' } = request
  request.resume()
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
      return sendJson(response, verdict.ready, { ...verdict, health })
    default:
      return send(response, 404, 'text/plain', 'there are /metrics, /healthz, /livez and /readyz\n')
  }
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
