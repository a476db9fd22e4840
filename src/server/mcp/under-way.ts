import { Transform } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'

/** Requests of one client that have no answer yet. Streams do not count: they have none. */
export class UnderWay {
  readonly #ids = new Set<unknown>()
  #onNone: () => void = () => {}

  /** A message of the client. */
  came(message: unknown): void {
    const { id, method, params } = (message ?? {}) as {
      readonly id?: unknown
      readonly method?: unknown
      readonly params?: { readonly requestId?: unknown }
    }
    if (method === 'notifications/cancelled') this.#end(params?.requestId)
    else if (id !== undefined && typeof method === 'string' && method !== 'subscriptions/listen')
      this.#ids.add(id)
  }

  /** A message to the client has been written. */
  went(message: unknown): void {
    const { id, method } = (message ?? {}) as { readonly id?: unknown; readonly method?: unknown }
    if (id !== undefined && method === undefined) this.#end(id)
  }

  /** Resolves when every request has its answer, or after so many ms. */
  async none(withinMs: number): Promise<void> {
    if (this.#ids.size === 0) return
    await new Promise<void>((resolve) => {
      const late = setTimeout(resolve, withinMs)
      this.#onNone = () => {
        clearTimeout(late)
        resolve()
      }
    })
  }

  #end(id: unknown): void {
    if (this.#ids.delete(id) && this.#ids.size === 0) this.#onNone()
  }
}

/** A stream that passes on what is written to it, and its end only when every request in it has its answer, or after so many ms. */
export function endingAfter(underWay: UnderWay, withinMs: number): Transform {
  const stream: Transform = new Transform({
    transform: (chunk, _encoding, done) => done(null, chunk),
    flush: (done) => {
      const wait = async () => {
        // What is still in here has not been read as requests.
        do await turn()
        while (stream.readableLength > 0 && !stream.destroyed)
        await underWay.none(withinMs)
      }
      void wait().then(() => done())
    },
  })
  return stream
}
