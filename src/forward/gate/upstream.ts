import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { sendReply } from '../../web/node-http.ts'
import { noticePage } from '../../web/pages.ts'
import { pageReply, textReply, wantsPage } from '../../web/reply.ts'
import type { AnswerHead } from './answer-head.ts'
import { Exchange, type ExchangePlace, type Passage } from './exchange.ts'
import { preflightHeaders } from './headers.ts'
import type { OriginMap } from './origins.ts'
import { requestHead } from './request-head.ts'
import { TargetConnection } from './target-connection.ts'
import { expectsTls, failureWords, type TargetFailure } from './target-failure.ts'
import { passWebSocket } from './websocket.ts'

/** Connects to the target; the callback is called once. */
export type ConnectTarget = (done: (error: Error | undefined, socket: Socket | undefined) => void) => void

/** The headers of a preflight that the target gets. */
const preflightQuestions = [
  'access-control-request-method',
  'access-control-request-headers',
  'access-control-request-private-network',
  'user-agent',
] as const

export interface UpstreamOptions {
  readonly connect: ConnectTarget
  /** The target as a person writes it. */
  readonly targetName: string
  /** TLS is spoken with it. */
  readonly isTls: boolean
  /** The target's `Set-Cookie` values without those of the gate's own cookies. */
  readonly withoutOwnCookies: (setCookies: readonly string[]) => string[]
  /** Called after each request: undefined = the target answered. */
  readonly outcome: (failure: TargetFailure | undefined) => void
}

/** The connection that a visitor's last request has left. */
interface Kept {
  connection: TargetConnection | undefined
}

/**
 * Passes requests that were let in to the target. A connection to the target belongs to one connection of a visitor for its whole life:
 * visitors never share one. A smuggled request or a misplaced answer can thus reach no other visitor, and targets that identify a person by
 * the connection (NTLM) work.
 */
export class Upstream {
  readonly #upstream: UpstreamOptions
  readonly #kept = new WeakMap<Socket, Kept>()
  readonly #place: ExchangePlace

  constructor(options: UpstreamOptions) {
    this.#upstream = options
    this.#place = {
      take: (visitor) => this.#take(visitor),
      keep: (visitor, connection) => this.#keep(visitor, connection),
      open: (done) => this.#open(done),
      answered: () => options.outcome(undefined),
      failed: (failure, request, response) => this.#failed(failure, request, response),
    }
  }

  /** Passes a request on. Its headers must be rewritten already. */
  pass(request: IncomingMessage, response: ServerResponse, passage: Passage): void {
    // Said without `Connection: upgrade` it is no wish to upgrade, and must not become one.
    delete request.headers.upgrade
    new Exchange(this.#place, request, response, passage)
  }

  /**
   * Asks the target what it grants to a page of another port of the family, and answers the visitor with that.
   * @param headers of the question; what of it is the visitor's is added.
   */
  askPreflight(
    request: IncomingMessage,
    response: ServerResponse,
    origins: OriginMap,
    headers: Record<string, string>,
  ): void {
    const { origin = '' } = request.headers
    const question: IncomingHttpHeaders = { ...headers, origin: origins.inward(origin) ?? origin }
    for (const name of preflightQuestions) {
      const value = request.headers[name]
      if (typeof value === 'string') question[name] = value
    }
    const path = request.url?.split('?')[0] ?? '/'
    const isOver = () => response.destroyed || response.headersSent
    const failed = () => {
      if (!isOver()) sendReply(response, textReply(502, 'The target did not answer.\n'))
    }
    const answered = (answer: AnswerHead) => {
      if (isOver()) return
      const isGood = answer.status < 300
      const granted = isGood ? preflightHeaders(answer.headers, request.headers, origins) : undefined
      if (granted === undefined)
        return sendReply(response, textReply(403, 'The target does not grant this.\n'))
      response.writeHead(204, granted)
      response.end()
    }
    this.#open((_error, connection) => {
      if (connection === undefined) return failed()
      if (isOver()) return connection.destroy()
      response.once('close', () => connection.destroy())
      const ignore = () => {}
      const asker = {
        head: (answer: AnswerHead) => {
          connection.destroy()
          answered(answer)
        },
        ...{ body: ignore, end: ignore, drained: ignore, failed },
        switched: (_head: AnswerHead, socket: Socket) => {
          socket.destroy()
          failed()
        },
      }
      connection.ask(asker, 'OPTIONS', requestHead('OPTIONS', path, question, 'none', 'close'), true)
      connection.sentWhole()
    })
  }

  /** Passes a WebSocket on. */
  passUpgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    this.#take(socket)?.destroy()
    const { outcome, targetName } = this.#upstream
    passWebSocket(request, socket, head, { open: (done) => this.#open(done), outcome, targetName })
  }

  #open(done: (error: Error | undefined, connection: TargetConnection | undefined) => void): void {
    this.#upstream.connect((error, socket) =>
      done(
        error,
        socket === undefined ? undefined : new TargetConnection(socket, (head) => this.#dropOwnCookies(head)),
      ),
    )
  }

  #dropOwnCookies({ headers }: AnswerHead): void {
    const given = headers['set-cookie']
    if (given === undefined) return
    const kept = this.#upstream.withoutOwnCookies(given)
    if (kept.length === 0) delete headers['set-cookie']
    else headers['set-cookie'] = kept
  }

  #take(visitor: Socket): TargetConnection | undefined {
    const kept = this.#kept.get(visitor)
    const connection = kept?.connection
    if (kept === undefined || connection === undefined) return undefined
    kept.connection = undefined
    if (connection.isReady) return connection
    connection.destroy()
    return undefined
  }

  #keep(visitor: Socket, connection: TargetConnection): void {
    if (visitor.destroyed) return connection.destroy()
    let kept = this.#kept.get(visitor)
    if (kept === undefined) {
      const made: Kept = { connection }
      kept = made
      this.#kept.set(visitor, made)
      visitor.once('close', () => made.connection?.destroy())
    }
    kept.connection = connection
  }

  #failed(failure: TargetFailure, request: IncomingMessage, response: ServerResponse): void {
    // A visitor who left takes the request to the target along; the target is not to blame for that.
    const isThere = () => !response.destroyed && !request.socket.destroyed
    if (!isThere()) return
    if (failure.problem !== 'closed' || this.#upstream.isTls) return this.#fail(failure, request, response)
    void expectsTls(this.#upstream.connect).then((isTls) => {
      const found: TargetFailure = isTls
        ? { problem: 'speaks-tls', detail: 'it took a TLS handshake' }
        : failure
      if (isThere()) this.#fail(found, request, response)
    })
  }

  /** Shows the visitor what the target did, and reports it for the log. */
  #fail(failure: TargetFailure, request: IncomingMessage, response: ServerResponse): void {
    this.#upstream.outcome(failure)
    const { status, title, text } = failureWords(failure, this.#upstream.targetName)
    if (response.headersSent) return void response.destroy()
    const isForPerson = wantsPage(request.headers)
    sendReply(
      response,
      isForPerson ? pageReply(status, noticePage(title, text)) : textReply(status, `${text}\n`),
    )
  }
}
