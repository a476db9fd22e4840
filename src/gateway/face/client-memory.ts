import { endingData, errorText, RpcError, rpcCode } from '../protocol/errors.ts'
import { elementsOf, membersOf, textOf } from '../protocol/json-text.ts'
import {
  idOf,
  isRequest,
  type Message,
  messageText,
  paramsOf,
  readMessage,
  stringParam,
  withId,
} from '../protocol/message.ts'

/** A request that has no answer yet. */
interface Pending {
  readonly message: Message
  readonly method: string
  wasSent: boolean
}

/** What may be asked a second time. A call of a tool may be when its server says so. */
const repeatable: readonly string[] = [
  'initialize',
  'ping',
  'server/discover',
  'tools/list',
  'prompts/list',
  'resources/list',
  'resources/templates/list',
  'resources/read',
  'prompts/get',
  'completion/complete',
  'resources/subscribe',
  'resources/unsubscribe',
  'logging/setLevel',
  'subscriptions/listen',
]

/** What has no end of its own. */
const lasting = 'subscriptions/listen'

/** What our own requests have in front of their numbers. */
const ownPrefix = 'port-watchdog:resume:'

const listsChanged = ['tools', 'prompts', 'resources'].map((kind) =>
  messageText(undefined, `notifications/${kind}/list_changed`),
)

/** What a client of one stream has begun, so that it can go on at another gateway. Knows nothing of sockets. */
export class ClientMemory {
  readonly #pending = new Map<string, Pending>()
  #initialize: Message | undefined
  #isInitialized = false
  #level: Message | undefined
  readonly #followed = new Map<string, Message>()
  /** Requests of the gateway that the client has not answered, by their ids as JSON text. */
  readonly #questions = new Set<string>()
  /** The same of a gateway that is gone: nobody waits for the answer. */
  readonly #lost = new Set<string>()
  readonly #own = new Map<string, (answer: Message) => void>()
  #lastOwn = 0

  /** Whether answers are due, but for streams that have no end. */
  get isWaiting(): boolean {
    return [...this.#pending.values()].some(({ method, wasSent }) => wasSent && method !== lasting)
  }

  /** The same with what no gateway has yet. */
  get hasPending(): boolean {
    return [...this.#pending.values()].some(({ method }) => method !== lasting)
  }

  /** The client has sent a line. @returns false = it is for a gateway that is gone. */
  fromClient(line: string): boolean {
    const messages = messagesIn(line)
    const isForOther = (message: Message) => message.method === undefined && this.#lost.delete(idOf(message))
    if (messages.length > 0 && messages.every(isForOther)) return false
    for (const message of messages) {
      const { method } = message
      if (method !== undefined && isRequest(message))
        this.#pending.set(idOf(message), { message, method, wasSent: false })
    }
    return true
  }

  /** A line of the client goes to the gateway now. */
  sent(line: string): void {
    for (const message of messagesIn(line)) {
      const pending = isRequest(message) ? this.#pending.get(idOf(message)) : undefined
      if (pending !== undefined) pending.wasSent = true
      this.#note(message)
    }
  }

  /** What has to be said again at the next gateway. */
  #note(message: Message): void {
    const { method } = message
    if (method === undefined) return void this.#questions.delete(idOf(message))
    const uri = stringParam(message, 'uri')
    switch (method) {
      case 'initialize':
        this.#initialize = message
        return
      case 'notifications/initialized':
        this.#isInitialized = true
        return
      case 'logging/setLevel':
        this.#level = message
        return
      case 'resources/subscribe':
        if (uri !== undefined) this.#followed.set(uri, message)
        return
      case 'resources/unsubscribe':
        if (uri !== undefined) this.#followed.delete(uri)
        return
      case 'notifications/cancelled': {
        const id = paramsOf(message).get('requestId')
        if (id !== undefined) this.#pending.delete(textOf(message.text, id))
      }
    }
  }

  /**
   * The gateway has sent a line.
   * @param isLeaving it ends: streams of changes go on at the next one.
   * @returns false = it is not for the client.
   */
  fromGateway(line: string, isLeaving: boolean): boolean {
    const messages = messagesIn(line)
    if (isLeaving && messages.some((message) => this.#isEndOfStream(message))) return false
    const isOwn = (message: Message) => {
      const taken = message.method === undefined ? this.#own.get(idOf(message)) : undefined
      this.#own.delete(idOf(message))
      taken?.(message)
      return taken !== undefined
    }
    if (messages.length > 0 && messages.every(isOwn)) return false
    for (const message of messages) {
      if (message.method === undefined) this.#pending.delete(idOf(message))
      else if (isRequest(message)) this.#questions.add(idOf(message))
    }
    return true
  }

  /**
   * A gateway that ends has refused a request that it got too late: nothing of it was begun, so the next gateway gets it.
   * @returns the request; undefined = the line says something else.
   */
  notBegun(line: string): string | undefined {
    const [answer, ...more] = messagesIn(line)
    if (answer?.error === undefined || more.length > 0) return undefined
    const data = membersOf(answer.text, answer.error.start).get('data')
    const isEnding = data !== undefined && textOf(answer.text, data) === endingData
    const pending = isEnding ? this.#pending.get(idOf(answer)) : undefined
    if (pending === undefined) return undefined
    pending.wasSent = false
    return pending.message.text
  }

  #isEndOfStream(message: Message): boolean {
    return message.method === undefined && this.#pending.get(idOf(message))?.method === lasting
  }

  /** The gateway is gone. @returns what the client should hear at once. */
  lost(): readonly string[] {
    this.#own.clear()
    const questions = [...this.#questions]
    this.#questions.clear()
    for (const id of questions) this.#lost.add(id)
    return questions.map((id) =>
      messageText(
        undefined,
        'notifications/cancelled',
        `{"requestId":${id},"reason":"the gateway has ended"}`,
      ),
    )
  }

  /**
   * Begins the session anew at another gateway.
   * @param send takes a line to it.
   * @returns what the client is to hear of it: answers to what must not be sent twice, and that lists may have changed.
   */
  async resume(send: (line: string) => void): Promise<readonly string[]> {
    const begin = this.#initialize
    const isOpening = begin !== undefined && this.#pending.has(idOf(begin))
    if (begin !== undefined) send(isOpening ? begin.text : this.#underOwnId(begin))
    if (this.#isInitialized) send(messageText(undefined, 'notifications/initialized'))
    if (this.#level !== undefined && !this.#isPending(this.#level)) send(this.#underOwnId(this.#level))
    for (const followed of this.#followed.values()) {
      if (!this.#isPending(followed)) send(this.#underOwnId(followed))
    }
    const open = [...this.#pending.values()].filter(({ message, wasSent }) => wasSent && message !== begin)
    const safe = open.some(({ method }) => method === 'tools/call') ? await this.#safeTools(send) : undefined
    const refusals: string[] = []
    for (const { message, method } of open) {
      // It was answered or given up meanwhile.
      if (!this.#isPending(message)) continue
      if (repeatable.includes(method) || safe?.has(stringParam(message, 'name') ?? '') === true)
        send(message.text)
      else refusals.push(this.#refuse(message, method))
    }
    return [...refusals, ...(this.#isInitialized ? listsChanged : [])]
  }

  #isPending(message: Message): boolean {
    return this.#pending.get(idOf(message))?.message === message
  }

  #refuse(message: Message, method: string): string {
    const id = idOf(message)
    this.#pending.delete(id)
    const what = `the gateway ended during ${method}; whether it had an effect is unknown`
    return errorText(id, new RpcError(rpcCode.connectorDown, what))
  }

  /** The same request under an id of ours: its answer is not for the client. */
  #underOwnId(message: Message, answered: (answer: Message) => void = () => {}): string {
    const id = JSON.stringify(`${ownPrefix}${++this.#lastOwn}`)
    this.#own.set(id, answered)
    return withId(message, id)
  }

  /** The tools that may be called twice. */
  async #safeTools(send: (line: string) => void): Promise<ReadonlySet<string>> {
    const asked = readMessage(messageText('0', 'tools/list', '{}'))
    const answer = await new Promise<Message>((resolve) => send(this.#underOwnId(asked, resolve)))
    const { text, result } = answer
    const tools = result && membersOf(text, result.start).get('tools')
    const listed = tools === undefined ? [] : (JSON.parse(textOf(text, tools)) as readonly Listed[])
    return new Set(
      listed
        .filter(({ annotations: hints }) => hints?.readOnlyHint === true || hints?.idempotentHint === true)
        .map(({ name }) => name),
    )
  }
}

interface Listed {
  readonly name: string
  readonly annotations?: { readonly readOnlyHint?: boolean; readonly idempotentHint?: boolean }
}

/** The messages of a line; none when it holds something else, which the other side refuses. */
function messagesIn(line: string): readonly Message[] {
  try {
    if (!line.trimStart().startsWith('[')) return [readMessage(line)]
    return elementsOf(line, 0).map((element) => readMessage(textOf(line, element)))
  } catch {
    return []
  }
}
