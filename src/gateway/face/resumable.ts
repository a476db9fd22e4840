import type { ServerResponse } from 'node:http'
import { monotonicMs } from '../../os/clock.ts'
import { SseStream } from './sse-stream.ts'

/** What one stream keeps at most; the newest message stays in any case. */
const mostMessages = 256
const mostCharacters = 1024 * 1024

/** What all streams of the gateway keep together, in characters: beyond it, the oldest lose what they have. */
const mostTogether = 64 * 1024 * 1024

/** ms for which a stream that is over can be read again: one that was sent whole, and one whose connection was cut before. */
const keptMs = { read: 60_000, cut: 5 * 60_000 }

/** Streams of one session that are over and can be read again. */
const mostOver = 64

/** ms after which a client connects again (`retry`). */
const retryMs = 1000

interface Kept {
  readonly number: number
  readonly text: string
}

/** What the streams of a gateway keep together. */
export class ReplayRoom {
  /** From the oldest to the newest. */
  readonly #streams = new Set<ResumableStream>()
  #characters = 0

  enter(stream: ResumableStream): void {
    this.#streams.add(stream)
  }

  leave(stream: ResumableStream): void {
    this.#streams.delete(stream)
  }

  /** @param by characters more, or fewer. */
  grow(by: number): void {
    this.#characters += by
    if (this.#characters <= mostTogether) return
    for (const stream of this.#streams) {
      stream.forget()
      if (this.#characters <= mostTogether) return
    }
  }
}

/**
 * One stream of events that goes on although its connection is cut: each message has a number, and is kept for a while. Who connects again with
 * the number of the last one that he has (`Last-Event-ID`) gets what came after it.
 */
export class ResumableStream {
  readonly #id: number
  readonly #room: ReplayRoom
  readonly #isPrimed: boolean
  #kept: Kept[] = []
  #characters = 0
  #last = 0
  /** The last one that was written to a connection. */
  #written = 0
  #connection: SseStream | undefined
  #overAt: number | undefined
  /** Its last connection was not cut: the client has been sent everything. */
  #isRead = false
  #isReleased = false

  /**
   * @param id among the streams of a session.
   * @param isPrimed an event without a message comes first, so that the client can connect again before there is one (from 2025-11-25 on).
   * @param last the number of the last message, where another process has begun it.
   */
  constructor(id: number, room: ReplayRoom, isPrimed: boolean, last = 0) {
    this.#id = id
    this.#last = last
    this.#written = last
    this.#room = room
    this.#isPrimed = isPrimed
    room.enter(this)
  }

  /** Gives it a connection, which takes the place of the one before, and everything that came after this message. */
  connect(
    response: ServerResponse,
    headers: Readonly<Record<string, string>> = {},
    after = this.#written,
  ): void {
    this.#connection?.end()
    const connection = new SseStream(response, headers)
    this.#connection = connection
    response.once('close', () => {
      if (this.#connection !== connection) return
      this.#connection = undefined
      this.#isRead = response.writableFinished
    })
    if (this.#isPrimed) connection.prime(this.#eventId(after), retryMs)
    for (const { number, text } of this.#kept) {
      if (number > after) this.#write(connection, number, text, true)
    }
    if (this.#overAt !== undefined) connection.end()
  }

  /** @param isNeeded false = it may be left out for a client that does not read. */
  send(text: string, isNeeded = true): void {
    const number = ++this.#last
    if (!this.#isReleased) this.#keep({ number, text })
    if (this.#connection?.isOpen === true) this.#write(this.#connection, number, text, isNeeded)
  }

  #keep(message: Kept): void {
    this.#kept.push(message)
    this.#grow(message.text.length)
    while (this.#kept.length > 1 && (this.#kept.length > mostMessages || this.#characters > mostCharacters))
      this.#grow(-(this.#kept.shift()?.text.length ?? 0))
  }

  #write(connection: SseStream, number: number, text: string, isNeeded: boolean): void {
    if (connection.send(text, { isNeeded, id: this.#eventId(number) }))
      this.#written = Math.max(this.#written, number)
  }

  #eventId(number: number): string {
    return `${this.#id}-${number}`
  }

  #grow(by: number): void {
    this.#characters += by
    this.#room.grow(by)
  }

  /** Nothing comes any more. */
  end(): void {
    this.#overAt ??= monotonicMs()
    this.#connection?.end()
  }

  /** The client is there, and reads what it is sent. */
  get isDrained(): boolean {
    return this.#connection?.isDrained === true
  }

  /** Whether it is over, and the time is past in which a client may read it again. */
  isPast(now: number): boolean {
    if (this.#overAt === undefined) return false
    return now - this.#overAt > (this.#isRead ? keptMs.read : keptMs.cut)
  }

  get isOver(): boolean {
    return this.#overAt !== undefined
  }

  /** The number of its last message. */
  get last(): number {
    return this.#last
  }

  /** Keeps nothing of what has been. */
  forget(): void {
    this.#kept = []
    this.#grow(-this.#characters)
  }

  /** Nobody goes on with it after a cut any more; what its client reads now still comes. */
  release(): void {
    this.#isReleased = true
    this.forget()
    this.#room.leave(this)
  }
}

/** The number of the stream for what belongs to no request. */
const unsolicited = 0

/** What must go on: who connects again names the number that he has. */
export interface StreamNumbers {
  /** Of the last stream. */
  readonly lastStream: number
  /** Of the last message on the one that belongs to no request. */
  readonly lastMessage: number
}

/** The streams of one session. */
export class SessionStreams {
  readonly #room: ReplayRoom
  readonly #isPrimed: () => boolean
  readonly #streams = new Map<number, ResumableStream>()
  #lastId = unsolicited

  /**
   * @param isPrimed as the session's revision has it.
   * @param begun the numbers that another process has given; missing = it is new.
   */
  constructor(room: ReplayRoom, isPrimed: () => boolean, begun?: StreamNumbers) {
    this.#room = room
    this.#isPrimed = isPrimed
    if (begun === undefined) return
    this.#lastId = begun.lastStream
    this.#streams.set(unsolicited, new ResumableStream(unsolicited, room, isPrimed(), begun.lastMessage))
  }

  /** For the process that takes over. */
  get numbers(): StreamNumbers {
    return { lastStream: this.#lastId, lastMessage: this.#streams.get(unsolicited)?.last ?? 0 }
  }

  /** The stream for what belongs to no request. */
  get unsolicited(): ResumableStream {
    return this.#streamOf(unsolicited)
  }

  /** Begins a stream that answers a request. */
  begin(response: ServerResponse, headers: Readonly<Record<string, string>>): ResumableStream {
    const over = [...this.#streams].filter(([, { isOver }]) => isOver)
    for (const [id, stream] of over.slice(0, Math.max(0, over.length - mostOver))) this.#forget(id, stream)
    const stream = this.#streamOf(++this.#lastId)
    stream.connect(response, headers)
    return stream
  }

  #forget(id: number, stream: ResumableStream): void {
    stream.release()
    this.#streams.delete(id)
  }

  #streamOf(id: number): ResumableStream {
    const known = this.#streams.get(id)
    if (known !== undefined) return known
    const stream = new ResumableStream(id, this.#room, this.#isPrimed())
    this.#streams.set(id, stream)
    return stream
  }

  /** Goes on behind the event that a client has last. @returns false when there is no such stream, or not any more. */
  resume(eventId: string, response: ServerResponse): boolean {
    const [, id, number] = /^(\d{1,15})-(\d{1,15})$/.exec(eventId) ?? []
    const stream = this.#streams.get(Number(id))
    if (stream === undefined) return false
    stream.connect(response, {}, Number(number))
    return true
  }

  /** The client reads one of them. */
  get areDrained(): boolean {
    return [...this.#streams.values()].some(({ isDrained }) => isDrained)
  }

  /** Forgets what is past. */
  sweep(now: number): void {
    for (const [id, stream] of this.#streams) {
      if (stream.isPast(now)) this.#forget(id, stream)
    }
  }

  /** The session is over. Answers that are under way still come. */
  close(): void {
    this.unsolicited.end()
    for (const [id, stream] of this.#streams) this.#forget(id, stream)
  }
}
