// Who is let in with a key, who with a token of OAuth, to what, and how each wrong token is refused.
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { generateKeyPair, UnsecuredJWT } from 'jose'
import * as oauth from 'oauth4webapi'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ApiKeys } from '../../src/record/api-keys.ts'
import { child, configured, type RpcAnswer, type ServedGateway, servedWith } from '../support/gateway.ts'
import { OauthIssuer } from '../support/oauth-issuer.ts'
import { Watched } from '../support/watched.ts'

const watched = new Watched()
const question = '{"jsonrpc":"2.0","method":"tools/list","id":1}'
const call = (name: string) => `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"${name}"}}`
const json = { 'content-type': 'application/json' }
const both = { ...json, accept: 'application/json, text/event-stream' }
const insecure = { [oauth.allowInsecureRequests]: true }

let issuer: OauthIssuer
let stranger: OauthIssuer
let remote: Server
const heard: IncomingHttpHeaders[] = []
let gateway: ServedGateway
let key: string
let profiled: string
let forgotten: string

/** A server that runs elsewhere, and remembers what it is sent. */
async function openRemote(): Promise<string> {
  const results: Readonly<Record<string, object>> = {
    initialize: {
      protocolVersion: '2025-11-25',
      capabilities: { tools: {} },
      serverInfo: { name: 'remote', version: '1' },
    },
    'tools/list': { tools: [{ name: 'there', inputSchema: { type: 'object' } }] },
    'tools/call': { content: [{ type: 'text', text: 'done' }] },
  }
  remote = createServer((request, response) => {
    heard.push(request.headers)
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      if (request.method !== 'POST') return response.writeHead(405).end()
      const { id, method } = JSON.parse(Buffer.concat(chunks).toString('utf8'))
      if (id === undefined) return response.writeHead(202).end()
      const result = results[method]
      const error = { code: -32_601, message: 'Method not found' }
      const answer = { jsonrpc: '2.0', id, ...(result === undefined ? { error } : { result }) }
      return response.writeHead(200, json).end(JSON.stringify(answer))
    })
  })
  await new Promise<void>((resolve) => remote.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(remote.address() as AddressInfo).port}/mcp`
}

beforeAll(async () => {
  ;[issuer, stranger] = await Promise.all([OauthIssuer.open(), OauthIssuer.open()])
  const connectors = {
    echo: child(),
    keys: { ...child(), authType: 'API_KEY' },
    tokens: { ...child(), authType: 'OAUTH' },
    nobody: { ...child(), authType: 'NONE', start: 'demand' },
    scoped: { ...child(), scopes: 'files:read', toolScopes: { 'wr*': 'files:write' } },
    remote: { url: await openRemote() },
  }
  const profiles = {
    dev: { connectors: ['echo', 'scoped'], tools: { allow: ['*__echo', 'echo__pid'], deny: 'scoped__*' } },
    agents: { connectors: 'echo', authType: 'OAUTH' },
  }
  const keys = new ApiKeys(watched.directory, 'mcp_proxy_keys.json')
  const given = { name: 'all', scopes: ['control'], units: null, expiresAt: null } as const
  key = keys.create(given).secret
  forgotten = keys.create({ ...given, name: 'forgotten', profile: 'gone' }).secret
  const created = await watched.run('mcp-proxy', 'key', 'create', 'dev', '--profile', 'dev')
  profiled = created.stdout.trim()
  const access = { oauth: { issuer: issuer.url, audience: 'urn:api' }, profiles }
  gateway = await servedWith(watched, connectors, { access })
})

afterAll(async () => {
  await watched.remove()
  remote.close()
  await Promise.all([issuer.close(), stranger.close()])
})

function post(path: string, headers: Record<string, string>, body = question) {
  return fetch(`${gateway.url}${path}`, { method: 'POST', headers: { ...json, ...headers }, body })
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

async function listed(path: string, headers: Record<string, string>): Promise<readonly string[]> {
  const answer = await post(path, headers)
  expect(answer.status).toBe(200)
  const { result } = (await answer.json()) as RpcAnswer
  return result?.tools?.map(({ name }) => name) ?? []
}

const connectorsIn = (names: readonly string[]) => [...new Set(names.map((name) => name.split('__')[0]))]

describe('authType of a connector', () => {
  it.each([
    ['echo', 200, 200],
    ['keys', 200, 403],
    ['tokens', 403, 200],
    ['nobody', 403, 403],
  ])('%s: %i with a key, %i with a token', async (connector, withKey, withToken) => {
    const token = await issuer.token({ aud: gateway.url })
    expect((await post(`/mcp/${connector}`, { 'x-api-key': key })).status).toBe(withKey)
    expect((await post(`/mcp/${connector}`, bearer(token))).status).toBe(withToken)
    expect((await post(`/mcp/${connector}`, {})).status).toBe(401)
  })

  it('decides what is in the list of all', async () => {
    const token = await issuer.token({ aud: `${gateway.url}/mcp` })
    expect(connectorsIn(await listed('/mcp', { 'x-api-key': key }))).toEqual([
      'echo',
      'keys',
      'scoped',
      'remote',
    ])
    expect(connectorsIn(await listed('/mcp', bearer(token)))).toEqual(['echo', 'tokens', 'remote'])
  })
})

describe('a profile', () => {
  const expected = ['echo__echo', 'echo__pid']

  it('is a part of what is offered, at a place of its own, and all that a key sees that is bound to it', async () => {
    expect(await listed('/mcp/p/dev', { 'x-api-key': key })).toEqual(expected)
    expect(await listed('/mcp/p/dev', { 'x-api-key': profiled })).toEqual(expected)
    expect(await listed('/mcp', { 'x-api-key': profiled })).toEqual(expected)
    expect(await listed('/mcp/echo', { 'x-api-key': profiled })).toEqual(['echo', 'pid'])
    const outside = (await (
      await post('/mcp', { 'x-api-key': profiled }, call('echo__slow'))
    ).json()) as RpcAnswer
    expect(outside.error?.code).toBe(-32_602)
  })

  it('refuses what is not in it, and a key whose profile is gone sees nothing', async () => {
    expect((await post('/mcp/keys', { 'x-api-key': profiled })).status).toBe(403)
    expect((await post('/mcp/p/agents', { 'x-api-key': profiled })).status).toBe(403)
    expect((await post('/mcp/p/nothing', { 'x-api-key': key })).status).toBe(404)
    expect((await post('/mcp', { 'x-api-key': forgotten })).status).toBe(403)
  })

  it('has an authType, which holds beside that of its connectors', async () => {
    expect((await post('/mcp/p/agents', { 'x-api-key': key })).status).toBe(403)
    expect((await post('/mcp/p/agents', bearer(await issuer.token({ aud: 'urn:api' })))).status).toBe(200)
  })
})

describe('OAuth', () => {
  it('is found, asked for and used by a client of its own library, from the refusal to the answer', async () => {
    const url = new URL(`${gateway.url}/mcp/scoped`)
    const refused = await post('/mcp/scoped', {})
    const challenge = refused.headers.get('www-authenticate') ?? ''
    expect(refused.status).toBe(401)
    expect(challenge).toContain('scope="files:read"')
    expect(challenge).toContain(
      `resource_metadata="${gateway.url}/.well-known/oauth-protected-resource/mcp/scoped"`,
    )
    const resource = await oauth.processResourceDiscoveryResponse(
      url,
      await oauth.resourceDiscoveryRequest(url, insecure),
    )
    expect(resource).toMatchObject({
      resource: url.href,
      authorization_servers: [issuer.url],
      scopes_supported: ['files:read'],
    })
    const at = new URL(resource.authorization_servers?.[0] ?? '')
    const server = await oauth.processDiscoveryResponse(
      at,
      await oauth.discoveryRequest(at, { ...insecure, algorithm: 'oauth2' }),
    )
    const client = { client_id: 'client' }
    const grant = await oauth.clientCredentialsGrantRequest(
      server,
      client,
      oauth.ClientSecretPost('secret'),
      { resource: url.href, scope: 'files:read' },
      insecure,
    )
    const { access_token } = await oauth.processClientCredentialsResponse(server, client, grant)
    const ask = (body: string) =>
      oauth.protectedResourceRequest(access_token, 'POST', url, new Headers(json), body, insecure)
    expect(((await (await ask(question)).json()) as RpcAnswer).result?.tools?.length).toBeGreaterThan(0)
    // One tool needs more: the refusal says what, beside what the token allows already.
    const more = await fetch(url, {
      method: 'POST',
      headers: { ...json, ...bearer(access_token) },
      body: call('write'),
    })
    expect(more.status).toBe(403)
    expect(more.headers.get('www-authenticate')).toMatch(
      /error="insufficient_scope".*scope="files:read files:write".*resource_metadata=/,
    )
    const able = await issuer.token({ aud: url.href, scope: 'files:read files:write' })
    const done = await post('/mcp/scoped', bearer(able), call('write'))
    expect(((await done.json()) as RpcAnswer).result?.content).toHaveLength(1)
  })

  it('serves the documents of the issuer, for clients that look for them here', async () => {
    for (const name of ['oauth-authorization-server', 'openid-configuration']) {
      const document = await (await fetch(`${gateway.url}/.well-known/${name}`)).json()
      expect(document).toMatchObject({ issuer: issuer.url, token_endpoint: `${issuer.url}/token` })
    }
    expect((await fetch(`${gateway.url}/.well-known/other`)).status).toBe(404)
  })

  type Made = () => Promise<string>
  const wrong: Readonly<Record<string, readonly [made: Made, status: number, said: RegExp, path?: string]>> =
    {
      'one that has expired': [() => issuer.token({ aud: gateway.url }, { lifetime: -60 }), 401, /expired/],
      'one for another server': [
        () => issuer.token({ aud: 'https://other.example/mcp' }),
        401,
        /not for this/,
      ],
      'one for another place': [() => issuer.token({ aud: `${gateway.url}/mcp/echo` }), 401, /not for this/],
      'one for nobody': [() => issuer.token({}), 401, /not for this/],
      'one of an issuer that is not known': [() => stranger.token({ aud: gateway.url }), 401, /issuer/],
      'one that names the issuer, signed by another': [
        () => stranger.token({ aud: gateway.url }, { issuer: issuer.url }),
        401,
        /signed/,
      ],
      'one with another key': [
        async () => issuer.token({ aud: gateway.url }, { key: (await generateKeyPair('ES256')).privateKey }),
        401,
        /signed/,
      ],
      'one without a signature (alg none)': [
        async () =>
          new UnsecuredJWT({ sub: 'agent' })
            .setIssuer(issuer.url)
            .setAudience(gateway.url)
            .setExpirationTime('5m')
            .encode(),
        401,
        /signed/,
      ],
      'one that is no access token': [
        () => issuer.token({ aud: gateway.url }, { typ: 'logout+jwt' }),
        401,
        /something else/,
      ],
      'one that lacks a scope': [
        () => issuer.token({ aud: gateway.url, scope: 'other' }),
        403,
        /insufficient_scope.*files:read/,
        '/mcp/scoped',
      ],
    }

  it.each(Object.entries(wrong).map(([what, one]) => ({ what, one })))('refuses $what', async ({ one }) => {
    const [made, status, said, path = '/mcp/tokens'] = one
    const answer = await post(path, bearer(await made()))
    expect(answer.status).toBe(status)
    expect(answer.headers.get('www-authenticate')).toMatch(said)
    expect(await answer.json()).toMatchObject({ jsonrpc: '2.0', error: { code: expect.any(Number) } })
  })

  it('binds a session to who began it', async () => {
    const mine = await issuer.token({ aud: gateway.url })
    const others = await issuer.token({ aud: gateway.url, sub: 'somebody else' })
    const begin =
      '{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"hand","version":"1"}}}'
    const begun = await post('/mcp', { ...both, ...bearer(mine) }, begin)
    const within = { ...both, 'mcp-session-id': begun.headers.get('mcp-session-id') ?? '' }
    expect((await post('/mcp', { ...within, ...bearer(mine) })).status).toBe(200)
    expect((await post('/mcp', { ...within, ...bearer(others) })).status).toBe(404)
    expect((await post('/mcp', { ...within, 'x-api-key': key })).status).toBe(404)
  })

  it('asks the issuer once, not for each token, and passes no token on to a server', async () => {
    const token = await issuer.token({ aud: gateway.url, sub: 'remote' })
    const answer = await post('/mcp/remote', bearer(token), call('there'))
    expect(await answer.text()).toContain('done')
    expect(issuer.asked.filter((path) => path === '/jwks')).toHaveLength(1)
    expect(heard.length).toBeGreaterThan(0)
    expect(JSON.stringify(heard)).not.toContain('authorization')
    expect(JSON.stringify(heard)).not.toContain(token)
  })
})

describe('--allow-none, and an issuer that does not answer', () => {
  const own = new Watched()
  let open: ServedGateway
  let mine: OauthIssuer

  beforeAll(async () => {
    mine = await OauthIssuer.open()
    const connectors = { free: child(), kept: { ...child(), authType: 'BOTH' } }
    const access = { oauth: { issuer: mine.url } }
    open = await servedWith(own, connectors, { access }, '--allow-none')
  })

  afterAll(async () => {
    await own.remove()
    await mine.close()
  })

  const ask = (path: string, headers: Record<string, string> = {}) =>
    fetch(`${open.url}${path}`, { method: 'POST', headers: { ...json, ...headers }, body: question })

  it('admits everybody to what says nothing itself, and nobody without a key or token to what does', async () => {
    const answer = (await (await ask('/mcp')).json()) as RpcAnswer
    expect(connectorsIn(answer.result?.tools?.map(({ name }) => name) ?? [])).toEqual(['free'])
    expect((await ask('/mcp/free', { 'x-api-key': 'of another gateway' })).status).toBe(200)
    const refused = await ask('/mcp/kept')
    expect(refused.status).toBe(401)
    expect(refused.headers.get('www-authenticate')).toContain('resource_metadata')
  })

  it('ends the stream of a token that expires, and no session whose client has shown a newer one', async () => {
    const begin =
      '{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"hand","version":"1"}}}'
    const inSession = (body: string, headers: Record<string, string>) =>
      fetch(`${open.url}/mcp/kept`, { method: 'POST', headers: { ...both, ...headers }, body })
    const short = bearer(await mine.token({ aud: open.url }, { lifetime: -6 }))
    const begun = await inSession(begin, short)
    const session = { 'mcp-session-id': begun.headers.get('mcp-session-id') ?? '' }
    const longer = bearer(await mine.token({ aud: open.url }))
    expect((await inSession(question, { ...session, ...longer })).status).toBe(200)
    const token = await mine.token({ aud: open.url }, { lifetime: -6 })
    const stream = await fetch(`${open.url}/sse/kept`, { headers: bearer(token) })
    expect(stream.status).toBe(200)
    // It ends by itself: the clocks of both may differ by ten seconds.
    expect(await stream.text()).toContain('event: endpoint')
    expect((await inSession(question, { ...session, ...short })).status).toBe(401)
    expect((await inSession(question, { ...session, ...longer })).status).toBe(200)
  })

  it('does not judge a token while its issuer is away: 503, and the time to wait', async () => {
    const known = await mine.token({ aud: open.url })
    expect((await ask('/mcp/kept', bearer(known))).status).toBe(200)
    const dead = await OauthIssuer.open()
    const lost = new Watched()
    try {
      const access = { oauth: { issuer: dead.url } }
      const gone = await servedWith(lost, { echo: child() }, { access })
      const token = await dead.token({ aud: gone.url })
      await dead.close()
      const answer = await fetch(`${gone.url}/mcp`, {
        method: 'POST',
        headers: { ...json, ...bearer(token) },
        body: question,
      })
      expect(answer.status).toBe(503)
      expect(answer.headers.get('retry-after')).toMatch(/^[1-9]/)
      expect((await fetch(`${gone.url}/.well-known/openid-configuration`)).status).toBe(503)
    } finally {
      await lost.remove()
    }
  })

  it('does not start when a variable of Auth0 is not set, and names it', async () => {
    const file = configured(own, { echo: child() }, { access: { oauth: { auth0: true } } })
    const lost = new Watched()
    try {
      const { code, stderr } = await lost.run(
        'mcp-proxy',
        'start',
        '--all',
        '--config',
        file,
        '--http',
        '127.0.0.1:1',
      )
      expect(code).toBe(78)
      expect(stderr).toContain('AUTH0_DOMAIN')
    } finally {
      await lost.remove()
    }
  })
})
