import type { IncomingMessage } from 'node:http'
import { setTimeout as after } from 'node:timers/promises'
import { errorCode, errorText as wordsOf } from '../../os/failure.ts'
import { errorText, RpcError, rpcCode } from '../protocol/errors.ts'
import { headerValueOf } from '../protocol/header-values.ts'
import { idOf, messageText, readMessage } from '../protocol/message.ts'
import { modernRevision } from '../protocol/revisions.ts'
import { CredentialProblem, notAdmitted } from './credentials.ts'
import { EventReader } from './event-reader.ts'
import { bodyOf, HttpExchange, type HttpPlace, type UnderWay } from './http-exchange.ts'
import { longestMessage } from './limits.ts'
import { isDoubtful, knewSession } from './session-doubt.ts'
import { type Sent, SessionLost, type Wire, type WireEvents, type WireFacts } from './wire.ts'

/** ms before the stream of what belongs to no request is opened again, doubled up to the second one. */
const reopenMs = { first: 1000, most: 60_000 }

/** ms before a stream that was cut is asked for again, where the server does not say. */
const resumeMs = 1000

/** Tries to go on with an answer, one after the other, of which none brings an event. */
const mostTries = 5

/** ms that the end of a session may take. */
const endTakesMs = 1000

/** Errors of a connection that was never made. */
const nobodyThere = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']

/** How a stream of events has ended. */
interface StreamEnd {
  /** Behind which it goes on; undefined = it cannot. */
  readonly lastId: string | undefined
  readonly retryMs: number | undefined
  /** The last event is the answer that was waited for. */
  readonly isAnswered: boolean
  readonly isTooLong: boolean
}

/** A server that is reached by Streamable HTTP, in either generation. */
export function httpWire(place: HttpPlace, events: WireEvents): Wire {
  return new HttpWire(place, events)
}

class HttpWire implements Wire {
  readonly #exchange: HttpExchange
  readonly #headers: Readonly<Record<string, string>>
  readonly #events: WireEvents
  readonly #takesLogin: boolean
  readonly #open = new Map<number, UnderWay>()
  /** Of these, those that the server has begun to answer. */
  readonly #begun = new Set<number>()
  #revision: string | undefined
  #session: string | undefined
  #stream: UnderWay | undefined
  #reopening: NodeJS.Timeout | undefined
  #pauseMs = reopenMs.first
  readonly #ending = new AbortController()
  #isOver = false

  constructor({ url, headers, credentials }: HttpPlace, events: WireEvents) {
    this.#exchange = new HttpExchange(new URL(url), credentials)
    this.#takesLogin = credentials !== undefined
    this.#headers = headers
    this.#events = events
  }

  send(text: string, sent: Sent): void {
    const { id } = sent
    if (this.#isOver) {
      if (id !== undefined)
        queueMicrotask(() => this.#events.unanswered(id, new Error('the connection is closed')))
      return
    }
    const request = this.#exchange.send({
      method: 'POST',
      headers: this.#headersFor(sent),
      body: text,
      answered: (response) => void this.#answered(response, sent),
      failed: (problem) => {
        if (problem instanceof CredentialProblem) {
          if (id !== undefined && this.#open.delete(id)) this.#events.message(notAdmitted(problem, id), id)
          if (problem.kind === 'login') this.#over(problem)
          return
        }
        // Nobody is there: what was sent has reached nobody, and the next start waits until somebody is.
        if (nobodyThere.includes(errorCode(problem) ?? ''))
          return this.#over(new SessionLost(unreachable(problem).message))
        if (id !== undefined && this.#open.delete(id)) this.#events.unanswered(id, unreachable(problem))
      },
    })
    if (id !== undefined) this.#open.set(id, request)
  }

  #headersFor({ method, about, parameters, id }: Sent): Readonly<Record<string, string>> {
    // A request before anything is agreed is one of the newer generation, or the opening of the older one.
    const isModern =
      this.#revision === modernRevision || (this.#revision === undefined && method === 'server/discover')
    const revision = isModern ? modernRevision : this.#revision
    return {
      ...this.#headers,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...(revision === undefined ? {} : { 'mcp-protocol-version': revision }),
      ...(this.#session === undefined ? {} : { 'mcp-session-id': this.#session }),
      ...(isModern && id !== undefined && method !== undefined ? { 'mcp-method': method } : {}),
      ...(isModern && id !== undefined && about !== undefined ? { 'mcp-name': headerValueOf(about) } : {}),
      ...(isModern ? parameters : {}),
    }
  }

  async #answered(response: IncomingMessage, sent: Sent): Promise<void> {
    const { id } = sent
    const status = response.statusCode ?? 0
    try {
      if (sent.method === 'initialize' && status === 200) {
        const session = response.headers['mcp-session-id']
        if (typeof session === 'string') this.#session = session
      }
      const isStream = (response.headers['content-type'] ?? '').startsWith('text/event-stream')
      if (id === undefined) {
        response.resume()
        if (status === 404 && this.#session !== undefined) this.#lost()
        return
      }
      if (status === 200 && isStream) await this.#followAnswer(response, id)
      else await this.#readBody(await bodyOf(response, longestMessage), status, id)
    } catch (problem) {
      if (id !== undefined && this.#open.has(id)) this.#events.unanswered(id, unreachable(problem))
    } finally {
      if (id !== undefined) {
        this.#open.delete(id)
        this.#begun.delete(id)
      }
    }
  }

  /** Reads the answer to a request from its stream, and goes on after a cut where the server has numbered its events. */
  async #followAnswer(response: IncomingMessage, id: number): Promise<void> {
    this.#begun.add(id)
    let end = await this.#readStream(response, id, undefined)
    for (let tries = 0; tries < mostTries && this.#isToBeResumed(id, end); tries++) {
      await after(end.retryMs ?? resumeMs, undefined, { signal: this.#ending.signal }).catch(() => {})
      if (!this.#isToBeResumed(id, end)) break
      const next = await this.#resume(id, end.lastId ?? '')
      if (next === 'refused') break
      if (next === 'unreachable') continue
      if (next.lastId !== end.lastId) tries = -1
      end = next
    }
    // One that was answered waits no more, and is not told.
    const what = end.isTooLong ? 'it sent an event that is too long' : 'its answer was cut off'
    this.#events.unanswered(id, new Error(what))
  }

  #isToBeResumed(id: number, { lastId, isAnswered, isTooLong }: StreamEnd): boolean {
    const isPossible = lastId !== undefined && this.#revision !== modernRevision
    return isPossible && !isAnswered && !isTooLong && this.#open.has(id)
  }

  #resume(id: number, lastId: string): Promise<StreamEnd | 'refused' | 'unreachable'> {
    return new Promise((resolve) => {
      const request = this.#exchange.send({
        method: 'GET',
        headers: this.#headersForStream(lastId),
        answered: (response) => {
          if (response.statusCode === 200) return resolve(this.#readStream(response, id, lastId))
          response.resume()
          resolve('refused')
          // The call itself may have been carried out.
          if (response.statusCode === 404 && this.#session !== undefined) this.#lost()
        },
        failed: () => resolve('unreachable'),
      })
      this.#open.set(id, request)
    })
  }

  /** Resolves at its end. @param lastEvent behind which it goes on. */
  #readStream(
    response: IncomingMessage,
    exchange: number | undefined,
    lastEvent: string | undefined,
  ): Promise<StreamEnd> {
    response.setEncoding('utf8')
    let last = ''
    let isTooLong = false
    let judged: Promise<void> | undefined
    const reader = new EventReader(longestMessage, (data) => {
      if (data === '') return
      last = data
      if (exchange !== undefined && this.#isDoubtful(200, data)) judged = this.#judge(data, 200, exchange)
      else this.#events.message(data, exchange)
    })
    return new Promise((resolve) => {
      response.on('data', (text: string) => {
        if (reader.feed(text)) return
        isTooLong = true
        response.destroy()
      })
      response.once('error', () => {})
      response.once('close', () => {
        const { lastId = lastEvent, retryMs } = reader
        const isAnswered = lastId !== undefined && exchange !== undefined && isAnswerTo(last, exchange)
        const end = { lastId, retryMs, isAnswered, isTooLong }
        void Promise.resolve(judged).then(() => resolve(end))
      })
    })
  }

  async #readBody(body: string, status: number, id: number): Promise<void> {
    if (status === 404 && this.#session !== undefined) return this.#lost()
    if (this.#isDoubtful(status, body)) await this.#judge(body, status, id)
    else this.#deliver(body, status, id)
  }

  /** An answer may mean that the server does not know the session any more. */
  #isDoubtful(status: number, text: string): boolean {
    return this.#session !== undefined && isDoubtful(status, text)
  }

  /** Passes such an answer on when the server knows the session all the same. */
  async #judge(body: string, status: number, id: number): Promise<void> {
    const isKnown = await this.#knowsSession()
    if (this.#isOver) return
    if (isKnown) return this.#deliver(body, status, id)
    // It was refused, and not begun.
    this.#begun.delete(id)
    this.#lost()
  }

  /** Asks the server for a sign of life within the session: of all that can be asked, that changes nothing. */
  #knowsSession(): Promise<boolean> {
    return new Promise((resolve) => {
      this.#exchange.send({
        method: 'POST',
        headers: this.#headersFor({ id: undefined, method: undefined }),
        body: messageText('"session"', 'ping'),
        answered: (response) => void knewSession(response).then(resolve),
        // Whether it does cannot be told.
        failed: () => resolve(true),
      })
    })
  }

  #deliver(body: string, status: number, id: number): void {
    if (isAnswerTo(body, id)) return this.#events.message(body, id)
    if (status >= 500) return this.#events.unanswered(id, new Error(`it answers with HTTP ${status}`))
    const what =
      status === 401 || status === 403
        ? `it refuses access (HTTP ${status})${this.#takesLogin || status === 403 ? '' : '; where it takes OAuth, write auth: oauth'}`
        : `it answers with HTTP ${status}`
    this.#events.message(errorText(String(id), new RpcError(rpcCode.invalidRequest, what)), id)
  }

  /** The server does not know the session any more: what it has not begun to answer was not done. */
  #lost(): void {
    for (const id of this.#begun)
      this.#events.unanswered(id, new Error('it has ended the session, and its answer was cut off'))
    this.#over(new SessionLost('it has ended the session'))
  }

  abandon(id: number): boolean {
    this.#open.get(id)?.destroy()
    this.#open.delete(id)
    return this.#revision === modernRevision
  }

  speaks(revision: string): void {
    this.#revision = revision
    if (revision !== modernRevision && this.#session !== undefined) this.#openStream()
  }

  /** What belongs to no request comes on a stream of its own, where the server has one. @param lastEvent behind which it goes on. */
  #openStream(lastEvent?: string): void {
    if (this.#isOver) return
    const again = ({ lastId, retryMs }: Partial<StreamEnd> = {}) => {
      if (this.#isOver) return
      this.#reopening = setTimeout(() => this.#openStream(lastId), retryMs ?? this.#pauseMs)
      this.#reopening.unref()
      this.#pauseMs = Math.min(reopenMs.most, this.#pauseMs * 2)
    }
    this.#stream = this.#exchange.send({
      method: 'GET',
      headers: this.#headersForStream(lastEvent),
      answered: (response) => {
        const status = response.statusCode ?? 0
        if (status === 200) {
          this.#pauseMs = reopenMs.first
          void this.#readStream(response, undefined, lastEvent).then(again)
          return
        }
        response.resume()
        if (status === 404) return this.#lost()
        // 405: it has none.
        if (status !== 405) again()
      },
      failed: (problem) => (isLoginNeeded(problem) ? this.#over(problem) : again({ lastId: lastEvent })),
    })
  }

  /** @param lastEvent behind which the stream goes on; undefined = it is a new one. */
  #headersForStream(lastEvent: string | undefined): Readonly<Record<string, string>> {
    const { 'content-type': _, ...headers } = this.#headersFor({ id: undefined, method: undefined })
    const place: Record<string, string> = lastEvent === undefined ? {} : { 'last-event-id': lastEvent }
    return { ...headers, accept: 'text/event-stream', ...place }
  }

  async close(): Promise<void> {
    const session = this.#session
    const wasOver = this.#isOver
    const headers = this.#headersFor({ id: undefined, method: undefined })
    this.#over(new Error('it was closed'))
    if (session !== undefined && !wasOver) {
      await new Promise<void>((resolve) => {
        const late = setTimeout(() => request.destroy(), endTakesMs)
        const over = () => {
          clearTimeout(late)
          resolve()
        }
        const request = this.#exchange.send({
          method: 'DELETE',
          headers,
          answered: (response) => {
            response.resume()
            over()
          },
          failed: over,
        })
      })
    }
    this.#exchange.close()
  }

  #over(problem: Error): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#ending.abort()
    clearTimeout(this.#reopening)
    this.#stream?.destroy()
    this.#events.closed(problem)
    for (const request of this.#open.values()) request.destroy()
    this.#open.clear()
  }

  facts(): WireFacts {
    return { pid: null, junkLines: 0, lastLines: [] }
  }
}

/** Whether a text is an answer to this request. */
function isAnswerTo(text: string, id: number): boolean {
  try {
    const message = readMessage(text)
    return message.method === undefined && idOf(message) === String(id)
  } catch {
    return false
  }
}

function isLoginNeeded(problem: Error): boolean {
  return problem instanceof CredentialProblem && problem.kind === 'login'
}

function unreachable(problem: unknown): Error {
  return new Error(`it cannot be reached: ${wordsOf(problem)}`)
}
