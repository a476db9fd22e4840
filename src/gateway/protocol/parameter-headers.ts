import { headerValueOf, textOfHeader } from './header-values.ts'
import { isObjectAt, textOf } from './json-text.ts'
import { type Message, paramsOf } from './message.ts'

/**
 * Revision 2026-07-28: a tool may mark parameters with `x-mcp-header`. Who calls it over HTTP repeats their values in headers `Mcp-Param-NAME`,
 * and who reads the body refuses a call whose headers say something else (basic/transports/streamable-http, custom headers).
 */

/** A parameter that is repeated in a header. */
export interface MirroredParameter {
  /** Of the header, in lower case: `mcp-param-region`. */
  readonly header: string
  /** The names of the properties that lead to the value in the arguments. */
  readonly path: readonly string[]
}

/** What a tool wants repeated. `problem`: a mark that the specification forbids; who calls over HTTP must not offer such a tool. */
export type Mirroring =
  | { readonly ok: true; readonly parameters: readonly MirroredParameter[] }
  | { readonly ok: false; readonly problem: string }

const mark = 'x-mcp-header'

/** Names of header fields (RFC 9110, section 5.1). */
const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

const mirroredTypes: readonly unknown[] = ['string', 'integer', 'boolean']

/** Keywords of JSON Schema whose value is data. */
const dataKeywords: readonly string[] = ['const', 'enum', 'default', 'examples']

/** Keywords whose value holds schemas by names that somebody has chosen. */
const namingKeywords: readonly string[] = [
  'properties',
  'patternProperties',
  'dependentSchemas',
  '$defs',
  'definitions',
]

/** Levels of a schema that are looked through: what a server sends must not exhaust the stack. */
const deepest = 400

/** What a tool wants repeated. Undefined = nothing. @param text of the tool, as its server describes it: JSON. */
export function mirroringOf(text: string): Mirroring | undefined {
  // Most tools have no marks and need not be read; in JSON the name may stand with escapes.
  if (!text.includes(mark) && !text.includes('\\u')) return undefined
  const { inputSchema } = JSON.parse(text) as { readonly inputSchema?: unknown }
  const parameters: MirroredParameter[] = []
  const problem = collect(inputSchema, [], parameters, 0)
  if (problem !== undefined) return { ok: false, problem }
  return parameters.length === 0 ? undefined : { ok: true, parameters }
}

/**
 * Looks for marks in a schema.
 * @param path of properties that lead there; undefined = something else leads there.
 * @param found those that are well formed are added.
 * @param depth levels above it.
 * @returns what is wrong with the first one that is not.
 */
function collect(
  schema: unknown,
  path: readonly string[] | undefined,
  found: MirroredParameter[],
  depth: number,
): string | undefined {
  if (depth > deepest) return `it is deeper than ${deepest} levels`
  if (Array.isArray(schema)) return firstOf(schema, (one) => collect(one, undefined, found, depth + 1))
  if (!isRecord(schema)) return undefined
  if (Object.hasOwn(schema, mark)) {
    const problem = take(schema, path, found)
    if (problem !== undefined) return problem
  }
  return firstOf(Object.entries(schema), ([keyword, value]) => {
    if (dataKeywords.includes(keyword)) return undefined
    if (!namingKeywords.includes(keyword) || !isRecord(value))
      return collect(value, undefined, found, depth + 1)
    return firstOf(Object.entries(value), ([name, inner]) => {
      const isReachable = keyword === 'properties' && path !== undefined
      return collect(inner, isReachable ? [...path, name] : undefined, found, depth + 1)
    })
  })
}

/** @returns what is wrong with the mark of this schema. */
function take(
  schema: Readonly<Record<string, unknown>>,
  path: readonly string[] | undefined,
  found: MirroredParameter[],
): string | undefined {
  const name = schema[mark]
  const shown = `${mark} ${JSON.stringify(name)}`
  if (path === undefined || path.length === 0)
    return `${shown} is at a place that properties alone do not lead to`
  if (typeof name !== 'string' || !token.test(name)) return `${shown} is no name of a header`
  const types: readonly unknown[] = [schema.type].flat().filter((type) => type !== 'null')
  if (types.length === 0 || !types.every((type) => mirroredTypes.includes(type)))
    return `${shown} is at a parameter that is no string, integer or boolean`
  const header = `mcp-param-${name.toLowerCase()}`
  if (found.some((other) => other.header === header)) return `${shown} is there twice`
  found.push({ header, path })
  return undefined
}

/** The headers that repeat what a call says. Parameters that are not there, or null, have none. */
export function parameterHeaders(
  parameters: readonly MirroredParameter[],
  call: Message,
): Readonly<Record<string, string>> {
  const given = argumentsOf(call)
  const headers = parameters.flatMap(({ header, path }) => {
    const value = valueAt(given, path)
    return value === undefined ? [] : [[header, headerValueOf(String(value))]]
  })
  return Object.fromEntries(headers) as Record<string, string>
}

/** The first header that does not say what the call says, and how it differs. */
export function headerMismatch(
  parameters: readonly MirroredParameter[],
  call: Message,
  headers: Readonly<Record<string, unknown>>,
): { readonly header: string; readonly what: 'missing' | 'other' } | undefined {
  const given = argumentsOf(call)
  for (const { header, path } of parameters) {
    const value = valueAt(given, path)
    const said = headers[header]
    if (value === undefined && said === undefined) continue
    if (said === undefined) return { header, what: 'missing' }
    const text = typeof said === 'string' ? textOfHeader(said) : undefined
    if (value === undefined || text === undefined || !isSame(value, text)) return { header, what: 'other' }
  }
  return undefined
}

/** Numbers are compared as numbers: 42.0 is 42. */
function isSame(value: string | number | boolean, text: string): boolean {
  if (text === String(value)) return true
  return typeof value === 'number' && /^-?\d/.test(text) && Number(text) === value
}

function argumentsOf(call: Message): unknown {
  const member = paramsOf(call).get('arguments')
  return member === undefined || !isObjectAt(call.text, member)
    ? undefined
    : JSON.parse(textOf(call.text, member))
}

/** What a header can hold of the value there; undefined = nothing. */
function valueAt(given: unknown, path: readonly string[]): string | number | boolean | undefined {
  let value = given
  for (const name of path) value = isRecord(value) && Object.hasOwn(value, name) ? value[name] : undefined
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? value
    : undefined
}

function firstOf<T>(all: readonly T[], problemOf: (one: T) => string | undefined): string | undefined {
  for (const one of all) {
    const problem = problemOf(one)
    if (problem !== undefined) return problem
  }
  return undefined
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
