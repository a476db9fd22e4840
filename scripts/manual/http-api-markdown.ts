import * as z from '../../src/config/zod.ts'
import { orders } from '../../src/orders/index.ts'
import type { Order } from '../../src/orders/order.ts'
import { type InputSchema, inputSchema, methodOf, servedOrders } from '../../src/server/openapi.ts'

const begin = '<!-- Written by `npm run schema` from the table of orders: do not edit below. -->'

/** docs/http-api.md with its reference of orders, from the schemas that check and describe them. */
export function withOrders(page: string): string {
  const [own = ''] = page.split(begin)
  const sections = servedOrders(orders).map(section)
  return `${own.trimEnd()}\n\n${begin}\n\n## Orders\n\n${sections.join('\n\n')}\n`
}

function section(order: Order): string {
  const { name, summary, scope, perUnit } = order
  const whole = perUnit === true ? '' : ' Not for a key that is bound to units.'
  return [
    `### \`${methodOf(order)} /api/${name}\``,
    `${summary} Scope: \`${scope}\`.${whole}`,
    ...inputTable(order),
    `Output: \`${outputText(order)}\``,
  ].join('\n\n')
}

function inputTable(order: Order): string[] {
  const { properties = {}, required = [] } = inputSchema(order)
  const rows = Object.entries(properties).map(([name, schema]) => {
    const isNeeded = required.includes(name) && schema.default === undefined
    const byDefault = schema.default === undefined ? (isNeeded ? 'required' : '') : code(schema.default)
    return `| \`${name}\` | ${cell(typeText(schema))} | ${cell(schema.description ?? '')} | ${byDefault} |`
  })
  return rows.length === 0
    ? []
    : [['| input | type | meaning | default |', '| --- | --- | --- | --- |', ...rows].join('\n')]
}

/** A short form, in one paragraph; /api/openapi.json has the rest. */
const longestOutput = 900

function outputText(order: Order): string {
  const schema = z.toJSONSchema(order.output, { io: 'output', unrepresentable: 'any' }) as InputSchema
  for (const depth of [9, 4, 3, 2]) {
    const text = typeText(schema, depth)
    if (text.length <= longestOutput) return text
  }
  return typeText(schema, 1)
}

/** A type as TypeScript writes it; what lies deeper than `depth` is `…`. */
function typeText(
  schema: InputSchema & { readonly const?: unknown; readonly allOf?: readonly InputSchema[] },
  depth = 9,
): string {
  const { type, properties, items, anyOf, allOf, enum: values, const: only } = schema
  if (only !== undefined) return JSON.stringify(only)
  if (values !== undefined) return values.map((value) => JSON.stringify(value)).join(' | ')
  if (anyOf !== undefined) return [...new Set(anyOf.map((one) => typeText(one, depth)))].join(' | ')
  if (allOf !== undefined) return allOf.map((one) => typeText(one, depth)).join(' & ')
  if (type === 'array') {
    const item = typeText(items ?? {}, depth)
    return item.includes(' | ') || item.includes(' & ') ? `(${item})[]` : `${item}[]`
  }
  if (properties === undefined) return [type ?? 'unknown'].flat().join(' | ')
  if (depth <= 0) return '{ … }'
  const fields = Object.entries(properties).map(([name, field]) => `${name}: ${typeText(field, depth - 1)}`)
  return `{ ${fields.join('; ')} }`
}

function code(value: unknown): string {
  return `\`${JSON.stringify(value)}\``
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;')
}
