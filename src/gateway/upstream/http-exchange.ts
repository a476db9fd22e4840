import {
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
} from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { Credentials } from './credentials.ts'

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

/** Where a server is, and what it is shown. */
export interface HttpPlace {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** Undefined = nothing besides the headers. */
  readonly credentials: Credentials | undefined
}

/** A request that was sent, or is about to be. */
export interface UnderWay {
  /** It is given up: `failed` is told why, unless it was answered. */
  destroy(why?: Error): void
}

/** The HTTP client of one server: connections are kept, and a stream may be silent for as long as it likes. */
export class HttpExchange {
  readonly #url: URL
  readonly #agent: HttpAgent
  readonly #credentials: Credentials | undefined

  /** @param credentials shown with each request; undefined = none. */
  constructor(url: URL, credentials?: Credentials) {
    this.#url = url
    this.#credentials = credentials
    const options = { keepAlive: true, maxSockets: mostSockets }
    this.#agent = url.protocol === 'https:' ? new HttpsAgent(options) : new HttpAgent(options)
  }

  /** @param url another place of the same server. */
  send(sending: Sending, url = this.#url): UnderWay {
    return this.#credentials === undefined
      ? this.#send(sending, url)
      : this.#sendWith(this.#credentials, sending, url)
  }

  /** What the server refuses for its token alone was not done: it is sent once more with another one. */
  #sendWith(credentials: Credentials, sending: Sending, url: URL): UnderWay {
    const { headers, answered, failed } = sending
    let request: ClientRequest | undefined
    let hasFailed = false
    const failedOnce = (problem: Error) => {
      if (!hasFailed) failed(problem)
      hasFailed = true
    }
    const sendAs = (authorization: string, isLast: boolean) => {
      if (hasFailed) return
      request = this.#send(
        {
          ...sending,
          headers: { ...headers, authorization },
          failed: failedOnce,
          answered: (response) => {
            const challenge = response.headers['www-authenticate'] ?? ''
            if (isLast || !isRefusal(response.statusCode, challenge)) return answered(response)
            response.resume()
            request = undefined
            credentials.refused(authorization, challenge).then((other) => sendAs(other, true), failedOnce)
          },
        },
        url,
      )
    }
    credentials.authorization().then((authorization) => sendAs(authorization, false), failedOnce)
    return {
      destroy: (why) => {
        if (request === undefined) failedOnce(why ?? new Error('it was given up'))
        request?.destroy(why)
      },
    }
  }

  #send({ method, headers, body, answered, failed }: Sending, url: URL): ClientRequest {
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

function isRefusal(status: number | undefined, challenge: string): boolean {
  return status === 401 || (status === 403 && challenge.includes('insufficient_scope'))
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
    // Each answer closes. To make an error takes longer than to read a short body.
    response.once('close', () => {
      if (!response.complete) reject(new Error('its answer was cut off'))
    })
  })
}
