// What the official conformance suite expects of a server, on stdin and stdout, in the generation that the argument names. Tools that ask
// their client are rounds of questions: the older generation sends them as requests, the newer one as questions in an answer.
import { createHmac, randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'

const isModern = process.argv[2] === 'modern'
const revision = isModern ? '2026-07-28' : '2025-11-25'
const seal = randomBytes(32)

type Json = Record<string, unknown>
interface Question {
  readonly method: string
  readonly params: Json
  /** The capability of the client that it needs. */
  readonly needs: string
}
type Questions = Readonly<Record<string, Question>>
type Given = Readonly<Record<string, Json | undefined>>

const elicit = (
  message: string,
  properties: Json,
  required: readonly string[] = Object.keys(properties),
): Question => ({
  method: 'elicitation/create',
  params: { mode: 'form', message, requestedSchema: { type: 'object', properties, required } },
  needs: 'elicitation',
})
const sample = (text: string): Question => ({
  method: 'sampling/createMessage',
  params: { messages: [{ role: 'user', content: { type: 'text', text } }], maxTokens: 100 },
  needs: 'sampling',
})
const roots: Question = { method: 'roots/list', params: {}, needs: 'roots' }
const askName = elicit('What is your name?', { name: { type: 'string' } })
const confirm = elicit('Please confirm', { ok: { type: 'boolean' } })

const text = (value: string) => ({ type: 'text', text: value })
const said = (value: string) => ({ content: [text(value)] })
const image = { type: 'image', data: 'iVBORw0KGgo=', mimeType: 'image/png' }
const audio = { type: 'audio', data: 'UklGRg==', mimeType: 'audio/wav' }
const resource = (uri: string) => ({
  type: 'resource',
  resource: { uri, mimeType: 'text/plain', text: 'This is an embedded resource content.' },
})

interface Tool {
  readonly schema?: Json
  /** What is asked, a round each; the capabilities are those of the client. */
  readonly rounds?: (args: Json, capabilities: Json) => readonly Questions[]
  /** A state goes with the questions, and must come back unchanged. */
  readonly hasState?: boolean
  readonly answer: (args: Json, given: Given, context: Context) => Json | Promise<Json>
}

interface Context {
  readonly token: unknown
  readonly notify: (method: string, params: Json) => void
}

const enums = (first: string, ...rest: string[]) => [first, ...rest]
const titled = (kind: string) => [1, 2, 3].map((n) => ({ const: `value${n}`, title: `${kind} ${n}` }))
const actionOf = (given: Json | undefined) =>
  `action=${given?.action}, content=${JSON.stringify(given?.content ?? {})}`
const contentOf = (given: Json | undefined) =>
  given?.action === 'accept' ? (given.content as Json) : undefined
const sampled = (given: Json | undefined) => (given?.content as Json | undefined)?.text

const tools: Readonly<Record<string, Tool>> = {
  test_simple_text: { answer: () => said('This is a simple text response for testing.') },
  test_image_content: { answer: () => ({ content: [image] }) },
  test_audio_content: { answer: () => ({ content: [audio] }) },
  test_embedded_resource: { answer: () => ({ content: [resource('test://embedded-resource')] }) },
  test_multiple_content_types: {
    answer: () => ({
      content: [text('Multiple content types test:'), image, resource('test://mixed-content-resource')],
    }),
  },
  test_tool_with_logging: {
    answer: async (_args, _given, { notify }) => {
      for (const data of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
        notify('notifications/message', { level: 'info', data })
      }
      return said('Tool with logging executed successfully')
    },
  },
  test_logging_tool: {
    answer: () => said('it logs nothing that was not asked for'),
  },
  test_tool_with_progress: {
    answer: (_args, _given, { token, notify }) => {
      for (const progress of token === undefined ? [] : [0, 50, 100]) {
        notify('notifications/progress', { progressToken: token, progress, total: 100 })
      }
      return said(String(token))
    },
  },
  test_error_handling: {
    answer: () => ({
      content: [text('This tool intentionally returns an error for testing')],
      isError: true,
    }),
  },
  test_streaming_elicitation: { answer: () => said('results alone') },
  test_sampling: {
    schema: { prompt: { type: 'string' } },
    rounds: ({ prompt }) => [{ answer: sample(String(prompt)) }],
    answer: (_args, { answer }) => said(`LLM response: ${sampled(answer)}`),
  },
  test_elicitation: {
    schema: { message: { type: 'string' } },
    rounds: ({ message }) => [
      { answer: elicit(String(message), { response: { type: 'string', description: 'an answer' } }) },
    ],
    answer: (_args, { answer }) => said(`User response: ${actionOf(answer)}`),
  },
  test_elicitation_sep1034_defaults: {
    rounds: () => [
      {
        answer: elicit(
          'Please review and update the form fields with defaults',
          {
            name: { type: 'string', default: 'John Doe' },
            age: { type: 'integer', default: 30 },
            score: { type: 'number', default: 95.5 },
            status: { type: 'string', enum: enums('active', 'inactive', 'pending'), default: 'active' },
            verified: { type: 'boolean', default: true },
          },
          [],
        ),
      },
    ],
    answer: (_args, { answer }) => said(`Elicitation completed: ${actionOf(answer)}`),
  },
  test_elicitation_sep1330_enums: {
    rounds: () => [
      {
        answer: elicit(
          'Please select options from the enum fields',
          {
            untitledSingle: { type: 'string', enum: enums('option1', 'option2', 'option3') },
            titledSingle: { type: 'string', oneOf: titled('Option') },
            legacyEnum: {
              type: 'string',
              enum: enums('opt1', 'opt2', 'opt3'),
              enumNames: enums('One', 'Two', 'Three'),
            },
            untitledMulti: {
              type: 'array',
              items: { type: 'string', enum: enums('option1', 'option2', 'option3') },
            },
            titledMulti: { type: 'array', items: { anyOf: titled('Choice') } },
          },
          [],
        ),
      },
    ],
    answer: (_args, { answer }) => said(`Elicitation completed: ${actionOf(answer)}`),
  },
  test_missing_capability: {
    rounds: () => [{ llm_answer: sample('Reply with the single word: pong') }],
    answer: () => said('sampling round-trip complete'),
  },
  test_input_required_result_elicitation: {
    rounds: () => [{ user_name: askName }],
    answer: (_args, { user_name }) => said(`Hello, ${contentOf(user_name)?.name}!`),
  },
  test_input_required_result_sampling: {
    rounds: () => [{ capital_question: sample('What is the capital of France?') }],
    answer: (_args, { capital_question }) => said(`Sampling response: ${sampled(capital_question)}`),
  },
  test_input_required_result_list_roots: {
    rounds: () => [{ client_roots: roots }],
    answer: (_args, { client_roots }) => said(`Client exposed roots: ${JSON.stringify(client_roots?.roots)}`),
  },
  test_input_required_result_request_state: {
    rounds: () => [{ confirm }],
    hasState: true,
    answer: () => said('state-ok: requestState verified and confirmation received'),
  },
  test_input_required_result_multiple_inputs: {
    rounds: () => [{ user_name: askName, greeting: sample('Generate a greeting'), client_roots: roots }],
    hasState: true,
    answer: (_args, { user_name, greeting }) => said(`${sampled(greeting)} ${contentOf(user_name)?.name}`),
  },
  test_input_required_result_multi_round: {
    rounds: () => [
      { step1: elicit('Step 1: What is your name?', { name: { type: 'string' } }) },
      { step2: elicit('Step 2: What is your favorite color?', { color: { type: 'string' } }) },
    ],
    hasState: true,
    answer: (_args, { step2 }) => said(`Multi-round complete: ${contentOf(step2)?.color}`),
  },
  test_input_required_result_tampered_state: {
    rounds: () => [{ confirm }],
    hasState: true,
    answer: () => said('integrity-ok: requestState verified'),
  },
  test_input_required_result_capabilities: {
    rounds: (_args, capabilities) => {
      const all = { user_name: askName, greeting: sample('Generate a short greeting'), client_roots: roots }
      const able = Object.entries(all).filter(([, { needs }]) => capabilities[needs] !== undefined)
      return able.length === 0 ? [] : [Object.fromEntries(able)]
    },
    answer: () => said('Capability-aware input requests fulfilled'),
  },
  test_trigger_tool_change: {
    answer: (_args, _given, { notify }) => {
      changed('tools', notify)
      return said('tools_list_changed published')
    },
  },
  test_trigger_prompt_change: {
    answer: (_args, _given, { notify }) => {
      changed('prompts', notify)
      return said('prompts_list_changed published')
    },
  },
  test_mirrored_argument: {
    schema: { region: { type: 'string', 'x-mcp-header': 'Region' } },
    answer: ({ region }) => said(String(region)),
  },
  json_schema_2020_12_tool: { answer: (args) => said(JSON.stringify(args)) },
}

const schema2020 = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  $defs: {
    address: {
      $anchor: 'addressDef',
      type: 'object',
      properties: { street: { type: 'string' }, city: { type: 'string' } },
    },
  },
  properties: {
    name: { type: 'string' },
    address: { $ref: '#/$defs/address' },
    contactMethod: { type: 'string', enum: ['phone', 'email'] },
    phone: { type: 'string' },
    email: { type: 'string' },
  },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema.
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false,
}

interface Prompt {
  readonly arguments?: readonly string[]
  readonly rounds?: readonly Questions[]
  readonly messages: (args: Json, given: Given) => readonly Json[]
}

const user = (content: Json) => ({ role: 'user', content })
const prompts: Readonly<Record<string, Prompt>> = {
  test_simple_prompt: { messages: () => [user(text('This is a simple prompt for testing.'))] },
  test_prompt_with_arguments: {
    arguments: ['arg1', 'arg2'],
    messages: ({ arg1, arg2 }) => [user(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`))],
  },
  test_prompt_with_embedded_resource: {
    arguments: ['resourceUri'],
    messages: ({ resourceUri }) => [
      user(resource(String(resourceUri))),
      user(text('Please process the resource.')),
    ],
  },
  test_prompt_with_image: { messages: () => [user(image), user(text('Please analyze the image above.'))] },
  test_input_required_result_prompt: {
    rounds: [
      { user_context: elicit('What context should the prompt use?', { context: { type: 'string' } }) },
    ],
    messages: (_args, { user_context }) => [
      user(text(`Use this context: ${contentOf(user_context)?.context}`)),
    ],
  },
}

const resources: Readonly<Record<string, Json>> = {
  'test://static-text': { mimeType: 'text/plain', text: 'This is the content of the static text resource.' },
  'test://static-binary': { mimeType: 'image/png', blob: image.data },
  'test://watched-resource': { mimeType: 'text/plain', text: 'Watched resource content' },
}

const write = (message: Json) => {
  process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)
}
const cached = isModern ? { ttlMs: 1000, cacheScope: 'private' } : {}
const waiting = new Map<unknown, (result: Json | undefined) => void>()
let clientCapabilities: Json = {}
const listening = new Map<unknown, Json>()

class Refusal extends Error {
  readonly code: number
  readonly data: Json | undefined

  constructor(code: number, message: string, data?: Json) {
    super(message)
    this.code = code
    this.data = data
  }
}

/** The older generation tells everybody; the newer one the streams that want to hear it. */
function changed(kind: 'tools' | 'prompts', notify: Context['notify']): void {
  const method = `notifications/${kind}/list_changed`
  if (!isModern) return notify(method, {})
  for (const [id, filter] of listening) {
    const _meta = { 'io.modelcontextprotocol/subscriptionId': id }
    if (filter[`${kind}ListChanged`] === true) write({ method, params: { _meta } })
  }
}

/** A question in the newer generation: an answer that is none yet. */
class InputRequired extends Error {
  readonly result: Json

  constructor(result: Json) {
    super('input is required')
    this.result = result
  }
}

const sealed = (payload: string) => `${payload}.${createHmac('sha256', seal).update(payload).digest('hex')}`

/** Goes through the rounds. @throws InputRequired, Refusal */
async function answersTo(rounds: readonly Questions[], params: Json, hasState: boolean): Promise<Given> {
  if (!isModern) {
    const given: Record<string, Json | undefined> = {}
    for (const questions of rounds) {
      const asked = Object.entries(questions).map(async ([key, { method, params: asks }]) => {
        given[key] = await new Promise((resolve) => {
          // One that is still asked by another call has its number besides.
          const id = waiting.has(key) ? `${key} ${waiting.size}` : key
          waiting.set(id, resolve)
          write({ id, method, params: asks })
        })
      })
      await Promise.all(asked)
    }
    return given
  }
  const state = params.requestState
  const [payload = ''] = String(state ?? '').split('.')
  if (hasState && state !== undefined && sealed(payload) !== state)
    throw new Refusal(-32_602, 'Invalid requestState')
  const before = state === undefined || !hasState ? 0 : Number(payload)
  const responses = (params.inputResponses ?? {}) as Record<string, Json>
  const questions = rounds[before]
  if (questions === undefined) return responses
  const isAnswered = Object.entries(questions).every(([key, { needs }]) => {
    return needs === 'elicitation' ? contentOf(responses[key]) !== undefined : responses[key] !== undefined
  })
  const next = isAnswered && params.inputResponses !== undefined ? rounds[before + 1] : questions
  if (next === undefined) return responses
  for (const { needs } of Object.values(next)) {
    if (clientCapabilities[needs] === undefined)
      throw new Refusal(-32_021, `the client has no ${needs}`, { requiredCapabilities: { [needs]: {} } })
  }
  const inputRequests = Object.fromEntries(
    Object.entries(next).map(([key, { method, params: asks }]) => [key, { method, params: asks }]),
  )
  const round = isAnswered && params.inputResponses !== undefined ? before + 1 : before
  throw new InputRequired({
    resultType: 'input_required',
    inputRequests,
    ...(hasState ? { requestState: sealed(`${round}`) } : {}),
  })
}

async function call(params: Json, context: Context): Promise<Json> {
  const tool = tools[String(params.name)]
  if (tool === undefined) throw new Refusal(-32_602, `Unknown tool: ${params.name}`)
  const args = (params.arguments ?? {}) as Json
  const rounds = tool.rounds?.(args, clientCapabilities) ?? []
  const given = await answersTo(rounds, params, tool.hasState === true)
  return tool.answer(args, given, context)
}

async function answer(method: string, params: Json, context: Context): Promise<Json> {
  switch (method) {
    case 'initialize':
      if (isModern) break
      clientCapabilities = params.capabilities as Json
      return { protocolVersion: revision, capabilities: capabilities(), serverInfo: info }
    case 'server/discover':
      if (!isModern) break
      return {
        supportedVersions: [revision],
        capabilities: capabilities(),
        ...cached,
        _meta: { 'io.modelcontextprotocol/serverInfo': info },
      }
    case 'tools/list':
      return {
        ...cached,
        tools: Object.entries(tools).map(([name, { schema = {} }]) => ({
          name,
          description: name,
          inputSchema:
            name === 'json_schema_2020_12_tool' ? schema2020 : { type: 'object', properties: schema },
        })),
      }
    case 'tools/call':
      return call(params, context)
    case 'prompts/list':
      return {
        ...cached,
        prompts: Object.entries(prompts).map(([name, { arguments: names = [] }]) => ({
          name,
          description: name,
          arguments: names.map((argument) => ({ name: argument, description: argument, required: true })),
        })),
      }
    case 'prompts/get': {
      const prompt = prompts[String(params.name)]
      if (prompt === undefined) throw new Refusal(-32_602, `Unknown prompt: ${params.name}`)
      const given = await answersTo(prompt.rounds ?? [], params, false)
      return { messages: prompt.messages((params.arguments ?? {}) as Json, given) }
    }
    case 'resources/list':
      return {
        ...cached,
        resources: Object.entries(resources).map(([uri, { mimeType }]) => ({
          uri,
          name: uri,
          description: uri,
          mimeType,
        })),
      }
    case 'resources/templates/list':
      return {
        ...cached,
        resourceTemplates: [
          { uriTemplate: 'test://template/{id}/data', name: 'template', mimeType: 'application/json' },
        ],
      }
    case 'resources/read': {
      const uri = String(params.uri)
      const id = /^test:\/\/template\/(.*)\/data$/.exec(uri)?.[1]
      const found =
        id === undefined
          ? resources[uri]
          : {
              mimeType: 'application/json',
              text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }),
            }
      if (found === undefined)
        throw new Refusal(isModern ? -32_602 : -32_002, `Resource not found: ${uri}`, { uri })
      return { ...cached, contents: [{ uri, ...found }] }
    }
    case 'completion/complete':
      return { completion: { values: [], total: 0, hasMore: false } }
    case 'ping':
    case 'logging/setLevel':
    case 'resources/subscribe':
    case 'resources/unsubscribe':
      if (isModern) break
      return {}
  }
  throw new Refusal(-32_601, `Method not found: ${method}`)
}

const info = { name: 'conformance-child', version: '1' }

function capabilities(): Json {
  return {
    tools: { listChanged: true },
    prompts: { listChanged: true },
    resources: { subscribe: true, listChanged: true },
    completions: {},
    ...(isModern ? {} : { logging: {} }),
  }
}

async function take(message: Json): Promise<void> {
  const { id, method } = message
  const params = (message.params ?? {}) as Json
  if (method === undefined) {
    const waits = waiting.get(id)
    waiting.delete(id)
    return waits?.(message.result as Json | undefined)
  }
  const cancelled = method === 'notifications/cancelled' ? params.requestId : undefined
  if (cancelled !== undefined) listening.delete(cancelled)
  if (id === undefined) return
  const meta = (params._meta ?? {}) as Json
  if (isModern) clientCapabilities = (meta['io.modelcontextprotocol/clientCapabilities'] ?? {}) as Json
  if (isModern && method === 'subscriptions/listen') {
    const filter = params.notifications as Json
    listening.set(id, filter)
    const _meta = { 'io.modelcontextprotocol/subscriptionId': id }
    return write({
      method: 'notifications/subscriptions/acknowledged',
      params: { _meta, notifications: filter },
    })
  }
  const context: Context = {
    token: meta.progressToken,
    notify: (name, values) => write({ method: name, params: values }),
  }
  const complete = isModern ? { resultType: 'complete' } : {}
  try {
    write({ id, result: { ...complete, ...(await answer(String(method), params, context)) } })
  } catch (error) {
    if (error instanceof InputRequired) return write({ id, result: error.result })
    const {
      code,
      message: words,
      data,
    } = error instanceof Refusal ? error : new Refusal(-32_603, String(error))
    write({ id, error: { code, message: words, ...(data === undefined ? {} : { data }) } })
  }
}

createInterface({ input: process.stdin }).on('line', (line) => void take(JSON.parse(line) as Json))
process.stdin.on('end', () => process.exit(0))
