/** One request that was let in, on its way to the target, and the answer on its way back. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { isTranslated, sendHead, sendTranslated } from './answer.ts'
import type { AnswerHead } from './answer-head.ts'
import type { BodyTreatment } from './document.ts'
import { rewriteResponseHeaders } from './headers.ts'
import type { OriginMap } from './origins.ts'
import { isRepeatable, type RequestFraming, requestFraming, requestHead } from './request-head.ts'
import type { Asker, TargetConnection } from './target-connection.ts'
import { failureOf, type TargetFailure } from './target-failure.ts'

/** How one request's answer is to be treated. */
export interface Passage {
  readonly origins: OriginMap
  readonly origin: string | undefined
  readonly isFamily: boolean
  readonly treatment: BodyTreatment
  readonly hidesReferrer: boolean
}

/** What an exchange needs of the gate. */
export interface ExchangePlace {
  /** Gives the connection that this visitor's last request has left, when it can take another. */
  take(visitor: Socket): TargetConnection | undefined
  keep(visitor: Socket, connection: TargetConnection): void
  /** Opens a new one. The callback is called once. */
  open(done: (error: Error | undefined, connection: TargetConnection | undefined) => void): void
  answered(): void
  /** Shows the visitor what the target did, if an answer is still possible. */
  failed(failure: TargetFailure, request: IncomingMessage, response: ServerResponse): void
}

/** Bytes that may wait for the visitor before nothing more is read from the target. */
const mostWaiting = 512 * 1024

/** Bytes of a body that is sent in one write with its head. */
const smallBody = 16 * 1024

export class Exchange implements Asker {
  readonly #place: ExchangePlace
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #passage: Passage
  readonly #framing: RequestFraming
  readonly #visitor: Socket
  #connection: TargetConnection | undefined
  /** The connection has carried another request before, so that the target may just have closed it. */
  #isReused = false
  /** The body of an answer that is translated. */
  #gathered: Readable | undefined
  #waitsForDrain = false
  #isCorked = false

  /** Begins at once. The request's headers must be rewritten already. */
  constructor(place: ExchangePlace, request: IncomingMessage, response: ServerResponse, passage: Passage) {
    this.#place = place
    this.#request = request
    this.#response = response
    this.#passage = passage
    this.#framing = requestFraming(request)
    this.#visitor = request.socket
    response.once('close', () => this.#left())
    const kept = place.take(this.#visitor)
    if (kept !== undefined && isRepeatable(request)) this.#ask(kept)
    else {
      kept?.destroy()
      this.#open()
    }
  }

  head(head: AnswerHead, whole: Buffer | undefined): void {
    const response = this.#response
    // What servers say on a connection that they are about to close for its idleness.
    if (this.#isReused && head.status === 408) return this.#again()
    if (response.headersSent) return this.#drop()
    const { headers } = head
    const { origins, treatment } = this.#passage
    // Each side of the gate has its own framing.
    if (headers['transfer-encoding']?.toLowerCase() === 'chunked') delete headers['transfer-encoding']
    rewriteResponseHeaders(headers, origins, this.#passage)
    const fail = (failure: TargetFailure) => {
      this.#drop()
      this.#place.failed(failure, this.#request, response)
    }
    if (isTranslated(head, treatment)) {
      this.#gathered = new Readable({ read: () => this.#connection?.resume() })
      sendTranslated(head, this.#gathered, response, { origins, treatment, fail })
    } else if (!sendHead(head, response, headers, fail)) return
    this.#place.answered()
    if (whole !== undefined) return this.#sendWhole(whole)
    // Else the head would wait for the first byte of the body, and an event stream may have none for hours.
    if (this.#gathered === undefined) response.flushHeaders()
  }

  #sendWhole(whole: Buffer): void {
    if (this.#gathered !== undefined) {
      this.body(whole)
      return this.end()
    }
    // As one text, Node sends head and body with one write.
    if (whole.length <= smallBody) this.#response.end(whole.toString('latin1'), 'latin1')
    else this.#response.end(whole)
    this.#finish()
  }

  body(bytes: Buffer): void {
    if (this.#gathered !== undefined) {
      if (!this.#gathered.push(bytes)) this.#connection?.pause()
      return
    }
    const response = this.#response
    if (!this.#isCorked) {
      this.#isCorked = true
      this.#visitor.cork()
      setImmediate(this.#flush)
    }
    response.write(bytes)
    if (response.writableLength < mostWaiting || this.#waitsForDrain) return
    this.#flush()
    if (response.writableLength < mostWaiting) return
    this.#waitsForDrain = true
    this.#connection?.pause()
    response.once('drain', () => {
      this.#waitsForDrain = false
      this.#connection?.resume()
    })
  }

  /** What one turn of the event loop has read goes out with one write: each would wake the visitor. */
  readonly #flush = () => {
    if (!this.#isCorked) return
    this.#isCorked = false
    this.#visitor.uncork()
  }

  end(): void {
    if (this.#gathered === undefined) this.#response.end()
    else this.#gathered.push(null)
    this.#finish()
  }

  switched(_head: AnswerHead, socket: Socket): void {
    // The target switched protocols without being asked to.
    socket.destroy()
    this.#connection = undefined
    this.#place.failed({ problem: 'switched', detail: 'it answered 101' }, this.#request, this.#response)
  }

  failed(failure: TargetFailure, isAnswered: boolean): void {
    if (this.#isReused && !isAnswered) return this.#again()
    this.#connection = undefined
    this.#gathered?.destroy()
    // What is cut off must not look complete.
    if (this.#response.headersSent) return void this.#response.destroy()
    this.#place.failed(failure, this.#request, this.#response)
  }

  drained(): void {
    this.#request.resume()
  }

  #open(): void {
    this.#place.open((error, connection) => {
      if (this.#response.destroyed) connection?.destroy()
      else if (connection === undefined) this.#place.failed(failureOf(error), this.#request, this.#response)
      else this.#ask(connection)
    })
  }

  #ask(connection: TargetConnection): void {
    const { method = 'GET', url = '/', headers } = this.#request
    this.#connection = connection
    this.#isReused = connection.isUsed
    const isLast = !this.#response.shouldKeepAlive
    const head = requestHead(method, url, headers, this.#framing, isLast ? 'close' : 'keep-alive')
    connection.ask(this, method, head, isLast)
    // Without framing no body is passed on, whatever was read: the target would take it for a request of its own.
    if (this.#framing === 'none') return connection.sentWhole()
    this.#request.on('data', this.#passBody).once('end', this.#passEnd)
  }

  readonly #passBody = (bytes: Buffer) => {
    const connection = this.#connection
    if (connection === undefined) return
    let isTaken: boolean
    if (this.#framing === 'chunked') {
      connection.write(`${bytes.length.toString(16)}\r\n`)
      connection.write(bytes)
      isTaken = connection.write('\r\n')
    } else isTaken = connection.write(bytes)
    if (!isTaken) this.#request.pause()
  }

  readonly #passEnd = () => {
    if (this.#framing === 'chunked') this.#connection?.write('0\r\n\r\n')
    this.#connection?.sentWhole()
  }

  /** The kept connection was closed while the request was on its way: once more, on a new one. */
  #again(): void {
    this.#connection?.destroy()
    this.#connection = undefined
    if (!this.#response.destroyed) this.#open()
  }

  /** The answer is passed on; the rest of a body that the target did not want is read and dropped. */
  #finish(): void {
    const connection = this.#connection
    this.#connection = undefined
    if (this.#framing !== 'none') this.#request.off('data', this.#passBody).off('end', this.#passEnd).resume()
    if (connection?.isReady === true) this.#place.keep(this.#visitor, connection)
    else connection?.destroy()
  }

  #drop(): void {
    this.#connection?.destroy()
    this.#connection = undefined
  }

  /** The answer was sent, or the visitor has gone. */
  #left(): void {
    this.#drop()
    this.#gathered?.destroy()
  }
}
