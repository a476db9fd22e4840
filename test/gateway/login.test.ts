// The gateway logs in at servers that want OAuth: tokens of a real authorization server, got once for all processes and never mixed up.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { Login, loginOptions } from '../../src/gateway/login/index.ts'
import { KeptLogin } from '../../src/gateway/login/kept-login.ts'
import { configured, type ServedGateway, servedWith } from '../support/gateway.ts'
import { OidcIssuer } from '../support/oidc-issuer.ts'
import { until } from '../support/tools.ts'
import { command, Watched } from '../support/watched.ts'

const json = { 'content-type': 'application/json' }
const machine = { client_id: 'machine', client_secret: 'a secret of a machine' }

let issuer: OidcIssuer
let server: ResourceServer
let watched: Watched
let lifetime = 300

/** An MCP server that takes tokens of the issuer for itself alone. */
class ResourceServer {
  readonly #server: Server
  /** Values of `Authorization` that it took, and those that it did not. */
  readonly taken: string[] = []
  refused = 0
  /** Scope that a call needs. */
  needed: string | undefined
  /** Tokens that it does not take any more, whatever they say. */
  readonly revoked = new Set<string>()

  private constructor(server: Server) {
    this.#server = server
  }

  static async open(): Promise<ResourceServer> {
    const server = createServer((request, response) => void own.#answer(request, response))
    const own = new ResourceServer(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return own
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/mcp`
  }

  async #answer(
    ...[request, response]: Parameters<Parameters<typeof createServer>[1] & object>
  ): Promise<void> {
    const metadata = new URL('/.well-known/oauth-protected-resource/mcp', this.url)
    if (request.url === metadata.pathname) {
      const document = {
        resource: this.url,
        authorization_servers: [issuer.url],
        scopes_supported: ['docs:read'],
      }
      return void response.writeHead(200, json).end(JSON.stringify(document))
    }
    const text = await bodyOf(request)
    const { authorization = '' } = request.headers
    const scopes = await this.#scopesOf(authorization)
    if (scopes === undefined) {
      this.refused++
      return void response
        .writeHead(401, { 'www-authenticate': `Bearer resource_metadata="${metadata}"` })
        .end()
    }
    if (request.method !== 'POST') return void response.writeHead(405).end()
    const { id, method } = JSON.parse(text)
    if (method === 'tools/call' && this.needed !== undefined && !scopes.includes(this.needed)) {
      const challenge = `Bearer error="insufficient_scope", scope="${this.needed}"`
      return void response.writeHead(403, { 'www-authenticate': challenge }).end()
    }
    this.taken.push(authorization)
    if (id === undefined) return void response.writeHead(202).end()
    const result = results[method]
    const error = { code: -32_601, message: 'Method not found' }
    const answer = { jsonrpc: '2.0', id, ...(result === undefined ? { error } : { result }) }
    response.writeHead(200, json).end(JSON.stringify(answer))
  }

  async #scopesOf(authorization: string): Promise<string[] | undefined> {
    if (this.revoked.has(authorization)) return undefined
    try {
      const keys = createRemoteJWKSet(new URL('/jwks', issuer.url))
      const { payload } = await jwtVerify(authorization.slice('Bearer '.length), keys, {
        issuer: issuer.url,
        audience: this.url,
      })
      return String(payload.scope ?? '').split(' ')
    } catch {
      return undefined
    }
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

const results: Readonly<Record<string, object>> = {
  initialize: {
    protocolVersion: '2025-11-25',
    capabilities: { tools: {} },
    serverInfo: { name: 'docs', version: '1' },
  },
  'tools/list': { tools: [{ name: 'read', inputSchema: { type: 'object' } }] },
  'tools/call': { content: [{ type: 'text', text: 'done' }] },
}

async function bodyOf(request: AsyncIterable<unknown>): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}

beforeAll(async () => {
  const client = { ...machine, grant_types: ['client_credentials'], redirect_uris: [], response_types: [] }
  issuer = await OidcIssuer.open({ clients: [client as never], lifetime: () => lifetime })
  server = await ResourceServer.open()
  watched = new Watched()
})

afterEach(async () => {
  await watched.remove()
  watched = new Watched()
  lifetime = 300
  issuer.omitsRefresh = false
  issuer.rotates = true
  issuer.grants.length = 0
  server.taken.length = 0
  server.needed = undefined
  server.revoked.clear()
})

afterAll(async () => {
  await watched.remove()
  await Promise.all([issuer.close(), server.close()])
})

/** Goes where a browser would go. @returns the address that it comes back to. */
async function browse(page: string, isThere: (url: string) => boolean): Promise<string> {
  const cookies = new Map<string, string>()
  let at = page
  for (let steps = 0; !isThere(at); steps++) {
    if (steps > 20) throw new Error(`${at} leads round and round`)
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const response = await fetch(at, { redirect: 'manual', headers: { cookie } })
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      cookies.set(name, value)
    }
    const location = response.headers.get('location')
    if (location === null) throw new Error(`${at} answers ${response.status}: ${await response.text()}`)
    at = new URL(location, at).href
  }
  return at
}

const docs = (auth: object | string = 'oauth') => ({ docs: { url: server.url, auth } })

async function logIn(file: string, brings = false): Promise<string> {
  const [program = '', ...words] = command('mcp-proxy', 'login', 'docs', '--config', file)
  const login = spawn(program, [...words, '--state-dir', watched.directory], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const ended = once(login, 'exit')
  let said = ''
  login.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString('utf8')
  })
  const page = await until('the page', async () => /^ {2}(http\S+)\n/m.exec(said)?.[1])
  const back = await browse(page, (url) => new URL(url).pathname === '/callback')
  // Anybody on this machine can ask there: what is no address, and what belongs to another login, ends nothing.
  const { port, hostname } = new URL(back)
  const odd = request({ port, host: hostname, path: '//[' }).end()
  expect(((await once(odd, 'response')) as [IncomingMessage])[0].resume().statusCode).toBe(404)
  expect((await fetch(back.replace(/state=[^&]*/, 'state=other'))).status).toBe(400)
  if (brings) login.stdin.write(`${back}\n`)
  else expect((await fetch(back)).status).toBe(200)
  expect(await ended).toEqual([0, null])
  expect(said).toContain(`Logged in at ${issuer.url}`)
  return page
}

const bearerOfFile = (): string => {
  const name = readdirSync(watched.directory).find((one) => /^mcp_proxy_login_.*\.json$/.test(one)) ?? ''
  expect(statSync(watched.file(name)).mode & 0o777).toBe(0o600)
  return `Bearer ${JSON.parse(readFileSync(watched.file(name), 'utf8')).tokens.access}`
}

async function call(gateway: ServedGateway): Promise<{ result?: object; error?: { message: string } }> {
  const body = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"docs__read"}}'
  const headers = { ...json, 'x-api-key': gateway.key }
  return (await fetch(`${gateway.url}/mcp`, { method: 'POST', headers, body })).json() as never
}

describe('a person logs in', () => {
  it('status says what to type; after mcp-proxy login the gateway that runs uses the server, and shows it no key of a client', async () => {
    const gateway = await servedWith(watched, docs(), undefined)
    const before = await watched.run('mcp-proxy', 'status')
    expect(before.stdout).toContain('(awaiting-auth)')
    expect(before.stdout).toContain('mcp-proxy login docs')
    expect((await call(gateway)).error?.message).toContain('mcp-proxy login docs')
    expect(server.taken).toEqual([])
    const page = await logIn(watched.file('connectors.json'))
    const asked = new URL(page).searchParams
    expect(asked.get('resource')).toBe(server.url)
    expect(asked.get('code_challenge_method')).toBe('S256')
    expect(asked.get('scope')).toBe('docs:read')
    await until('its server', async () => ((await call(gateway)).result === undefined ? undefined : true))
    expect(new Set(server.taken)).toEqual(new Set([bearerOfFile()]))
    await until('its state', async () =>
      readFileSync(watched.file('mcp-proxy-runtime-state.json'), 'utf8').includes('"state":"ready"')
        ? true
        : undefined,
    )
    const out = await watched.run('mcp-proxy', 'logout', 'docs', '--config', watched.file('connectors.json'))
    expect(out.stdout).toContain('Logged out')
    await until('its end', async () =>
      (await call(gateway)).error?.message.includes('mcp-proxy login docs') === true ? true : undefined,
    )
  })

  it('takes the address from a browser on another machine, and tokens are renewed by one process of many', async () => {
    const file = configured(watched, docs())
    lifetime = 2
    await logIn(file, true)
    lifetime = 300
    const old = bearerOfFile()
    server.revoked.add(old)
    const tests = await Promise.all(
      Array.from({ length: 4 }, () => watched.run('mcp-proxy', 'test', 'docs', '--config', file)),
    )
    expect(tests.map(({ code }) => code)).toEqual([0, 0, 0, 0])
    // A second use of the same refresh token would have ended the login.
    expect(issuer.count('refresh_token')).toBe(1)
    expect(issuer.grants.map((one) => one.get('resource'))).toEqual(issuer.grants.map(() => server.url))
    expect(bearerOfFile()).not.toBe(old)
  })

  it('keeps a refresh token that the answer omits, and asks for a login when the issuer takes it no more', async () => {
    const file = configured(watched, docs())
    await logIn(file)
    issuer.omitsRefresh = true
    issuer.rotates = false
    for (const _ of [1, 2]) {
      server.revoked.add(bearerOfFile())
      expect((await watched.run('mcp-proxy', 'test', 'docs', '--config', file)).code).toBe(0)
    }
    expect(issuer.count('refresh_token')).toBe(2)
    const spent = issuer.grants.at(-1)?.get('refresh_token') ?? ''
    expect(spent).not.toBe('')
    const [name = ''] = readdirSync(watched.directory).filter((one) => one.startsWith('mcp_proxy_login_'))
    const text = readFileSync(watched.file(name), 'utf8').replaceAll(spent, 'stolen')
    writeFileSync(watched.file(name), text, { mode: 0o600 })
    server.revoked.add(bearerOfFile())
    const failed = await watched.run('mcp-proxy', 'test', 'docs', '--config', file)
    expect(failed.code).toBe(69)
    expect(failed.stderr).toContain('mcp-proxy login docs')
  })

  it('says which scope a call needs, and asks for it at the next login', async () => {
    const file = configured(watched, docs())
    await logIn(file)
    server.needed = 'docs:write'
    const refused = await watched.run('mcp-proxy', 'call', 'docs', 'read', '--config', file)
    expect(refused.stderr).toContain('allows docs:write; log in again: mcp-proxy login docs')
    expect(refused.stderr).not.toContain('effect is unknown')
    expect(new URL(await logIn(file)).searchParams.get('scope')).toBe('docs:read docs:write')
    expect((await watched.run('mcp-proxy', 'call', 'docs', 'read', '--config', file)).stdout).toContain(
      'done',
    )
  })

  it('uses a login of a moment ago for the call that wanted it', async () => {
    const options = loginOptions(watched.directory, 'docs', server.url, {
      ...{ grant: 'authorization_code', scopes: [] },
      ...{ clientId: undefined, clientSecret: undefined, issuer: undefined },
    })
    const kept = new KeptLogin(watched.directory, server.url)
    const loggedIn = (access: string) =>
      kept.write({
        ...{ version: 1, server: server.url, resource: server.url, issuer: { issuer: issuer.url } },
        ...{ discoveredAt: 0, client: undefined, redirectUri: undefined, scopes: [] },
        tokens: { access, refresh: undefined, expiresAt: undefined },
      })
    loggedIn('first')
    const login = new Login(options)
    expect(await login.authorization()).toBe('Bearer first')
    const challenge = 'Bearer error="insufficient_scope", scope="docs:write"'
    await expect(login.refused('Bearer first', challenge)).rejects.toThrow(
      'log in again: mcp-proxy login docs',
    )
    loggedIn('second')
    expect(await login.refused('Bearer first', challenge)).toBe('Bearer second')
  })
})

describe('the gateway logs in by itself', () => {
  const auth = {
    grant: 'client_credentials',
    clientId: machine.client_id,
    clientSecret: machine.client_secret,
  }

  it('with the id and the secret that are configured, once for many calls', async () => {
    const gateway = await servedWith(watched, docs({ ...auth, scopes: 'docs:read' }), undefined)
    expect((await call(gateway)).result).toBeDefined()
    expect((await call(gateway)).result).toBeDefined()
    expect(issuer.count('client_credentials')).toBe(1)
    // The secret stays where it was configured.
    const kept = readdirSync(watched.directory).filter(
      (one) => one !== 'connectors.json' && !one.endsWith('.sock'),
    )
    for (const name of kept)
      expect(readFileSync(watched.file(name), 'utf8')).not.toContain(machine.client_secret)
    const login = await watched.run('mcp-proxy', 'login', 'docs', '--config', watched.file('connectors.json'))
    expect(login).toMatchObject({ code: 64 })
  })

  it('and says so when the issuer does not know it', async () => {
    const file = configured(watched, docs({ ...auth, clientSecret: 'wrong' }))
    const failed = await watched.run('mcp-proxy', 'test', 'docs', '--config', file)
    expect(failed.code).toBe(69)
    expect(failed.stderr).toContain('no token could be got')
  })
})
