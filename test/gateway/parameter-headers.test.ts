// Arguments that revision 2026-07-28 has repeated in headers: which a tool may mark, how they are written, and what is refused.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { headerValueOf, textOfHeader } from '../../src/gateway/protocol/header-values.ts'
import { readMessage } from '../../src/gateway/protocol/message.ts'
import {
  headerMismatch,
  mirroringOf,
  parameterHeaders,
} from '../../src/gateway/protocol/parameter-headers.ts'

const toolWith = (inputSchema: object) => JSON.stringify({ name: 'tool', inputSchema })
const callWith = (given: unknown) =>
  readMessage(
    JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'tool', arguments: given },
    }),
  )
const region = { type: 'string', 'x-mcp-header': 'Region' }

describe('the value of a header', () => {
  it('is read as the text that was written, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const value = headerValueOf(text)
        expect(value).toMatch(/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/)
        expect(textOfHeader(value)).toBe(text)
      }),
    )
  })

  it.each([
    ['us west 1', 'us west 1'],
    ['Hello, 世界', '=?base64?SGVsbG8sIOS4lueVjA==?='],
    [' padded ', '=?base64?IHBhZGRlZCA=?='],
    ['line1\nline2', '=?base64?bGluZTEKbGluZTI=?='],
    ['=?base64?literal?=', '=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?='],
  ])('%j is %j', (text, value) => {
    expect(headerValueOf(text)).toBe(value)
    expect(textOfHeader(value)).toBe(text)
  })

  it.each(['=?base64?SGVsbG8?=', '=?base64?SGVs!!!bG8=?=', '=?base64?/w==?=', 'Régi', 'a\u0001'])(
    '%j holds what no header may',
    (value) => expect(textOfHeader(value)).toBeUndefined(),
  )
})

describe('the marks of a tool', () => {
  it.each([
    ['no schema', {}],
    ['no marks', { type: 'object', properties: { region: { type: 'string' } } }],
    ['a property of that name', { type: 'object', properties: { 'x-mcp-header': { type: 'string' } } }],
    ['a mark in data', { type: 'object', properties: { a: { default: region, enum: [region] } } }],
  ])('are none: %s', (_, schema) => expect(mirroringOf(toolWith(schema))).toBeUndefined())

  it('make no tool that is endlessly deep the end of its list', () => {
    const deep = `${'{"items":'.repeat(20_000)}{}${'}'.repeat(20_000)}`
    const text = `{"name":"x-mcp-header","inputSchema":${deep}}`
    expect(mirroringOf(text)).toMatchObject({ ok: false, problem: expect.stringContaining('deeper than') })
  })

  it('are found at any depth of properties, and where the name is written with escapes', () => {
    const schema = {
      type: 'object',
      properties: {
        region,
        place: { type: 'object', properties: { Zone: { ...region, 'x-mcp-header': 'Zone' } } },
      },
    }
    const parameters = [
      { header: 'mcp-param-region', path: ['region'] },
      { header: 'mcp-param-zone', path: ['place', 'Zone'] },
    ]
    const text = toolWith(schema)
    expect(mirroringOf(text)).toEqual({ ok: true, parameters })
    expect(mirroringOf(text.replaceAll('x-mcp-header', '\\u0078-mcp-header'))).toEqual({
      ok: true,
      parameters,
    })
  })

  it.each([
    ['an array', { properties: { a: { type: 'array', items: region } } }],
    ['a choice', { properties: { a: { anyOf: [region] } } }],
    ['a definition', { $defs: { properties: region } }],
    ['the root', { ...region, type: 'object' }],
    ['no type', { properties: { a: { 'x-mcp-header': 'A' } } }],
    ['a number', { properties: { a: { type: 'number', 'x-mcp-header': 'A' } } }],
    ['two of one name', { properties: { a: region, b: { ...region, 'x-mcp-header': 'REGION' } } }],
    ['no name', { properties: { a: { type: 'string', 'x-mcp-header': true } } }],
    ['a line break', { properties: { a: { type: 'string', 'x-mcp-header': 'A\r\nB' } } }],
  ])('are invalid: %s', (_, schema) => {
    expect(mirroringOf(toolWith(schema))).toMatchObject({
      ok: false,
      problem: expect.stringContaining('x-mcp-header'),
    })
  })
})

describe('a call', () => {
  const parameters = [
    { header: 'mcp-param-region', path: ['region'] },
    { header: 'mcp-param-count', path: ['place', 'count'] },
  ]

  it('repeats what is there', () => {
    expect(parameterHeaders(parameters, callWith({ region: 'eu', place: { count: 3 } }))).toEqual({
      'mcp-param-region': 'eu',
      'mcp-param-count': '3',
    })
    expect(parameterHeaders(parameters, callWith({ region: null, place: [] }))).toEqual({})
    expect(parameterHeaders(parameters, callWith('eu'))).toEqual({})
  })

  it.each([
    ['the same', { region: 'eu' }, { 'mcp-param-region': 'eu' }],
    ['the same in base64', { region: 'eu' }, { 'mcp-param-region': '=?base64?ZXU=?=' }],
    ['the same number', { place: { count: 42 } }, { 'mcp-param-count': '42.0' }],
    ['nothing of nothing', { region: null }, {}],
    ['what nobody asked for', {}, { 'mcp-param-other': 'eu' }],
  ])('says %s in its headers', (_, given, headers) => {
    expect(headerMismatch(parameters, callWith(given), headers)).toBeUndefined()
  })

  it.each([
    ['missing', { region: 'eu' }, {}],
    ['other', { region: 'eu' }, { 'mcp-param-region': 'EU' }],
    ['other', { region: 'eu' }, { 'mcp-param-region': '=?base64?ZXU?=' }],
    ['other', {}, { 'mcp-param-region': 'eu' }],
    ['other', { region: '42' }, { 'mcp-param-region': '42.0' }],
  ])('is refused, %s: %j, %j', (what, given, headers) => {
    expect(headerMismatch(parameters, callWith(given), headers)).toEqual({ header: 'mcp-param-region', what })
  })
})
