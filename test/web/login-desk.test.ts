// The login as data: requests in, replies out, without a server, a socket or a forward.
import type { IncomingHttpHeaders } from 'node:http'
import { describe, expect, it } from 'vitest'
import { isStrangersPage } from '../../src/web/fetch-metadata.ts'
import { type AccessEvent, Guard } from '../../src/web/guard.ts'
import { parseHostHeader, requestTarget } from '../../src/web/hosts.ts'
import { LoginDesk, localPath } from '../../src/web/login-desk.ts'
import { Origins, type Visit } from '../../src/web/origins.ts'
import { refusal } from '../../src/web/reply.ts'

const token = 'a-token-of-a-server-that-is-no-gate'
const secrets = {
  token,
  isGuessable: false,
  tokenPlace: '/home/me/server_token',
  key: Buffer.alloc(32, 7),
  cookieName: 'server',
}
const paths = { login: '/login', logout: '/logout', prefix: '/log' }
const words = {
  heading: 'The monitor <of> tests',
  whereTokenIs: 'Run `cat <file>` there.',
  whatLogoutEnds: 'Ends it.',
  howToLogIn: 'Bring a token.',
  strangersForm: 'Not our form.',
}
const person: IncomingHttpHeaders = { accept: 'text/html' }

function visitOf(hostHeader: string, source: string): Visit {
  const host = parseHostHeader(hostHeader, 'http')
  if (host === undefined) throw new Error('no host')
  return { host, source, origins: new Origins(host, ['http://10.0.0.1:6277']) }
}

const away = visitOf('10.0.0.1:6274', '10.0.0.2')
const here = visitOf('localhost:6274', '127.0.0.1')

function openDesk() {
  const events: AccessEvent[] = []
  const guard = new Guard(secrets, 60_000, (event) => events.push(event))
  return {
    events,
    guard,
    desk: new LoginDesk({ guard, tokenPlace: secrets.tokenPlace, paths, words }),
  }
}

const form = (fields: Record<string, string>) => async () => new URLSearchParams(fields).toString()
const noForm = async () => undefined

describe('A login desk', () => {
  it('lets in whoever gives the token, and the cookie then admits the same machine alone', async () => {
    const { desk, guard, events } = openDesk()
    const request = { method: 'POST', url: '/login', headers: person, peer: '10.0.0.2' }
    expect(desk.isFor(request)).toBe(true)
    const reply = await desk.answer(request, away, form({ token: ` ${token} `, next: '/page?a=b' }))
    expect(reply).toMatchObject({ status: 303, headers: { location: '/page?a=b' }, body: '' })
    const cookie = String(reply.headers['set-cookie']).split(';')[0] ?? ''
    expect(guard.judge({ cookie }, '10.0.0.2', {})).toEqual({ kind: 'admitted', by: 'session' })
    expect(guard.judge({ cookie }, '10.0.0.3', {})).toMatchObject({ kind: 'refused' })
    expect(events).toEqual([{ kind: 'login', source: '10.0.0.2' }])
  })

  it('says in a page that a token is wrong, and to wait after five of them', async () => {
    const { desk } = openDesk()
    const request = { method: 'POST', url: '/login', headers: person, peer: '10.0.0.2' }
    const replies = []
    for (let count = 0; count < 5; count++)
      replies.push(await desk.answer(request, away, form({ token: 'x' })))
    expect(replies.map(({ status }) => status)).toEqual([401, 401, 401, 401, 429])
    expect(replies[0]?.body).toContain('That is not the token.')
    expect(replies[4]?.headers['retry-after']).toBe('1')
  })

  it('turns a person away with the login page, and a program with a line', () => {
    const { desk } = openDesk()
    const refused = { kind: 'refused', waitMs: 0, wasWrong: false } as const
    const request = { method: 'GET', url: '/page', peer: '10.0.0.2' }
    const page = desk.turnAway({ ...request, headers: person }, away, refused)
    expect(page.status).toBe(401)
    expect(page.body).toContain('<h1>The monitor &#60;of&#62; tests</h1>')
    expect(page.body).toContain('<code>cat &#60;file&#62;</code>')
    expect(page.body).toContain('name="next" value="/page"')
    const line = desk.turnAway({ ...request, headers: {} }, away, refused)
    expect(line).toMatchObject({ status: 401, body: 'Bring a token.\n' })
    expect(line.headers['www-authenticate']).toMatch(/^Bearer/)
  })

  it('names the token’s file to visitors on this machine alone', () => {
    const { desk } = openDesk()
    const refused = { kind: 'refused', waitMs: 0, wasWrong: false } as const
    const bodyFor = (visit: Visit, peer: string, headers: IncomingHttpHeaders) =>
      desk.turnAway({ method: 'GET', url: '/', headers: { ...person, ...headers }, peer }, visit, refused)
        .body
    expect(bodyFor(here, '::1', {})).toContain(secrets.tokenPlace)
    expect(bodyFor(here, '10.0.0.2', {})).not.toContain(secrets.tokenPlace)
    expect(bodyFor(here, '127.0.0.1', { 'x-forwarded-for': '10.0.0.2' })).not.toContain(secrets.tokenPlace)
    expect(bodyFor(away, '127.0.0.1', {})).not.toContain(secrets.tokenPlace)
  })

  it('refuses forms of other pages, and those that do not come whole', async () => {
    const { desk } = openDesk()
    const request = { method: 'POST', url: '/login', peer: '10.0.0.2' }
    const foreign = { ...request, headers: { origin: 'http://10.0.0.1:6277' } }
    expect(await desk.answer(foreign, away, form({ token }))).toMatchObject({
      status: 403,
      body: 'Not our form.\n',
    })
    expect(await desk.answer({ ...request, headers: {} }, away, noForm)).toMatchObject({ status: 413 })
  })

  it('logs out by a form alone', async () => {
    const { desk } = openDesk()
    const request = { url: '/logout', headers: person, peer: '10.0.0.2' }
    const asked = await desk.answer({ ...request, method: 'GET' }, away, noForm)
    expect(asked).toMatchObject({ status: 200 })
    expect(asked.body).toContain('action="/logout"')
    const done = await desk.answer({ ...request, method: 'POST' }, away, noForm)
    expect(done).toMatchObject({ status: 303, headers: { location: '/login' } })
    expect(done.headers['set-cookie']).toMatch(/^server=; Max-Age=0;/)
  })

  it('leads to a path of this host alone, and to none of its own', () => {
    for (const [asked, path] of [
      ['/', '/'],
      ['/a/b?c=d#e', '/a/b?c=d#e'],
      ['https://evil.example/', '/'],
      ['//evil.example/', '/'],
      ['/\\evil.example/', '/'],
      ['/.//evil.example/', '/'],
      ['/\t/evil.example', '/'],
      ['javascript:alert(1)', '/'],
      ['evil', '/'],
      ['', '/'],
      ['/.port-watchdog/logout', '/'],
      ['/x/../.port-watchdog/logout', '/'],
    ] as const) {
      expect(localPath(asked, '/.port-watchdog/'), asked).toBe(path)
    }
  })
})

describe('Where a request goes', () => {
  it('is told by its path and Host, or by a whole address', () => {
    const raw = ['Host', '10.0.0.1:6274', 'Accept', '*/*']
    expect(requestTarget('/a', '10.0.0.1:6274', raw, 'http')).toEqual({ host: '10.0.0.1:6274', path: '/a' })
    expect(requestTarget('http://b:1/c?d', '10.0.0.1:6274', raw, 'http')).toEqual({
      host: 'b:1',
      path: '/c?d',
    })
    expect(requestTarget('HTTP://b?d', '10.0.0.1:6274', raw, 'http')).toEqual({ host: 'b', path: '/?d' })
    expect(requestTarget('https://b/c', '10.0.0.1:6274', raw, 'http')).toBe('scheme')
  })

  it('is not known with two Hosts, or none', () => {
    expect(requestTarget('/a', 'a, b', ['Host', 'a', 'hOST', 'b'], 'http')).toBe('host')
    expect(requestTarget('/a', undefined, [], 'http')).toBe('host')
  })
})

describe('A page', () => {
  const { origins } = away

  it('is of this port, of its family or a stranger’s', () => {
    const kinds = [undefined, 'http://10.0.0.1:6274', 'HTTP://10.0.0.1:6277', 'http://10.0.0.1:80', 'null']
    expect(kinds.map((origin) => origins.kindOf(origin))).toEqual([
      'none',
      'same',
      'family',
      'foreign',
      'foreign',
    ])
  })

  it('of a stranger is told by Origin, Fetch Metadata or Referer', () => {
    const isStranger = (headers: IncomingHttpHeaders, method = 'GET') =>
      isStrangersPage({ method, headers }, origins)
    expect(isStranger({})).toBe(false)
    expect(isStranger({ origin: 'http://evil.example' })).toBe(true)
    expect(isStranger({ 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'cors' })).toBe(true)
    expect(isStranger({ 'sec-fetch-site': 'same-origin' })).toBe(false)
    expect(isStranger({ referer: 'http://evil.example/' })).toBe(true)
    expect(isStranger({ referer: 'http://10.0.0.1:6277/x' })).toBe(false)
    expect(isStranger({ 'user-agent': 'Mozilla/5.0' })).toBe(true)
  })
})

describe('A refusal', () => {
  it('is a page for a person and a line for a program', () => {
    expect(refusal({}, 404, 'Nothing here.')).toMatchObject({ status: 404, body: 'Nothing here.\n' })
    expect(refusal(person, 404, 'Nothing <here>.').body).toContain('Nothing &#60;here&#62;.')
  })
})
