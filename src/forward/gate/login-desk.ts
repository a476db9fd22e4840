import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { isLoopback } from '../../os/interfaces.ts'
import type { Access, Guard } from './access.ts'
import type { Visit } from './origins.ts'
import { gatePaths, loginPage, logoutPage } from './pages.ts'
import { plainText, refuse, sendPage, sendText, wantsPage } from './replies.ts'

/** Bytes of a login form: a token of 512 characters and a path. */
const longestForm = 16 * 1024

/** ms for a login form to arrive. */
const formTimeoutMs = 10_000

const challenge: OutgoingHttpHeaders = { 'www-authenticate': 'Bearer realm="port-watchdog"' }

/** The gate's own pages: login and logout, and the answer to those who are not let in. */
export class LoginDesk {
  readonly #guard: Guard

  readonly #tokenPlace: string

  /** @param tokenPlace where the token is; only visitors on this machine see it. */
  constructor(guard: Guard, tokenPlace: string) {
    this.#guard = guard
    this.#tokenPlace = tokenPlace
  }

  /** Answers a request for a path of the desk. */
  async serve(request: IncomingMessage, response: ServerResponse, visit: Visit): Promise<void> {
    const path = pathOf(request)
    const isPost = request.method === 'POST'
    if (isPost && !isOwnForm(request, visit)) {
      return refuse(request, response, 403, 'This form came from a page that does not belong to this gate.')
    }
    if (path === gatePaths.logout) return this.#logout(response, visit, isPost)
    if (!isPost) return this.#sendLogin(request, response, visit, { status: 200, next: '/' })
    return await this.#login(request, response, visit)
  }

  /** Answers a request that was not let in: with the login page for a person, in a line for a program. */
  turnAway(
    request: IncomingMessage,
    response: ServerResponse,
    visit: Visit,
    { waitMs, wasWrong }: Extract<Access, { kind: 'refused' }>,
  ): void {
    if (wantsPage(request) && request.method === 'GET' && !wasWrong) {
      return this.#sendLogin(request, response, visit, { status: 401, next: request.url ?? '/' })
    }
    const [status, headers] = waitMs > 0 ? ([429, retryAfter(waitMs)] as const) : ([401, challenge] as const)
    const text =
      waitMs > 0
        ? 'Too many wrong tokens; wait.\n'
        : 'Log in with a browser, or send Authorization: Bearer TOKEN, or X-Port-Watchdog-Token: TOKEN where the target needs its own.\n'
    sendText(response, status, text, { ...plainText, ...headers })
  }

  async #login(request: IncomingMessage, response: ServerResponse, visit: Visit): Promise<void> {
    const form = await readForm(request)
    if (form === undefined)
      return refuse(request, response, 413, 'The form is too long, or did not arrive in time.')
    const next = localPath(form.get('next') ?? '/')
    const waitMs = this.#guard.tryToken((form.get('token') ?? '').trim(), visit.source)
    if (waitMs === undefined) {
      this.#guard.loggedIn(visit.source)
      const cookie = this.#guard.sessions.issue(visit.source, visit.host.scheme === 'https')
      return redirect(response, next, cookie)
    }
    const problem =
      waitMs > 0 ? `Too many wrong tokens. Try again in ${seconds(waitMs)} s.` : 'That is not the token.'
    const status = waitMs > 0 ? 429 : 401
    this.#sendLogin(request, response, visit, {
      status,
      next,
      problem,
      headers: waitMs > 0 ? retryAfter(waitMs) : challenge,
    })
  }

  #logout(response: ServerResponse, { host }: Visit, isPost: boolean): void {
    if (!isPost) return sendPage(response, 200, logoutPage(host.host))
    redirect(response, gatePaths.login, this.#guard.sessions.revoke(host.scheme === 'https'))
  }

  /** The file with the token, for those who may know where it is. */
  #tokenFileFor(request: IncomingMessage, hostName: string, source: string): string | undefined {
    const isFile = this.#tokenPlace.startsWith('/')
    return isFile && isLocalVisitor(request, hostName, source) ? this.#tokenPlace : undefined
  }

  #sendLogin(
    request: IncomingMessage,
    response: ServerResponse,
    { host, source }: Visit,
    answer: { status: number; next: string; problem?: string; headers?: OutgoingHttpHeaders },
  ): void {
    const { status, next, problem, headers = status === 401 ? challenge : {} } = answer
    sendPage(
      response,
      status,
      loginPage({
        host: host.host,
        next: localPath(next),
        problem,
        tokenFile: this.#tokenFileFor(request, host.name, source),
      }),
      headers,
    )
  }
}

/**
 * A visitor who sits at this machine: by his address, by the socket's, by the name that he used, and with no sign of a proxy in between,
 * behind which everybody would come from 127.0.0.1.
 */
function isLocalVisitor({ socket, headers }: IncomingMessage, hostName: string, source: string): boolean {
  const isLocalName = hostName === 'localhost' || isLoopback(hostName.replace(/^\[|\]$/g, ''))
  const isProxied = ['forwarded', 'x-forwarded-for', 'x-real-ip', 'via'].some(
    (name) => headers[name] !== undefined,
  )
  return isLoopback(source) && isLoopback(socket.remoteAddress ?? '') && isLocalName && !isProxied
}

/** True for a request that is answered without a login. */
export function isDeskPath(request: IncomingMessage): boolean {
  const path = pathOf(request)
  return path === gatePaths.login || path === gatePaths.logout
}

function pathOf({ url }: IncomingMessage): string | undefined {
  return url?.split('?')[0]
}

/** Browsers send `Origin` with every form. A missing one is no browser's; it brings no cookie that could be abused. */
function isOwnForm({ headers }: IncomingMessage, { origins }: Visit): boolean {
  return ['none', 'same'].includes(origins.kindOf(headers.origin))
}

function redirect(response: ServerResponse, location: string, cookie: string): void {
  response.writeHead(303, {
    location,
    'set-cookie': cookie,
    'cache-control': 'no-store',
    'content-length': 0,
  })
  response.end()
}

function retryAfter(waitMs: number): OutgoingHttpHeaders {
  return { 'retry-after': String(seconds(waitMs)) }
}

function seconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000))
}

/**
 * A path of this very host, whatever was asked for: a login must not lead elsewhere. Resolved as a browser does, so that `//x`,
 * `/\x` and `/.//x` are seen for what they are.
 */
export function localPath(asked: string): string {
  try {
    const base = 'http://gate.invalid'
    const url = new URL(asked, base)
    const path = `${url.pathname}${url.search}${url.hash}`
    const isLocal = asked.startsWith('/') && url.origin === base && new URL(path, base).origin === base
    return isLocal && !path.startsWith(gatePaths.prefix) ? path : '/'
  } catch {
    return '/'
  }
}

/** @returns undefined when it is too long or too slow. */
function readForm(request: IncomingMessage): Promise<URLSearchParams | undefined> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let bytes = 0
    const deadline = setTimeout(() => finish(undefined), formTimeoutMs)
    const finish = (form: URLSearchParams | undefined) => {
      clearTimeout(deadline)
      request.removeAllListeners('data').pause()
      resolve(form)
    }
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > longestForm) finish(undefined)
      else chunks.push(chunk)
    })
    request.once('end', () => finish(new URLSearchParams(Buffer.concat(chunks).toString('utf8'))))
    request.once('close', () => finish(undefined))
  })
}
