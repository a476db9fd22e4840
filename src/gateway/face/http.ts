/**
 * face/: how clients come in. http.ts (this file) serves HTTP, `/mcp` for everything that a key may see and `/mcp/ID` for one connector;
 * lines.ts serves a client on one stream each way, attach.ts those that come through another process of this user.
 *
 *   request -> Host, Origin -> path -> key (access.ts) -> body -> generation -> a session (legacy.ts; sse.ts for 2024-11-05) or a request that
 *   stands alone (modern.ts) -> Session.take -> JSON, or a stream of events when something comes before the answer
 *
 * A face makes a `Session` for each client and gives it messages. Another one is a file here, and is begun in ../index.ts.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { type HttpOptions, speaksTls } from '../../config/http-options.ts'
import { parseHostAndPort } from '../../config/values.ts'
import { wallTime } from '../../os/clock.ts'
import { errorCode, exitCode, Failure, errorText as wordsOf } from '../../os/failure.ts'
import { hostAndPort, isLoopback } from '../../os/interfaces.ts'
import { oneLine } from '../../os/printable.ts'
import type { GatewayState } from '../../record/shapes/gateway-state.ts'
import { certificateFiles } from '../../web/certificate-files.ts'
import { isTrustedHost, parseHostHeader, requestTarget, type Scheme } from '../../web/hosts.ts'
import { Origins } from '../../web/origins.ts'
import { readCertificate } from '../../web/tls-files.ts'
import type { Access } from '../access.ts'
import type { GatewayCore } from '../gateway-core.ts'
import type { Principal } from '../principal.ts'
import { RpcError, rpcCode } from '../protocol/errors.ts'
import type { Message } from '../protocol/message.ts'
import { longestMessage } from '../upstream/limits.ts'
import { LegacySessions } from './legacy.ts'
import { checked } from './lines.ts'
import { answerModern, isModern } from './modern.ts'
import { SseSessions } from './sse.ts'
import { refuse, send, type Visit } from './visit.ts'

export interface HttpFaceOptions {
  readonly core: GatewayCore
  readonly access: Access
  readonly http: HttpOptions
  /** The specification to the letter, for clients on this machine, too. */
  readonly strict: boolean
  readonly stateDirectory: string
  /** How everything stands, for figures and readiness. */
  readonly state: () => GatewayState
}

export interface HttpFace {
  /** Where it serves: `http://127.0.0.1:8080`. */
  readonly url: string
  close(): Promise<void>
}

/** ms for a head, and for a whole body. */
const headMs = 10_000
const bodyMs = 30_000

/** Requests under way at once. */
const mostInFlight = 2000

/** ms after which a peer that does not answer is asked whether it is there. */
const tcpKeepAliveMs = 10_000

/** @throws Failure when the address cannot be listened on, or the certificate cannot be used. */
export async function serveHttp(options: HttpFaceOptions): Promise<HttpFace> {
  const { http, core } = options
  const scheme: Scheme = speaksTls(http) ? 'https' : 'http'
  const parsed = parseHostAndPort(http.listen)
  const { host: given, port } = parsed.ok ? parsed.value : { host: http.listen, port: 0 }
  const host = given === 'localhost' ? '127.0.0.1' : given
  const sessions = new LegacySessions(core)
  const streams = new SseSessions(core)
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    void handle({ request, response, scheme, sessions, streams, options }).catch((error: unknown) => {
      core.log.error({ err: error }, `A request failed: ${wordsOf(error)}`)
      refuse(response, 500, new RpcError(rpcCode.internalError, 'internal error'))
    })
  }
  const server = await makeServer(options, scheme, listener)
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.setKeepAlive(true, tcpKeepAliveMs)
    socket.setNoDelay(true)
    socket.once('close', () => sockets.delete(socket))
  })
  server.on('clientError', (_error, socket) => socket.destroy())
  await listen(server, host, port)
  const url = `${scheme}://${hostAndPort(host, (server.address() as AddressInfo).port)}`
  return {
    url,
    close: async () => {
      sessions.close()
      streams.close()
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeIdleConnections()
        setTimeout(() => {
          for (const socket of sockets) socket.destroy()
        }, 500).unref()
      })
    },
  }
}

async function makeServer(
  { http, stateDirectory }: HttpFaceOptions,
  scheme: Scheme,
  listener: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Server> {
  const limits = {
    headersTimeout: headMs,
    requestTimeout: 0,
    keepAliveTimeout: 65_000,
    maxHeaderSize: 16 * 1024,
  }
  const files = await certificateFiles(http, stateDirectory)
  if (scheme === 'http' || files === undefined) return createServer(limits, listener)
  const { cert, key, clientCa: ca } = await readCertificate(files)
  const clients = ca === undefined ? {} : { ca, requestCert: true, rejectUnauthorized: true }
  return createTlsServer({ ...limits, cert, key, ...clients }, listener)
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const place = hostAndPort(host, port)
      const next =
        errorCode(error) === 'EADDRINUSE'
          ? '; give another port with --http, or end the process that listens there'
          : ''
      reject(
        new Failure(`the gateway cannot listen on ${place}: ${wordsOf(error)}${next}`, exitCode.unavailable),
      )
    })
    server.listen(port, host, () => resolve())
  })
}

interface Arrival {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly scheme: Scheme
  readonly sessions: LegacySessions
  readonly streams: SseSessions
  readonly options: HttpFaceOptions
}

async function handle({ request, response, scheme, sessions, streams, options }: Arrival): Promise<void> {
  const { core, access, http } = options
  const { headers, method = '' } = request
  const from = request.socket.remoteAddress ?? ''
  const target = requestTarget(request.url, headers.host, request.rawHeaders, scheme)
  const host = typeof target === 'string' ? undefined : parseHostHeader(target.host, scheme)
  if (typeof target === 'string' || host === undefined)
    return forbidden(response, 'the request names no valid host')
  if (!isTrustedHost(host, http.hosts))
    return forbidden(response, `this server is not called ${oneLine(host.name)}`)
  const origin = new Origins(host, []).kindOf(headers.origin)
  if (origin !== 'none' && origin !== 'same')
    return forbidden(response, 'the request comes from a page of another server')
  const path = target.path.split('?')[0] ?? ''
  if (path === '/health' || path === '/healthz') return health(request, response, core, from)
  if (path === '/readyz' || path === '/metrics') return observed(path, request, response, options)
  const place = /^\/(mcp|sse|messages)(?:\/([^/]*))?$/.exec(path)
  if (place === null)
    return refuse(
      response,
      404,
      new RpcError(rpcCode.invalidRequest, 'there is nothing at this path; use /mcp'),
    )
  const admission = access.judge(headers, from)
  if (!admission.ok) {
    const { status, message, waitMs } = admission
    core.figures.refused(status)
    const more: Record<string, string> =
      status === 429
        ? { 'retry-after': String(Math.max(1, Math.ceil((waitMs ?? 0) / 1000))) }
        : { 'www-authenticate': 'Bearer realm="port-watchdog"' }
    return refuse(response, status, new RpcError(rpcCode.forbidden, message), more)
  }
  const { principal } = admission
  const [, kind, only] = place
  const directory = core.directoryFor(principal, only)
  if (directory === undefined) return refuseDirectory(response, core, principal, only)
  const isLenient = !options.strict && isLoopback(from)
  const visit: Visit = { request, response, principal, directory, isLenient }
  if (core.inFlight >= mostInFlight) {
    const busy = new RpcError(rpcCode.overloaded, 'too many requests are under way')
    return refuse(response, 503, busy, { 'retry-after': '1' })
  }
  if (kind === 'sse' && method === 'GET') return streams.open(visit, only)
  if (kind === 'messages' && method === 'POST') {
    const session = streams.find(visit)
    const message = session && (await messageIn(visit))
    if (session !== undefined && message !== undefined) streams.post(session, visit, message)
    return
  }
  if (kind !== 'mcp') {
    const allow = kind === 'sse' ? 'GET' : 'POST'
    return refuse(response, 405, new RpcError(rpcCode.invalidRequest, `${method} is not understood here`), {
      allow,
    })
  }
  switch (method) {
    case 'POST': {
      const message = await messageIn(visit)
      if (message === undefined) return
      if (isModern(request.headers, message)) return answerModern(visit, core, message)
      return sessions.post(visit, message)
    }
    case 'GET':
      return sessions.stream(visit)
    case 'DELETE':
      return sessions.end(visit)
    default:
      return refuse(response, 405, new RpcError(rpcCode.invalidRequest, `${method} is not understood here`), {
        allow: 'GET, POST, DELETE',
      })
  }
}

function refuseDirectory(
  response: ServerResponse,
  core: GatewayCore,
  { connectors }: Principal,
  only: string | undefined,
): void {
  const known = core.upstreams.map(({ id }) => id)
  const isForbidden = only === undefined || known.includes(only)
  if (isForbidden)
    return refuse(response, 403, new RpcError(rpcCode.forbidden, 'this key may use none of the connectors'))
  const seen = known.filter((id) => connectors === null || connectors.includes(id))
  const message = `there is no connector "${oneLine(only)}"; known connectors: ${seen.join(', ') || 'none'}`
  refuse(response, 404, new RpcError(rpcCode.invalidRequest, message))
}

/** The message in the body; undefined = it was refused. */
async function messageIn({ request, response }: Visit): Promise<Message | undefined> {
  const refused = (status: number, what: string): undefined => {
    refuse(response, status, new RpcError(rpcCode.invalidRequest, what))
  }
  if (!/^application\/json\s*(;|$)/i.test(request.headers['content-type'] ?? ''))
    return refused(415, 'Content-Type must be application/json')
  const body = await bodyOf(request)
  if (body === 413) return refused(413, `a message has at most ${longestMessage / 1024 / 1024} MB`)
  if (body === 408) return refused(408, 'the body did not arrive in time')
  if (body.trimStart().startsWith('['))
    return refused(400, 'the gateway takes no batches over HTTP; send one message')
  const message = checked(body)
  if (!('refusal' in message)) return message
  send(response, 400, message.refusal)
  return undefined
}

/** The body as text, or the status that refuses it. */
function bodyOf(request: IncomingMessage): Promise<string | 413 | 408> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let bytes = 0
    const late = setTimeout(() => resolve(408), bodyMs)
    const done = (result: string | 413 | 408) => {
      clearTimeout(late)
      resolve(result)
    }
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes <= longestMessage) chunks.push(chunk)
      else done(413)
    })
    request.once('end', () => {
      const [only] = chunks
      done((chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks)).toString('utf8'))
    })
    request.once('close', () => done(408))
  })
}

function health(request: IncomingMessage, response: ServerResponse, core: GatewayCore, from: string): void {
  const userAgent = request.headers['user-agent'] ?? 'none'
  core.requests.say(() => `Health check accessed (userAgent=${oneLine(userAgent)} ip=${from})`)
  send(response, 200, JSON.stringify({ status: 'ok', timestamp: wallTime() }))
}

/** Everybody may read whether the gateway is ready. A client needs a key to read figures and the names of connectors. */
async function observed(
  path: '/readyz' | '/metrics',
  { headers, socket }: IncomingMessage,
  response: ServerResponse,
  { access, core, state }: HttpFaceOptions,
): Promise<void> {
  const now = state()
  const isReady = now.connectors.every(({ healthy }) => healthy)
  const hasKey = headers['x-api-key'] !== undefined || headers.authorization !== undefined
  const admission =
    hasKey || path === '/metrics' ? access.judge(headers, socket.remoteAddress ?? '') : undefined
  if (admission?.ok === false)
    return refuse(response, admission.status, new RpcError(rpcCode.forbidden, admission.message))
  if (path === '/metrics') {
    const { contentType, text } = await core.figures.exposition(now, core.inFlight)
    return send(response, 200, text, { 'content-type': contentType })
  }
  const details = admission === undefined ? {} : { connectors: now.connectors }
  send(response, isReady ? 200 : 503, JSON.stringify({ status: isReady ? 'ready' : 'not ready', ...details }))
}

function forbidden(response: ServerResponse, message: string): void {
  refuse(response, 403, new RpcError(rpcCode.forbidden, message))
}
