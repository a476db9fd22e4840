// Servers and clients of the gateway that do what no library would, and keys that are taken away: whatever one does is its own affair.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { child, type RpcAnswer, type ServedGateway, served } from '../support/gateway.ts'
import { until } from '../support/tools.ts'
import { Watched } from '../support/watched.ts'

const watched = new Watched()
let gateway: ServedGateway

/** A server of revision 2024-11-05 that names no URL to send to. */
const nowhere = createServer((_request, response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.write('event: endpoint\ndata: http://[\n\n')
})

beforeAll(async () => {
  nowhere.listen(0, '127.0.0.1').unref()
  await once(nowhere, 'listening')
  gateway = await served(watched, {
    good: child('hostile'),
    broken: child('broken-list'),
    secret: child('secret', 'end'),
    nowhere: { type: 'sse', url: `http://127.0.0.1:${(nowhere.address() as AddressInfo).port}/` },
  })
})

afterAll(async () => {
  nowhere.closeAllConnections()
  nowhere.close()
  await watched.remove()
})

const json = { 'content-type': 'application/json' }
const both = { ...json, accept: 'application/json, text/event-stream' }

async function post(path: string, body: string, headers: Record<string, string> = {}) {
  const sent = { ...json, 'x-api-key': gateway.key, ...headers }
  const response = await fetch(`${gateway.url}${path}`, { method: 'POST', headers: sent, body })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

const call = (name: string) =>
  `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"${name}","_meta":{"progressToken":"mine"}}}`
const keyTwice = '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"requestId":1}}'
const list = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'

async function isThere(): Promise<void> {
  const { text } = await post('/mcp/good', '{"jsonrpc":"2.0","id":1,"method":"ping"}')
  expect(JSON.parse(text)).toMatchObject({ result: {} })
}

/** A stream of events that is open. */
async function stream(path: string, headers: Record<string, string>) {
  const sent = request(`${gateway.url}${path}`, { agent: false, headers })
  sent.on('error', () => {})
  sent.end()
  const [response] = (await once(sent, 'response')) as [import('node:http').IncomingMessage]
  let text = ''
  response.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  response.on('error', () => {})
  const ended = new Promise<true>((resolve) => response.once('close', () => resolve(true)))
  return { response, ended, text: () => text, close: () => sent.destroy() }
}

/** Makes a key. */
async function key(name: string, ...words: string[]): Promise<string> {
  const { stdout, stderr } = await watched.run('mcp-proxy', 'key', 'create', name, ...words)
  const made = /pwk_\w{10}_[\w-]{43}/.exec(stdout)?.[0]
  if (made === undefined) throw new Error(stderr)
  return made
}

describe('What a server sends that is no message', () => {
  it('is an error of the one call that it answers', async () => {
    const { text } = await post('/mcp', call('good__no_json'))
    expect(JSON.parse(text)).toMatchObject({ id: 7, error: { message: expect.stringContaining('no JSON') } })
  })

  it('with a key twice ends neither the call nor the gateway', async () => {
    const { text } = await post('/mcp', call('good__key_twice'))
    expect(JSON.parse(text)).toMatchObject({ id: 7, result: {} })
    await isThere()
  })

  it('in a list hides that server alone', async () => {
    const { text } = await post('/mcp', list)
    const { result } = JSON.parse(text) as RpcAnswer
    expect(result?.tools?.map(({ name }) => name)).toContain('good__echo')
    expect(text).not.toContain('broken__broken')
  })

  it('as the place to send to makes that server unusable, and no other', async () => {
    const { text } = await post('/mcp/nowhere', call('any'))
    expect(JSON.parse(text)).toMatchObject({ error: { data: { connector: 'nowhere' } } })
    await isThere()
  })
})

describe('What a client sends that is no message', () => {
  it('is refused over HTTP, in whichever generation', async () => {
    for (const path of ['/mcp', '/mcp/good']) expect((await post(path, keyTwice)).status, path).toBe(400)
    const opened = await stream('/sse', { 'x-api-key': gateway.key, accept: 'text/event-stream' })
    const place = await until('the place', async () => /^data: (\S+)/m.exec(opened.text())?.[1])
    expect((await post(place, keyTwice)).status).toBe(400)
    opened.close()
    await isThere()
  })

  it('is refused on the socket of this user, as is a wish that is none', async () => {
    for (const text of ['null\n', '{"connectors":"good"}\n', `{}\n${keyTwice}\n`]) {
      const socket = connect(watched.file('mcp-proxy-clients.sock'))
      let heard = ''
      socket.setEncoding('utf8').on('data', (chunk: string) => {
        heard += chunk
      })
      socket.end(text)
      await once(socket, 'close')
      if (text.includes('method')) expect(heard).toContain('"error"')
    }
    await isThere()
  })
})

describe('What a server printed before it failed', () => {
  it('is told to its owner and to clients without secrets', async () => {
    const { text } = await post('/mcp/secret', call('any'))
    const { stdout } = await watched.run('mcp-proxy', 'status')
    const state = readFileSync(watched.file('mcp-proxy-runtime-state.json'), 'utf8')
    const log = readFileSync(watched.file('mcp_proxy.log'), 'utf8')
    for (const told of [text, stdout, state, log]) {
      expect(told).toContain('cannot reach postgres://')
      expect(told).not.toContain('hunter2')
    }
  })
})

describe('A key that is bound to connectors', () => {
  it('is told nothing of others by readiness and figures', async () => {
    const headers = { 'x-api-key': await key('bound', '--connectors', 'good') }
    const ready = await (await fetch(`${gateway.url}/readyz`, { headers })).json()
    expect(ready).toMatchObject({ status: 'ready', connectors: [{ id: 'good' }] })
    expect((await fetch(`${gateway.url}/metrics`, { headers })).status).toBe(403)
  })
})

describe('A key that is revoked', () => {
  it('ends the streams and calls that were begun with it', async () => {
    const secret = await key('revoked')
    const headers = { 'x-api-key': secret, accept: 'text/event-stream' }
    const initialize =
      '{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"hand","version":"1"}}}'
    const begun = await post('/mcp', initialize, { ...both, 'x-api-key': secret })
    const session = { 'mcp-session-id': begun.headers.get('mcp-session-id') ?? '' }
    const streams = [await stream('/mcp', { ...headers, ...session }), await stream('/sse', headers)]
    const long = call('slow').replace('"_meta"', '"arguments":{"ms":60000},"_meta"')
    const slow = post('/mcp/good', long, { 'x-api-key': secret }).catch(() => 'cut')
    const other = await stream('/sse', { 'x-api-key': gateway.key, accept: 'text/event-stream' })
    await watched.run('mcp-proxy', 'key', 'revoke', 'revoked')
    await Promise.all(streams.map(({ ended }) => ended))
    expect(await slow).toBe('cut')
    expect(other.response.destroyed).toBe(false)
    other.close()
  })
})

describe('Connections', () => {
  it('that show no key make room for one that does, and are bounded', async () => {
    const idle: Socket[] = []
    const port = Number(new URL(gateway.url).port)
    const connected = async () => {
      const socket = connect(port, '127.0.0.1')
      socket.on('error', () => {})
      idle.push(socket)
      await new Promise<void>((resolve) => socket.once('connect', resolve).once('close', () => resolve()))
    }
    // Some at a time: of more, the kernel takes those that its queue has no room for seconds later.
    while (idle.length < 2600) await Promise.all(Array.from({ length: 200 }, connected))
    await until('the first ones are cut', async () => idle[0]?.destroyed || undefined)
    await isThere()
    for (const socket of idle) socket.destroy()
  })

  it('of a client that reads no answer are cut', async () => {
    const { response, text, close } = await stream('/sse/good', {
      'x-api-key': gateway.key,
      accept: 'text/event-stream',
    })
    const place = await until('the place', async () => /^data: (\S+)/m.exec(text())?.[1])
    response.pause()
    const body = call('echo').replace('"_meta"', `"arguments":{"x":"${'x'.repeat(1_000_000)}"},"_meta"`)
    for (let sent = 0; sent < 50; sent++) await post(place, body.replace('"id":7', `"id":${sent}`))
    const ping = '{"jsonrpc":"2.0","method":"notifications/initialized"}'
    await until('the stream is cut', async () => (await post(place, ping)).status === 404 || undefined)
    close()
    await isThere()
  })
})
