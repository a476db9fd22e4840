// Every status that the gateway answers with over HTTP, as docs/gateway.md tells them: one request for each way to get it.
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { child, type ServedGateway, served } from '../support/gateway.ts'
import { Watched } from '../support/watched.ts'

const watched = new Watched()
let gateway: ServedGateway

beforeAll(async () => {
  const connectors = { echo: child(), dead: child('end'), late: { ...child(), timeout: '300ms' } }
  gateway = await served(watched, connectors)
})

afterAll(() => watched.remove())

const question = '{"jsonrpc":"2.0","method":"tools/list","id":1}'
const call = (tool: string, ms = 0) =>
  `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"${tool}","arguments":{"ms":${ms}}}}`
const long = `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"${'a'.repeat(10 * 1024 * 1024)}"}}`
const both = 'application/json, text/event-stream'
const modern = { accept: both, 'mcp-protocol-version': '2026-07-28' }
const meta =
  '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"a","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}'

interface Case {
  readonly status: number
  readonly code?: number
  readonly path?: string
  readonly method?: string
  /** Beside the key and the type of a message; undefined = the one of this name is left out. */
  readonly headers?: Readonly<Record<string, string | undefined>>
  readonly body?: string
  /** Headers of the answer. */
  readonly gets?: Readonly<Record<string, RegExp>>
}

const seconds = /^[1-9]\d*$/
const bearer = { 'www-authenticate': /^Bearer realm="port-watchdog"/ }

const cases: Readonly<Record<string, Case>> = {
  'a question alone': { status: 200 },
  'an error of the server itself': {
    status: 200,
    code: -32_601,
    path: '/mcp/echo',
    body: question.replace('tools/list', 'odd'),
  },
  'an unknown tool': { status: 200, code: -32_602, path: '/mcp/echo', body: call('nothing') },
  'a notification': { status: 202, body: '{"jsonrpc":"2.0","method":"notifications/initialized"}' },
  'no JSON': { status: 400, code: -32_700, body: '{"jsonrpc"' },
  'no message of JSON-RPC': { status: 400, code: -32_600, body: '{"jsonrpc":"2.0"}' },
  'a key of JSON twice': {
    status: 400,
    body: '{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}',
  },
  'an id that is an object': { status: 400, body: '{"jsonrpc":"2.0","id":{},"method":"ping"}' },
  'a batch': { status: 400, body: `[${question}]` },
  'a client of the protocol without its session': { status: 400, headers: { accept: both } },
  'an unknown revision': { status: 400, headers: { accept: both, 'mcp-protocol-version': '1999-01-01' } },
  'headers that differ from the body': {
    status: 400,
    code: -32_020,
    headers: { ...modern, 'mcp-method': 'ping' },
    body: `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{${meta}}}`,
  },
  'no session to end': { status: 400, method: 'DELETE' },
  'no key': { status: 401, headers: { 'x-api-key': undefined }, gets: bearer },
  'a wrong key': { status: 401, headers: { 'x-api-key': 'wrong' }, gets: bearer },
  'two keys that differ': { status: 401, headers: { authorization: 'Bearer other' }, gets: bearer },
  'another kind of Authorization': { status: 401, headers: { authorization: 'Basic eDp5' }, gets: bearer },
  'figures without a key': {
    status: 401,
    method: 'GET',
    path: '/metrics',
    headers: { 'x-api-key': undefined },
    gets: bearer,
  },
  'a page of another server': { status: 403, headers: { origin: 'https://evil.example' } },
  'an unknown path': { status: 404, path: '/other' },
  'an unknown connector': { status: 404, path: '/mcp/nothing' },
  'an unknown session': { status: 404, code: -32_001, headers: { accept: both, 'mcp-session-id': 'pw-1' } },
  'a message without its stream': { status: 404, path: '/messages/echo' },
  'an unknown method of revision 2026-07-28': {
    status: 404,
    code: -32_601,
    path: '/mcp/echo',
    headers: { ...modern, 'mcp-method': 'ping' },
    body: `{"jsonrpc":"2.0","id":1,"method":"ping","params":{${meta}}}`,
  },
  'another method of HTTP': { status: 405, method: 'PUT', gets: { allow: /^GET, POST, DELETE$/ } },
  'a message to a stream': { status: 405, path: '/sse', gets: { allow: /^GET$/ } },
  'a stream where messages go': { status: 405, method: 'GET', path: '/messages', gets: { allow: /^POST$/ } },
  'a stream without a session': { status: 405, method: 'GET', headers: { accept: 'text/event-stream' } },
  'a message to a probe': { status: 405, path: '/health', gets: { allow: /^GET, HEAD$/ } },
  'a client that takes streams and no JSON': { status: 406, headers: { accept: 'text/event-stream' } },
  'a client that takes no stream where one is': { status: 406, method: 'GET' },
  'more than 10 MB': { status: 413, body: long },
  'another type': { status: 415, headers: { 'content-type': 'text/plain' } },
  'an error within the server': {
    status: 500,
    code: -32_603,
    path: '/mcp/echo',
    body: '{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"test://broken"}}',
  },
  'a server that ends during the call': {
    status: 502,
    code: -32_053,
    path: '/mcp/echo',
    body: call('end_writing'),
  },
  'a server that cannot be started': {
    status: 503,
    code: -32_050,
    path: '/mcp/dead',
    body: call('echo'),
    gets: { 'retry-after': seconds },
  },
  'not ready: a connector is down': {
    status: 503,
    method: 'GET',
    path: '/readyz',
    gets: { 'retry-after': seconds },
  },
  'a server that takes too long': {
    status: 504,
    code: -32_054,
    path: '/mcp/late',
    body: call('slow', 60_000),
  },
}

it.each(Object.entries(cases).map(([what, one]) => ({ what, status: one.status, one })))(
  '$what: $status',
  async ({ one }) => {
    const { status, code, path = '/mcp', method = 'POST', headers = {}, body = question, gets = {} } = one
    const all = { 'content-type': 'application/json', 'x-api-key': gateway.key, ...headers }
    const given = Object.entries(all).flatMap(([name, value]): [string, string][] =>
      value === undefined ? [] : [[name, value]],
    )
    const answer = await fetch(`${gateway.url}${path}`, {
      method,
      headers: given,
      ...(method === 'POST' || method === 'PUT' ? { body } : {}),
    })
    const text = await answer.text()
    expect(answer.status, text).toBe(status)
    for (const [name, value] of Object.entries(gets)) expect(answer.headers.get(name)).toMatch(value)
    if (code !== undefined) expect(JSON.parse(text).error.code, text).toBe(code)
    if (status < 400 || path === '/readyz') return
    expect(JSON.parse(text)).toMatchObject({
      jsonrpc: '2.0',
      error: { code: expect.any(Number), message: expect.any(String) },
    })
  },
)

/** What a request gets that is written by hand. */
async function written(text: string): Promise<string> {
  const { port, hostname } = new URL(gateway.url)
  const socket = connect(Number(port), hostname)
  const chunks: string[] = []
  socket.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk))
  socket.write(text)
  await once(socket, 'close')
  return chunks.join('')
}

const end = 'Connection: close\r\n'

it.each([
  ['a name of this host that is not its own', 403, `POST /mcp HTTP/1.1\r\nHost: evil.example\r\n${end}\r\n`],
  ['no name of a host', 400, `POST /mcp HTTP/1.1\r\n${end}\r\n`],
  ['two names of hosts', 400, `POST /mcp HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n${end}\r\n`],
  ['no HTTP', 400, 'HELLO\r\n\r\n'],
  [
    'an expectation that nobody knows',
    417,
    `POST /mcp HTTP/1.1\r\nHost: localhost\r\nExpect: miracles\r\n${end}\r\n`,
  ],
  [
    'a head of more than 16 KB',
    431,
    `POST /mcp HTTP/1.1\r\nHost: localhost\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`,
  ],
] as const)('%s: %i', async (_what, status, text) => {
  const [head = '', body = ''] = (await written(text)).split('\r\n\r\n')
  expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
  expect(JSON.parse(body)).toMatchObject({ jsonrpc: '2.0', id: null, error: { code: expect.any(Number) } })
})

it('too many wrong keys: 429, with the time to wait; the right key is still let in', async () => {
  const tries = Array.from({ length: 12 }, () =>
    fetch(`${gateway.url}/mcp`, { method: 'POST', headers: { 'x-api-key': 'guess' }, body: question }),
  )
  const answers = await Promise.all(tries)
  const late = answers.find(({ status }) => status === 429)
  expect(late?.headers.get('retry-after')).toMatch(seconds)
  expect(await late?.json()).toMatchObject({ jsonrpc: '2.0', error: { code: -32_051 } })
  const headers = { 'content-type': 'application/json', 'x-api-key': gateway.key }
  expect((await fetch(`${gateway.url}/mcp`, { method: 'POST', headers, body: question })).status).toBe(200)
})
