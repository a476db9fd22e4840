import { RpcError, rpcCode } from '../protocol/errors.ts'
import { isStringAt, stringOf, textOf } from '../protocol/json-text.ts'
import { idOf, type Message, resultText } from '../protocol/message.ts'
import type { Call, ClientAnswer } from './call.ts'

/** The error that a server gets which asks for somebody who cannot be told. */
const nobody = JSON.stringify({
  code: rpcCode.methodNotFound,
  message:
    'the gateway cannot tell which client this request is for: several have calls under way, or none has',
})

/** Whom a request of a server is for. */
export interface Addressee {
  /** The call that it belongs to. */
  readonly call: Call | undefined
  /** Takes one that belongs to no call that is known; undefined = there is nobody whom it is certainly for. */
  readonly otherwise: (
    method: string,
    params: string | undefined,
    signal: AbortSignal,
  ) => Promise<ClientAnswer> | undefined
}

/** What a server asks on one connection: each request goes to the client that it is certainly for, and the answer back. */
export class ServerAsks {
  /** Those that wait for a client, by their id as JSON text. */
  readonly #waiting = new Map<string, AbortController>()
  readonly #send: (text: string) => void

  /** @param send takes an answer to the server. */
  constructor(send: (text: string) => void) {
    this.#send = send
  }

  /** Takes a request of the server. */
  take(message: Message, method: string, { call, otherwise }: Addressee): void {
    const id = idOf(message)
    if (method === 'ping') return this.#send(resultText(id, '{}'))
    const params = message.params && textOf(message.text, message.params)
    const over = new AbortController()
    const key =
      message.id !== undefined && isStringAt(message.text, message.id)
        ? stringOf(message.text, message.id)
        : id
    const asked =
      call?.ask({ method, params, key, signal: over.signal }) ?? otherwise(method, params, over.signal)
    if (asked === undefined) return this.#refuse(id, nobody)
    this.#waiting.set(id, over)
    void asked
      .catch((problem: unknown): ClientAnswer => ({ ok: false, error: errorOf(problem) }))
      .then((given) => {
        this.#waiting.delete(id)
        if (over.signal.aborted) return
        if (given.ok) this.#send(resultText(id, given.result))
        else this.#refuse(id, given.error)
      })
  }

  #refuse(id: string, error: string): void {
    this.#send(`{"jsonrpc":"2.0","id":${id},"error":${error}}`)
  }

  /** The server does not want the answer any more. @param id as JSON text. */
  cancelled(id: string): void {
    this.#waiting.get(id)?.abort()
  }

  /** The server has gone. */
  close(): void {
    for (const one of this.#waiting.values()) one.abort()
  }
}

function errorOf(problem: unknown): string {
  const { code, message, data } =
    problem instanceof RpcError
      ? problem
      : {
          code: rpcCode.internalError,
          message: problem instanceof Error ? problem.message : String(problem),
          data: undefined,
        }
  return JSON.stringify({ code, message, ...(data === undefined ? {} : { data }) })
}
