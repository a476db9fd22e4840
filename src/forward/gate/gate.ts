/**
 * The gate: a reverse proxy in front of a forward whose target must not be open, with a login.
 *
 * What it is for: the MCP Inspector starts any program that its visitor names, checks Host and Origin against localhost, and
 * (2.x) writes its own token into the page for whoever loads it. Behind the gate it can be published on a network with its own
 * settings: who has not logged in reaches nothing of it, and who has looks to it like a browser on its own machine.
 *
 * Decisions, with their reasons:
 *
 * - **Who is let in**: a session cookie, or `Authorization: Bearer TOKEN` for programs. There is no token in a URL, a page or a log.
 * - **One login for several ports.** Cookies do not know ports, so the gates of one state directory share token, key and cookie
 *   name, and a login on one holds on all. The price is a cookie's, not ours: other servers on the same host name get to see it
 *   when the browser visits them. So the session is bound to the visitor's address, expires, and is not the token.
 * - **Inspector 1.x calls 6277 from a page on 6274** with a fetch that leaves cookies out. Ways not taken: letting in whoever
 *   brings an `X-MCP-Proxy-Auth` header (the gate cannot know that the token in it is right, and with DANGEROUSLY_OMIT_AUTH it
 *   protects nothing), letting in the address of somebody who is logged in (shared by everybody behind one NAT), and mounting
 *   6277 under a path of 6274 (the sandbox of untrusted MCP Apps, which 6277 serves, would share the page's origin). Taken:
 *   a script of the gate in the page asks the browser to send the session to the family's other ports (`page-script.ts`),
 *   preflights of family pages are answered here, and the answer can be read when the target allows it.
 * - **The target's checks stay in force.** Origins are translated port by port, not flattened: a page of the sandbox on 6275
 *   arrives as `http://localhost:6275`, which the Inspector refuses as it would at home.
 * - **Pages from elsewhere are refused** although SameSite=Strict should have kept the cookie from them: another port of this
 *   host is the same site to a browser.
 * - **DNS rebinding**: a request is answered only when its Host is an address, localhost, or a name that was given.
 * - **Request smuggling**: Node's strict parser refuses both Content-Length and Transfer-Encoding; each request gets its own
 *   connection to the target.
 * - **Pipelined requests** are answered in order, so they are passed on one by one, however many Node has parsed: one
 *   connection of a visitor is never more than one of the target.
 * - **An upgrade to anything but a WebSocket** is not made, as a server may choose (RFC 9110 section 7.8): browsers and curl offer
 *   HTTP/2 that way, and are served what they asked for as HTTP/1.1.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { hostAndPort } from '../../os/interfaces.ts'
import type { ForwarderHealth } from '../../record/forwarder-health.ts'
import { type Access, Guard } from './access.ts'
import { bodyTreatment } from './document.ts'
import type { GateGroup, GateMember } from './group.ts'
import { preflightHeaders, rewriteRequestHeaders } from './headers.ts'
import { isDeskPath, LoginDesk } from './login-desk.ts'
import { isTrustedHost, OriginMap, parseHostHeader, targetHostHeader, type Visit } from './origins.ts'
import { pageScript } from './page-script.ts'
import { gatePaths } from './pages.ts'
import { refuse, refuseUpgrade, sendText } from './replies.ts'
import type { GateSecrets } from './secrets.ts'
import { type ConnectTarget, Upstream } from './upstream.ts'

export interface GateOptions {
  readonly member: GateMember
  readonly group: GateGroup
  readonly secrets: GateSecrets
  /** Names, beside addresses and localhost, by which visitors may call this host. */
  readonly hosts: readonly string[]
  readonly sessionMs: number
  readonly connect: ConnectTarget
  /** ms for the head of a request; 10 s when not given. */
  readonly headTimeoutMs?: number
}

/** What the health report says of a gate. */
export type GateHealth = NonNullable<ForwarderHealth['gate']>

/** ms for the head of a request. A visitor who is let in may be slow with the body, and silent for ever in a stream. */
const headTimeoutMs = 10_000

/** ms that a connection is kept for its next request. */
const keepAliveMs = 60_000

/** Bytes of a request's head; cookies of the host's other ports count, too. */
const longestHead = 32 * 1024

/** Pipelined requests of one connection that may wait for the answer before theirs. Nobody sends so many in good faith. */
const mostWaiting = 100

/** A visitor's connection. */
interface Visitor {
  readonly source: string
  /** Runs while a request's head is awaited, or an upgrade waits for its turn. */
  headTimer: NodeJS.Timeout | undefined
  /** A request is being answered. */
  isBusy: boolean
  /** What begins with the requests after that one, in their order. */
  readonly waiting: (() => void)[]
}

export class Gate {
  readonly #options: GateOptions
  readonly #server: Server
  readonly #guard: Guard
  readonly #desk: LoginDesk
  readonly #upstream: Upstream
  #closed = false
  readonly #visitors = new Map<Duplex, Visitor>()

  constructor(options: GateOptions) {
    this.#options = options
    this.#guard = new Guard(options.secrets, options.sessionMs)
    this.#desk = new LoginDesk(this.#guard)
    const { targetHost, targetPort } = options.member
    this.#upstream = new Upstream({
      connect: options.connect,
      targetName: hostAndPort(targetHost, targetPort),
      outcome: () => {},
    })
    this.#server = createServer(
      {
        insecureHTTPParser: false,
        requireHostHeader: true,
        maxHeaderSize: longestHead,
        keepAliveTimeout: keepAliveMs,
        // A server that listens nowhere does not keep these itself: see #expectHead.
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
   * @param source the visitor's address, which a PROXY header may have told.
   */
  accept(socket: Duplex, source: string): void {
    this.#visitors.set(socket, { source, headTimer: undefined, isBusy: false, waiting: [] })
    socket.on('error', () => {})
    socket.once('close', () => {
      this.#headArrived(socket)
      this.#visitors.delete(socket)
    })
    this.#expectHead(socket, this.#headTimeoutMs)
    this.#server.emit('connection', socket)
    socket.resume()
  }

  /** Ends connections that wait for their next request, now and later; requests and streams go on. */
  close(): void {
    this.#closed = true
    this.#options.group.leave()
    for (const [socket, { headTimer }] of this.#visitors) if (headTimer !== undefined) socket.destroy()
  }

  health(): GateHealth {
    const { logins, failedAttempts } = this.#guard
    return { kind: 'token', tokenPlace: this.#options.secrets.tokenPlace, logins, failedAttempts }
  }

  #expectHead(socket: Duplex, withinMs: number): void {
    const entry = this.#visitors.get(socket)
    if (entry === undefined) return
    clearTimeout(entry.headTimer)
    entry.headTimer = setTimeout(() => socket.destroy(), withinMs)
  }

  #headArrived(socket: Duplex): void {
    const entry = this.#visitors.get(socket)
    if (entry === undefined) return
    clearTimeout(entry.headTimer)
    entry.headTimer = undefined
  }

  get #headTimeoutMs(): number {
    return this.#options.headTimeoutMs ?? headTimeoutMs
  }

  /** Begins with a request when those before it on the same connection are answered. */
  #inTurn(socket: Duplex, begin: () => void): void {
    const visitor = this.#visitors.get(socket)
    if (visitor === undefined) return
    if (visitor.isBusy) visitor.waiting.push(begin)
    else {
      visitor.isBusy = true
      begin()
    }
    if (visitor.waiting.length > mostWaiting) socket.destroy()
  }

  #answered(socket: Socket): void {
    const visitor = this.#visitors.get(socket)
    // An answer that says so ends the connection, whatever else was asked on it.
    if (visitor === undefined || socket.destroyed || socket.writableEnded) return
    const next = visitor.waiting.shift()
    if (next !== undefined) return next()
    visitor.isBusy = false
    if (this.#closed) socket.end()
    else this.#expectHead(socket, keepAliveMs)
  }

  #request(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request
    this.#headArrived(socket)
    request.on('error', () => {})
    response.on('error', () => {})
    response.once('close', () => this.#answered(socket))
    this.#inTurn(socket, () => {
      this.#judge(request, response).catch(() => {
        if (response.headersSent) response.destroy()
        else refuse(request, response, 500, 'Something went wrong in the gate itself.')
      })
    })
  }

  async #judge(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const visit = this.#visit(request)
    if (typeof visit === 'string') return refuse(request, response, visit === notTrusted ? 421 : 400, visit)
    const { origins } = visit
    const origin = origins.kindOf(request.headers.origin)
    if (isPreflight(request) && origin === 'family') return answerPreflight(request, response)
    if (isDeskPath(request)) return await this.#desk.serve(request, response, visit)
    const access = this.#guard.judge(request, visit.source)
    if (access.kind === 'refused') return this.#desk.turnAway(request, response, visit, access)
    if (isStrangersPage(access, origin)) {
      return refuse(
        request,
        response,
        403,
        'This request came from a page that does not belong to this gate.',
      )
    }
    if (request.url === gatePaths.script) return sendScript(response, origins)
    if (request.url?.startsWith(gatePaths.prefix))
      return refuse(request, response, 404, 'The gate has no such page.')
    this.#pass(request, response, visit, access)
  }

  #pass(request: IncomingMessage, response: ServerResponse, visit: Visit, access: Admitted): void {
    const { origins } = visit
    const { origin } = request.headers
    const treatment = bodyTreatment(request)
    const isFamily = origins.kindOf(origin) === 'family'
    this.#rewrite(request, visit, access, treatment)
    this.#upstream.pass(request, response, { origins, origin, isFamily, treatment })
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    // Nothing is read while it waits, so that not even its end would be noticed.
    this.#expectHead(socket, this.#headTimeoutMs)
    this.#inTurn(socket, () => {
      if (wantsWebSocket(request)) this.#openWebSocket(request, socket, head)
      else this.#serveWithoutUpgrade(request, socket, head)
    })
  }

  /** Node has given the connection up to whatever follows the head; so it is taken over anew, from that same request on. */
  #serveWithoutUpgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const visitor = this.#visitors.get(socket)
    if (visitor === undefined) return
    visitor.isBusy = false
    socket.unshift(Buffer.concat([Buffer.from(headWithoutUpgrade(request), 'latin1'), head]))
    this.#server.emit('connection', socket)
    socket.resume()
  }

  #openWebSocket(request: IncomingMessage, socket: Socket, head: Buffer): void {
    this.#headArrived(socket)
    const visit = this.#visit(request)
    if (typeof visit === 'string') return refuseUpgrade(socket, 400)
    if (request.method !== 'GET' || hasBody(request)) return refuseUpgrade(socket, 400)
    const access = this.#guard.judge(request, visit.source)
    if (access.kind === 'refused') return refuseUpgrade(socket, access.waitMs > 0 ? 429 : 401)
    if (isStrangersPage(access, visit.origins.kindOf(request.headers.origin)))
      return refuseUpgrade(socket, 403)
    this.#rewrite(request, visit, access, 'stream')
    this.#upstream.passUpgrade(request, socket, head)
  }

  #rewrite(
    { headers }: IncomingMessage,
    { host, source, origins }: Visit,
    access: Admitted,
    treatment: ReturnType<typeof bodyTreatment>,
  ): void {
    rewriteRequestHeaders(headers, {
      source,
      scheme: host.scheme,
      host: host.host,
      targetHost: targetHostHeader(this.#options.member),
      origins,
      cookie: this.#guard.sessions.withoutOurs(headers.cookie),
      ownAuthorization: access.by === 'token',
      treatment,
    })
  }

  /** @returns in words what is wrong with the request, if something is. */
  #visit(request: IncomingMessage): Visit | string {
    const { socket, url, rawHeaders } = request
    const scheme = 'encrypted' in socket ? 'https' : 'http'
    const hostHeaders = rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'host')
    const host = parseHostHeader(request.headers.host, scheme)
    if (host === undefined || hostHeaders.length !== 1) return 'The request names no host, or several.'
    if (!isTrustedHost(host, this.#options.hosts)) return notTrusted
    if (url?.startsWith('/') !== true) return 'The gate takes paths only, not whole addresses.'
    const source = this.#visitors.get(socket)?.source
    if (source === undefined) return 'The visitor is gone.'
    return { host, source, origins: new OriginMap(host, this.#options.group.members()) }
  }
}

const notTrusted =
  'This gate does not know the host name that you used. Use the IP address, or have the operator add the name: --gate-host NAME.'

type Admitted = Extract<Access, { kind: 'admitted' }>

/** A cookie comes along with whatever page asks; a program that brings the token itself means what it asks. */
function isStrangersPage(access: Admitted, origin: ReturnType<OriginMap['kindOf']>): boolean {
  return access.by === 'session' && origin === 'foreign'
}

function wantsWebSocket({ headers }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === 'websocket'
}

function isPreflight({ method, headers }: IncomingMessage): boolean {
  return method === 'OPTIONS' && headers['access-control-request-method'] !== undefined
}

function answerPreflight({ headers }: IncomingMessage, response: ServerResponse): void {
  const { origin = '', 'access-control-request-method': method = '' } = headers
  response.writeHead(204, preflightHeaders(origin, method, headers['access-control-request-headers']))
  response.end()
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
  sendText(response, 200, pageScript(origins.familyPorts()), {
    'content-type': 'text/javascript; charset=utf-8',
    'cache-control': 'no-store',
  })
}
