// Connections that are cut in a running call: the call goes on, and its answer is read from another connection.
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import {
  type EventStore,
  type JSONRPCMessage,
  Server,
  WebStandardStreamableHTTPServerTransport,
} from '@modelcontextprotocol/server'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { child, configured, LineClient, type ServedGateway, served } from '../support/gateway.ts'
import { until } from '../support/tools.ts'
import { Watched } from '../support/watched.ts'

const watched = new Watched()
let gateway: ServedGateway
const taken: (() => void)[] = []

beforeAll(async () => {
  gateway = await served(watched, { echo: child() })
})

afterEach(() => {
  for (const end of taken.splice(0)) end()
})

afterAll(() => watched.remove())

/** A wire that can be cut: it passes bytes on both ways, and keeps what has come back. */
async function wireTo(port: number) {
  const ends = new Set<Socket>()
  const wire = {
    port: 0,
    /** What the server has said on all connections. */
    heard: '',
    /** What clients have said. */
    asked: '',
    cut: () => {
      for (const end of ends) end.resetAndDestroy()
    },
  }
  const server = createServer((near) => {
    const far = dial(port, '127.0.0.1')
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      ends.add(from)
      from.on('error', () => {})
      from.once('close', () => {
        ends.delete(from)
        to.destroy()
      })
    }
    near.on('data', (chunk) => {
      wire.asked += chunk.toString('latin1')
    })
    far.on('data', (chunk) => {
      wire.heard += chunk.toString('latin1')
    })
    near.pipe(far)
    far.pipe(near)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  taken.push(() => {
    wire.cut()
    server.close()
  })
  wire.port = (server.address() as AddressInfo).port
  return wire
}

/** A session by hand: what is posted, and streams that are opened with GET. */
async function session(protocolVersion: string) {
  const key = { 'x-api-key': gateway.key, accept: 'application/json, text/event-stream' }
  const url = `${gateway.url}/mcp/echo`
  const asJson = { ...key, 'content-type': 'application/json' }
  const params = { protocolVersion, capabilities: {}, clientInfo: { name: 'hand', version: '1' } }
  const begun = await fetch(url, {
    method: 'POST',
    headers: asJson,
    body: JSON.stringify({ jsonrpc: '2.0', id: 0, method: 'initialize', params }),
  })
  await begun.text()
  const id = { 'mcp-session-id': begun.headers.get('mcp-session-id') ?? '' }
  const post = (body: object) =>
    fetch(url, {
      method: 'POST',
      headers: { ...asJson, ...id },
      body: JSON.stringify({ jsonrpc: '2.0', ...body }),
    })
  await (await post({ method: 'notifications/initialized' })).text()
  const stream = async (after?: string) => {
    const over = new AbortController()
    taken.push(() => over.abort())
    const place: Record<string, string> = after === undefined ? {} : { 'last-event-id': after }
    const response = await fetch(url, { headers: { ...key, ...id, ...place }, signal: over.signal })
    const seen = { text: '', isOver: false, status: response.status, leave: () => over.abort() }
    void (async () => {
      for await (const chunk of response.body ?? []) seen.text += Buffer.from(chunk).toString('utf8')
      seen.isOver = true
    })().catch(() => {})
    return seen
  }
  return { post, stream }
}

const idsIn = (text: string) => [...text.matchAll(/^id: (.*)$/gm)].map(([, id]) => id)

describe('a client whose connection is cut', () => {
  it('gets the answer of a running call with Last-Event-ID: the client of the SDK', async () => {
    const wire = await wireTo(Number(new URL(gateway.url).port))
    const client = new Client({ name: 'cut', version: '1' }, { capabilities: { elicitation: { form: {} } } })
    client.setRequestHandler('elicitation/create', async () => {
      wire.cut()
      await until('it asks again', async () => /^last-event-id: 1-1\r$/im.test(wire.asked) || undefined)
      return { action: 'decline' }
    })
    const place = new URL(`http://127.0.0.1:${wire.port}/mcp`)
    const transport = new StreamableHTTPClientTransport(place, {
      requestInit: { headers: { 'X-API-Key': gateway.key } },
    })
    await client.connect(transport)
    const result = await client.callTool({ name: 'echo__ask', arguments: { question: 'still there?' } })
    expect(JSON.stringify(result.content)).toContain('decline')
    await client.close()
  })

  it('gets what came after its last event, of this stream alone', async () => {
    const { post, stream } = await session('2025-11-25')
    const call = await post({
      id: 1,
      method: 'tools/call',
      params: { name: 'progress', _meta: { progressToken: 'mine' } },
    })
    const whole = await call.text()
    expect(whole).toMatch(/^:\n\nid: 1-0\nretry: 1000\ndata: \n\n/)
    expect(idsIn(whole)).toEqual(['1-0', '1-1', '1-2', '1-3'])
    const again = await stream('1-1')
    await until('it is over', async () => again.isOver || undefined)
    expect(idsIn(again.text)).toEqual(['1-1', '1-2', '1-3'])
    expect(again.text.match(/^data: \{.*$/gm)).toEqual(whole.match(/^data: \{.*$/gm)?.slice(1))
    for (const nothing of ['7-1', 'x', '1-', '99999999999999999999-1'])
      expect((await stream(nothing)).status).toBe(400)
  })

  it('gets what belonged to no call, although it was away', async () => {
    const { post, stream } = await session('2025-11-25')
    const first = await stream()
    await until('it is open', async () => first.text.includes('id: 0-0') || undefined)
    first.leave()
    await (await post({ id: 1, method: 'tools/call', params: { name: 'change' } })).text()
    const second = await stream('0-0')
    await until('the change is told', async () => second.text.includes('list_changed') || undefined)
    expect(idsIn(second.text)).toEqual(['0-0', '0-1'])
    const third = await stream('0-0')
    await until('it is told again', async () => third.text.includes('list_changed') || undefined)
    await until('there is one connection for a stream', async () => second.isOver || undefined)
  })

  it('of an older revision gets no event without a message, which it could not read', async () => {
    const { post } = await session('2025-06-18')
    const call = await post({
      id: 1,
      method: 'tools/call',
      params: { name: 'progress', _meta: { progressToken: 'mine' } },
    })
    expect(idsIn(await call.text())).toEqual(['1-1', '1-2', '1-3'])
  })
})

/** A server of the SDK that keeps its events: its one tool tells of progress and answers when it is told to. */
async function keepingServer() {
  const stored: { id: string; stream: string; message: JSONRPCMessage }[] = []
  const eventStore: EventStore = {
    storeEvent: async (stream, message) => {
      stored.push({ id: `${stored.length}`, stream, message })
      return `${stored.length - 1}`
    },
    replayEventsAfter: async (lastEventId, { send }) => {
      const stream = stored[Number(lastEventId)]?.stream ?? ''
      for (const event of stored.slice(Number(lastEventId) + 1))
        if (event.stream === stream) await send(event.id, event.message)
      return stream
    },
  }
  const server = new Server({ name: 'keeping', version: '1' }, { capabilities: { tools: {} } })
  let release = () => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  let calls = 0
  server.setRequestHandler('tools/list', () => ({
    tools: [{ name: 'wait', inputSchema: { type: 'object' } }],
  }))
  server.setRequestHandler('tools/call', async ({ params }, { mcpReq }) => {
    calls++
    const progressToken = params._meta?.progressToken ?? 0
    await mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress: 1 } })
    await released
    return { content: [{ type: 'text', text: `call ${calls}` }] }
  })
  const transport = new WebStandardStreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    eventStore,
    retryInterval: 50,
  })
  await server.connect(transport)
  const http = createHttpServer(getRequestListener((request) => transport.handleRequest(request)))
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  taken.push(() => {
    http.closeAllConnections()
    http.close()
  })
  return { port: (http.address() as AddressInfo).port, release }
}

describe('a connector whose connection is cut', () => {
  it('answers a running call on another one: a server of the SDK', async () => {
    const far = new Watched()
    try {
      const { port, release } = await keepingServer()
      const wire = await wireTo(port)
      const connectors = { far: { url: `http://127.0.0.1:${wire.port}/mcp` } }
      const client = new LineClient(far, '--all', '--config', configured(far, connectors))
      await client.initialize()
      const params = { name: 'far__wait', _meta: { progressToken: 'mine' } }
      client.send(JSON.stringify({ jsonrpc: '2.0', id: 2, method: 'tools/call', params }))
      await client.heard('notifications/progress')
      for (let cuts = 1; cuts <= 2; cuts++) {
        const before = wire.asked.length
        wire.cut()
        const resumed = /^last-event-id: /im
        await until('it asks again', async () => resumed.test(wire.asked.slice(before)) || undefined)
      }
      release()
      expect(await client.line(2)).toContain('call 1')
      await client.end()
    } finally {
      await far.remove()
    }
  })
})
