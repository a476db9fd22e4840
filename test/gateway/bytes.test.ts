// Bytes that are too many, too few or in the wrong place, on both sides: each is bounded, and is the affair of who sent them.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FakeMcpServer, serveFakes } from '../support/fake-mcp-servers.ts'
import {
  child,
  childrenOf,
  LineClient,
  type RpcAnswer,
  type ServedGateway,
  served,
} from '../support/gateway.ts'
import { until } from '../support/tools.ts'
import { command, Watched } from '../support/watched.ts'

const watched = new Watched()
const fakes = { body: new FakeMcpServer('stateless'), stream: new FakeMcpServer('stateless') }
const megabyte = 1024 * 1024
let gateway: ServedGateway
let client: LineClient
let close: () => void

beforeAll(async () => {
  const { urlOf, close: end } = await serveFakes(fakes)
  close = end
  gateway = await served(watched, {
    good: child(),
    odd: { ...child('odd'), timeout: '1s', restart: { backoff: '50ms', flappingRestarts: 0 } },
    large: child('large-list'),
    body: { url: urlOf('body') },
    stream: { url: urlOf('stream') },
  })
  client = new LineClient(watched, '--all', '--config', watched.file('connectors.json'))
  await client.initialize()
})

afterAll(async () => {
  await client.end()
  close()
  await watched.remove()
})

let asked = 0

const called = (name: string, args: object = {}): Promise<RpcAnswer> =>
  client.ask(++asked, 'tools/call', { name, arguments: args })

async function othersAreWell(): Promise<void> {
  expect((await called('good__echo')).result).toBeDefined()
  expect(gateway.resident.isRunning).toBe(true)
}

/** What the gateway knows of a connector. */
async function connector(id: string) {
  const answer = await fetch(`${gateway.url}/readyz`, { headers: { 'x-api-key': gateway.key } })
  const { connectors } = (await answer.json()) as {
    connectors: { id: string; pid: number; junkLines: number; lastError: { message: string } | null }[]
  }
  return connectors.find((one) => one.id === id)
}

describe('a line without an end', () => {
  it('of a server ends that server at 10 MB, and says so', async () => {
    const before = (await connector('odd'))?.pid
    const { error } = await called('odd__endless')
    expect(error?.message).toContain('it wrote a line of more than 10 MB to stdout')
    await until('another one runs in its place', async () => {
      const now = await connector('odd')
      return now?.pid !== before && (await called('odd__echo')).result !== undefined ? true : undefined
    })
    expect((await connector('odd'))?.lastError?.message).toContain('10 MB')
    expect(childrenOf(gateway.resident.pid)).not.toContain(before)
    await othersAreWell()
  })

  it('of a client is refused at 10 MB, and its gateway goes on', async () => {
    const other = new LineClient(watched, '--all', '--config', watched.file('connectors.json'))
    await other.initialize()
    other.send('x'.repeat(11 * megabyte))
    const line = await other.line(null)
    expect(line).toContain('a line is longer than')
    await other.end()
    await othersAreWell()
  })

  it('of a server over HTTP is given up at 10 MB, as a body and as an event', async () => {
    const long = 'x'.repeat(11 * megabyte)
    fakes.body.answer = (_message, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(`{"jsonrpc":"2.0","id":1,"result":{"content":"${long}"}}`)
      return true
    }
    fakes.stream.answer = (_message, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.end(`data: {"content":"${long}"}\n\n`)
      return true
    }
    expect((await called('body__write')).error?.message).toContain('its answer is longer than 10 MB')
    expect((await called('stream__write')).error?.message).toContain('it sent an event that is too long')
    fakes.body.answer = undefined
    expect((await called('body__write')).result).toBeDefined()
    await othersAreWell()
  })
})

describe('what is between the lines', () => {
  it('of a server is counted and reaches nobody, on one line with a message or on many', async () => {
    const before = (await connector('odd'))?.junkLines ?? 0
    expect((await called('odd__chatter')).result?.content?.[0]?.text).toBe('chatter')
    expect((await connector('odd'))?.junkLines).toBeGreaterThanOrEqual(before + 1000)
    for (const line of client.lines) expect(JSON.parse(line)).toMatchObject({ jsonrpc: '2.0' })
    await othersAreWell()
  })
})

describe('an answer', () => {
  it('that comes twice is taken once, and the next call gets its own', async () => {
    const before = (await connector('odd'))?.junkLines ?? 0
    const id = ++asked
    client.send(`{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{"name":"odd__twice"}}`)
    await client.line(id)
    expect((await called('odd__echo')).result?.content?.[0]?.text).toContain('"echo"')
    expect(client.lines.filter((line) => (JSON.parse(line) as RpcAnswer).id === id)).toHaveLength(1)
    expect((await connector('odd'))?.junkLines).toBe(before + 1)
  })

  it('that never comes is an error at the time of its connector, and the server is told', async () => {
    const { error } = await called('odd__never')
    expect(error).toMatchObject({ code: -32_054, message: "connector 'odd' did not answer within 1 s" })
    expect((await called('odd__cancelled')).result?.content?.[0]?.text).toBe('1')
    await othersAreWell()
  })

  it('of 5 MB over stdin and stdout is whole, although its client has ended its input', async () => {
    const [program = '', ...words] = command(
      'mcp-proxy',
      'start',
      '--all',
      '--config',
      watched.file('connectors.json'),
    )
    const face = spawn(program, [...words, '--state-dir', watched.directory], { stdio: 'pipe' })
    const hello = {
      protocolVersion: '2025-11-25',
      capabilities: {},
      clientInfo: { name: 'pipe', version: '1' },
    }
    face.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id: 0, method: 'initialize', params: hello })}\n`)
    face.stdin.end('{"jsonrpc":"2.0","id":1,"method":"tools/list"}\n')
    const chunks: Buffer[] = []
    face.stdout.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      // Slower than it comes.
      face.stdout.pause()
      setTimeout(() => face.stdout.resume(), 1)
    })
    const [code] = (await once(face, 'close')) as [number]
    const lines = Buffer.concat(chunks).toString('utf8').trimEnd().split('\n')
    const { result } = JSON.parse(lines.at(-1) ?? '') as RpcAnswer
    expect([code, lines.length]).toEqual([0, 2])
    expect(lines.at(-1)?.length).toBeGreaterThan(5 * megabyte)
    expect(result?.tools?.at(-1)?.name).toBe('stream__write')
  })
})

describe('a flood', () => {
  it('of a server on stderr and of notifications keeps nobody else waiting, and is kept in part', async () => {
    const flood = called('odd__flood')
    await othersAreWell()
    expect((await flood).result?.content?.[0]?.text).toBe('flood')
    const state = readFileSync(watched.file('mcp-proxy-runtime-state.json'), 'utf8')
    expect(state.length).toBeLessThan(100_000)
    await othersAreWell()
  })

  it('towards a client that does not read its stream stops nobody who shares the server', async () => {
    const headers = { 'x-api-key': gateway.key }
    const both = {
      ...headers,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
    }
    const begun = await fetch(`${gateway.url}/mcp`, {
      method: 'POST',
      headers: both,
      body: '{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"stuck","version":"1"}}}',
    })
    const session = { ...headers, 'mcp-session-id': begun.headers.get('mcp-session-id') ?? '' }
    const stuck = request(`${gateway.url}/mcp`, {
      agent: false,
      headers: { ...session, accept: 'text/event-stream' },
    })
    stuck.on('error', () => {})
    stuck.end()
    const [response] = (await once(stuck, 'response')) as [IncomingMessage]
    response.pause()
    client.lines.length = 0
    // 24 MB of notifications, for everybody who shares the server.
    expect((await called('odd__shout')).result?.content?.[0]?.text).toBe('shout')
    // What nobody waits for is left out for one that reads too slowly; the rest has come.
    expect(client.lines.some((line) => line.includes('notifications/shouted'))).toBe(true)
    await othersAreWell()
    stuck.destroy()
  })
})
