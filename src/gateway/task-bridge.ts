import { monotonicMs } from '../os/clock.ts'
import { within } from '../os/time-limit.ts'
import { inputIn, responsesIn, withParam } from './answers.ts'
import { type ClientAsks, demandTasks, knowsTasks } from './client-asks.ts'
import type { Route } from './directory.ts'
import { HeldResult } from './held-result.ts'
import { inputRequestsText } from './parked-calls.ts'
import { RpcError, rpcCode } from './protocol/errors.ts'
import { isObjectAt, membersOf, rebuilt, textOf, withMembers } from './protocol/json-text.ts'
import { idOf, type Message, paramsOf, readMessage, resultOf, resultText } from './protocol/message.ts'
import { metaKey } from './protocol/revisions.ts'
import { type Arrived, type Relayed, TooLate } from './relay.ts'
import {
  handleFor,
  isTerminal,
  makesTasks,
  newerTask,
  olderTask,
  statusIn,
  type TaskText,
  withRelatedTask,
  withTasks,
} from './task-shapes.ts'
import type { KnownTask } from './tasks.ts'
import type { CallingClient } from './upstream/call.ts'
import { ConnectionLost } from './upstream/connection.ts'
import type { Upstream } from './upstream/index.ts'
import type { WaitSignal } from './waiting.ts'

// Tasks of a client of one generation on a server of the other one.

/** ms between two looks at a task whose server names no interval, and at least. */
const usualPollMs = 1000
const shortestPollMs = 20

/** Looks at a task in a row at which the server may be gone. */
const mostLost = 4

/** ms that a server of the newer generation has to end a task that its client has cancelled. */
const cancelWaitMs = 2000

/** ms that a server of the older generation has to send what it asks, when it says that it does. */
const questionWaitMs = 1000

/** ms for which a server of the older generation is to keep a result: a client of the newer one names no time. */
const keepMs = 3_600_000

/** How a call goes to a server of the other generation. */
export type BridgedCall = Pick<Relayed, 'message' | 'client' | 'translated'>

/**
 * A call of a tool that may become a task, where server and client are of different generations.
 * @param kept makes a finished task of a result that its client wanted as a task. @returns undefined = the call goes as it is.
 * @throws RpcError when the server makes only tasks of it, and the client does not know them.
 */
export function bridgedCall(
  { message, client }: Arrived,
  { upstream: { facts }, taskSupport }: Route,
  kept: (result: string) => string,
): BridgedCall | undefined {
  if (facts === undefined || facts.era === client.era || !makesTasks(facts)) return undefined
  if (client.era === 'legacy') {
    if (!paramsOf(message).has('task')) return undefined
    const able = { ...client, capabilities: withTasks(client.capabilities) }
    return { message: withoutTask(message), client: able, translated: (answer) => olderHandle(answer, kept) }
  }
  if (taskSupport === undefined) return undefined
  if (taskSupport === 'required') demandTasks(client)
  else if (!knowsTasks(client)) return undefined
  const asTask = withParam(message, 'task', JSON.stringify({ ttl: keepMs }))
  return { message: asTask, client, translated: (answer) => handleFor('modern', answer) }
}

function withoutTask(message: Message): Message {
  const { text, params } = message
  if (params === undefined) return message
  const changed = rebuilt(text, paramsOf(message), { drop: ['task'] })
  return readMessage(text.slice(0, params.start) + changed + text.slice(params.end))
}

/** The newer generation leaves it to the server whether a call becomes a task; a client of the older one that wants a task gets one. */
function olderHandle(answer: Message, kept: (result: string) => string): Message {
  const { text, result } = answer
  const handle = handleFor('legacy', answer)
  if (handle !== answer || result === undefined || !isObjectAt(text, result)) return handle
  return readMessage(resultText(idOf(answer), `{"task":${kept(textOf(text, result))}}`))
}

/** Has the server tell what it asks and how it ends, from the beginning of a task on. */
export function holdResult(task: KnownTask, client: CallingClient): HeldResult {
  if (task.held !== undefined) return task.held
  const held = new HeldResult(task.id, task.upstream, client)
  task.held = held
  // A question that nobody answers must not keep the server awake for ever.
  const late = setTimeout(() => held.end(), task.until - monotonicMs())
  late.unref()
  held.answer.then(
    () => clearTimeout(late),
    () => {
      clearTimeout(late)
      // Who asks next begins another one.
      if (task.held === held) task.held = undefined
    },
  )
  return held
}

/** How a task of the older generation stands, as JSON text of the newer one. @throws RpcError, ConnectionLost, UpstreamDown */
export async function newerState(
  task: KnownTask,
  client: CallingClient,
  signal: WaitSignal,
): Promise<string> {
  const held = holdResult(task, client)
  const state = await lookedAt(task, client, signal)
  const status = statusIn(state)
  if (status === 'input_required') {
    const next = await within(held.call.next(), questionWaitMs)
    const asked = next?.kind === 'asked' ? inputRequestsText(next.questions) : '{}'
    return newerTask(state, { inputRequests: asked })
  }
  if (status !== 'completed' && status !== 'failed') return newerTask(state)
  const answer = await withinTime(task.upstream, signal, () => held.answer)
  if (answer.error !== undefined)
    return newerTask(state, { status: '"failed"', error: textOf(answer.text, answer.error) })
  const { text } = answer
  const result = textOf(text, resultOf(answer))
  const members = membersOf(result)
  const whole = members.has('resultType') ? result : withMembers(result, '"resultType":"complete"')
  // There, a tool that says that it has failed has completed its task.
  return newerTask(state, { status: '"completed"', result: whole })
}

/** What one client asks about a task on a server of the other generation. */
export class TaskBridge {
  readonly #asks: ClientAsks

  constructor(asks: ClientAsks) {
    this.#asks = asks
  }

  /** Answers what is asked about a task. */
  async about(arrived: Arrived, task: KnownTask): Promise<string> {
    const { message, client } = arrived
    const answer = client.era === 'legacy' ? this.#older(arrived, task) : newer(arrived, task)
    return resultText(idOf(message), await answer)
  }

  #older(arrived: Arrived, task: KnownTask): Promise<string> {
    switch (arrived.method) {
      case 'tasks/get':
        return olderState(task, arrived)
      case 'tasks/result':
        return this.#olderResult(arrived, task)
      case 'tasks/cancel':
        return olderCancelled(arrived, task)
      default:
        throw new RpcError(rpcCode.methodNotFound, `Method not found: ${arrived.method}`)
    }
  }

  /** Waits for the end of a task, and has the client answer what the server asks meanwhile. */
  async #olderResult(arrived: Arrived, task: KnownTask): Promise<string> {
    const { client, own } = arrived
    const answered = new Set<string>()
    for (let lost = 0; ; ) {
      let pollMs = usualPollMs
      try {
        const state = await lookedAt(task, client, own.signal)
        lost = 0
        const status = statusIn(state)
        if (isTerminal(status)) return olderEnd(state, task)
        if (status === 'input_required') await this.#answerQuestions(arrived, task, state, answered)
        pollMs = pollMsIn(state)
      } catch (error) {
        if (!(error instanceof ConnectionLost) || ++lost === mostLost) throw error
      }
      await pause(pollMs, own.signal)
    }
  }

  /** @param answered keys of questions that were answered: the server may name them a while longer. */
  async #answerQuestions(
    { client, own, outlet }: Arrived,
    { id, upstream }: KnownTask,
    { text, members }: TaskText,
    answered: Set<string>,
  ): Promise<void> {
    const asked = rebuilt(text, members, { set: { resultType: '"input_required"' } })
    const { requests } = inputIn(readMessage(resultText('0', asked))) ?? { requests: new Map() }
    const responses: string[] = []
    await Promise.all(
      [...requests].map(async ([key, { method, params = '{}' }]) => {
        if (answered.has(key)) return
        const question = { method, params: withRelatedTask(params, id), signal: own.signal }
        const given = await this.#asks.ask(question, client, outlet.send)
        if (!given.ok) {
          const { code = rpcCode.internalError, message = 'the client refused' } = JSON.parse(given.error)
          throw new RpcError(code, message)
        }
        answered.add(key)
        responses.push(`${JSON.stringify(key)}:${given.result}`)
      }),
    )
    if (responses.length === 0) return
    const connection = await upstream.connection(client)
    const inputResponses = JSON.parse(`{${responses.join(',')}}`)
    await withinTime(upstream, own.signal, (signal) =>
      connection.ask('tasks/update', { taskId: id, inputResponses }, signal),
    )
  }
}

/** How a task of the newer generation stands, as JSON text of the older one. @throws RpcError, ConnectionLost, UpstreamDown */
export async function olderState(
  task: KnownTask,
  { client, own }: Pick<Arrived, 'client' | 'own'>,
): Promise<string> {
  return task.done?.task ?? olderTask(await lookedAt(task, client, own.signal))
}

/** The answer to `tasks/result` for a task that is over. @throws RpcError when it has no result. */
function olderEnd({ text, members }: TaskText, { id }: KnownTask): string {
  const result = members.get('result')
  if (result !== undefined && isObjectAt(text, result)) return withRelatedTask(textOf(text, result), id)
  const error = members.get('error')
  const related = { [metaKey.relatedTask]: { taskId: id } }
  if (error === undefined)
    throw new RpcError(rpcCode.internalError, `the task ${id} has ended without a result`, { _meta: related })
  const {
    code = rpcCode.internalError,
    message = 'the task has failed',
    data,
  } = JSON.parse(textOf(text, error))
  throw new RpcError(code, String(message), data)
}

/** The older generation wants to hear that a task is cancelled when it is, the newer one says only that it was asked to end. */
async function olderCancelled({ client, own }: Arrived, task: KnownTask): Promise<string> {
  const { id, upstream } = task
  let state = await lookedAt(task, client, own.signal)
  if (isTerminal(statusIn(state)))
    throw new RpcError(rpcCode.invalidParams, `the task ${id} is over: ${statusIn(state)}`)
  const connection = await upstream.connection(client)
  await withinTime(upstream, own.signal, (signal) => connection.ask('tasks/cancel', { taskId: id }, signal))
  const until = performance.now() + cancelWaitMs
  for (let waitMs = shortestPollMs; ; waitMs *= 2) {
    state = await lookedAt(task, client, own.signal)
    if (isTerminal(statusIn(state)) || performance.now() > until) return olderTask(state)
    await pause(waitMs, own.signal)
  }
}

async function newer({ message, method, client, own }: Arrived, task: KnownTask): Promise<string> {
  const acknowledged = '{"resultType":"complete"}'
  switch (method) {
    case 'tasks/get':
      return withMembers(await newerState(task, client, own.signal), '"resultType":"complete"')
    case 'tasks/update':
      holdResult(task, client).call.answer(responsesIn(message))
      return acknowledged
    case 'tasks/cancel': {
      const { id, upstream } = task
      const connection = await upstream.connection(client)
      try {
        await withinTime(upstream, own.signal, (signal) => connection.ask(method, { taskId: id }, signal))
      } catch (error) {
        // It is over already: that is no mistake there.
        if (!(error instanceof RpcError) || error.code !== rpcCode.invalidParams) throw error
      }
      return acknowledged
    }
    default:
      throw new RpcError(rpcCode.methodNotFound, `Method not found: ${method}`)
  }
}

/** Answers what is asked about a task that the gateway has made of an answer. */
export function aboutDone({ message, method, client }: Arrived, { id, done }: KnownTask): string | undefined {
  if (done === undefined) return undefined
  const task = { text: done.task, members: membersOf(done.task) }
  const answer = (result: string) => resultText(idOf(message), result)
  if (method === 'tasks/get') {
    if (client.era === 'legacy') return answer(done.task)
    return answer(newerTask(task, { resultType: '"complete"', result: done.result }))
  }
  if (method === 'tasks/result') return answer(withRelatedTask(done.result, id))
  if (client.era === 'modern') return answer('{"resultType":"complete"}')
  throw new RpcError(rpcCode.invalidParams, `the task ${id} is over: completed`)
}

/** What the server says of a task now. */
async function lookedAt(
  { id, upstream }: KnownTask,
  client: CallingClient,
  own: WaitSignal,
): Promise<TaskText> {
  const connection = await upstream.connection(client)
  const answer = await withinTime(upstream, own, (signal) =>
    connection.ask('tasks/get', { taskId: id }, signal),
  )
  return { text: answer.text, members: membersOf(answer.text, resultOf(answer).start) }
}

function pollMsIn({ text, members }: TaskText): number {
  const member = members.get('pollIntervalMs')
  const ms = member === undefined ? usualPollMs : Number(textOf(text, member))
  return ms >= 0 ? Math.max(shortestPollMs, ms) : usualPollMs
}

/** @throws TooLate when it takes longer than a call of this connector may, and what ends `own`. */
async function withinTime<Result>(
  { id, connector }: Upstream,
  own: WaitSignal,
  act: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const over = new AbortController()
  const left = () => over.abort(own.reason)
  const late = setTimeout(() => over.abort(new TooLate(id, connector.timeoutMs)), connector.timeoutMs)
  own.addEventListener('abort', left, { once: true })
  if (own.aborted) left()
  const ended = new Promise<never>((_, reject) => {
    over.signal.addEventListener('abort', () => reject(over.signal.reason), { once: true })
  })
  try {
    return await Promise.race([act(over.signal), ended])
  } finally {
    clearTimeout(late)
    own.removeEventListener('abort', left)
  }
}

/** @throws what ends `own`. */
function pause(ms: number, own: WaitSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const left = () => {
      clearTimeout(timer)
      reject(own.reason)
    }
    const timer = setTimeout(() => {
      own.removeEventListener('abort', left)
      resolve()
    }, ms)
    own.addEventListener('abort', left, { once: true })
    if (own.aborted) left()
  })
}
