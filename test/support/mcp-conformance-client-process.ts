// The gateway as a client of the official conformance suite: it has the suite's server as its one connector, and does with it what a scenario
// asks for. The suite adds the URL of its server to the arguments.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { GatewayCore } from '../../src/gateway/gateway-core.ts'
import { owner } from '../../src/gateway/principal.ts'
import { readMessage } from '../../src/gateway/protocol/message.ts'
import { plainLog } from '../../src/log/index.ts'
import { logInAtSuite, suiteConnector } from './conformance-login.ts'
import type { RpcAnswer } from './gateway.ts'

const url = process.argv.at(-1) ?? ''
const isModern = process.env.MCP_CONFORMANCE_PROTOCOL_VERSION === '2026-07-28'
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? '{}') as {
  toolCalls?: readonly { name: string; arguments?: object }[]
  client_id?: string
  client_secret?: string
}
const connectors = suiteConnector(url, process.env.MCP_CONFORMANCE_SCENARIO ?? '', context)

const stateDirectory = mkdtempSync(path.join(tmpdir(), 'pw-suite-'))
const core = new GatewayCore({
  stateDirectory,
  connectors,
  log: plainLog((line) => process.stderr.write(`${line}\n`)),
  startTimeoutMs: 20_000,
})
const directory = core.directoryFor(null)
if (directory === undefined) throw new Error('there is no connector')
/** What a form holds before a person has changed anything. */
function defaultsOf(form: unknown): object {
  const { properties = {} } = (form ?? {}) as { properties?: Record<string, { default?: unknown }> }
  return Object.fromEntries(Object.entries(properties).map(([name, field]) => [name, field.default]))
}

/** Questions of the server are answered as a person would who takes what is proposed. */
const asked = (text: string): boolean => {
  const { id, method, params } = JSON.parse(text) as RpcAnswer
  if (id === undefined || method === undefined) return true
  const result =
    method === 'roots/list'
      ? { roots: [] }
      : { action: 'accept', content: defaultsOf(params?.requestedSchema) }
  void session.take(readMessage(JSON.stringify({ jsonrpc: '2.0', id, result })), { send: () => {} })
  return true
}
const session = core.newSession(owner, directory, asked)
let last = 0

const meta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientInfo': { name: 'conformance', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': { elicitation: { form: {} }, sampling: {}, roots: {} },
}

/** A person logs in again when the gateway says so, and gives up in the end. */
async function ask(method: string, params: object = {}): Promise<RpcAnswer> {
  let answer = await askOnce(method, params)
  for (let logins = 0; logins < 2 && /mcp-proxy login/.test(JSON.stringify(answer)); logins++) {
    await logInAtSuite(stateDirectory, connectors)
    answer = await askOnce(method, params)
  }
  return answer
}

async function askOnce(method: string, params: object): Promise<RpcAnswer> {
  const id = ++last
  const whole = isModern ? { ...params, _meta: meta } : params
  const text = JSON.stringify({ jsonrpc: '2.0', id, method, params: whole })
  const answer = await session.take(readMessage(text), { send: (given) => void asked(given) })
  process.stdout.write(`${method} ${answer}\n`)
  return JSON.parse(answer ?? '{}') as RpcAnswer
}

await logInAtSuite(stateDirectory, connectors)
if (!isModern) {
  const capabilities = { elicitation: { form: { applyDefaults: true } }, sampling: {}, roots: {} }
  const clientInfo = { name: 'conformance', version: '1' }
  await ask('initialize', { protocolVersion: '2025-11-25', capabilities, clientInfo })
}
const { result } = await ask('tools/list')
const tools = (result?.tools ?? []) as readonly { name: string; inputSchema?: object }[]
/** One scenario has a tool that is to get the schema of another one, as a client has got it. */
const schema = tools.find(({ name }) => name === 'suite__json_schema_2020_12_tool')?.inputSchema
const usual = tools.map(({ name }) => ({ name, arguments: { a: 5, b: 3, region: 'eu', schema } }))
const known = new Set(usual.map(({ name }) => name))
const wanted = context.toolCalls?.map((call) => ({ ...call, name: `suite__${call.name}` })) ?? usual
for (const call of wanted) {
  if (!known.has(call.name)) continue
  let answer = await ask('tools/call', call)
  // Of the newer generation, a question is an answer, and the call is made again with what was given.
  for (let round = 0; round < 5 && answer.result?.resultType === 'input_required'; round++) {
    const { inputRequests = {}, requestState } = answer.result as {
      inputRequests?: object
      requestState?: string
    }
    const inputResponses = Object.fromEntries(
      Object.keys(inputRequests).map((key) => [key, { action: 'accept', content: { confirmed: true } }]),
    )
    answer = await ask('tools/call', {
      ...call,
      inputResponses,
      ...(requestState === undefined ? {} : { requestState }),
    })
  }
}
session.close()
await core.close(1000)
rmSync(stateDirectory, { recursive: true, force: true })
