import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { ask, type GateUnderTest, listen, logIn, startGate } from '../support/gate.ts'
import { someBytes } from '../support/some-bytes.ts'
import { until } from '../support/tools.ts'

describe('WebSockets through a gate', () => {
  let target: Server
  let sockets: WebSocketServer
  let gate: GateUnderTest
  let cookie: string
  /** The target's end of each, by the path that its visitor asked for. */
  const accepted = new Map<string, WebSocket>()

  beforeAll(async () => {
    target = createServer((_request, response) => response.end())
    sockets = new WebSocketServer({ noServer: true, maxPayload: 64 * 1024 * 1024 })
    target.on('upgrade', (request, socket, head) => {
      if (request.url === '/refused')
        return void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno')
      if (request.url === '/cut') return void (socket as Socket).resetAndDestroy()
      // Never answered.
      if (request.url === '/silent') return void socket.on('error', () => {})
      sockets.handleUpgrade(request, socket, head, (client) => {
        accepted.set(request.url ?? '', client)
        client.on('message', (data, isBinary) => client.send(data, { binary: isBinary }))
        client.on('error', () => {})
      })
    })
    gate = await startGate(await listen(target))
    cookie = await logIn(gate)
  })
  afterAll(async () => {
    for (const client of sockets.clients) client.terminate()
    await gate.close()
    target.close()
  })

  const open = (path = '/', headers: Record<string, string> = { cookie }) =>
    new WebSocket(`ws://127.0.0.1:${gate.port}${path}`, { headers })
  const statusOf = async (socket: WebSocket) => {
    socket.on('error', () => {})
    const [, answer] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage]
    answer.resume()
    return answer.statusCode
  }
  const nothingOpen = () =>
    until(
      'every socket to be closed',
      async () => (gate.open.visitors.size === 0 && gate.open.target.size === 0 ? true : undefined),
      // ws itself gives the other side 30 s to answer a close.
      60_000,
    )

  it('are let in with a session alone, and not from the pages of others', async () => {
    assert.equal(await statusOf(open('/', {})), 401)
    assert.equal(await statusOf(open('/', { cookie: 'a=b', authorization: 'Bearer no' })), 401)
    assert.equal(await statusOf(open('/', { cookie, origin: 'http://evil.example' })), 403)
    assert.equal(sockets.clients.size, 0)
    await nothingOpen()
  })

  it('carry text and megabytes both ways', async () => {
    const socket = open('/', { cookie, origin: `http://127.0.0.1:${gate.port}` })
    await once(socket, 'open')
    for (const message of [Buffer.from('hello'), someBytes(16 * 1024 * 1024)]) {
      socket.send(message)
      const [echo] = (await once(socket, 'message')) as [Buffer]
      assert.ok(message.equals(echo))
    }
    socket.close()
    await once(socket, 'close')
    await nothingOpen()
  })

  it('tell the target’s refusal, and its end before the answer', async () => {
    assert.equal(await statusOf(open('/refused')), 403)
    assert.equal(await statusOf(open('/cut')), 502)
    await nothingOpen()
  })

  it('leave nothing open when a visitor goes before the target has answered', async () => {
    const socket = open('/silent')
    socket.on('error', () => {})
    await until('the target to be asked', async () => (gate.open.target.size === 1 ? true : undefined))
    socket.terminate()
    await nothingOpen()
  })

  it('leave nothing open after a thousand of them, however they end', async () => {
    // Each ends its own: the end of one that is still being opened would be a failure to open.
    const endings: readonly ((client: WebSocket, path: string) => void)[] = [
      (client) => client.close(),
      (client) => client.terminate(),
      (client) => client.send('bye', () => client.terminate()),
      // From the target's side: as it should, and as it should not.
      (client, path) => client.send('x', () => accepted.get(path)?.close()),
      (client, path) => client.send('x', () => accepted.get(path)?.terminate()),
    ]
    for (let round = 0; round < 20; round++) {
      await Promise.all(
        Array.from({ length: 50 }, async (_, index) => {
          const path = `/${round}-${index}`
          const client = open(path)
          client.on('error', () => {})
          await once(client, 'open')
          endings[index % endings.length]?.(client, path)
        }),
      )
      for (const client of sockets.clients) client.close()
      await nothingOpen()
    }
  })
})

describe('Event streams through a gate', () => {
  let target: Server
  let gate: GateUnderTest
  let cookie: string
  let streams: ServerResponse[] = []

  beforeAll(async () => {
    target = createServer((incoming, response) => {
      const isPage = incoming.url === '/page'
      response.writeHead(200, { 'content-type': isPage ? 'text/html' : 'text/event-stream' })
      if (isPage) response.write('<head>')
      else response.flushHeaders()
      streams.push(response)
    })
    gate = await startGate(await listen(target))
    cookie = await logIn(gate)
  })
  afterAll(async () => {
    await gate.close()
    target.closeAllConnections()
    target.close()
  })

  const listenTo = async (path = '/events', headers = {}): Promise<IncomingMessage> => {
    streams = []
    const asked = request({
      host: '127.0.0.1',
      port: gate.port,
      path,
      headers: { cookie, ...headers },
      agent: false,
    })
    asked.on('error', () => {})
    asked.end()
    const [answer] = (await once(asked, 'response')) as [IncomingMessage]
    answer.setEncoding('utf8').on('error', () => {})
    return answer
  }

  it('arrive event by event, the head before the first', async () => {
    const answer = await listenTo()
    for (const event of ['data: 1\n\n', 'data: 2\n\n']) {
      streams[0]?.write(event)
      assert.deepEqual(await once(answer, 'data'), [event])
    }
    answer.destroy()
  })

  it('are passed on though they call themselves a page, once they have taken their time', async () => {
    const answer = await listenTo('/page', { accept: 'text/html' })
    assert.match(
      String(await once(answer, 'data')),
      /^<script src="\/\.port-watchdog\/page\.js"><\/script><head>$/,
    )
    streams[0]?.write('more')
    assert.deepEqual(await once(answer, 'data'), ['more'])
    answer.destroy()
  })

  it('end at the target when the visitor goes', async () => {
    const answer = await listenTo()
    const ended = once(streams[0] ?? target, 'close')
    answer.destroy()
    await ended
  })

  it('end at the visitor when the target goes, and not as if complete', async () => {
    const answer = await listenTo()
    const closed = new Promise((resolve) => answer.once('close', resolve))
    streams[0]?.destroy()
    await closed
    assert.equal(answer.complete, false)
  })

  it('go on while idle connections are closed', async () => {
    const answer = await listenTo()
    gate.gate.close()
    streams[0]?.write('still here')
    assert.deepEqual(await once(answer, 'data'), ['still here'])
    answer.destroy()
  })
})

describe('Two gates of one state directory', () => {
  let directory: string
  let target: Server
  let page: GateUnderTest
  let proxy: GateUnderTest
  let seen: IncomingMessage[] = []
  let granted: string | undefined

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'pw-gate-'))
    target = createServer((incoming, response) => {
      seen.push(incoming)
      if (granted !== undefined) response.setHeader('access-control-allow-origin', granted)
      response.end('answer')
    })
    const port = await listen(target)
    page = await startGate(port, { stateDirectory: directory })
    proxy = await startGate(port, { stateDirectory: directory })
  })
  afterAll(async () => {
    await page.close()
    await proxy.close()
    target.close()
    rmSync(directory, { recursive: true })
  })

  const origin = () => `http://127.0.0.1:${page.port}`

  it('share the login', async () => {
    const cookie = await logIn(page)
    assert.equal((await ask(proxy.port, { headers: { cookie } })).status, 200)
  })

  it('ask the target about each other’s preflights, and nothing about those of strangers', async () => {
    seen = []
    const headers = {
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'x-mcp-proxy-auth',
    }
    const asking = (from: string) =>
      ask(proxy.port, { method: 'OPTIONS', headers: { ...headers, origin: from, cookie: 'a=b' } })
    assert.equal((await asking(origin())).status, 403, 'the target grants nothing')
    granted = '*'
    const allowed = await asking(origin())
    assert.equal(allowed.status, 204)
    assert.equal(allowed.headers['access-control-allow-origin'], origin())
    assert.equal(allowed.headers['access-control-allow-credentials'], 'true')
    assert.equal(allowed.headers['access-control-allow-headers'], undefined)
    assert.equal(seen.length, 2)
    assert.equal(seen[0]?.headers.cookie, undefined)
    for (const foreign of [
      'http://127.0.0.1:1',
      `http://localhost:${page.port}`,
      `https://127.0.0.1:${page.port}`,
    ]) {
      assert.equal((await asking(foreign)).status, 401)
    }
    assert.equal(seen.length, 2)
  })

  it('let each other’s pages read what the target lets them read, and only with the session', async () => {
    const cookie = await logIn(page)
    const readable = async (grant: string | undefined) => {
      granted = grant
      return (await ask(proxy.port, { headers: { cookie, origin: origin() } })).headers
    }
    const credentials = 'access-control-allow-credentials'
    assert.equal((await readable('*'))['access-control-allow-origin'], origin())
    assert.equal((await readable('*'))[credentials], 'true')
    assert.equal((await readable(undefined))['access-control-allow-origin'], undefined)
    assert.equal((await readable('http://else.example'))[credentials], undefined)
    assert.equal((await ask(proxy.port, { headers: { origin: origin() } })).status, 401)
  })

  it('are strangers again when one has gone', async () => {
    const third = await startGate(1, { stateDirectory: directory })
    const cookie = await logIn(page)
    const asThird = { cookie, origin: `http://127.0.0.1:${third.port}` }
    await until('the third to be known', async () =>
      (await ask(proxy.port, { headers: asThird })).status === 200 ? true : undefined,
    )
    await third.close()
    await until('the third to be forgotten', async () =>
      (await ask(proxy.port, { headers: asThird })).status === 403 ? true : undefined,
    )
  })
})
