import { RpcError, rpcCode } from './errors.ts'
import {
  isObjectAt,
  isStringAt,
  type Member,
  membersOf,
  NotJson,
  type Span,
  spliced,
  stringIn,
  stringOf,
  textOf,
} from './json-text.ts'
import { metaKey } from './revisions.ts'

/** One JSON-RPC message, with the places of its parts. Its text goes on as it is, but for what the relay must change. */
export class Message {
  readonly text: string
  /** Of requests and answers; `null` is an id of an answer, too. */
  readonly id: Span | undefined
  /** Of requests and notifications. */
  readonly method: string | undefined
  readonly params: Span | undefined
  /** Of answers: one of both. */
  readonly result: Span | undefined
  readonly error: Span | undefined
  #paramMembers: ReadonlyMap<string, Member> | undefined

  /** @param method of it, as a string. */
  constructor(text: string, members: ReadonlyMap<string, Member>, method: string | undefined) {
    this.text = text
    this.method = method
    this.id = members.get('id')
    this.params = members.get('params')
    this.result = members.get('result')
    this.error = members.get('error')
  }

  /** The members of `params`; none when it is missing or no object. On its way a message is asked for them by many. */
  get paramMembers(): ReadonlyMap<string, Member> {
    const { text, params } = this
    this.#paramMembers ??=
      params !== undefined && isObjectAt(text, params) ? membersOf(text, params.start) : new Map()
    return this.#paramMembers
  }
}

/**
 * Reads the envelope of a message.
 * @throws NotJson when the text is no JSON-RPC message: no object, neither request nor answer, a key of the envelope twice.
 */
export function readMessage(text: string): Message {
  const members = membersOf(text)
  const method = members.get('method')
  if (method !== undefined && !isStringAt(text, method)) throw new NotJson(method.start)
  const message = new Message(text, members, method && stringOf(text, method))
  const isAnswer = message.result !== undefined || message.error !== undefined
  if (message.method === undefined && !(isAnswer && message.id !== undefined)) throw new NotJson(0)
  return message
}

/** A request that waits for an answer. */
export function isRequest({ method, id }: Message): boolean {
  return method !== undefined && id !== undefined
}

/** The id as it is written: `1`, `"a"`; `null` when there is none. */
export function idOf({ text, id }: Message): string {
  return id === undefined ? 'null' : textOf(text, id)
}

/** The same message under another id. */
export function withId({ text, id }: Message, by: string): string {
  return id === undefined ? text : spliced(text, [{ start: id.start, end: id.end, by }])
}

/** On one line, as a stdio connection needs it: in JSON, a line break can stand between values alone. */
export function onOneLine(text: string): string {
  return /[\n\r]/.test(text) ? text.replaceAll(/[\n\r]+/g, ' ') : text
}

/** The members of `params`; none when it is missing or no object. */
export function paramsOf({ paramMembers }: Message): ReadonlyMap<string, Member> {
  return paramMembers
}

/** A string among the parameters; undefined when it is missing or no string. */
export function stringParam(message: Message, name: string): string | undefined {
  const member = paramsOf(message).get(name)
  return member !== undefined && isStringAt(message.text, member) ? stringOf(message.text, member) : undefined
}

/** The members of `_meta` in the parameters or the result at `at`. */
export function metaOf(text: string, members: ReadonlyMap<string, Member>): ReadonlyMap<string, Member> {
  const meta = members.get('_meta')
  return meta !== undefined && isObjectAt(text, meta) ? membersOf(text, meta.start) : new Map()
}

/** @throws RpcError when the answer has no object for a result. */
export function resultOf({ text, result }: Message): Span {
  if (result !== undefined && isObjectAt(text, result)) return result
  throw new RpcError(rpcCode.invalidRequest, 'its answer has no result')
}

/** The task that a request of a server says it belongs to; undefined = it names none. */
export function relatedTaskOf(message: Message): string | undefined {
  const { text } = message
  // Most do not, and need not be looked through.
  if (!text.includes(metaKey.relatedTask)) return undefined
  const related = metaOf(text, paramsOf(message)).get(metaKey.relatedTask)
  if (related === undefined || !isObjectAt(text, related)) return undefined
  return stringIn(text, membersOf(text, related.start), 'taskId')
}

/** A request, or with `id` undefined a notification. @param params as JSON text. */
export function messageText(id: string | undefined, method: string, params?: string): string {
  const idPart = id === undefined ? '' : `"id":${id},`
  const paramsPart = params === undefined ? '' : `,"params":${params}`
  return `{"jsonrpc":"2.0",${idPart}"method":${JSON.stringify(method)}${paramsPart}}`
}

/** @param id and result as JSON text. */
export function resultText(id: string, result: string): string {
  return `{"jsonrpc":"2.0","id":${id},"result":${result}}`
}

/** The name that a client gives itself, as it may stand in a log. @param info its `clientInfo` as JSON text. */
export function nameIn(info: string): string {
  const { name } = JSON.parse(info) as { readonly name?: unknown }
  return typeof name === 'string' && name !== '' ? name.slice(0, 80) : 'unknown'
}
