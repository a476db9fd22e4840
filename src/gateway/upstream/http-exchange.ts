import {
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
} from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'

/** ms in which a server must accept a connection. */
const connectWithinMs = 30_000

/** Requests to one server at once. */
const mostSockets = 256

export interface Sending {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  readonly answered: (response: IncomingMessage) => void
  readonly failed: (problem: Error) => void
}

/** The HTTP client of one server: connections are kept, and a stream may be silent for as long as it likes. */
export class HttpExchange {
  readonly #url: URL
  readonly #agent: HttpAgent

  constructor(url: URL) {
    this.#url = url
    const options = { keepAlive: true, maxSockets: mostSockets }
    this.#agent = url.protocol === 'https:' ? new HttpsAgent(options) : new HttpAgent(options)
  }

  /** @param url another place of the same server. */
  send({ method, headers, body, answered, failed }: Sending, url = this.#url): ClientRequest {
    const make = url.protocol === 'https:' ? httpsRequest : httpRequest
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
    let isAnswered = false
    const sent = make(url, { method, agent: this.#agent, headers: { ...headers, ...length } }, (response) => {
      isAnswered = true
      answered(response)
    })
    // From the answer's head on, its reader learns of what goes wrong.
    sent.on('error', (problem) => {
      if (!isAnswered) failed(problem)
    })
    sent.once('socket', (socket) => {
      if (!socket.connecting) return
      const late = setTimeout(
        () => sent.destroy(new Error('it does not accept connections')),
        connectWithinMs,
      )
      const over = () => clearTimeout(late)
      socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', over)
      socket.once('close', over)
    })
    sent.end(body)
    return sent
  }

  close(): void {
    this.#agent.destroy()
  }
}

/** The whole body of an answer; it is given up when it is longer than it may be. */
export function bodyOf(response: IncomingMessage, longest: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let bytes = 0
    response.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > longest)
        response.destroy(new Error(`its answer is longer than ${longest / 1024 / 1024} MB`))
      else chunks.push(chunk)
    })
    response.once('end', () => resolve(Buffer.concat(chunks).toString('utf8')))
    response.once('error', reject)
    response.once('close', () => reject(new Error('its answer was cut off')))
  })
}
