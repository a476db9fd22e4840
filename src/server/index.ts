/**
 * server/: the HTTP face of a monitor: the API, its description, event streams, metrics, health, and a place for MCP. It has no logic of its
 * own: what can be asked is the table of `orders/`, and what a key may is checked there.
 *
 *   connection (web/connections.ts) -> Host, Origin, limits, key (door.ts) -> path (routes.ts) -> scope -> body -> carryOut(name, input, principal)
 *
 * A new order needs nothing here. A new path is a line of routes.ts; what needs no key is named in `isOpen` there. Loaded only by a monitor
 * that serves HTTP: it brings hono and zod.
 */
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Socket } from 'node:net'
import { getRequestListener, type HttpBindings } from '@hono/node-server'
import { type HttpOptions, speaksTls } from '../config/http-options.ts'
import { parseHostAndPort } from '../config/values.ts'
import type { Log } from '../log/index.ts'
import type { OrderedMonitor } from '../orders/monitor.ts'
import { errorCode, errorText } from '../os/failure.ts'
import { certificateFiles } from '../web/certificate-files.ts'
import { type ConnectionLimits, Connections, cut } from '../web/connections.ts'
import { sendReply } from '../web/node-http.ts'
import type { Reply } from '../web/reply.ts'
import { type CertificateFiles, followFiles, readCertificate, stampFiles } from '../web/tls-files.ts'
import { Door, type DoorRefusal, type Visitor } from './door.ts'
import { isOpen, type McpHandler, routes } from './routes.ts'

export interface ServerParts {
  readonly stateDirectory: string
  readonly monitor: () => OrderedMonitor
  readonly log: Log
  /** Makes what answers at `/mcp`, at the first request; undefined = nothing is served there. */
  readonly mcp?: (() => Promise<McpHandler>) | undefined
  /** What is not given is as in `defaultLimits`. */
  readonly limits?: Partial<ServerLimits>
}

/** Connections at once, and times in ms. */
export interface ServerLimits extends ConnectionLimits {
  /** For a head, and for a TLS handshake. */
  readonly headMs: number
  /** For a whole request. */
  readonly requestMs: number
  /** That a connection is kept for its next request. */
  readonly keepAliveMs: number
}

/** A server that listens, or tries to. */
export interface ApiServer {
  close(): void
}

/** Bytes of a request's head. */
const longestHead = 16 * 1024

const defaultLimits: ServerLimits = {
  ofOne: 64,
  ofOthers: 256,
  ofThisMachine: 256,
  headMs: 10_000,
  requestMs: 30_000,
  keepAliveMs: 60_000,
  takeMs: 30_000,
  lingerMs: 2_000,
}

/** Connections that the kernel keeps until they are accepted, all in one go. Whoever finds it full tries again a second later. */
const backlog = 256

/** ms between two tries of an address that is taken. */
const retryMs = 1_000

/**
 * Serves the API. An address that is taken is said once and tried again and again: the watch does not wait for it.
 * @param http already checked by `httpProblem`.
 * @throws Failure (78) when the certificate cannot be used.
 */
export async function serveApi(http: HttpOptions, parts: ServerParts): Promise<ApiServer> {
  const { monitor, log, mcp } = parts
  const place = parseHostAndPort(http.listen)
  if (!place.ok) throw new Error(place.problem)
  const scheme = speaksTls(http) ? 'https' : 'http'
  const counts = { answers: new Map<number, number>(), streams: 0 }
  const door = new Door({
    http,
    scheme,
    port: place.value.port,
    keys: () => monitor().keys(),
    isOpen,
    tell: (refusal) => tellRefusal(refusal, parts),
  })
  const app = routes({ monitor, door, mcp, counts })
  const visitors = new WeakMap<IncomingMessage, Visitor>()
  const listener = getRequestListener(
    (request, env) => {
      const { incoming, outgoing } = env as HttpBindings
      return app.fetch(request, { incoming, outgoing, visitor: visitors.get(incoming) })
    },
    // The body of an order is read from the request itself.
    { overrideGlobalObjects: false, autoCleanupIncoming: false },
  )
  const limits = { ...defaultLimits, ...parts.limits }
  const connections = new Connections(limits)
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    request.on('error', () => {})
    response.on('error', () => {})
    // What came with one that was cut. Node would write out the stack of an error for each of them.
    if (request.socket.destroyed) return void request.destroy()
    if (connections.isEnding(request.socket)) return
    const judgement = door.judge(request)
    if (judgement.kind === 'dropped') {
      cut(request.socket)
      return void request.destroy()
    }
    response.once('finish', () => {
      counts.answers.set(response.statusCode, (counts.answers.get(response.statusCode) ?? 0) + 1)
    })
    if (judgement.kind === 'refused') return refuse(request, response, judgement.reply)
    request.url = judgement.path
    if (judgement.kind === 'visitor') {
      visitors.set(request, judgement.visitor)
      connections.admit(request.socket)
    }
    // A connection without a key is good for one answer, which the kernel keeps for a client that does not read.
    else response.shouldKeepAlive = false
    if (judgement.kind === 'stranger') connections.endSoon(request.socket)
    listener(request, response).catch((error: unknown) => {
      log.error(`A fault in the HTTP API: ${errorText(error)}`)
      response.destroy()
    })
  }
  const refuse = (request: IncomingMessage, response: ServerResponse, reply: Reply) => {
    request.resume()
    sendReply(response, reply)
    connections.endSoon(request.socket)
  }
  const options = {
    maxHeaderSize: longestHead,
    headersTimeout: limits.headMs,
    requestTimeout: limits.requestMs,
    keepAliveTimeout: limits.keepAliveMs,
    connectionsCheckingInterval: Math.min(1_000, limits.headMs / 4),
    insecureHTTPParser: false,
    requireHostHeader: false,
  }
  const files = await certificateFiles(http, parts.stateDirectory)
  const certificate = files && (await followCertificate(files, log))
  const server =
    certificate === undefined
      ? createHttpServer(options, answer)
      : createTlsServer(
          {
            ...options,
            ...certificate.material(),
            handshakeTimeout: limits.headMs,
            ALPNProtocols: ['http/1.1'],
          },
          answer,
        )
  certificate?.onChange((material) => 'setSecureContext' in server && server.setSecureContext(material))
  // The length of a head bounds them. Of more than 1,000 Node would drop the rest unseen.
  server.maxHeadersCount = 0
  // A connection with TLS counts from its handshake on, which has a limit of its own.
  server.on(certificate === undefined ? 'connection' : 'secureConnection', (socket: Socket) =>
    connections.accept(socket),
  )
  server.on('clientError', (error, socket) => {
    if (!socket.writable) return void socket.destroy()
    const status = errorCode(error) === 'HPE_HEADER_OVERFLOW' ? tooLongHead : badRequest
    socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy())
  })
  let failures = 0
  let retry: NodeJS.Timeout | undefined
  const listen = () => server.listen({ ...place.value, backlog, exclusive: true })
  server.on('listening', () => log.info({ good: true }, `The API is at ${scheme}://${http.listen}/api`))
  server.on('error', (error) => {
    // An accept that fails for want of descriptors concerns one client: the server listens on.
    if (server.listening) return
    const why = errorCode(error) === 'EADDRINUSE' ? 'the port is taken' : errorText(error)
    if (++failures === 1) log.error(`The API cannot be served at ${http.listen}: ${why}; trying again`)
    retry = setTimeout(listen, retryMs)
    retry.unref()
  })
  listen()
  return {
    close: () => {
      clearTimeout(retry)
      certificate?.close()
      server.close()
      connections.close()
    },
  }
}

const tooLongHead = '431 Request Header Fields Too Large'
const badRequest = '400 Bad Request'

/** Into log and audit: who was refused at the door, and why. Never what he showed. */
function tellRefusal({ from, code, message, key, suppressed }: DoorRefusal, parts: ServerParts): void {
  const more = suppressed === 0 ? '' : ` (and ${suppressed} refusals before)`
  parts.log.warn({ component: 'http', source: from, code }, `Refused ${from}: ${message}${more}`)
  parts.monitor().audit({
    actor: { user: key?.name ?? 'unknown', uid: null, via: 'http' },
    key: key?.id ?? null,
    from,
    order: null,
    units: [],
    outcome: 'refused',
    code,
    message,
    ...(suppressed === 0 ? {} : { suppressed }),
  })
}

/** The certificate of these files, read again when they change. One that cannot be used leaves the one before in place. */
async function followCertificate(files: CertificateFiles, log: Log) {
  const watched = [...new Set([files.cert, files.key, files.clientCa ?? files.cert])]
  const stamped = await stampFiles(watched)
  const read = async () => {
    const { cert, key, clientCa } = await readCertificate(files)
    return clientCa === undefined
      ? { cert, key }
      : { cert, key, ca: clientCa, requestCert: true, rejectUnauthorized: true }
  }
  let material = await read()
  let changed: (now: typeof material) => void = () => {}
  const close = followFiles(watched, stamped, () => {
    read().then(
      (fresh) => {
        material = fresh
        changed(fresh)
        log.info('The API has a new certificate')
      },
      (error: unknown) =>
        log.error(`The API keeps its certificate, because the new one is of no use: ${errorText(error)}`),
    )
  })
  return {
    material: () => material,
    onChange: (call: typeof changed) => {
      changed = call
    },
    close,
  }
}
