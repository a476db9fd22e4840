// Tasks between the generations: a client of each one on a server of the other one.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RpcAnswer, type ServedGateway, served } from '../support/gateway.ts'
import { cached, until } from '../support/tools.ts'
import { Watched } from '../support/watched.ts'

const watched = new Watched()
let gateway: ServedGateway

/** A server of 2026-07-28, by hand: no SDK at hand makes tasks of the extension. */
const newerServer = `
const times = { createdAt: '2026-01-04T16:30:00Z', lastUpdatedAt: '2026-01-04T16:30:00Z', ttlMs: 60000, pollIntervalMs: 20 }
const tasks = new Map()
let stream
const say = (message) => console.log(JSON.stringify({ jsonrpc: '2.0', ...message }))
const question = { method: 'elicitation/create', params: { message: 'Which?', requestedSchema: { type: 'object', properties: { word: { type: 'string' } } } } }
const become = (taskId, more) => {
  const task = { ...tasks.get(taskId), ...more }
  tasks.set(taskId, task)
  if (stream !== undefined) say({ method: 'notifications/tasks', params: { ...task, _meta: { 'io.modelcontextprotocol/subscriptionId': stream } } })
}
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method, params } = JSON.parse(line)
  const answer = (result) => say({ id, result: { resultType: 'complete', ...result } })
  if (method === 'server/discover') return answer({ supportedVersions: ['2026-07-28'], capabilities: { tools: {}, extensions: { 'io.modelcontextprotocol/tasks': {} } }, ttlMs: 0, cacheScope: 'public' })
  if (method === 'tools/list') return answer({ tools: ['asks', 'fails', 'waits', 'short'].map((name) => ({ name, inputSchema: { type: 'object' } })), ttlMs: 0, cacheScope: 'public' })
  if (method === 'tools/call') {
    const knows = params._meta['io.modelcontextprotocol/clientCapabilities'].extensions?.['io.modelcontextprotocol/tasks'] !== undefined
    if (!knows || params.task !== undefined || params.name === 'short') return answer({ content: [{ type: 'text', text: 'at once' }] })
    const taskId = params.name + tasks.size
    const task = { taskId, status: 'working', ...times }
    tasks.set(taskId, task)
    if (params.name === 'asks') tasks.set(taskId, { ...task, status: 'input_required', inputRequests: { q1: question } })
    if (params.name === 'fails') tasks.set(taskId, { ...task, status: 'failed', error: { code: -32050, message: 'out of ink' } })
    return answer({ ...task, resultType: 'task' })
  }
  if (method === 'subscriptions/listen') {
    if (params.notifications.taskIds) stream = id
    return
  }
  const task = tasks.get(params?.taskId)
  if (method?.startsWith('tasks/') && task === undefined) return say({ id, error: { code: -32602, message: 'no such task' } })
  if (method === 'tasks/get') return answer(task)
  if (method === 'tasks/update') {
    answer({})
    const { inputRequests, ...rest } = task
    tasks.set(task.taskId, rest)
    return become(task.taskId, { status: 'completed', result: { content: [{ type: 'text', text: params.inputResponses.q1.content.word }] } })
  }
  if (method === 'tasks/cancel') {
    answer({})
    return setTimeout(() => become(task.taskId, { status: 'cancelled' }), 30)
  }
  if (id !== undefined) answer({})
})`

beforeAll(async () => {
  const file = cached('everything', '@modelcontextprotocol/server-everything', 'dist/index.js')
  gateway = await served(watched, {
    everything: { command: [process.execPath, file] },
    newer: { command: [process.execPath, '-e', newerServer] },
  })
})

afterAll(() => watched.remove())

interface TaskMessage {
  readonly type: string
  readonly task?: { readonly taskId: string; readonly status: string }
  readonly result?: { readonly content: unknown }
  readonly error?: Error
}

/** What is used of SDK 1. */
interface Client1 {
  connect(transport: object): Promise<void>
  listTools(): Promise<{ tools: { name: string; execution?: object }[] }>
  callTool(call: object): Promise<{ content: unknown }>
  setRequestHandler(schema: object, handler: () => object): void
  setNotificationHandler(schema: object, handler: (notice: { params: object }) => void): void
  readonly experimental: {
    readonly tasks: {
      callToolStream(call: object, schema: object, options: object): AsyncIterable<TaskMessage>
      listTasks(): Promise<{ tasks: { taskId: string; status: string }[] }>
      getTask(id: string): Promise<{ taskId: string; status: string }>
      getTaskResult(id: string, schema: object): Promise<object>
      cancelTask(id: string): Promise<{ taskId: string; status: string }>
    }
  }
  close(): Promise<void>
}

type Constructor<Made> = new (...words: readonly unknown[]) => Made

async function sdk1(place: string): Promise<Record<string, never>> {
  const sdk = createRequire(cached('everything', '@modelcontextprotocol/server-everything', 'package.json'))
  return await import(pathToFileURL(sdk.resolve(`@modelcontextprotocol/sdk/${place}`)).href)
}

describe('a client of 2025-11-25 (SDK 1) on a server of 2026-07-28', () => {
  let client: Client1
  let resultSchema: object
  const told: object[] = []

  beforeAll(async () => {
    const { Client } = (await sdk1('client/index.js')) as unknown as { Client: Constructor<Client1> }
    const { StreamableHTTPClientTransport } = (await sdk1('client/streamableHttp.js')) as unknown as {
      StreamableHTTPClientTransport: Constructor<object>
    }
    const schemas = (await sdk1('types.js')) as unknown as Record<string, object>
    const { ElicitRequestSchema = {}, CallToolResultSchema = {}, TaskStatusNotificationSchema = {} } = schemas
    resultSchema = CallToolResultSchema
    client = new Client({ name: 'older', version: '1' }, { capabilities: { elicitation: { form: {} } } })
    client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'accept', content: { word: 'this one' } }))
    client.setNotificationHandler(TaskStatusNotificationSchema, ({ params }) => void told.push(params))
    const requestInit = { headers: { 'X-API-Key': gateway.key } }
    await client.connect(new StreamableHTTPClientTransport(new URL(`${gateway.url}/mcp`), { requestInit }))
  })

  afterAll(() => client.close())

  async function run(name: string): Promise<readonly TaskMessage[]> {
    const messages: TaskMessage[] = []
    const call = { name: `newer__${name}`, arguments: {} }
    const stream = client.experimental.tasks.callToolStream(call, resultSchema, { task: { ttl: 60_000 } })
    for await (const message of stream) messages.push(message)
    return messages
  }

  it('finds that tools may be tasks, has one run, answers its question and gets the result', async () => {
    const { tools } = await client.listTools()
    const tool = tools.find(({ name }) => name === 'newer__asks')
    expect(tool?.execution).toEqual({ taskSupport: 'optional' })
    const messages = await run('asks')
    const created = messages.find(({ type }) => type === 'taskCreated')?.task
    expect(messages.at(-1)).toMatchObject({
      type: 'result',
      result: { content: [{ type: 'text', text: 'this one' }] },
    })
    const { taskId = '' } = created ?? {}
    await until(
      'it was told',
      async () => told.some((one) => 'taskId' in one && one.taskId === taskId) || undefined,
    )
    const end = told.find((one) => 'taskId' in one && one.taskId === taskId)
    expect(end).toMatchObject({ status: 'completed', ttl: 60_000, pollInterval: 20 })
    expect(end).not.toHaveProperty('result')
    const { tasks } = await client.experimental.tasks.listTasks()
    expect(tasks).toContainEqual(expect.objectContaining({ taskId, status: 'completed' }))
  })

  it('hears the error of one that fails, and sees one end that it cancels', async () => {
    const failed = await run('fails')
    expect(failed.at(-1)?.type).toBe('error')
    const { taskId = '' } = failed.find(({ type }) => type === 'taskCreated')?.task ?? {}
    const result = client.experimental.tasks.getTaskResult(taskId, resultSchema)
    await expect(result).rejects.toMatchObject({
      code: -32050,
      message: expect.stringContaining('out of ink'),
    })
    const call = { name: 'newer__waits', arguments: {} }
    const { tasks } = client.experimental
    for await (const { type, task } of tasks.callToolStream(call, resultSchema, { task: {} })) {
      if (type !== 'taskCreated' || task === undefined) continue
      expect((await tasks.getTask(task.taskId)).status).toBe('working')
      expect((await tasks.cancelTask(task.taskId)).status).toBe('cancelled')
      await expect(tasks.cancelTask(task.taskId)).rejects.toThrow('is over: cancelled')
    }
  })

  it('gets a task that is over when the server answers at once, and no task when it wants none', async () => {
    const messages = await run('short')
    const created = messages.find(({ type }) => type === 'taskCreated')?.task
    expect(created?.status).toBe('completed')
    const atOnce = [{ type: 'text', text: 'at once' }]
    expect(messages.at(-1)).toMatchObject({ type: 'result', result: { content: atOnce } })
    expect((await client.callTool({ name: 'newer__asks', arguments: {} })).content).toEqual(atOnce)
  })
})

describe('a client of 2026-07-28 on the reference server of 2025-11-25', () => {
  const tool = 'everything__simulate-research-query'
  const able = { elicitation: { form: {} }, extensions: { 'io.modelcontextprotocol/tasks': {} } }

  function request(method: string, params: object, named: string | undefined, capabilities: object) {
    const meta = {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientInfo': { name: 'newer', version: '1' },
      'io.modelcontextprotocol/clientCapabilities': capabilities,
    }
    return fetch(`${gateway.url}/mcp`, {
      method: 'POST',
      headers: {
        'x-api-key': gateway.key,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': '2026-07-28',
        'mcp-method': method,
        ...(named === undefined ? {} : { 'mcp-name': named }),
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { ...params, _meta: meta } }),
    })
  }

  async function ask(method: string, params: object, named?: string, capabilities: object = able) {
    return (await (await request(method, params, named, capabilities)).json()) as RpcAnswer
  }

  const begin = (ambiguous: boolean) =>
    ask('tools/call', { name: tool, arguments: { topic: 'gateways', ambiguous } }, tool)

  it('follows a task to its result, with its question, by answers that the published schemas take', async () => {
    const { GetTaskResultV2Schema, CreateTaskResultV2Schema } = await publishedSchemas()
    const offered = await ask('tools/list', {})
    const tools = offered.result?.tools as { name: string }[]
    expect(tools.find(({ name }) => name === tool)).not.toHaveProperty('execution')
    const refused = await ask('tools/call', { name: tool, arguments: { topic: 'x' } }, tool, {})
    expect(refused.error?.code).toBe(-32021)
    const begun = (await begin(true)).result
    expect(begun).toMatchObject({ resultType: 'task', status: 'working', pollIntervalMs: 1000 })
    CreateTaskResultV2Schema.parse(begun)
    const { taskId } = begun as unknown as { taskId: string }
    const told = toldOf(taskId)
    const stands = async (status: string) => {
      const { result } = await ask('tasks/get', { taskId }, taskId)
      GetTaskResultV2Schema.parse(result)
      return result?.status === status ? result : undefined
    }
    const asked = await until('it asks', () => stands('input_required'))
    const [[key, question] = ['', undefined]] = Object.entries(asked.inputRequests as object)
    expect(question).toMatchObject({ method: 'elicitation/create' })
    const answers = { [key]: { action: 'accept', content: { interpretation: 'historical' } } }
    const updated = await ask('tasks/update', { taskId, inputResponses: answers }, taskId)
    expect(updated.result).toEqual({ resultType: 'complete' })
    const end = await until('it is over', () => stands('completed'))
    expect(JSON.stringify(end.result)).toContain('Research Report: gateways (historical)')
    expect(await told).toMatchObject({ status: 'completed', result: end.result })
  })

  /** How a task ended, as a stream of changes tells. */
  async function toldOf(taskId: string): Promise<object | undefined> {
    const filter = { notifications: { taskIds: [taskId] } }
    const response = await request('subscriptions/listen', filter, undefined, able)
    let text = ''
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk).toString('utf8')
      for (const [, data = ''] of text.matchAll(/^data: (\{.*)$/gm)) {
        const { method, params } = JSON.parse(data) as RpcAnswer
        if (method === 'notifications/tasks' && params?.status === 'completed') return params
      }
    }
    return undefined
  }

  it('ends a task, more than once, and is not told of lists', async () => {
    const { taskId } = (await begin(false)).result as unknown as { taskId: string }
    for (const _ of ['first', 'again'])
      expect((await ask('tasks/cancel', { taskId }, taskId)).result).toEqual({ resultType: 'complete' })
    expect((await ask('tasks/get', { taskId }, taskId)).result).toMatchObject({ taskId, status: 'cancelled' })
    expect((await ask('tasks/list', {})).error?.code).toBe(-32601)
  })
})

interface Schema {
  readonly parse: (value: unknown) => unknown
}

/** Of the package that publishes the extension. */
async function publishedSchemas(): Promise<
  Record<'CreateTaskResultV2Schema' | 'GetTaskResultV2Schema', Schema>
> {
  const file = cached('inspector-2', '@modelcontextprotocol/ext-tasks', 'dist/core/v2/schemas.js')
  return await import(pathToFileURL(file).href)
}
