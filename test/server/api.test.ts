// The HTTP API: orders, their description, events, metrics, health, MCP, TLS.

import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { describe, expect } from 'vitest'
import type { NamedEvent } from '../../src/record/journal.ts'
import { type Api, askApi, withApi as it, openApi } from '../support/api.ts'
import { Authority } from '../support/certificates.ts'
import { compiled, until } from '../support/tools.ts'

describe('An order over HTTP', () => {
  it('answers as on every other road, and is audited with the key and the address', async ({ api }) => {
    const key = api.key(['read', 'control'])
    const list = await api.ask('/api/list?units=web', { key })
    expect(list).toMatchObject({ status: 200, json: { done: true, output: { units: [{ name: 'web' }] } } })
    const stop = { method: 'POST', key, body: { units: ['web'], wait: false } }
    expect((await api.ask('/api/stop', stop)).json.output.units).toMatchObject([{ outcome: 'ordered' }])
    expect(api.told).toContain('web: stop, ordered by key1 (http)')
    const [{ id = '' } = {}] = api.keys.list()
    expect(api.audited).toMatchObject([
      { actor: { user: 'key1', via: 'http' }, key: id, from: '127.0.0.1', order: 'stop', outcome: 'done' },
    ])
  })

  it('that failed for some units is 409 with the whole answer', async ({ watched }) => {
    const api = await openApi(watched.directory, [{ name: 'web', phase: 'down', identity: null }])
    const answer = await api.ask('/api/hand-over', {
      method: 'POST',
      key: api.key(['control']),
      body: { units: ['web'] },
    })
    expect(answer).toMatchObject({
      status: 409,
      json: { done: false, output: { units: [{ outcome: 'failed' }] } },
    })
    api.close()
  })

  it('reads numbers and flags from the query, and leaves mistakes to the schema', async ({ api }) => {
    const key = api.key()
    expect((await api.ask('/api/follow-events?last=5&forMs=0', { key })).json.output).toMatchObject({
      leftOut: 0,
    })
    for (const query of ['last=five', 'last=1&last=2', 'nothing=1', 'last=-1', 'last=1e3'])
      expect((await api.ask(`/api/follow-events?${query}`, { key })).code, query).toBe('invalid-input')
  })

  it('is described by OpenAPI, each with its method, scope and shapes', async ({ api }) => {
    const { json } = await api.ask('/api/openapi.json', { key: api.key() })
    expect(json.openapi).toBe('3.1.0')
    expect(Object.keys(json.paths)).toEqual(expect.arrayContaining(['/api/list', '/api/stop', '/api/wait']))
    expect(Object.keys(json.paths).filter((path) => path.includes('key'))).toEqual([])
    expect(json.paths['/api/stop'].post).toMatchObject({
      description: 'Needs the scope "control".',
      requestBody: {
        content: { 'application/json': { schema: { type: 'object', additionalProperties: false } } },
      },
    })
    expect(json.paths['/api/list'].get.parameters).toMatchObject([{ name: 'units', in: 'query' }])
  })
})

describe('Events over HTTP', () => {
  const event = (ms: number, forward = 'web'): NamedEvent =>
    ({
      ...{ id: `01234567.${ms}.0`, event: 'forward', forward, port: 1, kind: 'died' },
    }) as unknown as NamedEvent

  /** Follows until `count` events have come. */
  const follow = (api: Api, key: string, headers: object, count: number, query = '') =>
    new Promise<string[]>((resolve) => {
      const lines = [
        'GET',
        `/api/events${query}`,
        'HTTP/1.1\r\nHost: localhost\r\nAuthorization:',
        `Bearer ${key}`,
      ].join(' ')
      const more = Object.entries(headers)
        .map(([name, value]) => `\r\n${name}: ${value}`)
        .join('')
      let text = ''
      const socket = connect(api.port, '127.0.0.1', () => socket.write(`${lines}${more}\r\n\r\n`))
      socket.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
        const ids = [...text.matchAll(/^id: (.*)$/gm)].map(([, id = '']) => id)
        if (ids.length < count && !text.includes('event: answer')) return
        socket.destroy()
        resolve([...(text.includes('event: missed') ? ['missed'] : []), ...ids])
      })
    })

  it('go on after the last one that a client has', async ({ api }) => {
    for (const ms of [1, 2, 3]) api.happen(event(ms))
    const key = api.key()
    expect(await follow(api, key, {}, 2, '?last=2')).toEqual(['01234567.2.0', '01234567.3.0'])
    const resumed = follow(api, key, { 'Last-Event-ID': '01234567.1.0' }, 3)
    await until('somebody follows', async () => api.followers() > 0 || undefined)
    api.happen(event(4))
    expect(await resumed).toEqual(['01234567.2.0', '01234567.3.0', '01234567.4.0'])
    await until('nobody follows any more', async () => api.followers() === 0 || undefined)
  })

  it('say when what came after that one is not known any more', async ({ api }) => {
    const resumed = follow(api, api.key(), { 'Last-Event-ID': '01234567.9.0' }, 1)
    await until('somebody follows', async () => api.followers() > 0 || undefined)
    api.happen(event(10))
    expect(await resumed).toEqual(['missed', '01234567.10.0'])
  })

  it('come from every order that tells what goes on, to who accepts a stream', async ({ api }) => {
    const asked = { key: api.key(), headers: { accept: 'text/event-stream' } }
    const answer = await api.ask('/api/wait?units=web&timeoutMs=0', asked)
    expect(answer.headers['content-type']).toBe('text/event-stream; charset=utf-8')
    expect(answer.text).toMatch(/^event: waiting\ndata: \{.*"name":"web"/m)
    expect(answer.text).toMatch(/^event: answer\ndata: \{"done":/m)
    expect(await api.ask('/api/wait?for=nothing', asked)).toMatchObject({
      status: 400,
      code: 'invalid-input',
    })
    expect((await api.ask('/api/wait?units=nobody', asked)).text).toMatch(
      /^event: answer\ndata: .*unknown-unit/m,
    )
  })

  it('are those of the units that the key may see', async ({ api }) => {
    for (const [ms, name] of [
      [1, 'api'],
      [2, 'web'],
      [3, 'api'],
    ] as const)
      api.happen(event(ms, name))
    expect(await follow(api, api.key(['read'], ['web']), {}, 1, '?last=10')).toEqual(['01234567.2.0'])
  })

  it('end a client that does not read, who goes on later', async ({ api }) => {
    const socket = connect(api.port, '127.0.0.1').on('error', () => {})
    socket.write(`GET /api/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${api.key()}\r\n\r\n`)
    socket.pause()
    await until('it follows', async () => api.followers() === 1 || undefined)
    const long = 'x'.repeat(100_000)
    for (let ms = 0; ms < 200 && api.followers() > 0; ms++) {
      api.happen({ ...event(ms), saw: long } as NamedEvent)
      await new Promise(setImmediate)
    }
    await until('it was cut off', async () => api.followers() === 0 || undefined)
    socket.destroy()
  })
})

describe('Health and metrics', () => {
  it('tell more to who has a key', async ({ api }) => {
    const key = api.key()
    expect((await api.ask('/readyz', { key })).json.units).toMatchObject([{ name: 'web' }, { name: 'api' }])
    const { headers, text } = await api.ask('/metrics', { key })
    expect(headers['content-type']).toMatch(/^text\/plain; version=0.0.4/)
    expect(text).toMatch(/^port_watchdog_unit_restarts_total\{unit="web"\} \d+$/m)
    await api.ask('/api/list')
    expect((await api.ask('/metrics', { key })).text).toMatch(
      /^port_watchdog_http_refusals_total\{code="no-key"\} 1$/m,
    )
  })
})

describe('MCP', () => {
  it('is handed the request with its principal', async ({ watched }) => {
    const api = await openApi(
      watched.directory,
      [{ name: 'web' }],
      {},
      async () => async (request, principal) => {
        return Response.json({ asked: await request.json(), principal })
      },
    )
    const key = api.key(['read'], ['web'])
    const post = { method: 'POST', key, body: { jsonrpc: '2.0' } }
    expect((await api.ask('/mcp', post)).json).toMatchObject({
      asked: { jsonrpc: '2.0' },
      principal: { actor: { user: 'key1', via: 'mcp' }, scopes: ['read'], units: ['web'], from: '127.0.0.1' },
    })
    expect(await api.ask('/mcp', { ...post, key: undefined })).toMatchObject({ status: 401, code: 'no-key' })
    api.close()
  })
})

describe('TLS', () => {
  it('serves the certificate of the files, and a new one when they change', async ({ watched }) => {
    const authority = await Authority.create()
    const pair = await authority.issueLocal()
    const { readFileSync, writeFileSync } = await import('node:fs')
    const api = await openApi(watched.directory, [], { tlsCert: pair.cert, tlsKey: pair.key })
    const ca = readFileSync(authority.ca.cert, 'utf8')
    const list = () => askApi(api.port, '/api/list', { key: api.key(), ca })
    expect((await list()).status).toBe(200)
    const login = await askApi(api.port, '/api/session', { method: 'POST', key: api.key(), ca })
    expect(login.headers['set-cookie']?.[0]).toMatch(/^__Host-.*; Secure$/)
    const served = () =>
      new Promise<string>((resolve, reject) => {
        const socket = connectTls({ port: api.port, host: '127.0.0.1', ca }, () => {
          resolve(socket.getPeerCertificate().serialNumber)
          socket.destroy()
        })
        socket.on('error', reject)
      })
    const before = await served()
    const other = await authority.issueLocal()
    writeFileSync(pair.cert, readFileSync(other.cert))
    writeFileSync(pair.key, readFileSync(other.key))
    await until('the new certificate is served', async () => (await served()) !== before || undefined)
    api.close()
    authority.remove()
  })

  it('does not answer who speaks in the clear', async ({ watched }) => {
    const api = await openApi(watched.directory, [], { tlsSelfSigned: true })
    const answer = await api.ask('/healthz').catch(() => undefined)
    expect(answer).toBeUndefined()
    api.close()
  })
})

describe('A flood without a key', () => {
  // Sixteen requests on each connection: a client that waits for each answer does not come to 10,000 a second.
  it.for([
    ['10,000 requests a second', 'none', 16],
    ['10,000 requests a second with a wrong key', 'wrong', 16],
    ['as many connections as it can make', 'none', 1],
  ] as const)('of %s does not hold up the process that watches', async ([title, key, depth], { api }) => {
    await flooded(api, { title, key, depth })
  })
})

async function flooded(
  api: Api,
  { title, key: shown, depth }: { readonly title: string; readonly key: string; readonly depth: number },
): Promise<void> {
  const { fork } = await import('node:child_process')
  const file = compiled('test/support/flood-child.ts')
  const key = api.key()
  const before = process.memoryUsage.rss()
  const cpu = process.cpuUsage()
  const child = fork(file, [String(api.port), shown, `${depth}`, '10000'])
  let asked = 0
  child.on('message', (count) => {
    asked = Number(count)
  })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  let answers = 0
  // However slow the machine is: so many of one kind, and so many of the other meanwhile.
  while (asked < (depth === 1 ? 1000 : 5000) || answers < 10) {
    expect((await api.ask('/api/list', { key })).status).toBe(200)
    if (asked > 0) answers++
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  child.disconnect()
  await ended
  const { user, system } = process.cpuUsage(cpu)
  const each = Math.round((user + system) / asked)
  console.log(`flood of ${title}: ${asked}, ${each} µs each, ${answers} answers with a key meanwhile`)
  // Its turn comes: of 64 connections that ask at once, none gets a ninth turn before.
  expect(asked / answers).toBeLessThan(8 * 64 * depth)
  expect(process.memoryUsage.rss() - before).toBeLessThan(100 << 20)
  expect(api.lines.length).toBeLessThan(50)
  expect(api.audited.length).toBeLessThan(50)
}
