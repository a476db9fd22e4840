/** One connection to the target: requests go out, one after another, and their answers come in. */
import type { Socket } from 'node:net'
import { TURN_BYTES, waitForTurn } from '../relay/fast-streams.ts'
import {
  type AnswerHead,
  type Framing,
  framingOf,
  longestAnswerHead,
  MalformedAnswer,
  readAnswerHead,
  reusableMs,
} from './answer-head.ts'
import { Chunks } from './chunks.ts'
import { failureOf, isTlsRecord, type TargetFailure } from './target-failure.ts'

/** Receives an answer: its head, then its body, then its end; or, at any time before the end, its failure. */
export interface Asker {
  /** @param whole the body, when all of it is there already: neither `body` nor `end` follows. */
  head(head: AnswerHead, whole: Buffer | undefined): void
  body(bytes: Buffer): void
  end(): void
  /** The target has switched to another protocol: the connection is the caller's now, and `bytes` are its first. */
  switched(head: AnswerHead, socket: Socket, bytes: Buffer): void
  failed(failure: TargetFailure, isAnswered: boolean): void
  /** The target takes more of the request's body. */
  drained(): void
}

/** Provisional answers (100, 102, 103) before an answer: the first few only, or a target could go on for ever. */
const mostProvisional = 16

/** ms for which a connection waits for its next request: less than servers wait, most of them 5 s and more. */
const longestIdleMs = 4_000

/** ms of age from which a connection is not used again: what the target's name means, or which target serves, may change. */
const longestAgeMs = 30_000

/**
 * Bytes that an answer brings before it waits until it is its turn again. Else libuv goes on reading from a target that has more, and everybody
 * else waits: a new visitor for all answers of those who came before, since libuv accepts one connection in each turn of the event loop.
 */
const mostInTurn = 256 * 1024

const nothing = Buffer.alloc(0)

/**
 * Used again only after an answer whose end was beyond doubt, with no byte behind it, and a request that was sent whole.
 *
 *   idle -> ask() -> head -> body -> idle or destroyed
 */
export class TargetConnection {
  readonly #socket: Socket
  readonly #received: (head: AnswerHead) => void
  readonly #born = performance.now()
  #state: 'idle' | 'head' | 'body' | 'gone' = 'idle'
  #asker: Asker | undefined
  #method = ''
  /** What has come of a head. */
  #head: Buffer = nothing
  #provisional = 0
  #framing: Framing = { kind: 'none' }
  #left = 0
  #chunks: Chunks | undefined
  #isSentWhole = false
  /** The asker takes no more for now. */
  #isPaused = false
  /** Others read before it goes on. */
  #isWaiting = false
  #readInTurn = 0
  /** ms for which it may wait for its next request. */
  #reusableMs = 0
  #isUsed = false
  /** Runs on while a request is answered, since that is cheaper than to stop it; it then does nothing. */
  #idleTimer: NodeJS.Timeout | undefined
  #idleMs = 0
  readonly #onData = (bytes: Buffer) => {
    this.#read(bytes)
    this.#readInTurn += bytes.length
    if (this.#readInTurn >= mostInTurn && this.#state === 'body') this.#letOthersRead()
  }
  readonly #onEnd = () => this.#ended()
  readonly #onClose = () => this.#lost({ problem: 'closed', detail: 'it closed before its answer' })
  readonly #onError = (error: Error) => this.#lost(failureOf(error))
  readonly #onDrain = () => this.#asker?.drained()

  /**
   * @param socket connected, its handshake done; unused so far.
   * @param received may change the headers of every answer before the asker sees them.
   */
  constructor(socket: Socket, received: (head: AnswerHead) => void = () => {}) {
    this.#socket = socket
    this.#received = received
    socket.setNoDelay(true)
    socket.on('data', this.#onData).on('end', this.#onEnd).on('close', this.#onClose)
    socket.on('error', this.#onError).on('drain', this.#onDrain)
  }

  /** It can take a request now. */
  get isReady(): boolean {
    return this.#state === 'idle' && performance.now() - this.#born < longestAgeMs
  }

  /** It has carried a request before the present one. */
  get isUsed(): boolean {
    return this.#isUsed
  }

  /**
   * Sends the head of a request. Its body follows with `write`; `sentWhole` marks its end.
   * @param head with the empty line that ends it.
   * @param isLast the connection is closed after the answer.
   */
  ask(asker: Asker, method: string, head: string, isLast: boolean): void {
    this.#asker = asker
    this.#method = method
    this.#state = 'head'
    this.#provisional = 0
    this.#isSentWhole = false
    this.#reusableMs = isLast ? 0 : longestIdleMs
    this.#socket.write(head, 'latin1')
  }

  /** @returns false when more should wait for `drained`. */
  write(bytes: Buffer | string): boolean {
    return this.#socket.write(bytes, 'latin1')
  }

  sentWhole(): void {
    this.#isSentWhole = true
  }

  pause(): void {
    this.#isPaused = true
    this.#socket.pause()
  }

  resume(): void {
    this.#isPaused = false
    if (!this.#isWaiting) this.#socket.resume()
  }

  /** Its turn has come: it may read again. */
  goOn(): void {
    this.#isWaiting = false
    if (!this.#isPaused && this.#state !== 'gone') this.#socket.resume()
  }

  /** The asker is not called any more. */
  destroy(): void {
    this.#state = 'gone'
    this.#asker = undefined
    clearTimeout(this.#idleTimer)
    this.#socket.destroy()
  }

  #letOthersRead(): void {
    this.#readInTurn = 0
    if (this.#isWaiting) return
    this.#isWaiting = true
    this.#socket.pause()
    // What a turn may bring to a plain relay takes four times as long here: one answer goes on in each.
    waitForTurn(this, TURN_BYTES)
  }

  #read(bytes: Buffer): void {
    try {
      if (this.#state === 'head') this.#readHead(bytes)
      else if (this.#state === 'body') this.#readBody(bytes)
      // Unrequested bytes must not be taken for an answer to the next request.
      else this.destroy()
    } catch (error) {
      if (!(error instanceof MalformedAnswer)) throw error
      this.#lost({ problem: 'malformed', detail: error.message })
    }
  }

  #readHead(bytes: Buffer): void {
    const head = this.#head.length === 0 ? bytes : Buffer.concat([this.#head, bytes])
    this.#head = nothing
    const problem = problemOfStart(head)
    if (problem !== undefined) return this.#lost(problem)
    const end = head.indexOf('\r\n\r\n', 0, 'latin1')
    if ((end < 0 ? head.length : end) > longestAnswerHead)
      return this.#lost({ problem: 'head-too-long', detail: 'its head is longer than 16 KiB' })
    if (end < 0) {
      this.#head = head
      return
    }
    const answer = readAnswerHead(head.toString('latin1', 0, end))
    const rest = head.subarray(end + 4)
    this.#received(answer)
    if (answer.status === 101) return this.#switch(answer, rest)
    if (answer.status >= 200) return this.#answer(answer, rest)
    if (++this.#provisional > mostProvisional)
      throw new MalformedAnswer('it sends provisional answers without end')
    if (rest.length > 0) this.#readHead(rest)
  }

  #answer(head: AnswerHead, rest: Buffer): void {
    this.#framing = framingOf(head, this.#method)
    this.#reusableMs = reusableMs(head, this.#reusableMs)
    this.#left = this.#framing.kind === 'length' ? this.#framing.bytes : 0
    this.#chunks = this.#framing.kind === 'chunked' ? new Chunks() : undefined
    this.#state = 'body'
    const isBounded = this.#framing.kind === 'none' || this.#framing.kind === 'length'
    if (isBounded && rest.length >= this.#left) {
      const asker = this.#asker
      const whole = rest.subarray(0, this.#left)
      this.#finish(rest.length > this.#left)
      asker?.head(head, whole)
      return
    }
    this.#asker?.head(head, undefined)
    if (rest.length > 0 && this.#state === 'body') this.#readBody(rest)
  }

  #readBody(bytes: Buffer): void {
    if (this.#chunks !== undefined) {
      const used = this.#chunks.read(bytes, (piece) => this.#asker?.body(piece))
      if (this.#chunks.isOver) this.#end(used < bytes.length)
    } else if (this.#framing.kind === 'until-close') this.#asker?.body(bytes)
    else {
      const piece = bytes.length <= this.#left ? bytes : bytes.subarray(0, this.#left)
      this.#left -= piece.length
      this.#asker?.body(piece)
      if (this.#left === 0) this.#end(piece.length < bytes.length)
    }
  }

  #end(hasMore: boolean): void {
    const asker = this.#asker
    this.#finish(hasMore)
    asker?.end()
  }

  /** The answer is over: what is beyond doubt waits for the next request, anything else is closed. */
  #finish(hasMore: boolean): void {
    this.#asker = undefined
    this.#isUsed = true
    if (hasMore || !this.#isSentWhole || this.#reusableMs === 0 || this.#socket.destroyed)
      return this.destroy()
    this.#state = 'idle'
    this.#isPaused = false
    this.#socket.resume()
    if (this.#idleTimer !== undefined && this.#idleMs === this.#reusableMs)
      return void this.#idleTimer.refresh()
    clearTimeout(this.#idleTimer)
    this.#idleMs = this.#reusableMs
    this.#idleTimer = setTimeout(() => {
      if (this.#state === 'idle') this.destroy()
    }, this.#idleMs).unref()
  }

  #switch(head: AnswerHead, rest: Buffer): void {
    const asker = this.#asker
    const socket = this.#socket
    this.#state = 'gone'
    this.#asker = undefined
    socket.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose)
    socket.off('error', this.#onError).off('drain', this.#onDrain)
    socket.on('error', () => {})
    socket.pause()
    asker?.switched(head, socket, rest)
  }

  #ended(): void {
    if (this.#state === 'body' && this.#framing.kind === 'until-close') this.#end(true)
    else this.#lost({ problem: 'closed', detail: 'it closed before its answer' })
  }

  #lost(failure: TargetFailure): void {
    if (this.#state === 'gone') return
    const asker = this.#asker
    const isAnswered = this.#state === 'body' || this.#head.length > 0 || this.#provisional > 0
    this.destroy()
    asker?.failed(failure, isAnswered)
  }
}

/** Judges the first bytes, so that the gate does not wait for the rest of what cannot be an answer. */
function problemOfStart(bytes: Buffer): TargetFailure | undefined {
  if (isTlsRecord(bytes)) return { problem: 'speaks-tls', detail: 'it answered with a TLS record' }
  const start = 'HTTP/'
  if (start.startsWith(bytes.toString('latin1', 0, start.length))) return undefined
  return { problem: 'not-http', detail: 'it does not begin with HTTP/' }
}
