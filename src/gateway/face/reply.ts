import type { ServerResponse } from 'node:http'
import { SseStream } from './sse-stream.ts'
import { send } from './visit.ts'

/**
 * ms after which a client that takes a stream gets its first byte: so that nothing on the way gives the request up, and so that one that can
 * go on after a cut knows where.
 */
const streamAfterMs = { plain: 5000, resumable: 1000 }

interface AnswerStream {
  send(text: string): unknown
  end(): void
}

interface Replying {
  /** Of the first answer alone. */
  readonly headers?: Readonly<Record<string, string>>
  /** Begins a stream that goes on after a cut; missing = one that ends with its connection. */
  readonly resumable?: (response: ServerResponse, headers: Readonly<Record<string, string>>) => AnswerStream
}

/**
 * The answer to one request: one JSON object, or, as soon as something comes before it or it takes long, a stream of events. A client that
 * takes no streams gets the answer alone.
 */
export class RequestReply {
  readonly #response: ServerResponse
  readonly #takesStreams: boolean
  readonly #headers: Readonly<Record<string, string>>
  readonly #resumable: Replying['resumable']
  #stream: AnswerStream | undefined
  readonly #begin: NodeJS.Timeout | undefined

  constructor(response: ServerResponse, takesStreams: boolean, { headers = {}, resumable }: Replying = {}) {
    this.#response = response
    this.#takesStreams = takesStreams
    this.#headers = headers
    this.#resumable = resumable
    if (!takesStreams) return
    this.#begin = setTimeout(
      () => this.#open(),
      streamAfterMs[resumable === undefined ? 'plain' : 'resumable'],
    )
    this.#begin.unref()
  }

  /** Undefined = the client has gone before it could begin. */
  #open(): AnswerStream | undefined {
    if (this.#stream === undefined && !this.#response.destroyed) {
      this.#stream =
        this.#resumable?.(this.#response, this.#headers) ?? new SseStream(this.#response, this.#headers)
    }
    return this.#stream
  }

  /** A message before the answer. */
  readonly send = (text: string): void => {
    if (this.#takesStreams) this.#open()?.send(text)
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
