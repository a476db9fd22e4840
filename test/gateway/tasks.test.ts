// Tasks of both generations through the gateway: a task goes to the server that has it, and only for who has begun it.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { child, type RpcAnswer, type ServedGateway, served } from '../support/gateway.ts'
import { cached, until } from '../support/tools.ts'
import { Watched } from '../support/watched.ts'

const watched = new Watched()
let gateway: ServedGateway
let otherKey: string

/** A server of the newer generation with one task, by hand: no SDK at hand has the extension. */
const modernServer = `
const task = { taskId: 'same', createdAt: '2026-01-04T16:30:00Z', lastUpdatedAt: '2026-01-04T16:30:00Z', ttlMs: 60000 }
let status = 'working'
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method, params } = JSON.parse(line)
  const answer = (result) => console.log(JSON.stringify({ jsonrpc: '2.0', id, result: { resultType: 'complete', ...result } }))
  const envelope = params?._meta?.['io.modelcontextprotocol/clientCapabilities']
  if (method === 'server/discover') return answer({ supportedVersions: ['2026-07-28'], capabilities: { tools: {}, extensions: { 'io.modelcontextprotocol/tasks': {} } }, ttlMs: 0, cacheScope: 'public' })
  if (method === 'tools/list') return answer({ tools: [{ name: 'begin', inputSchema: { type: 'object' } }], ttlMs: 0, cacheScope: 'public' })
  if (method === 'tools/call') return envelope?.extensions ? answer({ ...task, status, resultType: 'task' }) : answer({ content: [{ type: 'text', text: 'at once' }] })
  if (method === 'subscriptions/listen') {
    if (!params.notifications.taskIds) return
    if (!envelope?.extensions) return console.log(JSON.stringify({ jsonrpc: '2.0', id, error: { code: -32021, message: 'no tasks' } }))
    return console.log(JSON.stringify({ jsonrpc: '2.0', method: 'notifications/tasks', params: { ...task, status, _meta: { 'io.modelcontextprotocol/subscriptionId': id } } }))
  }
  if (method === 'tasks/update') status = 'completed'
  if (method === 'tasks/get') return answer({ ...task, status, ...(status === 'completed' ? { result: { content: [] } } : {}) })
  answer({})
})`

beforeAll(async () => {
  const file = cached('everything', '@modelcontextprotocol/server-everything', 'dist/index.js')
  const modern = { command: [process.execPath, '-e', modernServer] }
  gateway = await served(watched, {
    everything: { command: [process.execPath, file] },
    own: child(),
    modern,
    twin: modern,
  })
  const made = await watched.run('mcp-proxy', 'key', 'create', 'other')
  otherKey = made.stdout.trim()
})

afterAll(() => watched.remove())

/** A session by hand. */
async function session(key: string) {
  let id: string | undefined
  const ask = async (method: string, params: object): Promise<RpcAnswer> => {
    const response = await fetch(`${gateway.url}/mcp`, {
      method: 'POST',
      headers: {
        'x-api-key': key,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        ...(id === undefined ? {} : { 'mcp-session-id': id }),
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
    })
    id ??= response.headers.get('mcp-session-id') ?? undefined
    const text = await response.text()
    const [last = text] = [...text.matchAll(/^data: (\{.*)$/gm)].map(([, data = '']) => data).reverse()
    return JSON.parse(last)
  }
  await ask('initialize', {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'hand', version: '1' },
  })
  return ask
}

interface TaskMessage {
  readonly type: string
  readonly task?: { readonly taskId: string; readonly status: string }
  readonly result?: { readonly content: unknown }
  readonly error?: Error
}

/** What is used of SDK 1. */
interface Client1 {
  connect(transport: object): Promise<void>
  listTools(): Promise<unknown>
  getServerCapabilities(): object
  setRequestHandler(schema: object, handler: () => object): void
  setNotificationHandler(schema: object, handler: (notice: { params: { taskId: string } }) => void): void
  readonly experimental: {
    readonly tasks: {
      callToolStream(call: object, schema: object, options: object): AsyncIterable<TaskMessage>
      listTasks(): Promise<{ tasks: { taskId: string }[] }>
    }
  }
  close(): Promise<void>
}

async function sdk1(place: string): Promise<Record<string, never>> {
  const sdk = createRequire(cached('everything', '@modelcontextprotocol/server-everything', 'package.json'))
  return await import(pathToFileURL(sdk.resolve(`@modelcontextprotocol/sdk/${place}`)).href)
}

type Constructor<Made> = new (...words: readonly unknown[]) => Made

/** A client of SDK 1 that has a topic researched as a task, and is asked on the way what it means by it. */
async function research(key: string, interpretation: string) {
  const { Client } = (await sdk1('client/index.js')) as unknown as { Client: Constructor<Client1> }
  const { StreamableHTTPClientTransport } = (await sdk1('client/streamableHttp.js')) as unknown as {
    StreamableHTTPClientTransport: Constructor<object>
  }
  const schemas = (await sdk1('types.js')) as unknown as Record<string, object>
  const { ElicitRequestSchema = {}, CallToolResultSchema = {}, TaskStatusNotificationSchema = {} } = schemas
  const client = new Client(
    { name: `tasks-${interpretation}`, version: '1' },
    { capabilities: { elicitation: { form: {} }, tasks: { requests: { elicitation: { create: {} } } } } },
  )
  client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'accept', content: { interpretation } }))
  const told: string[] = []
  client.setNotificationHandler(TaskStatusNotificationSchema, ({ params }) => void told.push(params.taskId))
  const requestInit = { headers: { 'X-API-Key': key } }
  await client.connect(new StreamableHTTPClientTransport(new URL(`${gateway.url}/mcp`), { requestInit }))
  await client.listTools()
  const call = {
    name: 'everything__simulate-research-query',
    arguments: { topic: 'gateways', ambiguous: true },
  }
  const stream = client.experimental.tasks.callToolStream(call, CallToolResultSchema, {
    task: { ttl: 60_000 },
  })
  return { client, stream, told }
}

describe('tasks of 2025-11-25: the client of SDK 1 and the reference server', () => {
  it('are followed to their result, each with its own question, by who has begun them alone', async () => {
    const [one, two] = await Promise.all([
      research(gateway.key, 'technical'),
      research(otherKey, 'historical'),
    ])
    expect(one.client.getServerCapabilities()).toMatchObject({ tasks: { requests: { tools: { call: {} } } } })
    const stranger = await session(otherKey)
    const follow = async ({ client, stream, told }: typeof one, seen: (taskId: string) => Promise<void>) => {
      let created = ''
      let result = ''
      for await (const message of stream) {
        if (message.type === 'taskCreated') {
          created = message.task?.taskId ?? ''
          await seen(created)
        }
        if (message.type === 'result') result = JSON.stringify(message.result?.content)
      }
      await until('it was told of the status', async () => told.includes(created) || undefined)
      expect(new Set(told)).toEqual(new Set([created]))
      await client.close()
      return result
    }
    const [ofOne, ofTwo] = await Promise.all([
      follow(one, async (taskId) => {
        const refused = await stranger('tasks/get', { taskId })
        expect(refused.error).toMatchObject({ code: -32602, message: `Task not found: ${taskId}` })
        const { tasks } = await one.client.experimental.tasks.listTasks()
        expect(tasks.map((task) => task.taskId)).toEqual([taskId])
      }),
      follow(two, async () => {}),
    ])
    expect(ofOne).toContain('Research Report: gateways (technical)')
    expect(ofTwo).toContain('Research Report: gateways (historical)')
  })
})

describe('tasks of 2026-07-28', () => {
  const capabilities = { extensions: { 'io.modelcontextprotocol/tasks': {} } }

  /** The first messages on a stream that wants to hear of the task. */
  async function listened(key: string, count = 1): Promise<RpcAnswer[]> {
    const over = new AbortController()
    const method = 'subscriptions/listen'
    const response = await fetch(`${gateway.url}/mcp`, {
      method: 'POST',
      headers: headersFor(key, method),
      body: bodyOf(method, { notifications: { taskIds: ['same'] } }, capabilities),
      signal: over.signal,
    })
    const found: RpcAnswer[] = []
    let text = ''
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk).toString('utf8')
      const all = [...text.matchAll(/^data: (\{.*)$/gm)].map(([, data = '']) => JSON.parse(data) as RpcAnswer)
      found.splice(0, found.length, ...all)
      if (found.length >= count) break
    }
    over.abort()
    return found
  }

  const headersFor = (key: string, method: string) => ({
    'x-api-key': key,
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    'mcp-protocol-version': '2026-07-28',
    'mcp-method': method,
  })

  const bodyOf = (method: string, params: object, able: object) => {
    const meta = {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientInfo': { name: 'hand', version: '1' },
      'io.modelcontextprotocol/clientCapabilities': able,
    }
    return JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { ...params, _meta: meta } })
  }

  async function ask(
    key: string,
    method: string,
    params: object,
    able: object = capabilities,
    named = 'same',
  ) {
    const response = await fetch(`${gateway.url}/mcp`, {
      method: 'POST',
      headers: { ...headersFor(key, method), 'mcp-name': named },
      body: bodyOf(method, params, able),
    })
    return (await response.json()) as RpcAnswer
  }

  it('are made, asked for, answered and ended at the server that has them', async () => {
    const discovered = await ask(gateway.key, 'server/discover', {})
    expect(discovered.result?.capabilities).toMatchObject(capabilities)
    const begin = { name: 'modern__begin' }
    const plain = await ask(gateway.key, 'tools/call', begin, {}, begin.name)
    expect(plain.result?.resultType).toBe('complete')
    const begun = await ask(gateway.key, 'tools/call', begin, capabilities, begin.name)
    expect(begun.result).toMatchObject({ resultType: 'task', taskId: 'same', status: 'working' })
    const task = { taskId: 'same' }
    expect((await ask(otherKey, 'tasks/get', task)).error?.code).toBe(-32602)
    expect((await ask(gateway.key, 'tasks/get', task)).result?.status).toBe('working')
    expect((await ask(gateway.key, 'tasks/get', task, {})).error?.code).toBe(-32021)
    const ofTask = { notifications: { taskIds: ['same'] } }
    expect((await ask(gateway.key, 'subscriptions/listen', ofTask, {})).error?.code).toBe(-32021)
    const stranger = await listened(otherKey)
    expect(stranger.at(0)?.params?.notifications).toEqual({})
    const [agreed, told] = await listened(gateway.key, 2)
    expect(agreed?.params?.notifications).toEqual({ taskIds: ['same'] })
    expect(told).toMatchObject({
      method: 'notifications/tasks',
      params: { taskId: 'same', status: 'working' },
    })
    expect(told?.params?._meta).toEqual({ 'io.modelcontextprotocol/subscriptionId': 1 })
    await ask(gateway.key, 'tasks/update', { ...task, inputResponses: {} })
    expect((await ask(gateway.key, 'tasks/get', task)).result).toMatchObject({
      status: 'completed',
      result: {},
    })
    expect((await ask(gateway.key, 'tasks/cancel', task)).result).toEqual({ resultType: 'complete' })
    expect((await ask(gateway.key, 'tasks/get', task, capabilities, 'another')).error?.code).toBe(-32020)
    expect((await ask(gateway.key, 'tasks/list', {})).error?.code).toBe(-32601)
    // Another server gives the same id to a task of the same client.
    await ask(gateway.key, 'tools/call', { name: 'twin__begin' }, capabilities, 'twin__begin')
    expect((await ask(gateway.key, 'tasks/get', task)).error?.message).toContain('nobody can tell them apart')
  })
})
