// Canaries: whatever the gateway knows and must not tell is looked for in everything that it says and writes.
import { once } from 'node:events'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ApiKeys } from '../../src/record/api-keys.ts'
import { child, LineClient, type ServedGateway, servedWith } from '../support/gateway.ts'
import { until } from '../support/tools.ts'
import { Watched } from '../support/watched.ts'

const canary = {
  header: 'canary-header-1f0c7d2e',
  query: 'canary-query-8d21aa40',
  user: 'canary-user-55e0b1c9',
  variable: 'canary-variable-7ab3e811',
  file: 'canary-file-c02d94f6',
  word: 'canary-word-0e6bd37a',
  argument: 'canary-argument-3c77e0f5',
  input: 'canary-input-91f4d2b8',
  wrongKey: 'pwk_canarycana_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG',
  wrongToken: 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnktdG9rZW4ifQ.canary-token-signature-44',
}

const watched = new Watched()
const keys = new ApiKeys(watched.directory, 'mcp_proxy_keys.json')
const { secret: key } = keys.create({ name: 'canary', scopes: ['control'], units: null, expiresAt: null })
/** A key for the log alone. */
let reader: string
let gateway: ServedGateway
/** Refuses, and says what it was shown, as careless servers do. */
let careless: Server
let client: LineClient
const said: { what: string; text: string }[] = []

/** Remembers what was said. */
function hear(what: string, text: string): string {
  said.push({ what, text })
  return text
}

async function ask(what: string, road: string, init: RequestInit = {}): Promise<string> {
  const answer = await fetch(`${gateway.url}${road}`, init)
  const head = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join('\n')
  return hear(`${what} ${road} ${answer.status}`, `${head}\n${await answer.text()}`)
}

beforeAll(async () => {
  careless = createServer((request, response) => {
    const shown = JSON.stringify({ url: request.url, headers: request.headers })
    const status = request.url?.startsWith('/refuses') ? 403 : 500
    response.writeHead(status, { 'content-type': 'application/json' }).end(shown)
  })
  careless.listen(0, '127.0.0.1').unref()
  await once(careless, 'listening')
  const at = `127.0.0.1:${(careless.address() as AddressInfo).port}`
  process.env.CANARY_HEADER = canary.header
  process.env.MCP_INPUT_CANARY = canary.input
  const envFile = watched.file('canary.env')
  writeFileSync(envFile, `SERVICE_PASSWORD=${canary.file}\n`, { mode: 0o600 })
  const headers = { Authorization: `Bearer $\{env:CANARY_HEADER}`, 'X-Tenant-Key': canary.header }
  const url = (place: string) => `http://${canary.user}:secret@${at}/${place}?token=${canary.query}`
  const shouts = child('shouts')
  gateway = await servedWith(
    watched,
    {
      well: { ...child(), env: { API_TOKEN: canary.variable } },
      refuses: { url: url('refuses'), headers },
      fails: { url: url('fails'), headers },
      sse: { type: 'sse', url: url('sse'), headers },
      shouts: {
        command: [...shouts.command, '--license', `$\{input:canary}`, `$\{env:CANARY_HEADER}`],
        env: { API_TOKEN: canary.variable, PLAIN: 'information' },
        envFile: [envFile],
      },
      missing: { command: ['no-such-program-here', '--token', canary.word] },
    },
    { access: { legacyKeys: true }, tap: true },
  )
  reader = (await watched.run('mcp-proxy', 'key', 'create', 'reader', '--scope', 'logs')).stdout.trim()
  client = new LineClient(watched, '--all', '--config', watched.file('connectors.json'))
  await client.initialize()
})

afterAll(async () => {
  await client.end()
  careless.closeAllConnections()
  careless.close()
  await watched.remove()
})

const call = (name: string) =>
  JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name } })
const json = { 'content-type': 'application/json' }

/** What the stream of the log says until a line with these words has come. */
async function logUntil(words: string): Promise<string> {
  const over = new AbortController()
  const answer = await fetch(`${gateway.url}/logs?tail=1000`, {
    headers: { 'x-api-key': reader },
    signal: over.signal,
  })
  let text = ''
  for await (const chunk of answer.body ?? []) {
    text += Buffer.from(chunk).toString('utf8')
    if (text.includes(words)) break
  }
  over.abort()
  return text
}

/** Everything in the state directory, but for the keys' own file of hashes and what the test has written. */
function filesIn(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const file = path.join(folder, name)
    if (statSync(file).isDirectory()) return filesIn(file)
    return statSync(file).isFile() && !/connectors\.json$|canary\.env$/.test(name) ? [file] : []
  })
}

describe('no secret', () => {
  it('is in any answer, page, figure, status, log, file or error', async () => {
    const own = { ...json, 'x-api-key': key }
    for (const name of [
      'well__echo',
      'refuses__a',
      'fails__a',
      'sse__a',
      'shouts__a',
      'missing__a',
      'nothing',
    ]) {
      await ask('call', '/mcp', { method: 'POST', headers: own, body: call(name) })
      hear(`line ${name}`, JSON.stringify(await client.ask(name, 'tools/call', { name })))
    }
    for (const connector of ['refuses', 'fails', 'sse', 'shouts', 'missing', 'gone'])
      await ask('list', `/mcp/${connector}`, {
        method: 'POST',
        headers: own,
        body: call('a').replace('tools/call', 'tools/list'),
      })
    const told = { name: 'well__pid', arguments: { password: canary.argument } }
    hear('argument', JSON.stringify(await client.ask('argument', 'tools/call', told)))
    hear('GET /logs', await logUntil('name=well__pid'))
    hear('list', JSON.stringify(await client.ask('list', 'tools/list')))
    for (const road of [
      '/readyz',
      '/metrics',
      '/health',
      '/mcp',
      '/',
      `/mcp?api-key=${key}`,
      '/.well-known/oauth-protected-resource',
    ])
      await ask('get', road, { headers: { 'x-api-key': key, accept: 'application/json' } })
    const wrong: readonly Record<string, string>[] = [
      { 'x-api-key': canary.wrongKey },
      { authorization: `Bearer ${canary.wrongToken}` },
      { authorization: `Bearer ${canary.wrongKey}`, 'x-api-key': key },
      { authorization: `Basic ${Buffer.from(`user:${key}`).toString('base64')}` },
    ]
    for (const headers of wrong)
      await ask('wrong', '/mcp', { method: 'POST', headers: { ...json, ...headers }, body: call('a') })
    await ask('wrong', `/mcp/${canary.wrongKey}?api-key=${canary.wrongKey}`, {
      method: 'POST',
      body: call('a'),
    })
    await ask('broken', '/mcp', { method: 'POST', headers: own, body: `{"key":"${key}"` })
    const config = ['--config', watched.file('connectors.json')]
    const commands = [
      ['status'],
      ['status', '--json'],
      ['log', '--tail', '1000'],
      ['call', 'shouts', 'a', ...config],
      ['test', 'shouts', ...config],
      ['key', 'list'],
      ['tap', '--tail', '1000'],
      ['tap', '--json'],
    ]
    for (const words of commands) {
      const { stdout, stderr } = await watched.run('mcp-proxy', ...words)
      hear(`mcp-proxy ${words.join(' ')}`, stdout + stderr)
    }
    hear('stdout and stderr of the gateway', gateway.resident.output)
    hear('stderr of a client', client.stderr)
    await until(
      'it has written how it stands',
      async () =>
        readFileSync(watched.file('mcp-proxy-runtime-state.json'), 'utf8').includes('exit code 3') ||
        undefined,
    )
    for (const file of filesIn(watched.directory)) hear(file, readFileSync(file, 'utf8'))
    // There is something to be found: what the server shouted has been kept, without its secrets.
    expect(said.some(({ text }) => text.includes('variables: information'))).toBe(true)
    const tapped = said.find(({ what }) => what.endsWith('mcp-proxy-tap.jsonl'))
    expect(tapped?.text).toContain('[redacted]')
    for (const [name, secret] of Object.entries({ ...canary, key, reader })) {
      const found = said.filter(({ text }) => text.includes(secret)).map(({ what }) => what)
      expect(found, name).toEqual([])
    }
  })
})
