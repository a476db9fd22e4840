import type { z as Zod } from 'zod'
import * as z from '../../config/zod.ts'
import type { Order } from '../../orders/order.ts'
import { largestAnswerCharacters } from './budget.ts'
import type { RoadAnswer, RoadError } from './road.ts'

/** One tool of the MCP server. It has no logic of its own: it gives an order, and words the answer for a model. */
export interface Tool {
  readonly name: string
  readonly title: string
  readonly description: string
  /** The orders that it gives. It is offered when all of them are there. */
  readonly orders: readonly string[]
  readonly annotations: ToolAnnotations
  /** Its answer can be long. */
  readonly isLarge?: boolean
  /** @param rows its orders, in that order. */
  readonly schemas: (rows: readonly Order[]) => { readonly input: Zod.ZodType; readonly output: Zod.ZodType }
  /** @param input as its schema lets it through. */
  readonly run: (input: Input, give: Give) => Promise<ToolOutcome>
}

export type Input = Readonly<Record<string, unknown>>

/** Gives an order for the tool that is being called. */
export type Give = (order: string, input: Input) => Promise<RoadAnswer>

/** Hints for the client, which may ask a person first. */
interface ToolAnnotations {
  readonly readOnlyHint: boolean
  readonly destructiveHint: boolean
  readonly idempotentHint: boolean
}

/** What a tool answers: `text` for the model, `structured` for the client's program. */
export interface ToolOutcome {
  readonly text: string
  readonly structured?: Readonly<Record<string, unknown>>
  readonly error?: RoadError
  /** The order was carried out, and failed for some. */
  readonly isError?: boolean
}

/** Hints of tools that only look. */
export const readsOnly: ToolAnnotations = { readOnlyHint: true, destructiveHint: false, idempotentHint: true }

/** A tool as `tools/list` describes it. */
export function described(tool: Tool, rows: readonly Order[]) {
  const { name, title, description, annotations, isLarge = false } = tool
  const { input, output } = tool.schemas(rows)
  return {
    name,
    title,
    description,
    inputSchema: jsonSchema(input, 'input'),
    outputSchema: jsonSchema(output, 'output'),
    // It acts on this machine alone.
    annotations: { title, ...annotations, openWorldHint: false },
    ...(isLarge ? { _meta: { 'anthropic/maxResultSizeChars': largestAnswerCharacters } } : {}),
  }
}

/** Without the name of the dialect: clients with a validator of an older one refuse what they do not know. */
function jsonSchema(schema: Zod.ZodType, io: 'input' | 'output') {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' })
  return rest as { readonly type: 'object'; readonly [key: string]: unknown }
}

/** An answer without a result, worded. */
export function failure(error: RoadError): ToolOutcome {
  return { text: errorLine(error), error, isError: true }
}

/** `unknown-unit: there is no unit "x". Next: name one of a, b` */
export function errorLine({
  code,
  message,
  next,
}: Pick<RoadError, 'message' | 'next'> & { readonly code: string }): string {
  return `${code}: ${message}.${next === null ? '' : ` Next: ${next}`}`
}

/** The order of a tool that has one. */
export function onlyOne([row]: readonly Order[]): Order {
  if (row === undefined) throw new Error('a tool without an order')
  return row
}

/** Whether whoever calls may use it. */
export function isOffered(rows: readonly Order[], allows: (order: Order) => boolean): boolean {
  return rows.every(allows)
}
