// Who may use the gateway over HTTP, by which road a key may come, and how much one client may take.
import { readFileSync, statSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ApiKeys } from '../../src/record/api-keys.ts'
import { child, type ServedGateway, servedWith } from '../support/gateway.ts'
import { until } from '../support/tools.ts'
import { Watched } from '../support/watched.ts'

const question = '{"jsonrpc":"2.0","method":"tools/list","id":1}'
const slow = (ms: number) =>
  `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"slow","arguments":{"ms":${ms}}}}`
const json = { 'content-type': 'application/json' }
const page = 'https://app.example.com'

function post(gateway: ServedGateway, path: string, headers: Record<string, string>, body = question) {
  return fetch(`${gateway.url}${path}`, { method: 'POST', headers: { ...json, ...headers }, body })
}

const initialize =
  '{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"hand","version":"1"}}}'

describe('a gateway with keys that a person has made', () => {
  const watched = new Watched()
  const keys = new ApiKeys(watched.directory, 'mcp_proxy_keys.json')
  const never = { scopes: ['control'], units: null, expiresAt: null } as const
  const laptop = keys.create({ ...never, name: 'laptop' })
  const other = keys.create({ ...never, name: 'other' })
  const old = keys.create({ ...never, name: 'old', expiresAt: '2026-01-01T00:00:00.000Z' })
  const scopeless = ([[], ['input', 'config']] as const).map((scopes, at) =>
    keys.create({ ...never, scopes, name: `scopeless ${at}` }),
  )
  const nothing = keys.create({ ...never, name: 'nothing', units: ['gone'] })
  const file = watched.file('mcp_proxy_keys.json')
  let gateway: ServedGateway
  let stamp = 0

  beforeAll(async () => {
    const requests = { inFlightPerKey: 2, inFlightPerSource: 3 }
    const access = { legacyKeys: true, cors: page, requests }
    gateway = await servedWith(watched, { echo: child() }, { access })
    stamp = statSync(file).mtimeMs
  })

  afterAll(() => watched.remove())

  it('makes no key of its own', () => {
    expect(gateway.key).toBe('')
  })

  it('takes a key by every road, where the older ones are switched on', async () => {
    const { secret } = laptop
    const roads: [string, Record<string, string>][] = [
      ['/mcp', { 'x-api-key': secret }],
      ['/mcp', { authorization: `Bearer ${secret}` }],
      ['/mcp', { 'api-key': secret }],
      [`/mcp?api-key=${secret}`, {}],
      [`/mcp/echo?api-key=${secret}`, {}],
    ]
    for (const [path, headers] of roads) expect((await post(gateway, path, headers)).status, path).toBe(200)
    expect((await post(gateway, `/mcp?api-key=${secret}`, { 'x-api-key': other.secret })).status).toBe(401)
    expect((await post(gateway, `/mcp?api-key=${secret}&api-key=other`, {})).status).toBe(401)
  })

  it('refuses a key that has expired, and one that may see nothing, with no list at all', async () => {
    expect((await post(gateway, '/mcp', { 'x-api-key': old.secret })).status).toBe(401)
    for (const path of ['/mcp', '/mcp/echo'])
      expect((await post(gateway, path, { 'x-api-key': nothing.secret })).status, path).toBe(403)
  })

  it('refuses a key without a scope that the gateway knows, wherever it is shown', async () => {
    for (const { secret } of scopeless) {
      const headers = { 'x-api-key': secret }
      expect((await post(gateway, '/mcp', headers)).status).toBe(401)
      expect((await fetch(`${gateway.url}/logs`, { headers })).status).toBe(401)
    }
  })

  it('lets a page of a listed origin ask and read, and no other one', async () => {
    const asked = await fetch(`${gateway.url}/mcp`, {
      method: 'OPTIONS',
      headers: {
        origin: page,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type,x-api-key,mcp-session-id,x-evil',
      },
    })
    expect(asked.status).toBe(204)
    expect(asked.headers.get('access-control-allow-origin')).toBe(page)
    expect(asked.headers.get('access-control-allow-headers')).toBe('content-type, x-api-key, mcp-session-id')
    const answer = await post(gateway, '/mcp', { 'x-api-key': laptop.secret, origin: page })
    expect(answer.status).toBe(200)
    expect(answer.headers.get('access-control-allow-origin')).toBe(page)
    expect(answer.headers.get('access-control-expose-headers')).toContain('Mcp-Session-Id')
    const stranger = await post(gateway, '/mcp', {
      'x-api-key': laptop.secret,
      origin: 'https://evil.example',
    })
    expect(stranger.status).toBe(403)
    expect(stranger.headers.get('access-control-allow-origin')).toBeNull()
  })

  it('tells a key, and an address, with too many requests under way to wait, while others go on', async () => {
    const held = new AbortController()
    const mine = { 'x-api-key': laptop.secret }
    const begin = (headers: Record<string, string>) =>
      void fetch(`${gateway.url}/mcp/echo`, {
        method: 'POST',
        headers: { ...json, ...headers },
        body: slow(60_000),
        signal: held.signal,
      }).catch(() => {})
    const answerOf = async (headers: Record<string, string>, wanted: number) => {
      const { status, answer } = await until(`status ${wanted}`, async () => {
        const response = await post(gateway, '/mcp/echo', headers)
        return response.status === wanted ? { status: response, answer: await response.text() } : undefined
      })
      return { retry: status.headers.get('retry-after'), answer }
    }
    begin(mine)
    begin(mine)
    const refused = await answerOf(mine, 429)
    expect(refused.retry).toBe('1')
    expect(JSON.parse(refused.answer)).toMatchObject({
      error: { code: -32_052, message: expect.stringContaining('key') },
    })
    expect((await post(gateway, '/mcp/echo', { 'x-api-key': other.secret })).status).toBe(200)
    begin({ 'x-api-key': other.secret })
    expect((await answerOf({ 'x-api-key': other.secret }, 429)).answer).toContain('address')
    held.abort()
    await answerOf(mine, 200)
  })

  it('ends the streams of a key that was revoked', async () => {
    const { secret, key } = keys.create({ ...never, name: 'revoked' })
    const headers = { 'x-api-key': secret, accept: 'application/json, text/event-stream' }
    const begun = await until('the new key is known', async () => {
      const answer = await post(gateway, '/mcp', headers, initialize)
      await answer.text()
      return answer.status === 200 ? answer : undefined
    })
    const id = begun.headers.get('mcp-session-id') ?? ''
    const streams = await Promise.all(
      ['/mcp', '/sse'].map((path) =>
        fetch(`${gateway.url}${path}`, {
          headers: { 'x-api-key': secret, accept: 'text/event-stream', 'mcp-session-id': id },
        }),
      ),
    )
    keys.revoke(key.id)
    // They end by themselves.
    for (const stream of streams) expect(await stream.text()).toMatch(/^:/)
    expect((await post(gateway, '/mcp', headers)).status).toBe(401)
  })

  it('writes when keys were last used at its end, in one batch, and no key into anything that it writes', async () => {
    // The revoked key of the test before has changed it.
    stamp = statSync(file).mtimeMs
    await post(gateway, `/mcp?api-key=${laptop.secret}`, {})
    expect(statSync(file).mtimeMs).toBe(stamp)
    const { stdout } = await watched.run('mcp-proxy', 'status', '--json')
    process.kill(gateway.resident.pid, 'SIGTERM')
    await gateway.resident.ended()
    const known = new ApiKeys(watched.directory, 'mcp_proxy_keys.json').list()
    const used = known.filter(({ lastUsedAt }) => lastUsedAt !== null).map(({ name }) => name)
    expect(used).toEqual(['laptop', 'other', 'nothing'])
    const texts = [
      stdout,
      gateway.resident.output,
      ...['mcp_proxy.log', 'mcp-proxy-logs.jsonl', 'mcp-proxy-runtime-state.json', 'mcp_proxy_keys.json'].map(
        (name) => readFileSync(watched.file(name), 'utf8'),
      ),
    ]
    for (const text of texts) expect(text).not.toContain(laptop.secret)
  })
})

describe('a gateway of which nothing is said', () => {
  const watched = new Watched()
  let gateway: ServedGateway

  beforeAll(async () => {
    gateway = await servedWith(
      watched,
      { echo: child() },
      { access: { lastUsed: 0, requests: { ratePerKey: 4, ratePerSource: 40 } } },
    )
  })

  afterAll(() => watched.remove())

  it('takes no key from the header api-key or from the address, and lets no page in', async () => {
    const { key } = gateway
    expect((await post(gateway, '/mcp', { 'api-key': key })).status).toBe(401)
    const inAddress = await post(gateway, `/mcp?api-key=${key}`, {})
    expect(inAddress.status).toBe(401)
    expect(await inAddress.text()).not.toContain(key)
    expect((await post(gateway, '/mcp', { 'x-api-key': key, origin: page })).status).toBe(403)
  })

  it('slows a key down that asks faster than it may', async () => {
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => post(gateway, '/mcp', { 'x-api-key': gateway.key })),
    )
    const late = answers.filter(({ status }) => status === 429)
    expect(late.length).toBeGreaterThanOrEqual(4)
    expect(late[0]?.headers.get('retry-after')).toBe('1')
  })
})
