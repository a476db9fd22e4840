/**
 * The connections of visitors. Each is in one state at any time, and each state has a bound:
 *
 *   head       the head of a request is awaited, the first or the next one: a total time
 *   own        the gate itself answers, with a page or a refusal, or an upgrade waits for its turn: a total time
 *   passing    a request or a WebSocket is the target's: what waits for the visitor must be taken bit by bit, and `--idle-timeout` holds
 *   ended      the gate has sent its end: a total time
 *
 * Without a login, a visitor may neither queue many requests nor collect many answers, which the kernel would have to keep if the visitor
 * never reads.
 */
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { resetSocket } from '../relay/reset.ts'

/** Times in ms. */
export interface VisitorLimits {
  /** For the head of a request. */
  readonly headMs: number
  /** That a connection is kept for its next request. */
  readonly keepAliveMs: number
  /** For an answer of the gate itself, a login form that must arrive first included, and for the end of a connection. */
  readonly ownAnswerMs: number
  /** Without a byte taken, while some wait for a visitor who is let in. He may pause a download, or stand at a breakpoint. */
  readonly takeMs: number
  /** Without a byte either way in what is the target's. 0 = for ever: event streams are silent for hours. */
  readonly idleMs: number
}

export const defaultVisitorLimits: VisitorLimits = {
  headMs: 10_000,
  keepAliveMs: 60_000,
  ownAnswerMs: 30_000,
  takeMs: 300_000,
  idleMs: 0,
}

/** Requests that may wait for the answer before theirs; after a login, and before one. No browser sends so many. */
const mostWaiting = { admitted: 100, others: 10 }

/** Answers on one connection without a login: some 100 kB that the kernel keeps for a visitor who does not read. */
const mostAnswersOutside = 20

interface Visitor {
  readonly source: string
  /** When the present state has lasted too long, ms of `performance.now()`. Infinite while `passing`. */
  endsAt: number
  /** Rings at `ringsAt`, which may be before `endsAt`: to let it ring and set it anew is cheaper than to set it for every state. */
  timer: NodeJS.Timeout | undefined
  ringsAt: number
  /** A request of this connection was let in. */
  isAdmitted: boolean
  answersOutside: number
  /** A request is being answered. */
  isBusy: boolean
  /** What begins with the requests after that one, in their order. */
  readonly waiting: (() => void)[]
  isPassing: boolean
  /** Bytes read and taken at the last look. */
  read: number
  taken: number
  /** When a byte last went either way, and when one was last taken or none waited; ms of `performance.now()`. */
  movedAt: number
  takenAt: number
}

export class Visitors {
  readonly #limits: VisitorLimits
  readonly #visitors = new Map<Duplex, Visitor>()
  #look: NodeJS.Timeout | undefined
  #closed = false

  constructor(limits: VisitorLimits) {
    this.#limits = limits
  }

  add(socket: Duplex, source: string): void {
    const now = performance.now()
    this.#visitors.set(socket, {
      source,
      endsAt: Number.POSITIVE_INFINITY,
      timer: undefined,
      ringsAt: Number.POSITIVE_INFINITY,
      isAdmitted: false,
      answersOutside: 0,
      isBusy: false,
      waiting: [],
      isPassing: false,
      read: 0,
      taken: 0,
      movedAt: now,
      takenAt: now,
    })
    socket.once('close', () => this.#remove(socket))
    this.#endWithin(socket, this.#limits.headMs)
    this.#look ??= setInterval(() => this.#lookAtAll(), this.#lookMs)
  }

  /** The visitor's address; undefined when he is gone. */
  sourceOf(socket: Duplex): string | undefined {
    return this.#visitors.get(socket)?.source
  }

  /**
   * The head of a request is there: it begins when those before it on the same connection are answered.
   * @param isUpgrade nothing is read while it waits, so that not even the visitor's end would be noticed.
   * @returns false when this is the last request on the connection that is answered.
   */
  inTurn(socket: Duplex, isUpgrade: boolean, begin: () => void): boolean {
    const visitor = this.#visitors.get(socket)
    if (visitor === undefined) return false
    if (visitor.isBusy) {
      visitor.waiting.push(begin)
      if (isUpgrade) this.#endWithin(socket, this.#limits.headMs)
    } else {
      this.#endWithin(socket, this.#limits.ownAnswerMs)
      visitor.isBusy = true
      begin()
    }
    const most = visitor.isAdmitted ? mostWaiting.admitted : mostWaiting.others
    if (visitor.waiting.length > most) resetSocket(socket as Socket)
    if (!visitor.isAdmitted) visitor.answersOutside++
    return visitor.answersOutside < mostAnswersOutside
  }

  /** The request that is being answered is let in: it is the target's affair now. */
  pass(socket: Duplex): void {
    const visitor = this.#visitors.get(socket)
    if (visitor === undefined) return
    visitor.endsAt = Number.POSITIVE_INFINITY
    visitor.isAdmitted = true
    visitor.isPassing = true
    visitor.answersOutside = 0
    visitor.movedAt = performance.now()
    visitor.takenAt = visitor.movedAt
  }

  /** A request is answered: the next one begins, or is awaited. */
  answered(socket: Socket): void {
    const visitor = this.#visitors.get(socket)
    if (visitor === undefined) return
    visitor.isPassing = false
    this.#endWithin(socket, this.#limits.ownAnswerMs)
    // An answer that says so ends the connection, whatever else was asked on it.
    if (socket.destroyed || socket.writableEnded) return
    const next = visitor.waiting.shift()
    if (next !== undefined) return next()
    visitor.isBusy = false
    if (this.#closed) socket.end()
    else this.#endWithin(socket, this.#keepAliveMs)
  }

  /** The request that has come begins anew, on the same connection. */
  again(socket: Duplex): void {
    const visitor = this.#visitors.get(socket)
    if (visitor !== undefined) visitor.isBusy = false
  }

  /** Ends connections that wait for their next request, now and later; requests and streams go on. */
  close(): void {
    this.#closed = true
    for (const [socket, { isBusy }] of this.#visitors) if (!isBusy) socket.destroy()
  }

  get #keepAliveMs(): number {
    const { idleMs, keepAliveMs } = this.#limits
    return idleMs === 0 ? keepAliveMs : Math.min(idleMs, keepAliveMs)
  }

  #endWithin(socket: Duplex, ms: number): void {
    const visitor = this.#visitors.get(socket)
    if (visitor === undefined) return
    visitor.endsAt = performance.now() + ms
    if (visitor.endsAt < visitor.ringsAt) this.#setTimer(socket, visitor, ms)
  }

  #setTimer(socket: Duplex, visitor: Visitor, ms: number): void {
    clearTimeout(visitor.timer)
    visitor.ringsAt = performance.now() + ms
    visitor.timer = setTimeout(() => {
      const leftMs = visitor.endsAt - performance.now()
      visitor.ringsAt = Number.POSITIVE_INFINITY
      // With a reset: what the kernel keeps for a visitor who does not read must go, too.
      if (leftMs < 1) resetSocket(socket as Socket)
      else if (Number.isFinite(leftMs)) this.#setTimer(socket, visitor, leftMs)
    }, ms)
  }

  #remove(socket: Duplex): void {
    clearTimeout(this.#visitors.get(socket)?.timer)
    this.#visitors.delete(socket)
    if (this.#visitors.size > 0) return
    clearInterval(this.#look)
    this.#look = undefined
  }

  /** Often enough that no bound is passed by more than a quarter. */
  get #lookMs(): number {
    const { takeMs, idleMs } = this.#limits
    return Math.min(5_000, Math.max(10, Math.min(takeMs, idleMs || takeMs) / 4))
  }

  #lookAtAll(): void {
    const now = performance.now()
    for (const [socket, visitor] of this.#visitors) {
      if (visitor.isPassing) this.#lookAt(socket as Socket, visitor, now)
    }
  }

  #lookAt(socket: Socket, visitor: Visitor, now: number): void {
    const { takeMs, idleMs, ownAnswerMs } = this.#limits
    const read = socket.bytesRead
    const taken = socket.bytesWritten - socket.writableLength
    if (read !== visitor.read || taken !== visitor.taken) visitor.movedAt = now
    if (taken !== visitor.taken || socket.writableLength === 0) visitor.takenAt = now
    visitor.read = read
    visitor.taken = taken
    const isStalled = now - visitor.takenAt > takeMs
    const isIdle = idleMs > 0 && now - visitor.movedAt > idleMs
    const isOver = socket.writableFinished && now - visitor.movedAt > ownAnswerMs
    if (isStalled || isIdle || isOver) resetSocket(socket)
  }
}
