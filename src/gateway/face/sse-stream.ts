import type { ServerResponse } from 'node:http'
import { longestMessage } from '../upstream/limits.ts'

/** ms between two signs of life on a stream on which nothing happens. */
const keepAliveMs = 15_000

/** Bytes that may wait for a client that does not read, before messages that nobody waits for are left out. */
const mostWaiting = 1024 * 1024

/** Bytes after which such a client is cut off: what it asks for is kept for nobody. */
const mostUnread = 3 * longestMessage

/** How a message goes out. */
interface Sending {
  /** False = it may be left out for a client that does not read. */
  readonly isNeeded?: boolean
  readonly event?: string
  /** By which the client can go on behind it. */
  readonly id?: string
}

/** An answer as Server-Sent Events. Its first byte goes at once, so that nothing on the way takes it for dead. */
export class SseStream {
  readonly #response: ServerResponse
  readonly #ticking: NodeJS.Timeout

  constructor(response: ServerResponse, headers: Readonly<Record<string, string>> = {}) {
    this.#response = response
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store, no-transform',
      'x-accel-buffering': 'no',
      ...headers,
    })
    response.write(':\n\n')
    this.#ticking = setInterval(() => void (this.isOpen && response.write(':\n\n')), keepAliveMs)
    this.#ticking.unref()
    response.once('close', () => clearInterval(this.#ticking))
  }

  get isOpen(): boolean {
    return this.#response.writable && !this.#response.destroyed
  }

  /** The client reads what it is sent. */
  get isDrained(): boolean {
    return this.isOpen && this.#response.writableLength === 0
  }

  /** An event without a message. @param retryMs after which the client is to connect again. */
  prime(id: string, retryMs: number): void {
    if (this.isOpen) this.#response.write(`id: ${id}\nretry: ${retryMs}\ndata: \n\n`)
  }

  /** @returns whether it was sent. */
  send(text: string, { isNeeded = true, event = 'message', id }: Sending = {}): boolean {
    if (!this.isOpen || (!isNeeded && this.#response.writableLength > mostWaiting)) return false
    if (this.#response.writableLength > mostUnread) {
      this.#response.destroy()
      return false
    }
    // A line break stands between values of JSON alone.
    const data = /[\n\r]/.test(text) ? text.replaceAll(/[\n\r]+/g, ' ') : text
    const place = id === undefined ? '' : `id: ${id}\n`
    this.#response.write(`event: ${event}\n${place}data: ${data}\n\n`)
    return true
  }

  end(): void {
    clearInterval(this.#ticking)
    this.#response.end()
  }
}
