import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'
import { isLoopback } from '../os/interfaces.ts'
import type { Access, Guard } from './guard.ts'
import type { Visit } from './origins.ts'
import { type LoginWords, loginPage, logoutPage } from './pages.ts'
import { pageReply, type Reply, refusal, textReply, wantsPage } from './reply.ts'

/** How much of a login form is to be read, and for how long: a token of 512 characters and a path. */
export const formLimits = { bytes: 16 * 1024, ms: 10_000 }

const challenge: OutgoingHttpHeaders = { 'www-authenticate': 'Bearer realm="port-watchdog"' }

export interface LoginDeskOptions {
  readonly guard: Guard
  /** Where the token is; only visitors on this machine see it. */
  readonly tokenPlace: string
  readonly paths: LoginPaths
  readonly words: LoginWords
}

export interface LoginPaths {
  readonly login: string
  readonly logout: string
  /** The beginning of paths to which a login never leads on. */
  readonly prefix: string
}

/** What the desk looks at of a request; Node's own fits, but for `peer`. */
export interface DeskRequest {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly headers: IncomingHttpHeaders
  /** The other end of the connection itself, which may be a proxy: an IP address. */
  readonly peer: string | undefined
}

/** Login, logout, and the answer to requests without a login. Its answers are data; see reply.ts. */
export class LoginDesk {
  readonly #options: LoginDeskOptions

  constructor(options: LoginDeskOptions) {
    this.#options = options
  }

  /** True for a request that the desk answers, without a login. */
  isFor(request: Pick<DeskRequest, 'url'>): boolean {
    const { login, logout } = this.#options.paths
    const path = pathOf(request)
    return path === login || path === logout
  }

  /**
   * Answers a request for a path of the desk.
   * @param readForm gives the body, which may be long in coming; undefined = it goes beyond `formLimits`.
   */
  async answer(
    request: DeskRequest,
    visit: Visit,
    readForm: () => Promise<string | undefined>,
  ): Promise<Reply> {
    const { paths, words } = this.#options
    const isPost = request.method === 'POST'
    if (isPost && !isOwnForm(request, visit)) return refusal(request.headers, 403, words.strangersForm)
    if (pathOf(request) === paths.logout) return this.#logout(visit, isPost)
    if (!isPost) return this.#loginPage(request, visit, { status: 200, next: '/' })
    return this.#login(request, visit, await readForm())
  }

  /** Answers a request that was not let in: with the login page for a person, in a line for a program. */
  turnAway(
    request: DeskRequest,
    visit: Visit,
    { waitMs, wasWrong }: Extract<Access, { kind: 'refused' }>,
  ): Reply {
    const { method, url = '/', headers } = request
    if (wantsPage(headers) && method === 'GET' && !wasWrong) {
      return this.#loginPage(request, visit, { status: 401, next: url })
    }
    return waitMs > 0
      ? textReply(429, 'Too many wrong tokens; wait.\n', retryAfter(waitMs))
      : textReply(401, `${this.#options.words.howToLogIn}\n`, challenge)
  }

  #login(request: DeskRequest, visit: Visit, body: string | undefined): Reply {
    if (body === undefined)
      return refusal(request.headers, 413, 'The form is too long, or did not arrive in time.')
    const { guard } = this.#options
    const form = new URLSearchParams(body)
    const next = this.#localPath(form.get('next') ?? '/')
    const waitMs = guard.tryToken((form.get('token') ?? '').trim(), visit.source)
    if (waitMs === undefined) {
      guard.loggedIn(visit.source)
      return redirect(next, guard.sessions.issue(visit.source, visit.host.scheme === 'https'))
    }
    return waitMs > 0
      ? this.#loginPage(request, visit, {
          status: 429,
          next,
          problem: `Too many wrong tokens. Try again in ${seconds(waitMs)} s.`,
          headers: retryAfter(waitMs),
        })
      : this.#loginPage(request, visit, { status: 401, next, problem: 'That is not the token.' })
  }

  #logout({ host }: Visit, isPost: boolean): Reply {
    const { guard, paths, words } = this.#options
    if (!isPost) return pageReply(200, logoutPage(host.host, paths.logout, words))
    return redirect(paths.login, guard.sessions.revoke(host.scheme === 'https'))
  }

  #loginPage(
    request: DeskRequest,
    { host, source }: Visit,
    answer: { status: number; next: string; problem?: string; headers?: OutgoingHttpHeaders },
  ): Reply {
    const { status, next, problem, headers = status === 401 ? challenge : {} } = answer
    const page = loginPage({
      host: host.host,
      next: this.#localPath(next),
      problem,
      tokenFile: this.#tokenFileFor(request, host.name, source),
      path: this.#options.paths.login,
      words: this.#options.words,
    })
    return pageReply(status, page, headers)
  }

  /** The file with the token, for those who may know where it is. */
  #tokenFileFor(request: DeskRequest, hostName: string, source: string): string | undefined {
    const { tokenPlace } = this.#options
    return tokenPlace.startsWith('/') && isLocalVisitor(request, hostName, source) ? tokenPlace : undefined
  }

  #localPath(asked: string): string {
    return localPath(asked, this.#options.paths.prefix)
  }
}

/**
 * A visitor who sits at this machine: by his address, by the connection's, by the name that he used, and with no sign of a proxy in between,
 * behind which everybody would come from 127.0.0.1.
 */
function isLocalVisitor({ peer = '', headers }: DeskRequest, hostName: string, source: string): boolean {
  const isLocalName = hostName === 'localhost' || isLoopback(hostName.replace(/^\[|\]$/g, ''))
  const isProxied = ['forwarded', 'x-forwarded-for', 'x-real-ip', 'via'].some(
    (name) => headers[name] !== undefined,
  )
  return isLoopback(source) && isLoopback(peer) && isLocalName && !isProxied
}

function pathOf({ url }: Pick<DeskRequest, 'url'>): string | undefined {
  return url?.split('?')[0]
}

/** Browsers send `Origin` with every form. A missing one is no browser's; it brings no cookie that could be abused. */
function isOwnForm({ headers }: DeskRequest, { origins }: Visit): boolean {
  return ['none', 'same'].includes(origins.kindOf(headers.origin))
}

function redirect(location: string, cookie: string): Reply {
  return { status: 303, headers: { location, 'set-cookie': cookie, 'cache-control': 'no-store' }, body: '' }
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
 * @param prefix how no path begins that is led to.
 */
export function localPath(asked: string, prefix: string): string {
  try {
    const base = 'http://here.invalid'
    const url = new URL(asked, base)
    const path = `${url.pathname}${url.search}${url.hash}`
    const isLocal = asked.startsWith('/') && url.origin === base && new URL(path, base).origin === base
    return isLocal && !path.startsWith(prefix) ? path : '/'
  } catch {
    return '/'
  }
}
