import { RpcError, rpcCode } from '../protocol/errors.ts'
import {
  elementsOf,
  membersOf,
  rebuilt,
  type Span,
  spliced,
  stringIn,
  textOf,
} from '../protocol/json-text.ts'
import { resultOf } from '../protocol/message.ts'
import { type Mirroring, mirroringOf } from '../protocol/parameter-headers.ts'
import type { Connection } from './connection.ts'

/** A tool, prompt, resource or template as its server describes it. */
export interface Item {
  /** JSON text, as the server wrote it. */
  readonly text: string
  /** By which it is asked for: its name, or its URI. */
  readonly key: string
  /** Where the key stands in the text, with its quotation marks. */
  readonly at: Span
  /** Of a tool: the parameters that are repeated in headers; undefined = none. */
  readonly mirroring?: Mirroring | undefined
}

/** The kinds of lists, by the name that their member has in a result. */
export const listKinds = {
  tools: { method: 'tools/list', key: 'name', capability: 'tools' },
  prompts: { method: 'prompts/list', key: 'name', capability: 'prompts' },
  resources: { method: 'resources/list', key: 'uri', capability: 'resources' },
  resourceTemplates: { method: 'resources/templates/list', key: 'uriTemplate', capability: 'resources' },
} as const

export type ListKind = keyof typeof listKinds

export const allListKinds = Object.keys(listKinds) as readonly ListKind[]

/** What a server offers, each list in its order. */
export type Offering = Readonly<Record<ListKind, readonly Item[]>>

export const emptyOffering: Offering = { tools: [], prompts: [], resources: [], resourceTemplates: [] }

/** Pages of one list: a server that always names a next one would never end. */
const mostPages = 1000

/**
 * Asks a server for one of its lists, to the last page. One that does not say that it has such a list is not asked.
 * @throws RpcError, ConnectionLost
 */
export async function listOf(
  connection: Connection,
  kind: ListKind,
  signal: AbortSignal,
): Promise<readonly Item[]> {
  const { method, capability } = listKinds[kind]
  if (connection.facts.capabilities[capability] === undefined) return []
  const items: Item[] = []
  let cursor: string | undefined
  for (let page = 0; page < mostPages; page++) {
    let answer: Awaited<ReturnType<Connection['ask']>>
    try {
      answer = await connection.ask(method, cursor === undefined ? {} : { cursor }, signal)
    } catch (error) {
      // Servers with resources need have no templates.
      const isMissing = error instanceof RpcError && error.code === rpcCode.methodNotFound
      if (isMissing && kind !== 'tools') return []
      throw error
    }
    const members = membersOf(answer.text, resultOf(answer).start)
    const list = members.get(kind)
    if (list === undefined)
      throw new RpcError(rpcCode.invalidRequest, `its answer to ${method} has no ${kind}`)
    for (const element of elementsOf(answer.text, list.start)) {
      const item = itemOf(textOf(answer.text, element), kind)
      if (item !== undefined) items.push(item)
    }
    cursor = stringIn(answer.text, members, 'nextCursor')
    if (cursor === undefined || cursor === '') return items
  }
  return items
}

/** What a server offers, from the texts of its elements. @throws when one of them is no JSON. */
export function offeringOf(texts: Readonly<Record<ListKind, readonly string[]>>): Offering {
  const lists = allListKinds.map((kind) => {
    const items = texts[kind].flatMap((text) => itemOf(text, kind) ?? [])
    return [kind, items]
  })
  return Object.fromEntries(lists) as unknown as Offering
}

function itemOf(text: string, kind: ListKind): Item | undefined {
  const { key } = listKinds[kind]
  const members = membersOf(text)
  const at = members.get(key)
  const name = stringIn(text, members, key)
  if (at === undefined || name === undefined) return undefined
  const mirroring = kind === 'tools' ? mirroringOf(text) : undefined
  return { text, key: name, at: { start: at.start, end: at.end }, mirroring }
}

/** An item under another name, and with another description where one is given. */
export function offeredAs({ text, key, at }: Item, name: string, description?: string): string {
  const edits = name === key ? [] : [{ ...at, by: JSON.stringify(name) }]
  const renamed = edits.length === 0 ? text : spliced(text, edits)
  if (description === undefined) return renamed
  return rebuilt(renamed, membersOf(renamed), { set: { description: JSON.stringify(description) } })
}
