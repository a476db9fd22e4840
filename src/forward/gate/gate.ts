/**
 * The gate: a reverse proxy in front of a forward whose target must not be open, with a login.
 *
 * What it is for: the MCP Inspector starts any program that its visitor names, checks Host and Origin against localhost, and
 * (2.x) writes its own token into the page for every visitor. Behind the gate it can be published on a network with its own
 * settings: without a login nothing of it can be reached, and a visitor with one looks to it like a browser on its own machine.
 *
 * Decisions, with their reasons:
 *
 * - **Who is let in**: a session cookie, or `Authorization: Bearer TOKEN` for programs. There is no token in a URL, a page or a log.
 * - **One login for several ports.** Cookies do not know ports, so the gates of one state directory share token, key and cookie
 *   name, and a login on one holds on all. The price is a cookie's, not ours: other servers on the same host name get to see it
 *   when the browser visits them. So the session is bound to the visitor's address, expires, and is not the token.
 * - **Inspector 1.x calls 6277 from a page on 6274** with a fetch that leaves cookies out. Ways not taken: admitting every
 *   request with an `X-MCP-Proxy-Auth` header (the gate cannot know that the token in it is right, and with DANGEROUSLY_OMIT_AUTH it
 *   protects nothing), admitting the address of a visitor who is logged in (shared by all behind one NAT), and mounting
 *   6277 under a path of 6274 (the sandbox of untrusted MCP Apps, which 6277 serves, would share the page's origin). Taken:
 *   a script of the gate in the page asks the browser to send the session to the family's other ports (`page-script.ts`),
 *   preflights of family pages are the target's to answer, and the answer can be read when the target allows it.
 * - **The target's checks stay in force.** Origins are translated port by port, not flattened: a page of the sandbox on 6275
 *   arrives as `http://localhost:6275`, which the Inspector refuses as it would at home.
 * - **Pages from elsewhere are refused** although SameSite=Strict should have kept the cookie from them: another port of this
 *   host is the same site to a browser. Origin, Fetch Metadata and Referer identify such pages (`web/fetch-metadata.ts`); none of them may frame
 *   what is behind the gate.
 * - **DNS rebinding**: a request is answered only when its Host is an address, localhost, or a name that was given.
 * - **Request smuggling**: Node's strict parser refuses both Content-Length and Transfer-Encoding; the gate writes
 *   each request anew, reads answers strictly, and shares no connection to the target between visitors (`upstream.ts`).
 * - **Pipelined requests** are answered in order, so they are passed on one by one, however many Node has parsed: one
 *   connection of a visitor is never more than one of the target.
 * - **An upgrade to anything but a WebSocket** is not made, as a server may choose (RFC 9110 section 7.8): browsers and curl offer
 *   HTTP/2 that way, and are served what they asked for as HTTP/1.1.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { monotonicMs } from '../../os/clock.ts'
import { hostAndPort } from '../../os/interfaces.ts'
import type { ForwarderHealth } from '../../record/shapes/forwarder-health.ts'
import { isStrangersPage } from '../../web/fetch-metadata.ts'
import { type Access, Guard } from '../../web/guard.ts'
import { type DeskRequest, formLimits, LoginDesk } from '../../web/login-desk.ts'
import type { LoginSecrets } from '../../web/login-secrets.ts'
import { readBody, sendReply } from '../../web/node-http.ts'
import { refusal } from '../../web/reply.ts'
import { bodyTreatment } from './document.ts'
import type { GateEvent } from './gate-events.ts'
import type { GateGroup, GateMember } from './group.ts'
import { forwardedHeaders, rewriteRequestHeaders } from './headers.ts'
import { gatePaths, gateWords } from './login.ts'
import { type GateVisit, type OriginMap, targetHostHeader } from './origins.ts'
import { pageScript } from './page-script.ts'
import { Reception } from './reception.ts'
import { failureWords, type TargetFailure } from './target-failure.ts'
import { type ConnectTarget, Upstream } from './upstream.ts'
import { defaultVisitorLimits, type VisitorLimits, Visitors } from './visitors.ts'
import { refuseUpgrade } from './websocket.ts'

export interface GateOptions {
  readonly member: GateMember
  readonly group: GateGroup
  readonly secrets: LoginSecrets
  /** Names, beside addresses and localhost, by which visitors may call this host. */
  readonly hosts: readonly string[]
  readonly sessionMs: number
  readonly connect: ConnectTarget
  /** Called with each event that belongs in the log. */
  readonly tell: (event: GateEvent) => void
  /** What is not given is as in `defaultVisitorLimits`. */
  readonly limits?: Partial<VisitorLimits>
}

/** What the health report says of a gate. */
export type GateHealth = NonNullable<ForwarderHealth['gate']>

/** ms between two lines of the log about the same kind of failure of the target. */
const quietMs = 60_000

/** Bytes of a request's head; cookies of the host's other ports count, too. */
const longestHead = 32 * 1024

export class Gate {
  readonly #options: GateOptions
  readonly #server: Server
  readonly #guard: Guard
  readonly #desk: LoginDesk
  readonly #upstream: Upstream
  readonly #visitors: Visitors
  readonly #targetName: string
  readonly #targetHost: string
  readonly #reception: Reception
  /** Why the last request got no answer of the target; undefined = it got one. */
  #targetFailure: TargetFailure | undefined
  readonly #failuresReportedAt = new Map<TargetFailure['problem'], number>()
  /** The last event about the target was a failure. */
  #isFailureReported = false

  constructor(options: GateOptions) {
    this.#options = options
    const limits = { ...defaultVisitorLimits, ...options.limits }
    this.#visitors = new Visitors(limits)
    this.#guard = new Guard(options.secrets, options.sessionMs, options.tell)
    this.#desk = new LoginDesk({
      guard: this.#guard,
      tokenPlace: options.secrets.tokenPlace,
      paths: gatePaths,
      words: gateWords,
    })
    const { targetHost, targetPort } = options.member
    const targetName = hostAndPort(targetHost, targetPort)
    this.#targetName = targetName
    this.#targetHost = targetHostHeader(options.member)
    this.#reception = new Reception(options.group, options.hosts, this.#visitors)
    this.#upstream = new Upstream({
      connect: options.connect,
      targetName,
      isTls: options.member.targetScheme === 'https',
      withoutOwnCookies: (setCookies) => this.#guard.sessions.withoutOursSet(setCookies),
      outcome: (failure) => this.#targetOutcome(failure),
    })
    this.#server = createServer(
      {
        insecureHTTPParser: false,
        requireHostHeader: true,
        maxHeaderSize: longestHead,
        keepAliveTimeout: limits.keepAliveMs,
        // A server that listens nowhere does not keep these itself: see Visitors.
        headersTimeout: 0,
        requestTimeout: 0,
        // Nodes that ask this would keep a body to themselves at an upgrade; what is pipelined behind one without they would drop.
        ...{ shouldUpgradeCallback: (request: IncomingMessage) => !hasBody(request) },
      },
      (request, response) => this.#request(request, response),
    )
    // The length of a head bounds them already. Of more than 1,000 Node would drop the rest unseen, an Origin or a length among them.
    this.#server.maxHeadersCount = 0
    this.#server.on('upgrade', (request, socket: Socket, head) => this.#upgrade(request, socket, head))
  }

  /**
   * Takes over a connection of a visitor, plain or TLS, that nothing was read from yet.
   * @param source the visitor's address, which may come from a PROXY header.
   */
  accept(socket: Duplex, source: string): void {
    socket.on('error', () => {})
    this.#visitors.add(socket, source)
    this.#server.emit('connection', socket)
    socket.resume()
  }

  /** Ends connections that wait for their next request, now and later; requests and streams go on. */
  close(): void {
    this.#options.group.leave()
    this.#visitors.close()
  }

  health(): GateHealth {
    const { logins, failedAttempts } = this.#guard
    const { lastHour, lastTenMinutes, last } = this.#guard.failures()
    const failure = this.#targetFailure
    return {
      kind: 'token',
      tokenPlace: this.#options.secrets.tokenPlace,
      logins,
      failedAttempts,
      wrongTokens: {
        lastHour,
        lastTenMinutes,
        lastFrom: last?.source ?? null,
        lastAgeMs: last === undefined ? null : Math.round(last.ageMs),
      },
      targetProblem: failure === undefined ? null : failureWords(failure, this.#targetName).text,
    }
  }

  /**
   * Each kind of failure is reported once until the target has answered, and at most once a minute: a target that fails at one path and
   * answers at the next would fill the log.
   */
  #targetOutcome(failure: TargetFailure | undefined): void {
    const before = this.#targetFailure
    this.#targetFailure = failure
    if (failure?.problem === before?.problem) return
    const target = this.#targetName
    if (failure === undefined) {
      if (this.#isFailureReported) this.#options.tell({ kind: 'target-answers', target })
      this.#isFailureReported = false
      return
    }
    const now = monotonicMs()
    if (now - (this.#failuresReportedAt.get(failure.problem) ?? Number.NEGATIVE_INFINITY) < quietMs) return
    this.#failuresReportedAt.set(failure.problem, now)
    this.#isFailureReported = true
    this.#options.tell({ kind: 'target-fails', target, failure })
  }

  #request(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request
    request.on('error', () => {})
    response.on('error', () => {})
    response.once('close', () => this.#visitors.answered(socket))
    const isKept = this.#visitors.inTurn(socket, false, () => {
      this.#judge(request, response).catch(() => {
        if (response.headersSent) response.destroy()
        else refuse(request, response, 500, 'Something went wrong in the gate itself.')
      })
    })
    if (!isKept) response.shouldKeepAlive = false
  }

  async #judge(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const visit = this.#reception.receive(request)
    if ('status' in visit) return refuse(request, response, visit.status, visit.why)
    const { origins } = visit
    if (isPreflight(request) && origins.kindOf(request.headers.origin) === 'family') {
      return this.#preflight(request, response, visit)
    }
    if (this.#desk.isFor(request)) {
      const readForm = () => readBody(request, formLimits)
      return sendReply(response, await this.#desk.answer(deskRequest(request), visit, readForm))
    }
    const access = this.#guard.judge(request.headers, visit.source, request.socket)
    if (access.kind === 'refused')
      return sendReply(response, this.#desk.turnAway(deskRequest(request), visit, access))
    // A program that brings the token itself means what it asks.
    if (access.by === 'session' && isStrangersPage(request, origins)) return refuseStranger(request, response)
    if (request.url === gatePaths.script) return sendScript(response, origins)
    if (request.url?.startsWith(gatePaths.prefix))
      return refuse(request, response, 404, 'The gate has no such page.')
    this.#pass(request, response, visit, access)
  }

  /**
   * A page of the family asks whether it may ask. Browsers send no cookie with that, so no login can be checked: the target gets
   * the question alone, without query, body or credentials, and the visitor gets the grant.
   */
  #preflight(request: IncomingMessage, response: ServerResponse, visit: GateVisit): void {
    if (hasBody(request)) return refuse(request, response, 400, 'A preflight has no body.')
    this.#upstream.askPreflight(request, response, visit.origins, {
      ...forwardedHeaders(this.#context(visit)),
      host: this.#targetHost,
    })
  }

  #pass(request: IncomingMessage, response: ServerResponse, visit: GateVisit, access: Admitted): void {
    const { origins } = visit
    const { origin } = request.headers
    const treatment = bodyTreatment(request)
    const isFamily = origins.kindOf(origin) === 'family'
    this.#rewrite(request, visit, access, treatment)
    this.#visitors.pass(request.socket)
    const hidesReferrer = request.headers['sec-fetch-site'] === undefined
    this.#upstream.pass(request, response, { origins, origin, isFamily, treatment, hidesReferrer })
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    this.#visitors.inTurn(socket, true, () => {
      if (wantsWebSocket(request)) this.#openWebSocket(request, socket, head)
      else this.#serveWithoutUpgrade(request, socket, head)
    })
  }

  /** Node has given the connection up to whatever follows the head; so it is taken over anew, from that same request on. */
  #serveWithoutUpgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    this.#visitors.again(socket)
    socket.unshift(Buffer.concat([Buffer.from(headWithoutUpgrade(request), 'latin1'), head]))
    this.#server.emit('connection', socket)
    socket.resume()
  }

  #openWebSocket(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const visit = this.#reception.receive(request)
    if ('status' in visit) return refuseUpgrade(socket, visit.status, visit.why)
    if (request.method !== 'GET' || hasBody(request)) return refuseUpgrade(socket, 400)
    const access = this.#guard.judge(request.headers, visit.source, socket)
    if (access.kind === 'refused') return refuseUpgrade(socket, access.waitMs > 0 ? 429 : 401)
    if (access.by === 'session' && isStrangersPage(request, visit.origins)) return refuseUpgrade(socket, 403)
    this.#rewrite(request, visit, access, 'stream')
    this.#visitors.pass(socket)
    this.#upstream.passUpgrade(request, socket, head)
  }

  #rewrite(
    { headers }: IncomingMessage,
    visit: GateVisit,
    access: Admitted,
    treatment: ReturnType<typeof bodyTreatment>,
  ): void {
    const { source, host } = visit
    rewriteRequestHeaders(headers, {
      source,
      scheme: host.scheme,
      host: host.host,
      targetHost: this.#targetHost,
      origins: visit.origins,
      cookie: this.#guard.sessions.withoutOurs(headers.cookie),
      ownAuthorization: access.by === 'authorization',
      treatment,
    })
  }

  #context({ host, source }: GateVisit) {
    return { source, scheme: host.scheme, host: host.host }
  }
}

type Admitted = Extract<Access, { kind: 'admitted' }>

const strangersPage =
  'This request came from a page that does not belong to this gate, or does not say from which page it came. Open the address yourself.'

function refuseStranger(request: IncomingMessage, response: ServerResponse): void {
  const link = { path: '/', text: 'Open the start page' }
  sendReply(response, refusal(request.headers, 403, strangersPage, link))
}

function refuse({ headers }: IncomingMessage, response: ServerResponse, status: number, why: string): void {
  sendReply(response, refusal(headers, status, why))
}

function deskRequest({ method, url, headers, socket }: IncomingMessage): DeskRequest {
  return { method, url, headers, peer: socket.remoteAddress }
}

function wantsWebSocket({ headers }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === 'websocket'
}

function isPreflight({ method, headers }: IncomingMessage): boolean {
  return method === 'OPTIONS' && headers['access-control-request-method'] !== undefined
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) !== 0
}

/** A request's head as it came, but for its wish to speak something else. */
function headWithoutUpgrade({ method, url, httpVersion, rawHeaders }: IncomingMessage): string {
  const lines = rawHeaders.flatMap((name, index) => {
    const value = rawHeaders[index + 1] ?? ''
    if (index % 2 === 1 || name.toLowerCase() === 'upgrade') return []
    if (name.toLowerCase() !== 'connection') return [`${name}: ${value}`]
    const kept = value.split(',').filter((token) => token.trim().toLowerCase() !== 'upgrade')
    return kept.length === 0 ? [] : [`${name}: ${kept.join(',')}`]
  })
  return `${method} ${url} HTTP/${httpVersion}\r\n${lines.join('\r\n')}\r\n\r\n`
}

function sendScript(response: ServerResponse, origins: OriginMap): void {
  const headers = { 'content-type': 'text/javascript; charset=utf-8', 'cache-control': 'no-store' }
  sendReply(response, { status: 200, headers, body: pageScript(origins.familyPorts()) })
}
