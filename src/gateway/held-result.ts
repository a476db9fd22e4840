import { unableTo } from './client-asks.ts'
import { HeldCall } from './parked-calls.ts'
import { type Message, messageText, readMessage } from './protocol/message.ts'
import type { CallingClient } from './upstream/call.ts'
import type { Upstream } from './upstream/index.ts'

/** The request for the result of a task of the older generation: it waits for the end, and the server asks its questions meanwhile. */
export class HeldResult {
  readonly client: CallingClient
  readonly call = new HeldCall()
  readonly answer: Promise<Message>

  constructor(id: string, upstream: Upstream, client: CallingClient) {
    this.client = client
    const { call } = this
    const params = JSON.stringify({ taskId: id })
    const message = readMessage(messageText('0', 'tasks/result', params))
    this.answer = upstream.connection(client).then((connection) =>
      connection.call({
        message,
        method: 'tasks/result',
        about: { parameter: 'taskId', value: id },
        client,
        owner: call,
        signal: call.signal,
        notify: () => {},
        ask: (question) => {
          const refused = unableTo(question.method, client)
          return refused === undefined ? call.ask(question) : Promise.resolve(refused)
        },
      }),
    )
    call.begin(this.answer)
  }

  end(): void {
    this.call.end(new Error('the task is forgotten'))
  }
}
