// The log of the gateway over HTTP: for a key with that scope, as it comes, and on from where a stream was cut.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { child, type ServedGateway, served } from '../support/gateway.ts'
import { until } from '../support/tools.ts'
import { Watched } from '../support/watched.ts'

const watched = new Watched()
let gateway: ServedGateway
let reader: string
const open: AbortController[] = []

const made = async (...words: string[]) =>
  (await watched.run('mcp-proxy', 'key', 'create', ...words)).stdout.trim()

beforeAll(async () => {
  gateway = await served(watched, { echo: child(), dead: child('end') })
  reader = await made('reader', '--scope', 'logs')
})

afterEach(() => {
  for (const one of open.splice(0)) one.abort()
})

afterAll(() => watched.remove())

interface Line {
  readonly sequence: number
  readonly ts: string
  readonly level: string
  readonly source: string
  readonly message: string
}

async function follow(key: string, query = '', headers: Record<string, string> = {}) {
  const over = new AbortController()
  open.push(over)
  const response = await fetch(`${gateway.url}/logs${query}`, {
    headers: { 'x-api-key': key, ...headers },
    signal: over.signal,
  })
  let text = ''
  const seen = {
    status: response.status,
    isOver: false,
    leave: () => over.abort(),
    lines: () => [...text.matchAll(/^data: (.*)$/gm)].map(([, line = '']) => JSON.parse(line) as Line),
    ids: () => [...text.matchAll(/^id: (.*)$/gm)].map(([, id]) => Number(id)),
  }
  void (async () => {
    for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString('utf8')
  })()
    .catch(() => {})
    .finally(() => {
      seen.isOver = true
    })
  return seen
}

const call = (key: string) =>
  fetch(`${gateway.url}/mcp/echo`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': key },
    body: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"pid"}}',
  })

describe('GET /logs', () => {
  it('gives the last lines and then new ones, to a key that is for the log alone', async () => {
    const stream = await follow(reader)
    await until(
      'what was logged before',
      async () => stream.lines().some(({ message }) => message.startsWith('Proxy started')) || undefined,
    )
    expect((await call(gateway.key)).status).toBe(200)
    const line = await until('the new line', async () =>
      stream.lines().find(({ message }) => message === 'tools/call name=pid'),
    )
    expect(line).toMatchObject({
      level: 'INFO',
      ts: expect.stringMatching(/^\d{4}-.*Z$/),
      source: 'gateway',
    })
    expect(stream.ids()).toEqual(stream.lines().map(({ sequence }) => sequence))
    expect((await call(reader)).status).toBe(403)
    expect((await watched.run('mcp-proxy', 'key', 'list')).stdout).toMatch(
      /^reader .* the log alone .*\n(?:.*\n)*The key of the first start is good for all connectors, too: .*mcp_proxy_key$/m,
    )
    const file = watched.file('connectors.json')
    const bound = ['--connectors', 'echo,nope', '--profile', 'gone', '--config', file]
    const { code, stderr } = await watched.run('mcp-proxy', 'key', 'create', 'bound', ...bound)
    expect([code, stderr.match(/there is no .*(?= in )/g)]).toEqual([
      0,
      ['there is no connector "nope"', 'there is no profile "gone"'],
    ])
  })

  it('goes on behind the last event, and shows the level that is asked for', async () => {
    const stream = await follow(reader, '?level=ERROR')
    const [last] = await until('an error', async () => (stream.ids().length > 0 ? stream.ids() : undefined))
    expect(stream.lines().every(({ level }) => level === 'ERROR')).toBe(true)
    stream.leave()
    await call(gateway.key)
    const on = await follow(reader, '', { 'last-event-id': String(last) })
    await until(
      'what came after',
      async () => on.lines().some(({ message }) => message.startsWith('Result:')) || undefined,
    )
    expect(on.ids()).toEqual(on.ids().map((_, index) => (last ?? 0) + 1 + index))
    // A number that this log has not come to is of a gateway before it: what there is comes from the beginning.
    const ahead = await follow(reader, '?tail=1000', { 'last-event-id': '999999999999999' })
    await call(gateway.key)
    await until('what there is', async () => ahead.ids().length > 0 || undefined)
    expect(ahead.ids()[0]).toBeLessThanOrEqual(last ?? 0)
    ahead.leave()
    const fresh = await follow(reader, '?tail=0')
    await call(gateway.key)
    // Lines about the server that dies may come in between.
    const about = () => fresh.lines().filter(({ message }) => !message.includes("'dead'"))
    const [first] = await until('a new line', async () => (about().length > 0 ? about() : undefined))
    expect(first?.message).toBe('Request: tools/call')
  })

  it('is refused without a key, or with one of another scope, and ends when the key is revoked', async () => {
    expect((await fetch(`${gateway.url}/logs`)).status).toBe(401)
    expect((await follow(gateway.key)).status).toBe(403)
    expect((await follow(await made('caller'))).status).toBe(403)
    expect((await follow(reader, '?level=loud')).status).toBe(400)
    const both = await made('both', '--scope', 'call,logs')
    expect((await call(both)).status).toBe(200)
    const stream = await follow(both)
    expect(stream.status).toBe(200)
    await watched.run('mcp-proxy', 'key', 'revoke', 'both')
    await until('the stream ends', async () => stream.isOver || undefined)
  })
})
