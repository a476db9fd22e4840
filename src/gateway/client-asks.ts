import { RpcError, rpcCode } from './protocol/errors.ts'
import { textOf } from './protocol/json-text.ts'
import { idOf, type Message, messageText } from './protocol/message.ts'
import { tasksExtension } from './protocol/revisions.ts'
import type { CallingClient, ClientAnswer, Question } from './upstream/call.ts'

/** The capability that a client needs for a server's request. */
const capabilityFor: Readonly<Record<string, string>> = {
  'sampling/createMessage': 'sampling',
  'elicitation/create': 'elicitation',
  'roots/list': 'roots',
}

/** Requests of servers to one client of the older generation. */
export class ClientAsks {
  readonly #waiting = new Map<string, (answer: ClientAnswer) => void>()
  #last = 0

  /** Asks the client, when it is able to answer. @param send takes messages to it. */
  ask(
    { method, params, signal }: Omit<Question, 'key'>,
    client: CallingClient,
    send: (text: string) => void,
  ): Promise<ClientAnswer> {
    const refused = unableTo(method, client)
    if (refused !== undefined) return Promise.resolve(refused)
    const id = String(++this.#last)
    return new Promise((resolve, reject) => {
      const over = () => {
        this.#waiting.delete(id)
        send(messageText(undefined, 'notifications/cancelled', `{"requestId":${id}}`))
        reject(new RpcError(rpcCode.internalError, 'the call that this belongs to is over'))
      }
      signal.addEventListener('abort', over, { once: true })
      this.#waiting.set(id, (answer) => {
        signal.removeEventListener('abort', over)
        resolve(answer)
      })
      send(messageText(id, method, params))
    })
  }

  /** The client has answered. One that was not asked, or not any more, is passed over. */
  answered(message: Message): void {
    const { text, result, error } = message
    const waiting = this.#waiting.get(idOf(message))
    if (waiting === undefined) return
    this.#waiting.delete(idOf(message))
    if (result !== undefined) waiting({ ok: true, result: textOf(text, result) })
    else waiting({ ok: false, error: error === undefined ? '{}' : textOf(text, error) })
  }
}

/** What a server hears whose client cannot answer such a request; undefined = it can. */
export function unableTo(method: string, { capabilities }: CallingClient): ClientAnswer | undefined {
  const needed = capabilityFor[method]
  const able = JSON.parse(capabilities) as Readonly<Record<string, unknown>>
  if (needed === undefined || able[needed] !== undefined) return undefined
  const error = { code: rpcCode.methodNotFound, message: `the client has no ${needed}` }
  return { ok: false, error: JSON.stringify(error) }
}

/** The refusal of a whole call, in the newer generation, which needs what its client cannot do. */
export function missingCapability(method: string): RpcError {
  const capability = capabilityFor[method] ?? method
  const data = { requiredCapabilities: { [capability]: {} } }
  return new RpcError(
    rpcCode.missingCapability,
    `the client has no ${capability}, which this call needs`,
    data,
  )
}

/** A client of the newer generation must say that it knows tasks. */
export function knowsTasks({ era, capabilities }: Pick<CallingClient, 'era' | 'capabilities'>): boolean {
  return era === 'legacy' || capabilities.includes(tasksExtension)
}

/** @throws RpcError when the client has not said that it knows tasks, and must. */
export function demandTasks(client: Pick<CallingClient, 'era' | 'capabilities'>): void {
  if (knowsTasks(client)) return
  const data = { requiredCapabilities: { extensions: { [tasksExtension]: {} } } }
  throw new RpcError(rpcCode.missingCapability, `the client has not declared ${tasksExtension}`, data)
}
