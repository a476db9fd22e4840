import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'vitest'
import { inTime } from './tools.ts'

/** How one request is answered; `hang` = not at all, `reset` = the connection is torn within the answer. */
export type Answer =
  | 'hang'
  | 'reset'
  | { readonly status: number; readonly headers?: Record<string, string>; readonly body?: string }

export interface Received {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** ms of a monotonic clock. */
  readonly at: number
}

export const fine: Answer = { status: 200, body: 'ok' }

/** A real HTTP server on loopback that answers as it is told, then 200, and can be waited for. */
export class AlertReceiver {
  readonly received: Received[] = []
  readonly #answers: Answer[]
  readonly #server = createServer((request, response) => void this.#take(request, response))
  #waiting: (() => void)[] = []

  constructor(answers: readonly Answer[]) {
    this.#answers = [...answers]
  }

  static async start(
    t: Pick<TestContext, 'onTestFinished'>,
    answers: readonly Answer[] = [],
    port = 0,
  ): Promise<AlertReceiver> {
    const receiver = new AlertReceiver(answers)
    receiver.#server.listen(port, '127.0.0.1')
    await once(receiver.#server, 'listening')
    t.onTestFinished(() => receiver.close())
    return receiver
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  url(path = '/services/T0123456789/B0123456789/secretsecretsecret'): string {
    return `http://127.0.0.1:${this.port}${path}`
  }

  /** Resolves when so many requests have come. */
  async count(count: number): Promise<readonly Received[]> {
    return this.when((received) => received.length >= count)
  }

  when(isEnough: (received: readonly Received[]) => boolean): Promise<readonly Received[]> {
    return inTime(this.#enough(isEnough), () => `received: ${JSON.stringify(this.received)}`)
  }

  async #enough(isEnough: (received: readonly Received[]) => boolean): Promise<readonly Received[]> {
    while (!isEnough(this.received)) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    return this.received
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = ''
    request.on('error', () => {})
    for await (const chunk of request) body += String(chunk)
    const { method = '', url: path = '', headers } = request
    this.received.push({ method, path, headers, body, at: performance.now() })
    this.#answer(response, this.#answers.shift() ?? fine)
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  #answer(response: ServerResponse, answer: Answer): void {
    if (answer === 'hang') return
    if (answer === 'reset') {
      response.writeHead(200, { 'content-length': '1000' })
      response.write('begun', () => response.socket?.resetAndDestroy())
      return
    }
    response.writeHead(answer.status, answer.headers)
    response.end(answer.body ?? '')
  }
}
