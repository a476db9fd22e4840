import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { exitCode, Failure, errorText as wordsOf } from '../../os/failure.ts'
import { EventReader } from '../upstream/event-reader.ts'
import { bodyOf, HttpExchange } from '../upstream/http-exchange.ts'
import { longestMessage } from '../upstream/limits.ts'

/** ms for one answer. */
const patienceMs = 30_000

export interface DoorAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Of a stream of events the answer to the request; empty where it began and brings nothing yet. */
  readonly body: string
}

interface DoorRequest {
  readonly method?: 'GET' | 'POST' | 'DELETE'
  readonly headers?: Readonly<Record<string, string>>
  readonly message?: object
  /** False = without the key. */
  readonly isKeyed?: boolean
}

/** One MCP server over HTTP, asked by hand. */
export class Door {
  readonly url: URL
  readonly #key: string | undefined
  readonly #exchange: HttpExchange

  constructor(url: URL, key: string | undefined) {
    this.url = url
    this.#key = key
    this.#exchange = new HttpExchange(url)
  }

  /** @throws Failure when nobody answers. */
  async reach(): Promise<void> {
    try {
      await this.ask({ method: 'GET' })
    } catch (error) {
      throw new Failure(`${this.url.href} cannot be reached: ${wordsOf(error)}`, exitCode.unavailable)
    }
  }

  ask({ method = 'POST', headers = {}, message, isKeyed = true }: DoorRequest): Promise<DoorAnswer> {
    const key: Record<string, string> = this.#key !== undefined && isKeyed ? { 'x-api-key': this.#key } : {}
    const accept = method === 'GET' ? 'text/event-stream' : 'application/json, text/event-stream'
    const type: Record<string, string> = message === undefined ? {} : { 'content-type': 'application/json' }
    return new Promise((resolve, reject) => {
      const late = setTimeout(
        () => request.destroy(new Error(`no answer within ${patienceMs / 1000} s`)),
        patienceMs,
      )
      const over = () => clearTimeout(late)
      const request = this.#exchange.send({
        method,
        headers: { accept, ...type, ...key, ...headers },
        ...(message === undefined ? {} : { body: JSON.stringify({ jsonrpc: '2.0', ...message }) }),
        answered: (response) => {
          const { statusCode: status = 0, headers: answered } = response
          textOf(response, method)
            .then((body) => resolve({ status, headers: answered, body }), reject)
            .finally(over)
        },
        failed: (problem) => {
          over()
          reject(problem)
        },
      })
    })
  }

  close(): void {
    this.#exchange.close()
  }
}

function textOf(response: IncomingMessage, method: string): Promise<string> {
  const isStream = (response.headers['content-type'] ?? '').startsWith('text/event-stream')
  if (!isStream) return bodyOf(response, longestMessage)
  return new Promise((resolve) => {
    const over = (text: string) => {
      resolve(text)
      response.destroy()
    }
    response.once('error', () => {})
    response.once('close', () => resolve(''))
    // What comes on it has no end.
    if (method === 'GET') return over('')
    response.setEncoding('utf8')
    const reader = new EventReader(longestMessage, (data) => {
      if (/"(?:result|error)"\s*:/.test(data) && !/"method"\s*:\s*"/.test(data)) over(data)
    })
    response.on('data', (text: string) => void reader.feed(text))
  })
}
