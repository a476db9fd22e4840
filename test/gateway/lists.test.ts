// Names and lists: what is listed can be called, under names that models' providers take, and what a request is about is what its body says.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type RpcAnswer, type ServedGateway, servedWith, small } from '../support/gateway.ts'
import { Watched } from '../support/watched.ts'

const watched = new Watched()
const log = watched.file('begun')
const long = 'a'.repeat(80)
/** The same for the first 64 characters and more. */
const tools = [`${long}_one`, `${long}_two`, 'run', 'with.dot', 'with space']
let gateway: ServedGateway

beforeAll(async () => {
  const profiles = { readers: { tools: { deny: ['first__run'] } } }
  gateway = await servedWith(
    watched,
    { first: small(log, { tools }), 'first-and-a-much-longer-name': small(log, { tools }) },
    { access: { profiles } },
  )
})

afterAll(() => watched.remove())

async function ask(path: string, method: string, params: object, headers: Record<string, string> = {}) {
  const response = await fetch(`${gateway.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': gateway.key, ...headers },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
  })
  return (await response.json()) as RpcAnswer
}

it('every name that is listed is one that providers take, is there once, and leads to its tool', async () => {
  const { result } = await ask('/mcp', 'tools/list', {})
  const names = result?.tools?.map(({ name }) => name) ?? []
  expect(names).toHaveLength(2 * tools.length)
  expect(new Set(names).size).toBe(names.length)
  const reached = new Set<string>()
  for (const name of names) {
    expect(name).toMatch(/^[a-zA-Z0-9_-]{1,64}$/)
    const answer = await ask('/mcp', 'tools/call', { name })
    reached.add(answer.result?.content?.[0]?.text ?? JSON.stringify(answer))
  }
  // The tool's own name and its process: no two names lead to the same one.
  expect(reached.size).toBe(names.length)
  for (const tool of tools) expect([...reached].filter((text) => text.startsWith(`${tool} `))).toHaveLength(2)
})

it('a header that names a tool which is allowed opens no way to the one in the body', async () => {
  const headers = { 'mcp-name': 'first__with_dot', 'mcp-method': 'tools/call' }
  const bare = await ask('/mcp/p/readers', 'tools/call', { name: 'first__run' }, headers)
  expect(bare.error?.code).toBe(-32_602)
  const meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'cheat', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {},
  }
  const params = { name: 'first__run', _meta: meta }
  const modern = await ask('/mcp', 'tools/call', params, { ...headers, 'mcp-protocol-version': '2026-07-28' })
  expect(modern.error?.code).toBe(-32_020)
})
