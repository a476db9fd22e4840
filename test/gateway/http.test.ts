// The HTTP face of the gateway: what curl, browsers and clients of either generation get.
import { readFileSync, statSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { child, type RpcAnswer, type ServedGateway, served } from '../support/gateway.ts'
import { Watched } from '../support/watched.ts'

const watched = new Watched()
let gateway: ServedGateway

beforeAll(async () => {
  gateway = await served(watched, { echo: child(), two: child() })
})

afterAll(() => watched.remove())

const list = '{"jsonrpc":"2.0","method":"tools/list","id":1}'
const json = { 'content-type': 'application/json' }
const both = { ...json, accept: 'application/json, text/event-stream' }

async function post(path: string, headers: Record<string, string>, body = list) {
  const response = await fetch(`${gateway.url}${path}`, { method: 'POST', headers, body })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

const keyed = () => ({ 'x-api-key': gateway.key })

async function names(path: string, headers: Record<string, string>) {
  const { text } = await post(path, headers)
  return (JSON.parse(text) as RpcAnswer).result?.tools?.map(({ name }) => name) ?? []
}

describe('a request without anything but a question, as curl sends it', () => {
  it('is answered: with a key in X-API-Key, or as a bearer token', async () => {
    expect(await names('/mcp/echo', { ...json, ...keyed() })).toContain('echo')
    expect(await names('/mcp', { ...json, authorization: `Bearer ${gateway.key}` })).toContain('two__echo')
  })

  it('is answered with a session id that its sender has made up, and the id is never adopted', async () => {
    const { status, headers } = await post('/mcp/echo', {
      ...json,
      ...keyed(),
      'mcp-session-id': 'unique-session-id',
    })
    expect(status).toBe(200)
    expect(headers.get('mcp-session-id')).toBeNull()
    const again = await post('/mcp/echo', { ...both, ...keyed(), 'mcp-session-id': 'unique-session-id' })
    expect(again.status).toBe(404)
  })

  it('takes the long name of a tool at the place of one connector, too', async () => {
    for (const name of ['echo', 'echo__echo']) {
      const body = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"${name}"}}`
      const { text } = await post('/mcp/echo', { ...json, ...keyed() }, body)
      expect(text).toContain('"content"')
    }
  })
})

describe('a session of the older generation', () => {
  const initialize =
    '{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"hand","version":"1"}}}'

  it('begins, has a stream, ends, and is then unknown', async () => {
    const begun = await post('/mcp', { ...both, ...keyed() }, initialize)
    const id = begun.headers.get('mcp-session-id') ?? ''
    expect(id).toMatch(/^[\x21-\x7e]{30,}$/)
    const within = { ...both, ...keyed(), 'mcp-session-id': id }
    expect(
      (await post('/mcp', within, '{"jsonrpc":"2.0","method":"notifications/initialized"}')).status,
    ).toBe(202)
    expect((await post('/mcp', within)).text).toContain('echo__echo')
    // It is bound to the place that it was begun at.
    expect((await post('/mcp/echo', within)).status).toBe(404)
    const stream = await fetch(`${gateway.url}/mcp`, {
      headers: { accept: 'text/event-stream', ...keyed(), 'mcp-session-id': id },
    })
    expect(stream.headers.get('content-type')).toBe('text/event-stream')
    const reader = stream.body?.getReader()
    // Its first byte comes at once.
    expect((await reader?.read())?.value?.length).toBeGreaterThan(0)
    const ended = await fetch(`${gateway.url}/mcp`, {
      method: 'DELETE',
      headers: { ...keyed(), 'mcp-session-id': id },
    })
    expect(ended.status).toBe(200)
    expect((await reader?.read())?.done).toBe(true)
    expect((await post('/mcp', within)).status).toBe(404)
  })
})

describe('health', () => {
  it('needs no key', async () => {
    for (const path of ['/health', '/healthz']) {
      const response = await fetch(`${gateway.url}${path}`)
      const body = (await response.json()) as { status: string; timestamp: string }
      expect(body.status).toBe('ok')
      expect(new Date(body.timestamp).toISOString()).toBe(body.timestamp)
    }
  })
})

describe('figures and readiness', () => {
  it('tell strangers nothing but whether all is well, and a key everything', async () => {
    await post(
      '/mcp/echo',
      { ...json, ...keyed() },
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}',
    )
    expect((await fetch(`${gateway.url}/metrics`)).status).toBe(401)
    const figures = await (await fetch(`${gateway.url}/metrics`, { headers: keyed() })).text()
    expect(figures).toMatch(/^port_watchdog_gateway_call_seconds_count\{connector="echo"\} [1-9]/m)
    expect(figures).toMatch(/^port_watchdog_gateway_connector_up\{connector="two"\} 1$/m)
    expect(figures).toMatch(/^port_watchdog_gateway_refusals_total\{status="401",reason="forbidden"\} [1-9]/m)
    expect(await (await fetch(`${gateway.url}/readyz`)).json()).toEqual({ status: 'ready' })
    const told = (await (await fetch(`${gateway.url}/readyz`, { headers: keyed() })).json()) as {
      connectors: object[]
    }
    expect(told.connectors).toHaveLength(2)
  })
})

describe('the key that the first start makes', () => {
  it('is in a file of its owner alone, and in no output, log or status', async () => {
    expect(statSync(watched.file('mcp_proxy_key')).mode & 0o777).toBe(0o600)
    const { stdout } = await watched.run('mcp-proxy', 'status')
    expect(stdout).toContain(watched.file('mcp_proxy_key'))
    const texts = [
      stdout,
      gateway.resident.output,
      readFileSync(watched.file('mcp_proxy.log'), 'utf8'),
      readFileSync(watched.file('mcp-proxy-logs.jsonl'), 'utf8'),
    ]
    for (const text of texts) expect(text).not.toContain(gateway.key)
  })
})
