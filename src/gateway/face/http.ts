/**
 * face/: how clients come in. http.ts (this file) serves HTTP, `/mcp` for everything that a key may see and `/mcp/ID` for one connector;
 * lines.ts serves a client on one stream each way, attach.ts those that come through another process of this user.
 *
 *   request -> Host, Origin (cors.ts) -> place.ts -> key or token (../access.ts) -> what is seen there (../views.ts) -> limits.ts -> body.ts
 *   -> generation -> a session (legacy.ts; sse.ts for 2024-11-05) or a request that stands alone (modern.ts) -> Session.take -> JSON, or a
 *   stream of events when something comes before the answer; statuses.ts has the status that goes with an error, refusals.ts the words of
 *   what is refused before that
 *
 * Beside these, probes.ts and log-stream.ts are for who looks after the gateway, and well-known.ts tells clients whose tokens they need.
 *
 * A face makes a `Session` for each client and gives it messages. Another one is a file here, and is begun in ../index.ts.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { AccessConfiguration } from '../../config/access-configuration.ts'
import type { GatewayHttpOptions } from '../../config/gateway-configuration.ts'
import { speaksTls } from '../../config/http-options.ts'
import type { LeftSocket } from '../../control/replacement.ts'
import type { RingLog } from '../../log/ring-log.ts'
import { monotonicMs } from '../../os/clock.ts'
import { errorText as wordsOf } from '../../os/failure.ts'
import { isLoopback } from '../../os/interfaces.ts'
import { networks } from '../../os/networks.ts'
import { oneLine } from '../../os/printable.ts'
import { remembered } from '../../os/remembered.ts'
import type { InheritedSocket } from '../../process/inheritance.ts'
import type { GatewayState } from '../../record/shapes/gateway-state.ts'
import { type ConnectionLimits, Connections } from '../../web/connections.ts'
import { isPassedOn, sourceOf } from '../../web/forwarded.ts'
import {
  isTrustedHost,
  parseHostHeader,
  requestTarget,
  type Scheme,
  type VisitedHost,
} from '../../web/hosts.ts'
import { Origins } from '../../web/origins.ts'
import type { Access } from '../access.ts'
import type { AuthorizationServer } from '../authorization-server/index.ts'
import type { RequestFigures } from '../figures.ts'
import type { GatewayCore } from '../gateway-core.ts'
import type { Principal } from '../principal.ts'
import { RpcError, rpcCode } from '../protocol/errors.ts'
import type { Session } from '../session.ts'
import { Views } from '../views.ts'
import { messageIn } from './body.ts'
import { type Challenge, challengeText } from './challenge.ts'
import { allowPage } from './cors.ts'
import { LegacySessions } from './legacy.ts'
import { Limits } from './limits.ts'
import { listen, makeServer, openConnections, socketOf, stopListening } from './listening.ts'
import { answerLog, LogStreams, logPath } from './log-stream.ts'
import { answerModern, isModern } from './modern.ts'
import { type PathPlace, placeOf } from './place.ts'
import { answerProbe, isProbe } from './probes.ts'
import { forbidden, invalid, refuseFull, refuseUnreadable, refuseView } from './refusals.ts'
import { SilentPeers } from './silent-peers.ts'
import { SseSessions } from './sse.ts'
import { refusalOf, refuse, refuseAdmission, refuseMethod, type Visit } from './visit.ts'
import { answerWellKnown, isWellKnown } from './well-known.ts'

export interface HttpFaceOptions {
  readonly core: GatewayCore
  readonly access: Access
  readonly accessOptions: AccessConfiguration
  /** The authorization server of the gateway; undefined = it has none. */
  readonly issuer: AuthorizationServer | undefined
  readonly allowNone: boolean
  readonly isLazy: boolean
  readonly http: GatewayHttpOptions
  /** The specification to the letter, for clients on this machine, too. */
  readonly strict: boolean
  readonly stateDirectory: string
  /** How everything stands, for figures and readiness. */
  readonly state: () => GatewayState
  readonly ring: RingLog
  /** Of the process before. */
  readonly inherited: readonly InheritedSocket[]
  /** Settles when the sessions of the process before are known; undefined = there was none. */
  readonly isInherited: Promise<void> | undefined
}

export interface HttpFace {
  /** Where it serves: `http://127.0.0.1:8080`. */
  readonly url: string
  readonly requests: RequestFigures
  /** For the process that takes over. */
  readonly sockets: readonly LeftSocket[]
  readonly sessions: LegacySessions
  /** Another process has taken over: no more connections are taken, and each that is open gets one more answer at most. */
  leave(): void
  /** Lets go of connections that nobody uses. @returns whether none is left. */
  isLeft(): Promise<boolean>
  close(): Promise<void>
}

/** ms for the rest of a request that was refused. */
const unreadMs = 10_000

/** ms after which streams of a key that was revoked, or has expired, are ended at the latest. */
const revokedWithinMs = 1000

/** ms that a call may go on after the token with which it was begun has expired. */
const finishMs = 120_000

/** ms after a handover for which a connection may be idle: its client may be about to send a request on it. */
const leftIdleMs = 5000

/** Those that have shown no key make room for those that have. */
const connectionLimits: ConnectionLimits = {
  ofOne: 2000,
  ofOthers: 2500,
  ofThisMachine: 2500,
  takeMs: 30_000,
  lingerMs: 2_000,
}

/** ms after which a peer that does not answer is asked whether it is there. */
const tcpKeepAliveMs = 10_000

/** @throws Failure when the address cannot be listened on, or the certificate cannot be used. */
export async function serveHttp(options: HttpFaceOptions): Promise<HttpFace> {
  const { http, core } = options
  const scheme: Scheme = speaksTls(http) ? 'https' : 'http'
  const sessions = new LegacySessions(core, options.accessOptions.sessions.idleMs, options.isInherited)
  const streams = new SseSessions(core)
  const logs = new LogStreams(options.ring)
  const limits = new Limits(options.accessOptions.requests)
  const connections = new Connections(connectionLimits)
  const isProxy = networks(http.trustedProxies)
  const visits = new Map<ServerResponse, Principal>()
  const admitted = ({ socket }: IncomingMessage, response: ServerResponse, principal: Principal) => {
    connections.admit(socket)
    visits.set(response, principal)
  }
  const peers = new SilentPeers(() => visits.keys(), options.accessOptions.sessions.peerTimeoutMs)
  const views = new Views(core, {
    access: options.accessOptions,
    allowNone: options.allowNone,
    isLazy: options.isLazy,
  })
  const hostOf = remembered((header) => {
    const host = parseHostHeader(header, scheme)
    return host && { ...host, isTrusted: isTrustedHost(host, http.hosts) }
  })
  const parts: Parts = { scheme, hostOf, sessions, streams, logs, limits, views, admitted, isProxy, options }
  /** Monotonic ms of the handover. */
  let leftAt: number | undefined
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    if (leftAt !== undefined) response.shouldKeepAlive = false
    // Node tells it as soon as the last byte of an answer was handed over, too.
    response.once('close', () => {
      visits.delete(response)
      if (response.statusCode >= 400) core.figures.refused(response.statusCode, refusalOf(response))
      if (!request.complete && !request.destroyed) endSoon(request)
    })
    void handle(request, response, parts).catch((error: unknown) => {
      core.log.error({ err: error }, `A request failed: ${wordsOf(error)}`)
      refuse(response, 500, new RpcError(rpcCode.internalError, 'Internal error'))
    })
  }
  const revoking = setInterval(() => {
    const { access } = options
    const mayGoOn = ({ principal, inFlight }: Session) =>
      access.stillAdmits(principal, inFlight > 0 ? finishMs : 0)
    sessions.endUnless(mayGoOn)
    streams.endUnless(mayGoOn)
    for (const [response, principal] of visits) {
      const isCall = response.req.method === 'POST'
      if (!access.stillAdmits(principal, isCall ? finishMs : 0)) response.destroy()
    }
    for (const session of [...core.sessions])
      if (!mayGoOn(session)) session.close('its key or token is no longer valid')
  }, revokedWithinMs)
  revoking.unref()
  const server = await makeServer(http, options.stateDirectory, scheme, listener)
  server.on('connection', (socket: Socket) => {
    socket.setKeepAlive(true, tcpKeepAliveMs)
    socket.setNoDelay(true)
  })
  // A connection with TLS counts from its handshake on, which has a limit of its own.
  server.on(scheme === 'http' ? 'connection' : 'secureConnection', (socket: Socket) =>
    connections.accept(socket),
  )
  server.on('clientError', refuseUnreadable)
  server.on('checkExpectation', (_request, response) => invalid(response, 417, 'Expectation Failed'))
  const place = await listen(server, http, options.inherited)
  return {
    url: `${scheme}://${place}`,
    get requests() {
      return limits.figures
    },
    get sockets() {
      return socketOf(server, place)
    },
    sessions,
    leave: () => {
      leftAt = monotonicMs()
      stopListening(server)
      for (const response of visits.keys()) {
        if (!response.headersSent) response.shouldKeepAlive = false
        // Its client opens another one, and goes on with the number that it has.
        if (response.req.url?.startsWith(logPath) === true) response.end()
      }
    },
    isLeft: async () => {
      streams.endIdle()
      if (monotonicMs() - (leftAt ?? 0) > leftIdleMs) server.closeIdleConnections()
      return (await openConnections(server)) === 0
    },
    close: async () => {
      clearInterval(revoking)
      peers.close()
      sessions.close()
      streams.close()
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeIdleConnections()
        setTimeout(() => connections.close(), 500).unref()
      })
    },
  }
}

/** The rest of a request that was refused is thrown away, for a while. */
function endSoon(request: IncomingMessage): void {
  const late = setTimeout(() => request.destroy(), unreadMs)
  request.once('close', () => clearTimeout(late))
  request.resume()
}

/** What every request needs. */
interface Parts {
  readonly scheme: Scheme
  /** What a `Host` says, and whether it may be one of this gateway; undefined = it says nothing valid. */
  readonly hostOf: (header: string) => (VisitedHost & { readonly isTrusted: boolean }) | undefined
  readonly sessions: LegacySessions
  readonly streams: SseSessions
  readonly logs: LogStreams
  readonly limits: Limits
  /** Told of everybody who is let in. */
  readonly admitted: (request: IncomingMessage, response: ServerResponse, principal: Principal) => void
  readonly views: Views
  /** Whether an address is a proxy's that is believed. */
  readonly isProxy: (address: string) => boolean
  readonly options: HttpFaceOptions
}

async function handle(request: IncomingMessage, response: ServerResponse, parts: Parts): Promise<void> {
  const { scheme, hostOf, sessions, streams, logs, limits, admitted, views, isProxy, options } = parts
  const { core, access } = options
  const { headers, method = '' } = request
  const from = sourceOf(request.socket.remoteAddress ?? '', headers, isProxy)
  const target = requestTarget(request.url, headers.host, request.rawHeaders, scheme)
  const host = typeof target === 'string' ? undefined : hostOf(target.host ?? '')
  if (typeof target === 'string' || host === undefined)
    return invalid(response, 400, 'Bad Request: the request names no valid host')
  if (!host.isTrusted)
    return forbidden(response, `Forbidden: this server is not called ${oneLine(host.name)}`)
  const { origin: page } = headers
  const origin = page === undefined ? 'none' : new Origins(host, options.accessOptions.cors).kindOf(page)
  if (origin === 'foreign')
    return forbidden(response, 'Forbidden: the request comes from a page of another server')
  if (origin === 'family' && allowPage(request, response, 'GET, POST, DELETE')) return
  const path = target.path.split('?')[0] ?? ''
  const tooFast = limits.ofSource(from)
  if (tooFast !== undefined) return refuseFull(response, tooFast)
  if (isProbe(path))
    return answerProbe(path, request, response, { ...options, from, requests: () => limits.figures })
  const { tokens } = access
  if (options.issuer?.takes(path) === true) return await options.issuer.answer(request, response, from)
  if (isWellKnown(path)) return answerWellKnown(path, { method, host: host.host, tokens, views }, response)
  if (path === logPath) return answerLog(logs, { access, admitted, from }, request, response)
  const place = placeOf(path)
  if (place === undefined) return invalid(response, 404, 'Not Found: there is nothing at this path; use /mcp')
  const { kind, resource } = place
  const challenge = (more: Challenge) =>
    challengeText(tokens, host.host, resource, { scopes: views.scopesOf(place), ...more })
  const judged = access.judge(request, from, resource)
  const admission = judged instanceof Promise ? await judged : judged
  if (!admission.ok) return refuseAdmission(response, admission, challenge)
  const { principal } = admission
  admitted(request, response, principal)
  if (principal.logs === 'alone')
    return forbidden(response, 'Forbidden: this key is for the log of the gateway, at /logs')
  const view = views.of(principal, place)
  if (view.kind !== 'seen') return refuseView(response, view, principal, place, challenge)
  const { directory } = view
  const allow = methodsOf[kind]
  if (!allow.includes(method)) return refuseMethod(response, method, allow.join(', '))
  if (core.isEnding) return refuseFull(response, { status: 503, message: 'the gateway ends' })
  const isLenient = !options.strict && isLoopback(from) && !isPassedOn(headers)
  const visit: Visit = { request, response, principal, directory, isLenient, challenge }
  if (method === 'GET') return kind === 'sse' ? streams.open(visit, path) : sessions.stream(visit)
  if (method === 'DELETE') return sessions.end(visit)
  const leave = limits.enter(principal.id, from)
  if (typeof leave !== 'function') return refuseFull(response, leave)
  try {
    if (kind === 'messages') return await takeForStream(visit, streams)
    const message = await messageIn(visit)
    if (message === undefined) return
    return isModern(headers, message)
      ? await answerModern(visit, core, message)
      : await sessions.post(visit, message)
  } finally {
    leave()
  }
}

async function takeForStream(visit: Visit, streams: SseSessions): Promise<void> {
  const session = streams.find(visit)
  const message = session && (await messageIn(visit))
  if (session !== undefined && message !== undefined) await streams.post(session, visit, message)
}

/** The methods of HTTP that each kind of place understands. */
const methodsOf: Readonly<Record<PathPlace['kind'], readonly string[]>> = {
  mcp: ['GET', 'POST', 'DELETE'],
  sse: ['GET'],
  messages: ['POST'],
}
