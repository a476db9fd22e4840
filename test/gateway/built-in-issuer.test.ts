// The gateway issues tokens itself, on Node 22: the requests of older clients as they stand, a person's login, refresh, and what is refused.
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { importJWK, SignJWT } from 'jose'
import * as oauth from 'oauth4webapi'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Authority, contents } from '../support/certificates.ts'
import { child, configured, type RpcAnswer } from '../support/gateway.ts'
import { Resident } from '../support/resident.ts'
import { freePort, nodeForInspector } from '../support/tools.ts'
import { command, Watched } from '../support/watched.ts'

const json = { 'content-type': 'application/json' }
const insecure = { [oauth.allowInsecureRequests]: true }
const question = '{"jsonrpc":"2.0","method":"tools/list","id":1}'
const registering = {
  client_name: 'My MCP Client',
  user_id: 'user_123',
  mcp_server_instance_id: 'instance_456',
  grant_types: ['client_credentials'],
}

let watched: Watched
let url: string
let gateway: Resident
let authority: Authority
/** Where documents of clients are, and what it has been asked for. */
let documents: Server
let documentsUrl: string
const fetched: string[] = []
/** What the gateway takes in most tests. */
let usual: object

async function started(builtIn: object | boolean, port: number): Promise<Resident> {
  const connectors = { instance_456: child(), other: child(), scoped: { ...child(), scopes: ['notes:read'] } }
  const file = configured(watched, connectors, { access: { oauth: { builtIn } } })
  const [, ...words] = command('mcp-proxy', 'start', '--all', '--config', file, '--http', `127.0.0.1:${port}`)
  const resident = watched.adopt(
    new Resident([nodeForInspector(), ...words, '--state-dir', watched.directory], {
      NODE_EXTRA_CA_CERTS: authority.ca.cert,
    }),
  )
  await resident.line(/Proxy started/)
  return resident
}

beforeAll(async () => {
  watched = new Watched()
  const port = await freePort()
  url = `http://127.0.0.1:${port}`
  authority = await Authority.create()
  documents = await documentServer(authority)
  const { port: own } = documents.address() as AddressInfo
  documentsUrl = `https://127.0.0.1:${own}`
  // localhost is named as well, and is a name: it leads to this machine, where no document may come from.
  const clientDocuments = [`127.0.0.1:${own}`, `localhost:${own}`]
  usual = { registration: 'open', tokenLifetime: '24h', clientDocuments }
  gateway = await started(usual, port)
})

afterAll(() => {
  documents.close()
  authority.remove()
  return watched.remove()
})

const redirect = 'http://127.0.0.1:45999/callback'

/** Serves a good document, and one of each kind that is refused. */
async function documentServer(by: Authority): Promise<Server> {
  const server = createServer(contents(await by.issueLocal()), ({ url: path = '', headers }, response) => {
    fetched.push(path)
    const client_id = `https://${headers.host}${path}`
    const client = { client_id, client_name: 'App of a document', redirect_uris: [redirect] }
    const bodies: Readonly<Record<string, object>> = {
      '/app': { ...client, grant_types: ['authorization_code', 'refresh_token'] },
      '/machine': { ...client, grant_types: ['client_credentials'], response_types: [] },
      '/other': { ...client, client_id: `https://${headers.host}/app` },
      '/big': { ...client, client_uri: `https://example.com/${'x'.repeat(6000)}` },
      '/secret': { ...client, token_endpoint_auth_method: 'client_secret_post' },
    }
    if (path === '/moved') response.writeHead(302, { location: '/app' }).end()
    else response.end(JSON.stringify(bodies[path] ?? 'no object'))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}

const post = (path: string, body: object | string, headers: Record<string, string> = {}) =>
  fetch(`${url}${path}`, {
    method: 'POST',
    headers: { ...json, ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })

const ask = (path: string, token: string) => post(path, question, { authorization: `Bearer ${token}` })

interface Registered {
  readonly client_id: string
  readonly client_secret: string
}

async function registered(wishes: object = registering): Promise<Registered> {
  const answer = await post('/oauth/register', wishes)
  expect(answer.status).toBe(201)
  return (await answer.json()) as Registered
}

async function machineToken({ client_id, client_secret }: Registered, more: object = {}): Promise<Response> {
  const asked = { grant_type: 'client_credentials', client_id, client_secret, scope: 'mcp:access', ...more }
  return await post('/oauth/token', asked)
}

const tokenIn = async (answer: Response) => ((await answer.json()) as { access_token: string }).access_token

it('says of itself only what it does: each place that it names is there', async () => {
  for (const name of ['oauth-authorization-server', 'openid-configuration']) {
    const document = (await (await fetch(`${url}/.well-known/${name}`)).json()) as Record<string, unknown>
    const places = Object.entries(document).filter(([key]) => /(_endpoint|_uri)$/.test(key))
    expect(places.length).toBeGreaterThan(4)
    for (const [key, place] of places) {
      const method = /authorization_|jwks/.test(key) ? 'GET' : 'POST'
      expect((await fetch(String(place), { method })).status, String(place)).not.toBe(404)
    }
    expect(document.grant_types_supported).toEqual([
      'authorization_code',
      'refresh_token',
      'client_credentials',
    ])
    expect(document).not.toHaveProperty('dpop_signing_alg_values_supported')
  }
})

describe('a machine', () => {
  it('registers, gets a token and calls, with requests in JSON as its guide has them', async () => {
    const client = await registered()
    expect(client).toMatchObject({ ...registering, token_endpoint_auth_method: 'client_secret_post' })
    expect(client.client_id).toMatch(/^client_/)
    expect(client.client_secret).toMatch(/^secret_/)
    const answer = await machineToken(client)
    expect(answer.status).toBe(200)
    const granted = (await answer.json()) as { access_token: string }
    expect(granted).toMatchObject({ token_type: 'Bearer', expires_in: 86_400, scope: 'mcp:access' })
    const called = await ask('/mcp/instance-456', granted.access_token)
    expect(called.status).toBe(200)
    expect(((await called.json()) as RpcAnswer).result?.tools?.length).toBeGreaterThan(0)
    // It was registered for that connector alone.
    expect((await ask('/mcp/other', granted.access_token)).status).toBe(403)
  })

  it('gets none with a wrong secret, for another server, with a broken body or an endless one', async () => {
    const client = await registered()
    expect((await machineToken({ ...client, client_secret: 'secret_wrong' })).status).toBe(401)
    const elsewhere = await machineToken(client, { resource: 'https://example.com/mcp' })
    expect(await elsewhere.json()).toMatchObject({ error: 'invalid_target' })
    expect((await machineToken(client, { grant_type: ['client_credentials'] })).status).toBe(400)
    expect((await post('/oauth/token', '{')).status).toBe(400)
    expect((await post('/oauth/token', `{"x":"${'x'.repeat(70_000)}"}`)).status).toBe(413)
  })

  it('has a token for the gateway alone: changed, unsigned and from elsewhere it is refused', async () => {
    const token = await tokenIn(await machineToken(await registered()))
    const [head = '', payload = '', signature = ''] = token.split('.')
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
    const text = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const wrong = [
      `${head}.${text({ ...claims, connectors: undefined })}.${signature}`,
      `${text({ alg: 'none', typ: 'at+jwt' })}.${payload}.`,
      `${text({ alg: 'HS256', typ: 'at+jwt' })}.${payload}.${signature}`,
      `${head}.${text({ ...claims, iss: 'http://127.0.0.1:1' })}.${signature}`,
    ]
    for (const one of wrong) expect((await ask('/mcp/instance-456', one)).status).toBe(401)
    expect((await ask('/mcp/instance-456', token)).status).toBe(200)
  })
})

/** A program of a person: registers, or is known by its document, is let in with a key, and has a refresh token. */
async function letIn(key: string, document?: string) {
  const issuer = new URL(url)
  const found = await oauth.discoveryRequest(issuer, { ...insecure, algorithm: 'oauth2' })
  const server = await oauth.processDiscoveryResponse(issuer, found)
  const metadata = {
    redirect_uris: [redirect],
    client_name: 'An app <b>',
    grant_types: ['authorization_code', 'refresh_token'],
    token_endpoint_auth_method: 'none',
  }
  const client: oauth.Client =
    document === undefined
      ? await oauth.processDynamicClientRegistrationResponse(
          await oauth.dynamicClientRegistrationRequest(server, metadata, insecure),
        )
      : { client_id: document }
  const verifier = oauth.generateRandomCodeVerifier()
  const page = new URL(server.authorization_endpoint ?? '')
  const asked = {
    response_type: 'code',
    client_id: client.client_id,
    redirect_uri: redirect,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    scope: 'mcp:access',
    state: 'state',
    resource: `${url}/mcp`,
  }
  page.search = new URLSearchParams(asked).toString()
  const cookies = new Map<string, string>()
  const go = async (at: string, body?: URLSearchParams): Promise<Response> => {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const way = body === undefined ? {} : { method: 'POST', body }
    const response = await fetch(at, { ...way, redirect: 'manual', headers: { cookie } })
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      cookies.set(name, value)
    }
    return response
  }
  const location = (response: Response) => new URL(response.headers.get('location') ?? '', url).href
  const form = location(await go(page.href))
  const shown = await go(form)
  const html = await shown.text()
  expect(html).toContain(
    document === undefined ? 'An app &#60;b&#62;' : `App of a document (${new URL(document).host})`,
  )
  expect(shown.headers.get('content-security-policy')).toContain("form-action 'self' http://127.0.0.1:45999")
  const secret = 'canary-key-9e04'
  const refused = await go(form, new URLSearchParams({ token: secret }))
  expect(refused.status).toBe(401)
  // No page and no header repeats what was typed.
  expect((await refused.text()) + JSON.stringify([...refused.headers])).not.toContain(secret)
  const let_ = await go(form, new URLSearchParams({ token: key }))
  expect((await let_.text()) + JSON.stringify([...let_.headers])).not.toContain(key)
  const back = new URL(location(await go(location(let_))))
  const parameters = oauth.validateAuthResponse(server, client, back, 'state')
  const answer = await oauth.authorizationCodeGrantRequest(
    server,
    client,
    oauth.None(),
    parameters,
    redirect,
    verifier,
    insecure,
  )
  const tokens = await oauth.processAuthorizationCodeResponse(server, client, answer)
  const refresh = async (token: string | undefined) =>
    oauth.processRefreshTokenResponse(
      server,
      client,
      await oauth.refreshTokenGrantRequest(server, client, oauth.None(), token ?? '', insecure),
    )
  return { server, tokens, refresh }
}

describe('a person', () => {
  it('lets a program in with a key: it may do what the key may, renews its token, also after a restart, and ends with the key', async () => {
    const made = await watched.run('mcp-proxy', 'key', 'create', 'me', '--connectors', 'other')
    const { server, tokens, refresh } = await letIn(made.stdout.trim())
    expect(server.grant_types_supported).toContain('refresh_token')
    expect((await ask('/mcp/other', tokens.access_token)).status).toBe(200)
    expect((await ask('/mcp/instance-456', tokens.access_token)).status).toBe(403)
    const second = await refresh(tokens.refresh_token)
    expect((await ask('/mcp/other', second.access_token)).status).toBe(200)
    await gateway.stop()
    gateway = await started(usual, Number(new URL(url).port))
    expect((await ask('/mcp/other', second.access_token)).status).toBe(200)
    const third = await refresh(second.refresh_token)
    expect((await ask('/mcp/other', third.access_token)).status).toBe(200)
    await watched.run('mcp-proxy', 'key', 'revoke', 'me')
    await expect(refresh(third.refresh_token)).rejects.toMatchObject({ error: 'invalid_grant' })
    expect((await ask('/mcp/other', third.access_token)).status).toBe(401)
  })
})

describe('a client that is a document', () => {
  const authorize = (client_id: string) => {
    const asked = {
      response_type: 'code',
      client_id,
      redirect_uri: redirect,
      code_challenge: 'x'.repeat(43),
      code_challenge_method: 'S256',
      scope: 'mcp:access',
    }
    return fetch(`${url}/oauth/authorize?${new URLSearchParams(asked)}`, { redirect: 'manual' })
  }

  it('is let in by a person without a registration, and its document is fetched once', async () => {
    const made = await watched.run('mcp-proxy', 'key', 'create', 'document', '--connectors', 'other')
    const { server, tokens, refresh } = await letIn(made.stdout.trim(), `${documentsUrl}/app`)
    expect(server.client_id_metadata_document_supported).toBe(true)
    expect((await ask('/mcp/other', tokens.access_token)).status).toBe(200)
    expect((await ask('/mcp/instance-456', tokens.access_token)).status).toBe(403)
    const second = await refresh(tokens.refresh_token)
    expect((await ask('/mcp/other', second.access_token)).status).toBe(200)
    expect(fetched.filter((path) => path === '/app')).toHaveLength(1)
  })

  it('gets nothing when its document is elsewhere, on this machine by name, moved, endless, of another or wants a secret', async () => {
    expect((await authorize(`${documentsUrl}/app`)).status).toBe(303)
    const names = ['/moved', '/big', '/other', '/secret', '/text']
    for (const name of names) {
      expect((await authorize(`${documentsUrl}${name}`)).status, name).toBe(400)
      expect(fetched).toContain(name)
    }
    const before = fetched.length
    const { port } = new URL(documentsUrl)
    const elsewhere = [
      `https://localhost:${port}/app`,
      `https://127.0.0.2:${port}/app`,
      'https://127.0.0.1/app',
      `http://127.0.0.1:${port}/app`,
    ]
    for (const one of elsewhere) expect((await authorize(one)).status, one).toBe(400)
    expect(fetched).toHaveLength(before)
  })

  it('gets no token as a machine: its document proves nothing', async () => {
    const client_id = `${documentsUrl}/machine`
    const asked = { grant_type: 'client_credentials', client_id, scope: 'mcp:access' }
    const answer = await post('/oauth/token', asked)
    expect(answer.status).toBe(400)
    expect(fetched).toContain('/machine')
  })
})

describe('a token of its own', () => {
  it('is refused when it has expired, whoever signed it', async () => {
    const { keys } = JSON.parse(readFileSync(watched.file('mcp_proxy_oauth.json'), 'utf8'))
    const token = await tokenIn(await machineToken(await registered()))
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
    const { jwk } = keys[0]
    const key = await importJWK(jwk, 'RS256')
    // With the server's own key, so that nothing but the time differs.
    const until = (seconds: number) =>
      new SignJWT({ ...claims, exp: Math.floor(Date.now() / 1000) + seconds })
        .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid: jwk.kid })
        .sign(key)
    expect((await ask('/mcp/instance-456', await until(60))).status).toBe(200)
    const answer = await ask('/mcp/instance-456', await until(-60))
    expect(answer.status).toBe(401)
    expect(answer.headers.get('www-authenticate')).toMatch(/error="invalid_token".*expired/)
  })

  it('is refused where it lacks a scope, with the scope to ask for', async () => {
    const client = await registered({ ...registering, mcp_server_instance_id: undefined })
    const answer = await ask('/mcp/scoped', await tokenIn(await machineToken(client)))
    expect(answer.status).toBe(403)
    expect(answer.headers.get('www-authenticate')).toMatch(/error="insufficient_scope".*notes:read/)
    const more = await tokenIn(await machineToken(client, { scope: 'mcp:access notes:read' }))
    expect((await ask('/mcp/scoped', more)).status).toBe(200)
  })

  it('gets nothing of a session that another client began', async () => {
    const [mine, others] = await Promise.all(
      [0, 1].map(async () => tokenIn(await machineToken(await registered()))),
    )
    const params = {
      protocolVersion: '2025-11-25',
      capabilities: {},
      clientInfo: { name: 'a', version: '1' },
    }
    const opening = { jsonrpc: '2.0', id: 0, method: 'initialize', params }
    const accept = 'application/json, text/event-stream'
    const begun = await post('/mcp/instance-456', opening, { authorization: `Bearer ${mine}`, accept })
    const session = { 'mcp-session-id': begun.headers.get('mcp-session-id') ?? '', accept }
    const use = (token = '') =>
      post('/mcp/instance-456', question, { ...session, authorization: `Bearer ${token}` })
    expect((await use(others)).status).toBe(404)
    expect((await use(mine)).status).toBe(200)
  })
})

describe('registration and keys', () => {
  it('need the registration token by default; the signing key is replaced when it is old, and its tokens hold', async () => {
    const token = await tokenIn(await machineToken(await registered()))
    await gateway.stop()
    const file = watched.file('mcp_proxy_oauth.json')
    expect(statSync(file).mode & 0o777).toBe(0o600)
    const kept = JSON.parse(readFileSync(file, 'utf8'))
    kept.keys[0].madeAt -= 91 * 24 * 3_600_000
    writeFileSync(file, JSON.stringify(kept), { mode: 0o600 })
    gateway = await started(true, Number(new URL(url).port))
    const jwks = (await (await fetch(`${url}/oauth/jwks`)).json()) as { keys: { kid: string; d?: string }[] }
    expect(jwks.keys).toHaveLength(2)
    expect(jwks.keys.every(({ d }) => d === undefined)).toBe(true)
    expect((await ask('/mcp/instance-456', token)).status).toBe(200)
    expect((await post('/oauth/register', registering)).status).toBe(401)
    const secret = readFileSync(watched.file('mcp_proxy_registration_token'), 'utf8').trim()
    const answer = await post('/oauth/register', registering, { authorization: `Bearer ${secret}` })
    expect(answer.status).toBe(201)
    const newer = await tokenIn(await machineToken((await answer.json()) as Registered))
    expect(JSON.parse(Buffer.from(newer.split('.')[0] ?? '', 'base64url').toString()).kid).not.toBe(
      kept.keys[0].jwk.kid,
    )
    expect((await ask('/mcp/instance-456', newer)).status).toBe(200)
  })

  it('are refused where they cannot be: on Node 20, and open beyond loopback', async () => {
    const file = configured(watched, { echo: child() }, { access: { oauth: { builtIn: true } } })
    await gateway.stop()
    if (Number(process.versions.node.split('.')[0]) < 22) {
      const old = await watched.run('mcp-proxy', 'start', '--all', '--config', file, '--http', '127.0.0.1:1')
      expect(old.code).toBe(78)
      expect(old.stderr).toContain('needs Node 22 or newer')
    }
    const access = { oauth: { builtIn: { registration: 'open' }, resource: 'https://mcp.example.com' } }
    const open = configured(watched, { echo: child() }, { access })
    const at = ['--http', '0.0.0.0:1', '--insecure-http']
    const refused = await watched.run('mcp-proxy', 'start', '--all', '--config', open, ...at)
    expect(refused.code).toBe(78)
    expect(refused.stderr).toContain('on loopback alone')
  })
})
