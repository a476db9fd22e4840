// What one connection of a visitor may do: requests one behind the other, and wishes to speak something else than HTTP/1.1.
import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, it } from 'vitest'
import { WebSocketServer } from 'ws'
import { type GateUnderTest, listen, logIn, startGate } from '../support/gate.ts'
import { run, until } from '../support/tools.ts'

let target: Server
let gate: GateUnderTest
let cookie: string
/** Every request that reached the target. */
let seen: IncomingMessage[] = []
/** Answers that the target holds back, when it holds back. */
let held: ServerResponse[] = []
let holdsBack = false
/** Most connections to the target at once. */
let most = 0

beforeAll(async () => {
  target = createServer((request, response) => {
    seen.push(request)
    most = Math.max(most, gate.open.target.size)
    const body: Buffer[] = []
    request.on('data', (chunk: Buffer) => body.push(chunk))
    request.on('end', () => {
      response.write(`${request.method} ${request.url} ${Buffer.concat(body).toString().slice(0, 20)};`)
      if (holdsBack) held.push(response)
      else response.end()
    })
  })
  const sockets = new WebSocketServer({ noServer: true })
  target.on('upgrade', (request, socket, head) => {
    sockets.handleUpgrade(request, socket, head, (client) => client.close(1000, 'seen'))
  })
  gate = await startGate(await listen(target))
  cookie = await logIn(gate)
})
beforeEach(() => {
  seen = []
  held = []
  holdsBack = false
  most = 0
})
afterAll(async () => {
  await gate.close()
  target.closeAllConnections()
  target.close()
})

interface Visitor {
  readonly socket: Socket
  /** Everything that came back so far. */
  got(): string
  /** Waits until so many answers are there whole. */
  answers(count: number): Promise<unknown>
  closed(): Promise<unknown>
}

function visit(): Visitor {
  let text = ''
  const socket = connect({ port: gate.port, host: '127.0.0.1', noDelay: true })
  socket.on('error', () => {})
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    text += chunk
  })
  const closing = new Promise((resolve) => socket.once('close', resolve))
  return {
    socket,
    got: () => text,
    answers: (count) =>
      until(`${count} answers`, async () => {
        if ((text.match(/\r\n0\r\n\r\n|HTTP\/1.1 101 .*\r\n/g)?.length ?? 0) >= count) return true
        throw new Error(text)
      }),
    closed: () => closing,
  }
}

const head = (first: string, ...more: string[]) =>
  `${[first, 'Host: 127.0.0.1', `Cookie: ${cookie}`, ...more].join('\r\n')}\r\n\r\n`
const paths = (text: string) => [...text.matchAll(/(?:GET|POST) (\/\S*) /g)].map(([, path]) => path)

describe('Pipelined requests at a gate', () => {
  it('are answered in order, with one connection to the target at a time', async () => {
    const visitor = visit()
    const wanted = Array.from({ length: 80 }, (_, index) => `/${index}`)
    visitor.socket.write(wanted.map((path) => head(`GET ${path} HTTP/1.1`)).join(''))
    await visitor.answers(80)
    assert.deepEqual(paths(visitor.got()), wanted)
    assert.equal(most, 1)
    visitor.socket.destroy()
  })

  it('with bodies are not mixed up', async () => {
    const visitor = visit()
    const post = (path: string, body: string) =>
      head(`POST ${path} HTTP/1.1`, `Content-Length: ${body.length}`) + body
    visitor.socket.write(post('/a', 'first') + post('/b', 'x'.repeat(200_000)) + head('GET /c HTTP/1.1'))
    await visitor.answers(3)
    assert.match(visitor.got(), /POST \/a first;[\s\S]*POST \/b x{20};[\s\S]*GET \/c ;/)
    visitor.socket.destroy()
  })

  it('behind one that is refused are not passed on: that answer ends the connection', async () => {
    const visitor = visit()
    visitor.socket.write(head('GET /1 HTTP/1.1', 'Origin: http://evil.example') + head('GET /2 HTTP/1.1'))
    await visitor.closed()
    assert.match(visitor.got(), /^HTTP\/1\.1 403 /)
    assert.equal(seen.length, 0)
  })

  it('without end cost the visitor the connection, and the target one at most', async () => {
    holdsBack = true
    const visitor = visit()
    for (let index = 0; index < 110; index++) visitor.socket.write(head(`GET /${index} HTTP/1.1`))
    await visitor.closed()
    assert.ok(seen.length <= 1, `${seen.length}`)
    await until('the target to be left', async () => (gate.open.target.size === 0 ? true : undefined))
  })

  it('wait as long as it takes, and their connection is not taken for an idle one', async () => {
    holdsBack = true
    const visitor = visit()
    visitor.socket.write(head('GET /1 HTTP/1.1') + head('GET /2 HTTP/1.1'))
    await until('the first', async () => held[0])
    assert.equal(seen.length, 1)
    held[0]?.end()
    await until('the second', async () => held[1])
    // Ends what waits for a request, and nothing else.
    gate.gate.close()
    held[1]?.end()
    await visitor.closed()
    assert.deepEqual(paths(visitor.got()), ['/1', '/2'])
    await gate.close()
    gate = await startGate((target.address() as { port: number }).port)
    cookie = await logIn(gate)
  })

  it('a WebSocket opens after the answers before it', async () => {
    holdsBack = true
    const visitor = visit()
    const upgrade = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13']
    const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
    visitor.socket.write(head('GET /slow HTTP/1.1') + head('GET /socket HTTP/1.1', ...upgrade, key))
    await until('the first', async () => held[0])
    assert.doesNotMatch(visitor.got(), / 101 /)
    held[0]?.end()
    await visitor.answers(2)
    assert.match(visitor.got(), /^HTTP\/1\.1 200 [\s\S]*HTTP\/1\.1 101 /)
    visitor.socket.destroy()
  })
})

describe('A wish to upgrade to something else', () => {
  const h2c = [
    'Connection: Upgrade, HTTP2-Settings',
    'Upgrade: h2c',
    'HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA',
  ]

  it('curl --http2 is served with HTTP/1.1, and the target hears nothing of it', async () => {
    const url = `http://127.0.0.1:${gate.port}/one`
    for (const words of [[], ['--data', 'a body']]) {
      const { stdout, stderr } = await run([
        ...['curl', '--http2', '-sS', '-w', '%{http_code} %{http_version}\n', '--cookie', cookie, ...words],
        ...[url, '--next', '-sS', '--http2', '-w', '%{http_code}', '--cookie', cookie, `${url}2`],
      ])
      const first = words.length === 0 ? 'GET /one ;' : 'POST /one a body;'
      assert.equal(stdout, `${first}200 1.1\nGET /one2 ;200`, stderr)
    }
    assert.equal(seen.length, 4)
    for (const { headers } of seen) {
      assert.deepEqual([headers.upgrade, headers['http2-settings']], [undefined, undefined])
      assert.equal(headers.connection, 'keep-alive')
    }
  })

  it('is not let in without a login', async () => {
    const visitor = visit()
    visitor.socket.write(`GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n${h2c.join('\r\n')}\r\n\r\n`)
    await visitor.closed()
    assert.match(visitor.got(), /^HTTP\/1\.1 401 /)
    assert.equal(seen.length, 0)
  })

  it('leaves the connection for more requests, and for a WebSocket in the end', async () => {
    const visitor = visit()
    const socket = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13']
    visitor.socket.write(head('GET /1 HTTP/1.1', ...h2c) + head('GET /2 HTTP/1.1'))
    await visitor.answers(2)
    visitor.socket.write(`${head('POST /3 HTTP/1.1', ...h2c, 'Content-Length: 5')}hello`)
    await visitor.answers(3)
    visitor.socket.write(head('GET /4 HTTP/1.1', 'Connection: Upgrade', 'Upgrade: TLS/1.0'))
    await visitor.answers(4)
    assert.match(visitor.got(), /POST \/3 hello;/)
    assert.deepEqual(paths(visitor.got()), ['/1', '/2', '/3', '/4'])
    visitor.socket.write(head('GET /5 HTTP/1.1', ...socket, 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='))
    await visitor.answers(5)
    assert.match(visitor.got(), /HTTP\/1\.1 101 /)
    visitor.socket.destroy()
  })

  it('does not reach the target when it is said without Connection: upgrade', async () => {
    const visitor = visit()
    visitor.socket.write(head('GET /1 HTTP/1.1', 'Upgrade: h2c'))
    await visitor.answers(1)
    assert.equal(seen[0]?.headers.upgrade, undefined)
    visitor.socket.destroy()
  })
})
