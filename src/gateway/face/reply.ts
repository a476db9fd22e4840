import type { ServerResponse } from 'node:http'
import { SseStream } from './sse-stream.ts'
import { send } from './visit.ts'

/** ms after which a client that takes a stream gets its first byte, so that nothing on the way gives the request up. */
const streamAfterMs = 5000

/**
 * The answer to one request: one JSON object, or, as soon as something comes before it or it takes long, a stream of events. A client that
 * takes no streams gets the answer alone.
 */
export class RequestReply {
  readonly #response: ServerResponse
  readonly #takesStreams: boolean
  readonly #headers: Readonly<Record<string, string>>
  #stream: SseStream | undefined
  readonly #begin: NodeJS.Timeout | undefined

  constructor(
    response: ServerResponse,
    takesStreams: boolean,
    headers: Readonly<Record<string, string>> = {},
  ) {
    this.#response = response
    this.#takesStreams = takesStreams
    this.#headers = headers
    if (!takesStreams) return
    this.#begin = setTimeout(() => this.#open(), streamAfterMs)
    this.#begin.unref()
  }

  #open(): SseStream {
    this.#stream ??= new SseStream(this.#response, this.#headers)
    return this.#stream
  }

  /** A message before the answer. */
  readonly send = (text: string): void => {
    if (this.#takesStreams && !this.#response.destroyed) this.#open().send(text)
  }

  /** @param status for an answer that is no stream. */
  answer(text: string | undefined, status = 200, more: Readonly<Record<string, string>> = {}): void {
    clearTimeout(this.#begin)
    if (this.#stream === undefined) {
      if (text === undefined) return void this.#response.writeHead(202, { ...this.#headers }).end()
      return send(this.#response, status, text, { ...this.#headers, ...more })
    }
    if (text !== undefined) this.#stream.send(text)
    this.#stream.end()
  }
}

/** Whether a client takes this type; `*` counts where it stands. */
export function accepts(accept: string | undefined, type: string): boolean {
  return (accept ?? '').toLowerCase().includes(type)
}
