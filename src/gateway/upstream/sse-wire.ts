import type { IncomingMessage } from 'node:http'
import { errorText as wordsOf } from '../../os/failure.ts'
import { CredentialProblem, notAdmitted } from './credentials.ts'
import { EventReader } from './event-reader.ts'
import { HttpExchange, type HttpPlace, type UnderWay } from './http-exchange.ts'
import { longestMessage } from './limits.ts'
import type { Sent, Wire, WireEvents, WireFacts } from './wire.ts'

/**
 * A server that is reached by HTTP with Server-Sent Events, as revision 2024-11-05 has it: one stream brings everything, its first event names
 * where to send.
 */
export function sseWire(place: HttpPlace, events: WireEvents): Wire {
  return new SseWire(place, events)
}

class SseWire implements Wire {
  readonly #exchange: HttpExchange
  readonly #url: URL
  readonly #headers: Readonly<Record<string, string>>
  readonly #events: WireEvents
  readonly #stream: UnderWay
  #endpoint: URL | undefined
  /** What was sent before the server has named the place for it. */
  #waiting: [text: string, sent: Sent][] = []
  #isOver = false

  constructor({ url, headers, credentials }: HttpPlace, events: WireEvents) {
    this.#url = new URL(url)
    this.#headers = headers
    this.#events = events
    this.#exchange = new HttpExchange(this.#url, credentials)
    this.#stream = this.#exchange.send({
      method: 'GET',
      headers: { ...headers, accept: 'text/event-stream' },
      answered: (response) => this.#opened(response),
      failed: (problem) => this.#over(unreachable(problem)),
    })
  }

  #opened(response: IncomingMessage): void {
    const status = response.statusCode ?? 0
    if (status !== 200) {
      response.resume()
      return this.#over(new Error(`it answers with HTTP ${status}`))
    }
    response.setEncoding('utf8')
    const reader = new EventReader(longestMessage, (data, type) => this.#event(data, type))
    response.on('data', (text: string) => {
      if (!reader.feed(text)) response.destroy(new Error('it sent an event that is too long'))
    })
    response.once('error', () => {})
    response.once('close', () => this.#over(new Error('it has closed its stream')))
  }

  #event(data: string, type: string): void {
    if (type !== 'endpoint') return this.#events.message(data, undefined)
    if (!URL.canParse(data, this.#url.href))
      return this.#over(new Error('what it names as the place to send to is no URL'))
    const endpoint = new URL(data, this.#url)
    // Whoever could name another server would get the headers for this one.
    if (endpoint.origin !== this.#url.origin)
      return this.#over(new Error('it names another server to send to, which is refused'))
    this.#endpoint = endpoint
    for (const [text, sent] of this.#waiting.splice(0)) this.send(text, sent)
  }

  send(text: string, sent: Sent): void {
    const { id } = sent
    const unanswered = (problem: Error) => {
      if (id !== undefined) this.#events.unanswered(id, problem)
    }
    if (this.#isOver) return queueMicrotask(() => unanswered(new Error('the connection is closed')))
    if (this.#endpoint === undefined) return void this.#waiting.push([text, sent])
    this.#exchange.send(
      {
        method: 'POST',
        headers: { ...this.#headers, 'content-type': 'application/json' },
        body: text,
        answered: (response) => {
          response.resume()
          const status = response.statusCode ?? 0
          if (status >= 400) unanswered(new Error(`it answers with HTTP ${status}`))
        },
        failed: (problem) => {
          if (id !== undefined && problem instanceof CredentialProblem)
            this.#events.message(notAdmitted(problem, id), id)
          else unanswered(unreachable(problem))
        },
      },
      this.#endpoint,
    )
  }

  abandon(): boolean {
    return false
  }

  speaks(): void {}

  async close(): Promise<void> {
    this.#over(new Error('it was closed'))
    this.#exchange.close()
  }

  #over(problem: Error): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#stream.destroy()
    this.#events.closed(problem)
  }

  facts(): WireFacts {
    return { pid: null, junkLines: 0, lastLines: [] }
  }
}

function unreachable(problem: Error): Error {
  return problem instanceof CredentialProblem
    ? problem
    : new Error(`it cannot be reached: ${wordsOf(problem)}`)
}
