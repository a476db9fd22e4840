// The gateway as a client of the official conformance suite: it has the suite's server as its one connector, and does with it what a scenario
// asks for.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { GatewayCore } from '../../src/gateway/gateway-core.ts'
import { owner } from '../../src/gateway/principal.ts'
import { readMessage } from '../../src/gateway/protocol/message.ts'
import type { Session } from '../../src/gateway/session.ts'
import { plainLog } from '../../src/log/index.ts'
import { logInAtSuite, suiteConnector } from './conformance-login.ts'
import type { RpcAnswer } from './gateway.ts'

/** What the suite tells the command that it starts for a scenario. */
export interface Scenario {
  /** Of the suite's server. */
  readonly url: string
  readonly name: string
  readonly revision: string
  readonly context: {
    readonly toolCalls?: readonly { readonly name: string; readonly arguments?: object }[]
    readonly client_id?: string
    readonly client_secret?: string
  }
}

const meta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientInfo': { name: 'conformance', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': { elicitation: { form: {} }, sampling: {}, roots: {} },
}

/** What a form holds before a person has changed anything. */
function defaultsOf(form: unknown): object {
  const { properties = {} } = (form ?? {}) as { properties?: Record<string, { default?: unknown }> }
  return Object.fromEntries(Object.entries(properties).map(([name, field]) => [name, field.default]))
}

/** Plays one scenario with a gateway of its own. @param say gets a line for each answer, and those of the log. */
export async function play(scenario: Scenario, say: (line: string) => void): Promise<void> {
  const stateDirectory = mkdtempSync(path.join(tmpdir(), 'pw-suite-'))
  const { url, name, context } = scenario
  const connectors = suiteConnector(url, name, context)
  const core = new GatewayCore({ stateDirectory, connectors, log: plainLog(say), startTimeoutMs: 20_000 })
  const logIn = () => logInAtSuite(stateDirectory, connectors)
  try {
    await logIn()
    const asker = new Asker(core, scenario.revision === '2026-07-28', logIn, say)
    await callTools(asker, context.toolCalls)
    asker.close()
  } finally {
    await core.close(1000)
    rmSync(stateDirectory, { recursive: true, force: true })
  }
}

/** A client of the gateway, in whose place a person answers questions and logs in. */
class Asker {
  readonly #session: Session
  readonly #isModern: boolean
  readonly #logIn: () => Promise<void>
  readonly #say: (line: string) => void
  #last = 0

  constructor(core: GatewayCore, isModern: boolean, logIn: () => Promise<void>, say: (line: string) => void) {
    const directory = core.directoryFor(null)
    if (directory === undefined) throw new Error('there is no connector')
    this.#session = core.newSession(owner, directory, (text) => this.#asked(text))
    this.#isModern = isModern
    this.#logIn = logIn
    this.#say = say
  }

  async initialize(): Promise<void> {
    if (this.#isModern) return
    const capabilities = { elicitation: { form: { applyDefaults: true } }, sampling: {}, roots: {} }
    const clientInfo = { name: 'conformance', version: '1' }
    await this.ask('initialize', { protocolVersion: '2025-11-25', capabilities, clientInfo })
  }

  /** A person logs in again when the gateway says so, and gives up in the end. */
  async ask(method: string, params: object = {}): Promise<RpcAnswer> {
    let answer = await this.#askOnce(method, params)
    for (let logins = 0; logins < 2 && /mcp-proxy login/.test(JSON.stringify(answer)); logins++) {
      await this.#logIn()
      answer = await this.#askOnce(method, params)
    }
    return answer
  }

  close(): void {
    this.#session.close()
  }

  async #askOnce(method: string, params: object): Promise<RpcAnswer> {
    const id = ++this.#last
    const whole = this.#isModern ? { ...params, _meta: meta } : params
    const text = JSON.stringify({ jsonrpc: '2.0', id, method, params: whole })
    const answer = await this.#session.take(readMessage(text), { send: (given) => void this.#asked(given) })
    this.#say(`${method} ${answer}`)
    return JSON.parse(answer ?? '{}') as RpcAnswer
  }

  /** Questions of the server are answered as a person would who takes what is proposed. */
  #asked(text: string): boolean {
    const { id, method, params } = JSON.parse(text) as RpcAnswer
    if (id === undefined || method === undefined) return true
    const result =
      method === 'roots/list'
        ? { roots: [] }
        : { action: 'accept', content: defaultsOf(params?.requestedSchema) }
    const answer = JSON.stringify({ jsonrpc: '2.0', id, result })
    void this.#session.take(readMessage(answer), { send: () => {} })
    return true
  }
}

/** Calls what the scenario asks for, or every tool that there is. */
async function callTools(asker: Asker, asksFor: Scenario['context']['toolCalls']): Promise<void> {
  await asker.initialize()
  const { result } = await asker.ask('tools/list')
  const tools = (result?.tools ?? []) as readonly { name: string; inputSchema?: object }[]
  /** One scenario has a tool that is to get the schema of another one, as a client has got it. */
  const schema = tools.find(({ name }) => name === 'suite__json_schema_2020_12_tool')?.inputSchema
  const usual = tools.map(({ name }) => ({ name, arguments: { a: 5, b: 3, region: 'eu', schema } }))
  const known = new Set(usual.map(({ name }) => name))
  const wanted = asksFor?.map((call) => ({ ...call, name: `suite__${call.name}` })) ?? usual
  for (const call of wanted) {
    if (!known.has(call.name)) continue
    let answer = await asker.ask('tools/call', call)
    // Of the newer generation, a question is an answer, and the call is made again with what was given.
    for (let round = 0; round < 5 && answer.result?.resultType === 'input_required'; round++) {
      const { inputRequests = {}, requestState } = answer.result as {
        inputRequests?: object
        requestState?: string
      }
      const inputResponses = Object.fromEntries(
        Object.keys(inputRequests).map((key) => [key, { action: 'accept', content: { confirmed: true } }]),
      )
      answer = await asker.ask('tools/call', {
        ...call,
        inputResponses,
        ...(requestState === undefined ? {} : { requestState }),
      })
    }
  }
}
