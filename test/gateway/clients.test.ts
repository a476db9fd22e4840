// Real clients and real servers: the SDK's clients of both lines and the Inspector, in front of three reference servers.
import { mkdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { child, type ServedGateway, served } from '../support/gateway.ts'
import { cached, nodeForInspector, run } from '../support/tools.ts'
import { Watched } from '../support/watched.ts'

const watched = new Watched()
let gateway: ServedGateway

const notes = path.join(watched.directory, 'notes')
const nodes = [{ name: 'gateway', entityType: 'program', observations: ['it is tested'] }]

/** One of the reference servers, as its users start it. */
function server(name: string, words: readonly string[] = [], env: object = {}) {
  const file = cached(name, `@modelcontextprotocol/server-${name}`, 'dist/index.js')
  return { command: [process.execPath, file, ...words], env }
}

beforeAll(async () => {
  mkdirSync(notes)
  writeFileSync(path.join(notes, 'one.txt'), 'first note\n')
  const graph = path.join(watched.directory, 'memory.jsonl')
  writeFileSync(graph, nodes.map((node) => JSON.stringify({ type: 'entity', ...node })).join('\n'))
  gateway = await served(watched, {
    everything: server('everything'),
    memory: server('memory', [], { MEMORY_FILE_PATH: graph }),
    files: server('filesystem', [notes]),
    own: child(),
  })
})

afterAll(() => watched.remove())

const headers = () => ({ 'X-API-Key': gateway.key })

it.each(['legacy', 'modern'] as const)('the client of SDK 2 lists, calls and reads, as %s', async (era) => {
  const client = new Client(
    { name: `sdk-2-${era}`, version: '1.0.0' },
    era === 'modern' ? { versionNegotiation: { mode: 'auto' } } : {},
  )
  const transport = new StreamableHTTPClientTransport(new URL(`${gateway.url}/mcp`), {
    requestInit: { headers: headers() },
  })
  await client.connect(transport)
  const { tools } = await client.listTools()
  const names = tools.map(({ name }) => name)
  expect(names).toEqual(expect.arrayContaining(['everything__echo', 'own__echo']))
  const echoed = await client.callTool({ name: 'everything__echo', arguments: { message: 'hello' } })
  expect(echoed.content).toEqual([{ type: 'text', text: 'Echo: hello' }])
  const sum = await client.callTool({ name: 'everything__get-sum', arguments: { a: 2, b: 3 } })
  expect(JSON.stringify(sum.content)).toContain('5')
  const graph = await client.callTool({ name: 'memory__read_graph' })
  expect(graph.structuredContent).toMatchObject({ entities: nodes })
  const listed = await client.callTool({ name: 'files__list_directory', arguments: { path: notes } })
  expect(listed.content).toEqual([{ type: 'text', text: '[FILE] one.txt' }])
  const { prompts } = await client.listPrompts()
  const [prompt] = prompts
  expect((await client.getPrompt({ name: prompt?.name ?? '' })).messages.length).toBeGreaterThan(0)
  const { resources } = await client.listResources()
  const [resource] = resources
  expect((await client.readResource({ uri: resource?.uri ?? '' })).contents.length).toBeGreaterThan(0)
  await client.close()
})

it('the client of SDK 1 does, by the code that its users have', async () => {
  const sdk = createRequire(cached('everything', '@modelcontextprotocol/server-everything', 'package.json'))
  const load = async (place: string) =>
    (await import(pathToFileURL(sdk.resolve(`@modelcontextprotocol/sdk/${place}`)).href)) as Record<
      string,
      never
    >
  const { Client: Client1 } = (await load('client/index.js')) as unknown as {
    Client: new (...words: object[]) => Client1
  }
  const { StreamableHTTPClientTransport: Transport1 } = (await load(
    'client/streamableHttp.js',
  )) as unknown as {
    StreamableHTTPClientTransport: new (...words: object[]) => object
  }
  const client = new Client1({ name: 'my-app', version: '1.0.0' }, { capabilities: {} })
  await client.connect(
    new Transport1(new URL(`${gateway.url}/mcp/everything`), { requestInit: { headers: headers() } }),
  )
  const result = await client.callTool({ name: 'echo', arguments: { message: 'one' } })
  expect(result.content).toEqual([{ type: 'text', text: 'Echo: one' }])
  await client.close()
  const all = new Client1({ name: 'my-app', version: '1.0.0' }, { capabilities: {} })
  await all.connect(new Transport1(new URL(`${gateway.url}/mcp`), { requestInit: { headers: headers() } }))
  const args = { path: path.join(notes, 'one.txt') }
  const read = await all.callTool({ name: 'files__read_text_file', arguments: args })
  expect(read.content).toEqual([{ type: 'text', text: 'first note\n' }])
  const found = await all.callTool({ name: 'memory__search_nodes', arguments: { query: 'tested' } })
  expect(JSON.stringify(found.content)).toContain('gateway')
  await all.close()
})

/** What is used of SDK 1. */
interface Client1 {
  connect(transport: object): Promise<void>
  callTool(call: object): Promise<{ content: unknown }>
  close(): Promise<void>
}

it('the Inspector lists the tools and calls one', async () => {
  const file = cached('inspector-2', '@modelcontextprotocol/inspector', 'clients/launcher/build/index.js')
  const words = [
    '--cli',
    `${gateway.url}/mcp`,
    '--transport',
    'http',
    '--header',
    `X-API-Key: ${gateway.key}`,
  ]
  const inspector = async (...more: string[]) => {
    const { code, stdout, stderr } = await run([nodeForInspector(), file, ...words, ...more])
    if (code !== 0) throw new Error(`${stdout}${stderr}`)
    return JSON.parse(stdout)
  }
  const { tools } = await inspector('--method', 'tools/list')
  const names = tools.map(({ name }: { name: string }) => name)
  expect(names).toEqual(
    expect.arrayContaining(['everything__echo', 'memory__read_graph', 'files__read_text_file']),
  )
  const call = (tool: string, ...words: string[]) =>
    inspector('--method', 'tools/call', '--tool-name', tool, ...words)
  expect((await call('everything__echo', '--tool-arg', 'message=hi')).content).toEqual([
    { type: 'text', text: 'Echo: hi' },
  ])
  expect((await call('memory__read_graph')).structuredContent).toMatchObject({ entities: nodes })
})

it('a person calls a tool, tests a connector, counts tools, makes and revokes a key', async () => {
  const config = ['--config', watched.file('connectors.json')]
  const called = await watched.run(
    'mcp-proxy',
    'call',
    'everything',
    'echo',
    '--args',
    '{"message":"test"}',
    ...config,
  )
  expect([called.code, called.stdout]).toEqual([0, 'Echo: test\n'])
  const counted = await watched.run('mcp-proxy', 'tools', '--count', ...config)
  expect(counted.stdout).toMatch(
    /^\d\d tools, about \d{4} tokens; with more than 40 tools, many models choose worse\n$/,
  )
  const tested = await watched.run('mcp-proxy', 'test', 'own', ...config)
  expect(tested.stdout).toMatch(/^Connector 'own' ready \(10 tools\)$/m)
  const made = await watched.run('mcp-proxy', 'key', 'create', 'laptop', '--connectors', 'own')
  const key = made.stdout.trim()
  const ask = (path: string) =>
    fetch(`${gateway.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': key },
      body: '{"jsonrpc":"2.0","id":1,"method":"tools/list"}',
    })
  const all = await (await ask('/mcp')).text()
  expect(all).toContain('own__echo')
  expect(all).not.toContain('everything__')
  expect((await ask('/mcp/everything')).status).toBe(403)
  await watched.run('mcp-proxy', 'key', 'revoke', 'laptop')
  await expect.poll(async () => (await ask('/mcp')).status).toBe(401)
})
