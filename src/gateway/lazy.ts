import { withParam } from './answers.ts'
import { RpcError, rpcCode } from './protocol/errors.ts'
import { isObjectAt, type Member, membersOf, stringIn, textOf } from './protocol/json-text.ts'
import { type Message, paramsOf } from './protocol/message.ts'

/**
 * The lazy offer: three tools instead of all, for sets so large that their descriptions would fill a model's context. A model looks for a
 * tool, reads its description, and calls it.
 */

export const lazyNames = { find: 'find_tools', describe: 'describe_tool', call: 'call_tool' } as const

/** How many tools one answer of find_tools holds: when the client does not say, and at most. */
const usualLimit = 10
const longestLimit = 50

/** Characters of a description in a list. */
const shownCharacters = 200

const readOnly = { readOnlyHint: true, idempotentHint: true, openWorldHint: false }
const name = { type: 'string', description: 'The name of the tool, as find_tools tells it.' }

/** As `tools/list` has them: JSON texts. */
export const lazyTools: readonly string[] = [
  {
    name: lazyNames.find,
    description:
      'Find tools by words of their names and descriptions. Begin here: the other tools of this server are not listed.',
    inputSchema: {
      type: 'object',
      properties: {
        query: { type: 'string', description: 'Words; empty = all tools.' },
        limit: { type: 'integer', minimum: 1, maximum: longestLimit, default: usualLimit },
      },
      required: ['query'],
    },
    annotations: readOnly,
  },
  {
    name: lazyNames.describe,
    description: 'Show the whole description of a tool, with the schema of its arguments.',
    inputSchema: { type: 'object', properties: { name }, required: ['name'] },
    annotations: readOnly,
  },
  {
    name: lazyNames.call,
    description: 'Call a tool that find_tools has found.',
    inputSchema: {
      type: 'object',
      properties: { name, arguments: { type: 'object', description: 'As its inputSchema has them.' } },
      required: ['name'],
    },
  },
].map((tool) => JSON.stringify(tool))

interface Described {
  readonly name: string
  readonly description?: unknown
}

/** The result of `find_tools`. @param items listed tools, as JSON texts, by their names. */
export function foundTools(
  items: ReadonlyMap<string, string>,
  given: Readonly<Record<string, unknown>>,
): object {
  const { query, limit = usualLimit } = given
  if (typeof query !== 'string') throw new RpcError(rpcCode.invalidParams, 'find_tools needs a query')
  const words = query.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []
  const scored = [...items].map(([own, text], place) => {
    const { description } = JSON.parse(text) as Described
    const says = typeof description === 'string' ? description : ''
    return { name: own, says, place, score: scoreOf(words, own.toLowerCase(), says.toLowerCase()) }
  })
  const found = scored
    .filter(({ score }) => words.length === 0 || score > 0)
    .sort((a, b) => b.score - a.score || a.place - b.place)
  const count =
    typeof limit === 'number' ? Math.min(longestLimit, Math.max(1, Math.floor(limit))) : usualLimit
  const tools = found
    .slice(0, count)
    .map(({ name: own, says }) => ({ name: own, description: shortened(says) }))
  const more = found.length - tools.length
  const lines = tools.map(({ name: own, description }) => `${own}: ${description}`)
  if (more > 0) lines.push(`and ${more} more: ask with other words, or a larger limit`)
  const text = lines.length === 0 ? `no tool of ${items.size} has these words` : lines.join('\n')
  return { content: [{ type: 'text', text }], structuredContent: { tools, total: found.length } }
}

/** A word in the name says more than one in the description. */
function scoreOf(words: readonly string[], own: string, says: string): number {
  return words.reduce((sum, word) => sum + (own.includes(word) ? 3 : 0) + (says.includes(word) ? 1 : 0), 0)
}

function shortened(text: string): string {
  const plain = text.replaceAll(/\s+/g, ' ').trim()
  return plain.length <= shownCharacters ? plain : `${plain.slice(0, shownCharacters - 1)}…`
}

/** The result of `describe_tool`. @throws RpcError */
export function describedTool(
  items: ReadonlyMap<string, string>,
  given: Readonly<Record<string, unknown>>,
): object {
  const text = typeof given.name === 'string' ? items.get(given.name) : undefined
  if (text === undefined)
    throw new RpcError(
      rpcCode.invalidParams,
      `Unknown tool: ${String(given.name)}; find_tools tells the names`,
    )
  return { content: [{ type: 'text', text }], structuredContent: { tool: JSON.parse(text) as object } }
}

/** The call within a call of `call_tool`; its arguments stay as they are written. @throws RpcError */
export function innerCall(message: Message): Message {
  const { text } = message
  const outer = paramsOf(message).get('arguments')
  const members =
    outer !== undefined && isObjectAt(text, outer) ? membersOf(text, outer.start) : new Map<string, Member>()
  const name = stringIn(text, members, 'name')
  if (name === undefined) throw new RpcError(rpcCode.invalidParams, 'call_tool needs the name of a tool')
  const given = members.get('arguments')
  const named = withParam(message, 'name', JSON.stringify(name))
  return withParam(named, 'arguments', given === undefined ? '{}' : textOf(text, given))
}
