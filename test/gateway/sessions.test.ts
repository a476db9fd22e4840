// Sessions and generations, on both sides: each connection has its own, a lost one is made again, and nobody is asked what would break him.
import { once } from 'node:events'
import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { SseStream } from '../../src/gateway/face/sse-stream.ts'
import { FakeMcpServer, json, type Refusal, serveFakes } from '../support/fake-mcp-servers.ts'
import { child, LineClient, type RpcAnswer, type ServedGateway, served } from '../support/gateway.ts'
import { until } from '../support/tools.ts'
import { Watched } from '../support/watched.ts'

const watched = new Watched()
const fakes = {
  withsession: new FakeMcpServer('session'),
  stateless: new FakeMcpServer('stateless'),
  modern: new FakeMcpServer('modern'),
  changing: new FakeMcpServer('session'),
  late: new FakeMcpServer('stateless'),
  failing: new FakeMcpServer('stateless'),
}
let gateway: ServedGateway
let legacy: LineClient
let close: () => void

beforeAll(async () => {
  const { urlOf, close: end } = await serveFakes(fakes)
  close = end
  fakes.late.isUp = false
  const restart = { backoff: '100ms', backoffLimit: '200ms', flappingRestarts: 0 }
  const connectors = Object.fromEntries(
    Object.keys(fakes).map((name) => [name, { url: urlOf(name), restart }]),
  )
  gateway = await served(watched, { ...connectors, stdio: child('once') })
  legacy = new LineClient(watched, '--all', '--config', watched.file('connectors.json'))
  await legacy.initialize()
})

afterAll(async () => {
  await legacy.end()
  close()
  await watched.remove()
})

let asked = 0

async function called(name: string, params: object = {}): Promise<RpcAnswer> {
  return legacy.ask(++asked, 'tools/call', { name, ...params })
}

const textOf = (answer: RpcAnswer) => answer.result?.content?.[0]?.text ?? JSON.stringify(answer)

const meta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientInfo': { name: 'modern', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {},
}

/** A request of the newer generation. */
function modern(method: string, params: Record<string, unknown> = {}, signal?: AbortSignal) {
  const { name } = params
  return fetch(`${gateway.url}/mcp`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': method,
      ...(typeof name === 'string' ? { 'mcp-name': name } : {}),
      'x-api-key': gateway.key,
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { ...params, _meta: meta } }),
    ...(signal === undefined ? {} : { signal }),
  })
}

const spellings: readonly Refusal[] = [
  { status: 404 },
  { status: 404, error: { code: -32_001, message: 'Session not found' } },
  { status: 400, error: { code: -32_000, message: 'Bad Request: No valid session ID provided' } },
  { status: 400, error: { code: -32_600, message: 'Bad Request: Missing session ID' } },
  { status: 200, error: { code: -32_001, message: 'Session not found' } },
  { status: 200, error: { code: -32_600, message: 'Session terminated' } },
]

describe('a session that its server has forgotten', () => {
  it.each(spellings)('is made again, and the call is carried out once: %o', async (refusal) => {
    const fake = fakes.withsession
    await called('withsession__write')
    const before = fake.calls
    const begun = fake.seen.filter(({ method }) => method === 'initialize').length
    fake.forget(refusal)
    expect(textOf(await called('withsession__write'))).toBe(`write ${before + 1}`)
    expect(fake.calls).toBe(before + 1)
    expect(fake.seen.filter(({ method }) => method === 'initialize')).toHaveLength(begun + 1)
    // The others were not touched.
    expect(textOf(await called('stateless__write'))).toMatch(/^write \d+$/)
  })

  it('is not taken for lost by an error of a tool that only sounds like it', async () => {
    const fake = fakes.withsession
    const begun = fake.seen.filter(({ method }) => method === 'initialize').length
    fake.answer = ({ id }, response) => {
      const error = { code: -32_001, message: 'Session not found', data: { browser: 7 } }
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ jsonrpc: '2.0', id, error }))
      return true
    }
    expect((await called('withsession__write')).error).toEqual({
      code: -32_001,
      message: 'Session not found',
      data: { browser: 7 },
    })
    fake.answer = undefined
    expect(fake.seen.filter(({ method }) => method === 'initialize')).toHaveLength(begun)
  })
})

describe('servers with sessions, without, and of the newer generation behind one gateway', () => {
  it('answer clients of both generations, and each is asked in its own', async () => {
    for (const name of ['withsession', 'stateless', 'modern', 'stdio'] as const) {
      const tool = `${name}__write`
      expect(textOf(await called(tool))).toMatch(/^write/)
      const answer = (await (await modern('tools/call', { name: tool })).json()) as RpcAnswer
      expect(answer.result, JSON.stringify(answer)).toMatchObject({ resultType: 'complete' })
    }
    const methods = (fake: FakeMcpServer) => fake.seen.map(({ method }) => method)
    // The client's generation does not decide what the server is asked.
    expect(methods(fakes.modern)).not.toContain('initialize')
    expect(methods(fakes.stateless).filter((one) => one === 'initialize')).toHaveLength(1)
    const list = (await (await modern('tools/list')).json()) as RpcAnswer
    const names = list.result?.tools?.map(({ name }) => name) ?? []
    expect(names).toEqual(expect.arrayContaining(['withsession__write', 'modern__write', 'stdio__write']))
    // What is missing is said.
    expect(list.result?._meta).toMatchObject({
      'io.port-watchdog/unavailable': [{ connector: 'late', state: 'error' }],
    })
  })

  it('are asked by nobody for what they do not offer, nor outside of their session, nor opened twice', () => {
    for (const [name, { seen }] of Object.entries(fakes)) {
      const methods = seen.map(({ method }) => method)
      expect(methods, name).not.toContain('resources/list')
      expect(methods, name).not.toContain('prompts/list')
    }
    const outside = fakes.withsession.seen.filter(
      ({ http, method, session }) =>
        http === 'POST' && session === undefined && method !== 'initialize' && method !== 'server/discover',
    )
    expect(outside).toEqual([])
  })

  it('may want an argument in a header from one call to the next: the tool is read again, and the call sent again', async () => {
    const fake = fakes.modern
    const lists = () => fake.seen.filter(({ method }) => method === 'tools/list').length
    const before = { calls: fake.calls, lists: lists() }
    fake.inputSchema = { type: 'object', properties: { place: { type: 'string', 'x-mcp-header': 'Place' } } }
    fake.answer = ({ id }, response) => {
      if (response.req.headers['mcp-param-place'] === 'Zug') return false
      json(response, 400, { jsonrpc: '2.0', id, error: { code: -32_020, message: 'Header mismatch' } })
      return true
    }
    for (const count of [1, 2]) {
      const answer = await called('modern__write', { arguments: { place: 'Zug' } })
      expect(textOf(answer)).toBe(`write ${before.calls + count}`)
    }
    expect(lists()).toBe(before.lists + 1)
    // A client over HTTP has to send it from now on.
    const refused = await modern('tools/call', { name: 'modern__write', arguments: { place: 'Zug' } })
    expect(refused.status).toBe(400)
    expect((await refused.json()) as RpcAnswer).toMatchObject({ error: { code: -32_020 } })
    expect(fake.calls).toBe(before.calls + 2)
    fake.answer = undefined
  })

  it('may become one of the other generation: that is found out at the next start', async () => {
    const fake = fakes.changing
    expect(textOf(await called('changing__write'))).toBe('write 1')
    fake.kind = 'modern'
    fake.forget({ status: 404 })
    for (const stream of fake.streams.splice(0)) stream.end()
    await until('it is used in the newer generation', async () => {
      const answer = await called('changing__write')
      return answer.result?.content === undefined ? undefined : true
    })
    expect(fake.seen.at(-1)).toMatchObject({ session: undefined, method: 'tools/call' })
  })
})

describe('a server that comes later', () => {
  it('is told to clients of both generations that are connected', async () => {
    const end = new AbortController()
    const stream = await modern(
      'subscriptions/listen',
      { notifications: { toolsListChanged: true } },
      end.signal,
    )
    let heard = ''
    const reading = (async () => {
      const decoder = new TextDecoder()
      for await (const chunk of stream.body ?? []) heard += decoder.decode(chunk, { stream: true })
    })().catch(() => {})
    await until('the stream is acknowledged', async () => (heard.includes('acknowledged') ? true : undefined))
    legacy.lines.length = 0
    fakes.late.isUp = true
    await legacy.heard('notifications/tools/list_changed')
    await until('the newer generation is told', async () =>
      heard.includes('tools/list_changed') ? true : undefined,
    )
    expect(textOf(await called('late__write'))).toBe('write 1')
    end.abort()
    await reading
  })
})

describe('a server that lives and fails every call', () => {
  it('is not called healthy, and is again after a call that succeeds', async () => {
    const failing = fakes.failing
    failing.answer = (_message, response) => {
      response.writeHead(500).end()
      return true
    }
    for (let call = 0; call < 5; call++) expect((await called('failing__write')).error).toBeDefined()
    const connector = async () => {
      const headers = { 'x-api-key': gateway.key }
      const told = (await (await fetch(`${gateway.url}/readyz`, { headers })).json()) as {
        connectors: { id: string; healthy: boolean; failuresInRow: number; lastSuccessAt: string | null }[]
      }
      return told.connectors.find(({ id }) => id === 'failing')
    }
    expect(await connector()).toMatchObject({ healthy: false, failuresInRow: 5, lastSuccessAt: null })
    failing.answer = undefined
    expect(textOf(await called('failing__write'))).toBe('write 1')
    expect(await connector()).toMatchObject({
      healthy: true,
      failuresInRow: 0,
      lastSuccessAt: expect.stringMatching(/^\d{4}-/),
    })
  })
})

describe('the stream of a client on which nothing happens', () => {
  const opened = async (session: string) => {
    const headers = { accept: 'text/event-stream', 'x-api-key': gateway.key, 'mcp-session-id': session }
    const sent = request(`${gateway.url}/mcp`, { agent: false, headers })
    sent.end()
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    response.on('error', () => {})
    return { response, sent }
  }

  it('has its first byte at once, and gives way to a new one of the same session', async () => {
    const begun = await fetch(`${gateway.url}/mcp`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'x-api-key': gateway.key,
      },
      body: '{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"hand","version":"1"}}}',
    })
    const session = begun.headers.get('mcp-session-id') ?? ''
    const first = await opened(session)
    const [byte] = (await once(first.response, 'data')) as [Buffer]
    expect(byte.toString()).toMatch(/^:/)
    const ended = once(first.response, 'end')
    const second = await opened(session)
    expect(second.response.statusCode).toBe(200)
    await ended
    expect((await once(second.response, 'data')).toString()).toMatch(/^:/)
    second.sent.destroy()
  })

  it('has a comment every 15 s while nothing happens, so that nobody takes it for dead', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    let stream: SseStream | undefined
    const server = createServer((_request, response) => {
      stream = new SseStream(response)
    })
    try {
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      const sent = request({ port: (server.address() as AddressInfo).port, agent: false })
      sent.end()
      const [response] = (await once(sent, 'response')) as [IncomingMessage]
      let heard = ''
      response.on('data', (chunk: Buffer) => {
        heard += chunk.toString()
      })
      const hears = (text: string) => until(JSON.stringify(text), async () => heard === text || undefined)
      await hears(':\n\n')
      vi.advanceTimersByTime(14_999)
      stream?.send('{}')
      await hears(':\n\nevent: message\ndata: {}\n\n')
      vi.advanceTimersByTime(1)
      await hears(':\n\nevent: message\ndata: {}\n\n:\n\n')
      vi.advanceTimersByTime(30_000)
      await hears(`:\n\nevent: message\ndata: {}\n\n${':\n\n'.repeat(3)}`)
      stream?.end()
      await once(response, 'end')
    } finally {
      vi.useRealTimers()
      server.close()
    }
  })

  it('is opened again by the gateway towards a server that has ended it', async () => {
    const fake = fakes.withsession
    await called('withsession__write')
    const gets = () => fake.seen.filter(({ http }) => http === 'GET').length
    await until('there is a stream', async () => (fake.streams.length > 0 ? true : undefined))
    const before = gets()
    for (const stream of fake.streams.splice(0)) stream.end()
    await until('there is another', async () => (fake.streams.length > 0 ? true : undefined))
    expect(gets()).toBe(before + 1)
    legacy.lines.length = 0
    fake.tell('notifications/tools/list_changed')
    await legacy.heard('notifications/tools/list_changed')
  })
})
