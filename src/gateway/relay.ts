import { hash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { finished, inputIn, responsesIn, withParam } from './answers.ts'
import { type ClientAsks, missingCapability, unableTo } from './client-asks.ts'
import { HeldCall, inputRequestsText, type ParkedCalls } from './parked-calls.ts'
import { RpcError, rpcCode } from './protocol/errors.ts'
import { stringIn, textOf } from './protocol/json-text.ts'
import {
  idOf,
  type Message,
  metaOf,
  paramsOf,
  readMessage,
  resultText,
  stringParam,
} from './protocol/message.ts'
import type { MirroredParameter } from './protocol/parameter-headers.ts'
import { logLevels, metaKey } from './protocol/revisions.ts'
import type { Call, CallingClient } from './upstream/call.ts'
import { type Connection, ConnectionLost } from './upstream/connection.ts'
import type { Upstream } from './upstream/index.ts'
import { UpstreamDown } from './upstream/slot.ts'
import { abortSignalOf, type Waiting } from './waiting.ts'

/** How a face takes messages to the client of one request before its answer. */
export interface Outlet {
  readonly send: (text: string) => void
}

/** Rounds of questions in one call. */
const mostRounds = 32

/** Starts and calls of one request, when its server ends again and again. */
const mostTries = 4

/** ms until the next start of a server that a call waits for: at first, and when the server has worked during the call. */
const soonMs = 200
const patienceMs = 2000

/** Methods whose answer may be a question in the newer generation. */
const mayAsk: readonly string[] = ['tools/call', 'prompts/get', 'resources/read']

/** What else changes nothing. */
const readingMethods: readonly string[] = ['completion/complete', 'tasks/get', 'tasks/result']

/** A request of a client, whose server is yet to be found. */
export interface Arrived {
  readonly message: Message
  readonly method: string
  readonly client: CallingClient
  readonly outlet: Outlet
  readonly own: Waiting
  /** Of the HTTP request, where they must say what the body says; undefined = there are none, or they need not. */
  readonly headers?: Readonly<Record<string, unknown>> | undefined
}

/** A request that goes to a server. */
export interface Relayed extends Arrived {
  readonly upstream: Upstream
  readonly about?: Call['about']
  readonly mirrored?: readonly MirroredParameter[] | undefined
  /** It takes as long as it takes: it waits for the end of a task. */
  readonly hasNoLimit?: boolean
  /** Told of the answer of the server. */
  readonly answered?: (answer: Message) => void
  /** Makes of the answer of the server what the generation of the client has for it; missing = it stays. */
  readonly translated?: ((answer: Message) => Message) | undefined
}

/** Whose requests a relay takes. */
export interface RelayOwner {
  readonly asks: ClientAsks
  readonly parked: ParkedCalls
  /** What tells his calls from those of others. */
  readonly identity: string
  /** The level of log messages that he wants, of the older generation; -1 = he has not said. */
  readonly level: () => number
}

/** Takes the requests of one client to servers, and brings back the answers, whichever generation either speaks. */
export class Relay {
  readonly #owner: RelayOwner

  constructor(owner: RelayOwner) {
    this.#owner = owner
  }

  /** Takes a request to a server and brings back the answer under the client's id. */
  async take(relayed: Relayed): Promise<string> {
    const { calls } = relayed.upstream
    let isFailure = false
    const answered = (answer: Message) => {
      isFailure = answer.error !== undefined && !isMistakeOfClient(answer)
      relayed.answered?.(answer)
    }
    try {
      const answer = await this.#take({ ...relayed, answered })
      if (isFailure) calls.failed()
      else calls.succeeded()
      return answer
    } catch (error) {
      if (isOfServer(error)) calls.failed()
      throw error
    }
  }

  async #take(relayed: Relayed): Promise<string> {
    const { method, upstream, client, own } = relayed
    const { timeoutMs } = upstream.connector
    // A call that asks its client waits for a person: its time is that of `parked`.
    const late =
      relayed.hasNoLimit === true
        ? undefined
        : setTimeout(() => own.abort(new TooLate(upstream.id, timeoutMs)), timeoutMs)
    try {
      const state = client.era === 'modern' ? stringParam(relayed.message, 'requestState') : undefined
      const parked = state === undefined ? undefined : this.#parked(relayed, state)
      if (parked !== undefined) return await this.#goOn(parked, relayed)
      const connection = await connected(relayed, soonMs)
      const isHeld = client.era === 'modern' && connection.facts.era === 'legacy' && mayAsk.includes(method)
      return isHeld ? await this.#held(connection, relayed) : await this.#once(connection, relayed)
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error
      if (!error.isUntouched && !isRepeatable(relayed)) {
        throw new RpcError(
          rpcCode.connectorLost,
          `connector '${upstream.id}' ended during the call: ${error.message}; whether the call had an effect is unknown`,
        )
      }
      return await this.#again(relayed)
    } finally {
      clearTimeout(late)
    }
  }

  /** Once more, and again where that is safe: a server may be killed twice in one call. */
  async #again(relayed: Relayed): Promise<string> {
    const { upstream } = relayed
    for (let tries = 1; ; tries++) {
      try {
        return await this.#once(await connected(relayed, patienceMs), relayed)
      } catch (error) {
        if (!(error instanceof ConnectionLost)) throw error
        const isSafe = error.isUntouched || isRepeatable(relayed)
        if (!isSafe || tries === mostTries) throw new UpstreamDown(upstream.id, error.message)
      }
    }
  }

  async #once(connection: Connection, relayed: Relayed): Promise<string> {
    const { message, method, client, outlet } = relayed
    const { signal } = relayed.own
    const call: Call = {
      message,
      method,
      about: relayed.about,
      mirrored: relayed.mirrored,
      client,
      owner: this.#owner,
      signal,
      notify: (text) => this.#pass(text, message, client, outlet.send),
      ask: (question) =>
        this.#owner.asks.ask(
          { ...question, signal: AbortSignal.any([abortSignalOf(question.signal), abortSignalOf(signal)]) },
          client,
          outlet.send,
        ),
    }
    const { era } = connection.facts
    const first = await this.#mirrored(connection, call, relayed.upstream)
    const answer =
      client.era === 'legacy' && era === 'modern' ? await this.#withInput(connection, call, first) : first
    relayed.answered?.(answer)
    return finished(relayed.translated?.(answer) ?? answer, idOf(message), client.era, era, method)
  }

  /**
   * Sends a call. One whose headers the server refuses was not begun: the tool has changed, which nobody has told. It is read again, and the
   * call is sent with the headers that it wants now.
   */
  async #mirrored(connection: Connection, call: Call, upstream: Upstream): Promise<Message> {
    const answer = await connection.call(call)
    const { era } = connection.facts
    const isRefused = era === 'modern' && codeOf(answer) === rpcCode.headerMismatch
    if (!isRefused || call.method !== 'tools/call' || call.about === undefined) return answer
    const mirrored = await upstream.mirroredNow(connection, call.about.value)
    return isDeepStrictEqual(mirrored, call.mirrored) ? answer : connection.call({ ...call, mirrored })
  }

  /** A message of the server during a call: log lines only at the level that the client wants. */
  #pass(text: string, message: Message, client: CallingClient, send: (text: string) => void): void {
    const read = readMessage(text)
    if (read.method !== 'notifications/message') return send(text)
    const wanted =
      client.era === 'legacy'
        ? this.#owner.level()
        : logLevels.indexOf(
            stringIn(message.text, metaOf(message.text, paramsOf(message)), metaKey.logLevel) as never,
          )
    // Of the newer generation, who names no level wants none.
    if (client.era === 'modern' && wanted < 0) return
    if (logLevels.indexOf(stringParam(read, 'level') as never) >= wanted) send(text)
  }

  /** A server of the newer generation asks in its answer: a client of the older one is asked, and the call is sent again. */
  async #withInput(connection: Connection, call: Call, first: Message): Promise<Message> {
    let answer = first
    for (let round = 0; round < mostRounds; round++) {
      const input = inputIn(answer)
      if (input === undefined) return answer
      const responses: Record<string, string> = {}
      await Promise.all(
        [...input.requests].map(async ([key, { method, params }]) => {
          const given = await call.ask({ method, params, key, signal: call.signal })
          if (!given.ok) {
            const { code = rpcCode.internalError, message = 'the client refused' } = JSON.parse(given.error)
            throw new RpcError(code, message)
          }
          responses[key] = given.result
        }),
      )
      const set: Record<string, string> = {}
      if (input.requests.size > 0) {
        const members = Object.entries(responses).map(([key, result]) => `${JSON.stringify(key)}:${result}`)
        set.inputResponses = `{${members.join(',')}}`
      }
      if (input.state !== undefined) set.requestState = input.state
      let message = call.message
      for (const [name, value] of Object.entries(set)) message = withParam(message, name, value)
      answer = await connection.call({ ...call, message })
    }
    throw new RpcError(rpcCode.internalError, `the server asked for input ${mostRounds} times`)
  }

  /** The call that waits under this state. Undefined: the state is the server's own. */
  #parked({ message, method, upstream }: Relayed, state: string): HeldCall | undefined {
    const { parked } = this.#owner
    const isOfServer = !parked.isOurs(state) && upstream.facts?.era === 'modern'
    if (isOfServer) return undefined
    const found = parked.isOurs(state) ? parked.take(state, this.#fingerprint(message, method)) : undefined
    if (found === undefined) {
      const what = 'this requestState is unknown, of another call, or has expired'
      throw new RpcError(rpcCode.invalidParams, what)
    }
    found.answer(responsesIn(message))
    return found
  }

  /** A call of the newer generation to a server of the older one, which may ask the client meanwhile. */
  #held(connection: Connection, relayed: Relayed): Promise<string> {
    const { message, method, client, upstream } = relayed
    const held = new HeldCall()
    const call: Call = {
      message,
      method,
      about: relayed.about,
      client,
      owner: held,
      signal: held.signal,
      notify: (text) => {
        if (held.notify !== undefined) this.#pass(text, message, client, held.notify)
      },
      ask: (question) => {
        const refused = unableTo(question.method, client)
        if (refused === undefined) return held.ask(question)
        // The newer generation has it that a call which needs what its client cannot do is refused as a whole.
        held.fail(missingCapability(question.method))
        return Promise.resolve(refused)
      },
    }
    held.begin(connection.call(call))
    // Who comes next must not be taken for this one, where clients have connections of their own.
    held.parked = () => {
      held.ended = upstream.setAside(client, connection) ?? held.ended
      held.parked = () => {}
    }
    return this.#goOn(held, relayed)
  }

  /** Waits for the answer to a held call, or for the next questions. */
  async #goOn(
    held: HeldCall,
    { message, method, outlet, own, answered, translated }: Relayed,
  ): Promise<string> {
    const { signal } = own
    held.notify = outlet.send
    // A client that goes away before it was asked anything takes its call with it.
    const left = () => held.end(signal.reason ?? new Error('nobody waits'))
    signal.addEventListener('abort', left, { once: true })
    try {
      const next = await held.next()
      if (next.kind === 'answered') {
        answered?.(next.message)
        const answer = translated?.(next.message) ?? next.message
        return finished(answer, idOf(message), 'modern', 'legacy', method)
      }
      held.parked()
      const state = this.#owner.parked.park(held, this.#fingerprint(message, method))
      const result = `{"resultType":"input_required","inputRequests":${inputRequestsText(next.questions)},"requestState":${JSON.stringify(state)}}`
      return resultText(idOf(message), result)
    } finally {
      held.notify = undefined
      signal.removeEventListener('abort', left)
    }
  }

  /** Whose call it is and which one. */
  #fingerprint(message: Message, method: string): string {
    const params = paramsOf(message)
    const salient = ['name', 'uri', 'arguments'].map((name) => {
      const member = params.get(name)
      return member === undefined ? '' : JSON.stringify(JSON.parse(textOf(message.text, member)))
    })
    return digest(this.#owner.identity, method, ...salient)
  }
}

/**
 * The connection of a request. A start that has failed is waited for once more when the next one comes soon: nothing of the call was begun.
 * @throws UpstreamDown
 */
async function connected({ upstream, client, own }: Relayed, withinMs: number): Promise<Connection> {
  for (let tries = 1; ; tries++) {
    try {
      return await upstream.connection(client)
    } catch (error) {
      const waitMs = error instanceof UpstreamDown ? error.waitMs : undefined
      const isSoon = waitMs !== undefined && waitMs <= withinMs
      if (!isSoon || tries === mostTries || own.signal.aborted) throw error
    }
  }
}

export class TooLate extends RpcError {
  constructor(connector: string, ms: number) {
    super(rpcCode.connectorTimeout, `connector '${connector}' did not answer within ${ms / 1000} s`)
  }
}

/** Errors of a server that say what is wrong with the request. */
const mistakesOfClients: readonly unknown[] = [
  rpcCode.invalidParams,
  rpcCode.methodNotFound,
  rpcCode.resourceNotFound,
]

function isMistakeOfClient(answer: Message): boolean {
  return mistakesOfClients.includes(codeOf(answer))
}

/** Of an answer that is an error. */
function codeOf({ text, error }: Message): unknown {
  return error === undefined ? undefined : (JSON.parse(textOf(text, error)) as { code?: unknown }).code
}

/** A call has failed by its server, and not because nobody waits for it any more. */
function isOfServer(error: unknown): boolean {
  const isLost = error instanceof RpcError && error.code === rpcCode.connectorLost
  return (
    isLost || error instanceof TooLate || error instanceof UpstreamDown || error instanceof ConnectionLost
  )
}

/** What may be sent twice: nothing changes by it, or the server says that twice is as once. */
function isRepeatable({ method, upstream, about }: Relayed): boolean {
  if (method !== 'tools/call') return mayAsk.includes(method) || readingMethods.includes(method)
  const tool = upstream.offering.tools.find(({ key }) => key === about?.value)
  if (tool === undefined) return false
  const { annotations } = JSON.parse(tool.text) as {
    annotations?: { readOnlyHint?: boolean; idempotentHint?: boolean }
  }
  return annotations?.readOnlyHint === true || annotations?.idempotentHint === true
}

export function digest(...parts: readonly string[]): string {
  return hash('sha256', parts.join('\0'), 'hex')
}
