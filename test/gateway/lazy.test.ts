// The lazy offer: three tools instead of all, which find the others, describe and call them.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { child, configured, LineClient, type RpcAnswer } from '../support/gateway.ts'
import { Watched } from '../support/watched.ts'

const watched = new Watched()
let client: LineClient

beforeAll(async () => {
  const file = configured(watched, { one: child(), two: child() }, { lazy: true })
  client = new LineClient(watched, '--all', '--config', file)
  await client.initialize()
})

afterAll(async () => {
  await client.end()
  await watched.remove()
})

let last = 0

function call(name: string, given: object): Promise<RpcAnswer> {
  return client.ask(++last, 'tools/call', { name, arguments: given })
}

it('lists three tools', async () => {
  const { result } = await client.ask('list', 'tools/list')
  expect(result?.tools?.map(({ name }) => name)).toEqual(['find_tools', 'describe_tool', 'call_tool'])
})

it('finds tools by words, those with the word in their names first, and says how many there are', async () => {
  const found = async (given: object) =>
    (await call('find_tools', given)).result?.structuredContent as {
      tools: { name: string }[]
      total: number
    }
  const byWord = await found({ query: 'progress' })
  expect(byWord.tools.map(({ name }) => name)).toEqual(['one__progress', 'two__progress'])
  expect((await found({ query: 'two echo' })).tools[0]?.name).toBe('two__echo')
  const all = await found({ query: '', limit: 3 })
  expect([all.tools.length, all.total]).toEqual([3, 20])
  expect((await found({ query: 'zebra' })).total).toBe(0)
  expect((await call('find_tools', {})).error?.code).toBe(-32_602)
})

it('describes a tool as its server does', async () => {
  const { result } = await call('describe_tool', { name: 'one__echo' })
  expect(JSON.parse(result?.content?.[0]?.text ?? '')).toMatchObject({
    name: 'one__echo',
    description: 'the echo tool',
    inputSchema: { type: 'object' },
  })
  expect((await call('describe_tool', { name: 'none' })).error?.code).toBe(-32_602)
})

it('calls a tool, with its arguments as they are written; its name alone does, too', async () => {
  const id = 'exact'
  client.send(
    `{"jsonrpc":"2.0","id":"${id}","method":"tools/call","params":{"name":"call_tool","arguments":{"name":"one__echo","arguments":{"n":1.0e400}}}}`,
  )
  const line = await client.line(id)
  expect(line).toContain('\\"name\\":\\"echo\\"')
  expect(line).toContain('1.0e400')
  expect((await call('two__write', {})).result?.content?.[0]?.text).toBe('write')
  expect((await call('call_tool', { name: 'two__write' })).result?.content?.[0]?.text).toBe('write')
  for (const name of ['none', 7]) expect((await call('call_tool', { name })).error?.code).toBe(-32_602)
})
