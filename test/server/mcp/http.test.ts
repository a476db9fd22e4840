// `/mcp` of a running monitor: what a key may, sessions of the older protocol, streams of the new one.
import { type Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ListenedUris } from '../../../src/server/mcp/listened-uris.ts'
import { call, eras, newClient } from '../../support/agent.ts'
import { askApi } from '../../support/api.ts'
import { type ServedMcp, serveMcp } from '../../support/mcp-http.ts'
import { freePort, until } from '../../support/tools.ts'
import { echoServer, Watched } from '../../support/watched.ts'

const watched = new Watched()
const opened: Client[] = []
let served: ServedMcp

beforeAll(async () => {
  const target = `localhost:${(await echoServer()).port}`
  served = await serveMcp(watched, [
    { name: 'web', listen: await freePort(), target },
    { name: 'api', listen: await freePort(), target },
  ])
})

afterAll(async () => {
  for (const client of opened) await client.close()
  await watched.remove()
})

async function connected(era: (typeof eras)[number], key: string): Promise<Client> {
  const client = newClient(era)
  const requestInit = { headers: { authorization: `Bearer ${key}` } }
  await client.connect(new StreamableHTTPClientTransport(served.url, { requestInit }))
  opened.push(client)
  return client
}

const initialize = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } },
}

describe.each(eras)('An agent with a key, of the %s protocol', (era) => {
  it('that only reads is offered nothing else, and may do nothing else', async () => {
    const client = await connected(era, await served.key(`reader-${era}`, '--scope', 'read'))
    const { tools } = await client.listTools()
    expect(tools.every(({ annotations }) => annotations?.readOnlyHint === true)).toBe(true)
    expect(tools.map(({ name }) => name)).toContain('process_list')
    const said = await call(client, 'process_stop', { units: ['web'] })
    expect(said.text).toMatch(
      /^not-permitted: this key may not use process_stop\. Next: use a key with the scope control/,
    )
    expect((await call(client, 'process_list')).text).toMatch(/web \(forward\) (?:healthy|waiting)/)
  })

  it('that is bound to a unit sees no other one', async () => {
    const client = await connected(
      era,
      await served.key(`web-${era}`, '--scope', 'read,control', '--program', 'web'),
    )
    expect((await call(client, 'process_list')).structured).toMatchObject({ units: [{ name: 'web' }] })
    expect((await call(client, 'process_stop', { units: ['api'] })).text).toBe(
      'unknown-unit: there is no forward or program "api". Next: name one of web',
    )
    expect((await client.listResources()).resources.map(({ uri }) => uri)).not.toContain('process://api/log')
    await expect(client.readResource({ uri: 'process://api/log' })).rejects.toThrow(/not found/)
  })

  it('is told of what changes, and of no more', async () => {
    const client = await connected(era, await served.key(`hears-${era}`, '--scope', 'read,control'))
    const updated = new Set<string>()
    client.setNotificationHandler(
      'notifications/resources/updated',
      ({ params }) => void updated.add(params.uri),
    )
    const uri = 'process://web/log'
    if (era === 'modern') await client.listen({ resourceSubscriptions: [uri] })
    else await client.subscribeResource({ uri })
    const other = await connected(era, await served.key(`orders-${era}`, '--scope', 'read,control'))
    await until('the change was told', async () => {
      await call(other, 'process_restart', { units: ['web', 'api'] })
      if (updated.size > 0) return true
      throw new Error('nothing was told')
    })
    expect([...updated]).toEqual([uri])
  })

  it('whose key is revoked gets nothing more', async () => {
    const name = `revoked-${era}`
    const client = await connected(era, await served.key(name, '--scope', 'read'))
    await call(client, 'process_list')
    await watched.run('proxy-ctl', 'key', 'revoke', name)
    await expect(call(client, 'process_list')).rejects.toThrow()
  })
})

describe('/mcp', () => {
  it('is for those with a key alone, and not for pages of strangers', async () => {
    const { port } = served
    const body = initialize
    expect((await askApi(port, '/mcp', { method: 'POST', body })).status).toBe(401)
    const key = await served.key('strangers', '--scope', 'read')
    const foreign = { origin: 'https://evil.example' }
    expect((await askApi(port, '/mcp', { method: 'POST', key, body, headers: foreign })).status).toBe(403)
    expect(
      (await askApi(port, '/mcp', { method: 'POST', key, body, headers: { host: 'evil.example' } })).status,
    ).not.toBe(200)
  })

  it('takes no body without bounds', async () => {
    const key = await served.key('long', '--scope', 'read')
    const body = { ...initialize, params: { text: 'x'.repeat(5 << 20) } }
    for (const headers of [{}, { 'transfer-encoding': 'chunked' }]) {
      // A client that still sends may see the end of the connection instead of the answer.
      const long = await askApi(served.port, '/mcp', { method: 'POST', key, body, headers }).catch(
        () => undefined,
      )
      expect(long?.status ?? 413).toBe(413)
    }
  })

  it('keeps little of what a client says of itself: a session lasts', async () => {
    const key = await served.key('talkative', '--scope', 'read')
    const headers = { accept: 'application/json, text/event-stream' }
    const open = (name: string) => {
      const params = { ...initialize.params, clientInfo: { name, version: '1' } }
      return askApi(served.port, '/mcp', { method: 'POST', key, body: { ...initialize, params }, headers })
    }
    expect((await open('short')).status).toBe(200)
    const long = await open('x'.repeat(1 << 20))
    expect([long.status, long.headers['mcp-session-id']]).toEqual([413, undefined])
  })

  it('takes no subscriptions without bounds: they are kept', async () => {
    const key = await served.key('subscriptions', '--scope', 'read')
    const ask = (body: unknown, headers: Record<string, string> = {}) => {
      const accept = 'application/json, text/event-stream'
      return askApi(served.port, '/mcp', { method: 'POST', key, body, headers: { accept, ...headers } })
    }
    const session = { 'mcp-session-id': String((await ask(initialize)).headers['mcp-session-id']) }
    const subscribe = (name: string) => ({
      ...{ jsonrpc: '2.0', id: 2, method: 'resources/subscribe' },
      params: { uri: `process://${name}/log` },
    })
    expect((await ask(subscribe('web'), session)).text).toContain('"result":{}')
    expect((await ask(subscribe('x'.repeat(1 << 20)), session)).text).toContain('"code":-32602')
    const listened = new ListenedUris()
    const taken = Array.from({ length: 300 }, (_, i) => listened.add(`process://p${i}/log`))
    expect(taken.filter(Boolean)).toHaveLength(200)
    expect(listened.add('process://p0/log')).toBe(true)
  })

  it('refuses more long orders of a key than 32 at once, also when nobody hears their answers', async () => {
    const key = await served.key('waits', '--scope', 'read')
    const ask = (body: unknown, headers: Record<string, string> = {}) => {
      const accept = 'application/json, text/event-stream'
      return askApi(served.port, '/mcp', { method: 'POST', key, body, headers: { accept, ...headers } })
    }
    const session = { 'mcp-session-id': String((await ask(initialize)).headers['mcp-session-id']) }
    const wait = (id: number) => ({
      ...{ jsonrpc: '2.0', id, method: 'tools/call' },
      params: { name: 'wait_ready', arguments: { units: ['web'], for: 'exited', timeoutMs: 3000 } },
    })
    const answers = await Promise.all(Array.from({ length: 40 }, (_, id) => ask(wait(id + 10), session)))
    expect(answers.filter(({ text }) => text.includes('"busy')).length).toBeGreaterThan(0)
    expect((await ask(wait(99), session)).text).toContain('timed-out')
  })

  it('tells a client whose session is gone to begin a new one', async () => {
    const key = await served.key('sessions', '--scope', 'read')
    const accept = { accept: 'application/json, text/event-stream' }
    const ask = (body: unknown, headers: Record<string, string> = {}) => {
      return askApi(served.port, '/mcp', { method: 'POST', key, body, headers: { ...accept, ...headers } })
    }
    const list = { jsonrpc: '2.0', id: 2, method: 'tools/list' }
    expect((await ask(list)).status).toBe(400)
    expect((await ask(list, { 'mcp-session-id': 'gone' })).status).toBe(404)
    const begun = await ask(initialize)
    expect(begun.status).toBe(200)
    const session = { 'mcp-session-id': String(begun.headers['mcp-session-id']) }
    expect((await ask(list, session)).text).toContain('process_list')
    // Of another key: it does not exist.
    const stranger = await served.key('others', '--scope', 'read')
    const stolen = await askApi(served.port, '/mcp', {
      method: 'POST',
      key: stranger,
      body: list,
      headers: { ...accept, ...session },
    })
    expect(stolen.status).toBe(404)
    expect((await askApi(served.port, '/mcp', { method: 'DELETE', key, headers: session })).status).toBe(200)
    expect((await ask(list, session)).status).toBe(404)
  })
})
