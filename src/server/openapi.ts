import * as z from '../config/zod.ts'
import type { Order } from '../orders/order.ts'
import { version } from '../os/version.ts'

/** What is read of the JSON schema of an input. */
export interface InputSchema {
  readonly type?: string | readonly string[]
  readonly properties?: Readonly<Record<string, InputSchema>>
  readonly required?: readonly string[]
  readonly items?: InputSchema
  readonly description?: string
  readonly default?: unknown
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly InputSchema[]
}

/** The JSON schema of what an order takes. */
export function inputSchema({ input }: Order): InputSchema {
  return z.toJSONSchema(input, { io: 'input', unrepresentable: 'any' }) as InputSchema
}

/** The method by which an order is given: one that changes nothing is read. */
export function methodOf({ changes }: Order): 'GET' | 'POST' {
  return changes ? 'POST' : 'GET'
}

/** Orders that HTTP can give at all: those of the owner are for the control socket alone. */
export function servedOrders(orders: readonly Order[]): readonly Order[] {
  return orders.filter(({ scope }) => scope !== 'owner')
}

/** The description of the API in OpenAPI 3.1, made from the table of orders. */
export function openApi(orders: readonly Order[]): unknown {
  const paths = servedOrders(orders).map((order) => {
    return [`/api/${order.name}`, { [methodOf(order).toLowerCase()]: operation(order) }] as const
  })
  return {
    openapi: '3.1.0',
    info: {
      title: 'port-watchdog',
      version,
      description: 'Orders for a running monitor. Every path needs a key: Authorization: Bearer KEY.',
    },
    security: [{ key: [] }, { session: [] }],
    paths: Object.fromEntries(paths),
    components: {
      securitySchemes: {
        key: { type: 'http', scheme: 'bearer' },
        session: {
          type: 'apiKey',
          in: 'header',
          name: 'X-CSRF-Token',
          description: 'with the cookie of POST /api/session; reading needs the cookie alone',
        },
      },
      schemas: { refusal },
    },
  }
}

const refusal = {
  type: 'object',
  required: ['done', 'error'],
  properties: {
    done: { const: false },
    error: {
      type: 'object',
      required: ['code', 'message', 'next'],
      properties: {
        code: { type: 'string', description: 'stable, in kebab-case' },
        message: { type: 'string' },
        next: { type: ['string', 'null'], description: 'what to do about it' },
      },
    },
  },
}

function operation(order: Order) {
  const { name, summary, scope, changes, perUnit } = order
  const output = z.toJSONSchema(order.output, { io: 'output', unrepresentable: 'any' })
  const whole = perUnit === true ? '' : ' A key that is bound to some units may not give it.'
  return {
    operationId: name,
    summary,
    description: `Needs the scope "${scope}".${whole}`,
    ...(changes ? { requestBody: bodyOf(order) } : { parameters: parametersOf(order) }),
    responses: {
      200: answer('It was carried out.', {
        type: 'object',
        required: ['done', 'output'],
        properties: { done: { const: true }, output },
      }),
      409: answer('It failed, or failed for some units.', {
        anyOf: [
          {
            type: 'object',
            required: ['done', 'output'],
            properties: { done: { const: false }, output: { type: 'object' } },
          },
          { $ref: '#/components/schemas/refusal' },
        ],
      }),
      default: answer('It was refused.', { $ref: '#/components/schemas/refusal' }),
    },
  }
}

function answer(description: string, schema: unknown) {
  return { description, content: { 'application/json': { schema } } }
}

function bodyOf(order: Order) {
  return { content: { 'application/json': { schema: inputSchema(order) } } }
}

function parametersOf(order: Order) {
  const { properties = {}, required = [] } = inputSchema(order)
  return Object.entries(properties).map(([name, { description, ...schema }]) => {
    return { name, in: 'query', required: required.includes(name), description, schema }
  })
}

/**
 * The input of an order from the query of its URL, for its schema to check: `units=web&units=api&last=10`. What reads as no number where one
 * is wanted stays as it is, so that the schema refuses it.
 */
export function inputOf(order: Order, query: URLSearchParams): Record<string, unknown> {
  const { properties = {} } = inputSchema(order)
  const given = [...new Set(query.keys())].map((name) => {
    const values = query.getAll(name)
    const schema = properties[name] ?? {}
    const value = typeOf(schema) === 'array' ? values.map((one) => read(schema.items ?? {}, one)) : undefined
    return [name, value ?? (values.length === 1 ? read(schema, values[0] ?? '') : values)] as const
  })
  // Unlike an assignment, this makes a field of whatever name, `__proto__` included, for the schema to refuse.
  return Object.fromEntries(given)
}

/** Of something that may be null, the other type. */
function typeOf({ type, anyOf = [] }: InputSchema): string | undefined {
  const types = [type ?? anyOf.flatMap((one) => one.type ?? [])].flat()
  return types.find((one) => one !== 'null')
}

function read(schema: InputSchema, text: string): unknown {
  switch (typeOf(schema)) {
    case 'integer':
    case 'number':
      return /^-?\d+(?:\.\d+)?$/.test(text) ? Number(text) : text
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : text
    default:
      return text
  }
}
