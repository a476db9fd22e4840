import { ProtocolError, ProtocolErrorCode } from '@modelcontextprotocol/server'
import { masked } from '../../log/redaction.ts'
import { orders } from '../../orders/index.ts'
import { inputProblem } from '../../orders/input-problem.ts'
import type { Order } from '../../orders/order.ts'
import { errorText } from '../../os/failure.ts'
import { largestAnswerCharacters, lastOf } from './budget.ts'
import { logTools } from './log-tools.ts'
import { forAgent } from './next-call.ts'
import type { GivenCall, OrderRoad } from './road.ts'
import { rowTools } from './row-tools.ts'
import { statusTools } from './status-tools.ts'
import { described, failure, type Give, isOffered, type Tool, type ToolOutcome } from './tool.ts'
import { unitTools } from './unit-tools.ts'

/** A tool whose orders are all in the table. */
interface OfferedTool {
  readonly tool: Tool
  readonly rows: readonly Order[]
  readonly description: ReturnType<typeof described>
}

let known: readonly OfferedTool[] | undefined

/** Every tool that this version has. Described once, since that takes some milliseconds. */
function allTools(): readonly OfferedTool[] {
  known ??= [...unitTools, ...statusTools, ...logTools, ...rowTools].flatMap((tool) => {
    const rows = tool.orders.flatMap((name) => orders.find((order) => order.name === name) ?? [])
    return rows.length < tool.orders.length ? [] : [{ tool, rows, description: described(tool, rows) }]
  })
  return known
}

/** What `tools/list` answers: those that whoever calls may use. */
export function offeredTools(road: OrderRoad) {
  return allTools()
    .filter(({ rows }) => isOffered(rows, (order) => road.allows(order)))
    .map(({ description }) => description)
}

/** @returns undefined when there is none of that name. */
function toolOf(name: string): OfferedTool | undefined {
  return allTools().find(({ tool }) => tool.name === name)
}

/**
 * Calls a tool.
 * @throws ProtocolError when there is no such tool: the client, not the model, has made a mistake.
 */
export async function callTool(
  name: string,
  given: Readonly<Record<string, unknown>>,
  road: OrderRoad,
  call: GivenCall,
) {
  const offered = toolOf(name)
  if (offered === undefined) {
    const names = allTools().map(({ tool }) => tool.name)
    throw new ProtocolError(
      ProtocolErrorCode.InvalidParams,
      `Unknown tool: ${name}; there are ${names.join(', ')}`,
    )
  }
  const { tool, rows } = offered
  const give: Give = async (order, input) => forAgent(await road.give(order, input, call))
  const { text, structured, error, isError = false } = await outcomeOf(tool, rows, given, road, give)
  return masked({
    content: [{ type: 'text' as const, text: lastOf(text, 2 * largestAnswerCharacters) }],
    ...(structured === undefined ? {} : { structuredContent: structured }),
    ...(isError ? { isError } : {}),
    ...(error === undefined ? {} : { _meta: { 'port-watchdog/error': error } }),
  })
}

async function outcomeOf(
  tool: Tool,
  rows: readonly Order[],
  given: Readonly<Record<string, unknown>>,
  road: OrderRoad,
  give: Give,
): Promise<ToolOutcome> {
  if (!isOffered(rows, (order) => road.allows(order))) {
    const scopes = [...new Set(rows.map(({ scope }) => scope))].join(' and ')
    const next = `use a key with the scope ${scopes}: proxy-ctl key create`
    return failure({ code: 'not-permitted', message: `this key may not use ${tool.name}`, next })
  }
  const { input } = tool.schemas(rows)
  const read = input.safeParse(given)
  if (read.success) {
    try {
      return await tool.run(read.data as Readonly<Record<string, unknown>>, give)
    } catch (error) {
      // The monitor may be of another version, with other answers.
      const message = `a fault in port-watchdog: ${errorText(error)}`
      return failure({ code: 'internal', message, next: 'restart the monitor, if it is of an older version' })
    }
  }
  const takes = Object.keys(described(tool, rows).inputSchema.properties ?? {})
  const next = takes.length === 0 ? 'it takes no arguments' : `it takes ${takes.join(', ')}`
  return failure({
    code: 'invalid-input',
    message: `${tool.name}: ${inputProblem(read.error.issues, given, takes)}`,
    next,
  })
}
