// Who is let in to the HTTP API, and who is not: each refusal by name.

import { connect } from 'node:net'
import { describe, expect } from 'vitest'
import type { NamedEvent } from '../../src/record/journal.ts'
import { type Api, withApi as it, openApi } from '../support/api.ts'
import { until } from '../support/tools.ts'

describe('The HTTP API refuses', () => {
  it('who shows no key', async ({ api }) => {
    const answer = await api.ask('/api/list')
    expect(answer).toMatchObject({ status: 401, code: 'no-key' })
    expect(answer.headers['www-authenticate']).toBe('Bearer realm="port-watchdog"')
    for (const path of ['/metrics', '/api/openapi.json', '/api/events', '/mcp', '/elsewhere', '/api/session'])
      expect((await api.ask(path)).code, path).toBe('no-key')
  })

  it('a wrong key, with a line in log and audit that does not hold it', async ({ api }) => {
    const wrong = `${api.key().slice(0, -4)}AAAA`
    expect(await api.ask('/api/list', { key: wrong })).toMatchObject({ status: 401, code: 'wrong-key' })
    for (const other of ['x', '', 'Basic abc'])
      expect((await api.ask('/api/list', { headers: { authorization: `Bearer ${other}` } })).status).toBe(401)
    expect(api.audited[0]).toMatchObject({
      actor: { user: 'unknown', via: 'http' },
      from: '127.0.0.1',
      order: null,
      outcome: 'refused',
      code: 'wrong-key',
    })
    expect(api.lines.join('\n')).toContain('Refused 127.0.0.1: there is no such key')
    expect(JSON.stringify([api.lines, api.audited])).not.toContain(wrong.slice(16))
  })

  it('more and more wrong keys from one place, but never the right one', async ({ api }) => {
    const key = api.key()
    const wrong = () => api.ask('/api/list', { key: `pwk_abcdefghij_${'A'.repeat(43)}` })
    const statuses: number[] = []
    for (let times = 0; times < 8; times++) statuses.push((await wrong()).status)
    expect(statuses.slice(0, 4)).toEqual([401, 401, 401, 401])
    expect(statuses.at(-1)).toBe(429)
    expect((await wrong()).headers['retry-after']).toMatch(/^\d+$/)
    expect((await api.ask('/api/list', { key })).status).toBe(200)
  })

  it('an expired key, and says when it expired', async ({ api }) => {
    const answer = await api.ask('/api/list', { key: api.key(['read'], undefined, -1) })
    expect(answer).toMatchObject({ status: 401, code: 'expired-key' })
    expect(answer.json.error.message).toMatch(/^the key key1 expired at 20/)
    expect(api.audited).toMatchObject([{ actor: { user: 'key1' }, code: 'expired-key' }])
  })

  it('a revoked key at once', async ({ api }) => {
    const key = api.key()
    expect((await api.ask('/api/list', { key })).status).toBe(200)
    api.keys.revoke(api.keys.list()[0]?.id ?? '')
    expect((await api.ask('/api/list', { key })).code).toBe('wrong-key')
  })

  it('a key without the scope, before it reads the body', async ({ api }) => {
    const stop = { method: 'POST', body: { units: ['web'], wait: false } }
    expect(await api.ask('/api/stop', { ...stop, key: api.key() })).toMatchObject({
      status: 403,
      code: 'not-permitted',
    })
    expect(await api.ask('/api/stop', { ...stop, key: api.key(), body: '{' })).toMatchObject({ status: 403 })
    expect(api.told).toEqual([])
    expect((await api.ask('/api/stop', { ...stop, key: api.key(['control']) })).status).toBe(200)
    expect((await api.ask('/api/list', { key: api.key(['control']) })).status).toBe(403)
  })

  it('the orders of the owner to every key', async ({ api }) => {
    const key = api.key(['read', 'control', 'input', 'config'])
    for (const [method, name] of [
      ['POST', 'key-create'],
      ['GET', 'key-list'],
      ['POST', 'key-revoke'],
    ] as const)
      expect(
        (await api.ask(`/api/${name}`, { method, key, ...(method === 'POST' ? { body: {} } : {}) })).status,
      ).toBe(404)
  })

  it('a key of another program, in the words of an unknown one', async ({ api }) => {
    const key = api.key(['read', 'control'], ['web'])
    const stop = (unit: string) =>
      api.ask('/api/stop', { method: 'POST', key, body: { units: [unit], wait: false } })
    const [other, unknown] = [await stop('api'), await stop('nobody')]
    expect(other).toMatchObject({ status: 404, code: 'unknown-unit' })
    expect(other.text.replace('api', 'nobody')).toBe(unknown.text)
    expect((await api.ask('/api/list', { key })).json.output.units).toMatchObject([{ name: 'web' }])
    expect((await api.ask('/metrics', { key })).text).not.toContain('"api"')
    expect((await api.ask('/readyz', { key })).json.units).toMatchObject([{ name: 'web' }])
    // The journal names programs, too.
    const started = {
      id: 'j:1',
      time: '2026-11-26T12:00:00.000Z',
      event: 'monitor-started',
      forwards: [],
      programs: ['web', 'hidden'],
    }
    api.past.push(started as unknown as NamedEvent)
    const { text } = await api.ask('/api/follow-events?last=9&forMs=0', { key })
    expect(text).toContain('"programs":["web"]')
    expect(text).not.toContain('hidden')
    expect(api.told.filter((line) => !line.startsWith('Order of'))).toEqual([])
    expect(api.audited.map(({ outcome }) => outcome)).toEqual(['refused', 'refused'])
  })

  it('a body that looks like an answer of the server, instead of sending it', async ({ api }) => {
    const body = { status: 200, headers: { 'set-cookie': 'a=b', 'content-type': 'text/html' }, body: '<b>x' }
    const answer = await api.ask('/api/list', { method: 'POST', key: api.key(), body })
    expect(answer).toMatchObject({ status: 400, code: 'invalid-input' })
    expect(answer.headers['set-cookie']).toBeUndefined()
  })

  it('a flood of long names, without letting them push older lines out of audit and journal', async ({
    api,
  }) => {
    const key = api.key(['read', 'control'], ['web'])
    const body = { units: ['A'.repeat(900_000)] }
    for (const order of ['list', 'restart'])
      expect((await api.ask(`/api/${order}`, { method: 'POST', key, body })).code).toBe('unknown-unit')
    expect(api.audited).toHaveLength(2)
    expect(JSON.stringify([api.audited, api.journalled]).length).toBeLessThan(20_000)
  })

  it('input that is nested without end, and audits it', async ({ api }) => {
    const body = `{"units": ["web"], "x": ${'['.repeat(100_000)}${']'.repeat(100_000)}}`
    const answer = await api.ask('/api/restart', { method: 'POST', key: api.key(['control']), body })
    expect(answer).toMatchObject({ status: 400, code: 'invalid-input' })
    expect(api.audited).toMatchObject([{ order: 'restart', units: ['web'], outcome: 'failed' }])
  })

  it('an order about the whole monitor to a key that is bound', async ({ api }) => {
    const key = api.key(['config'], ['web'])
    expect(await api.ask('/api/stop-monitor', { method: 'POST', key, body: {} })).toMatchObject({
      status: 403,
      code: 'not-permitted',
    })
  })

  it('an unknown program, and an unknown order', async ({ api }) => {
    const key = api.key(['read', 'control'])
    const answer = await api.ask('/api/stop', { method: 'POST', key, body: { units: ['nobody'] } })
    expect(answer).toMatchObject({ status: 404, code: 'unknown-unit' })
    expect(await api.ask('/api/sotp', { method: 'POST', key, body: {} })).toMatchObject({
      status: 404,
      code: 'not-found',
    })
  })

  it('another Host, whatever key comes with it', async ({ api }) => {
    const key = api.key()
    for (const host of ['evil.example', 'evil.example:80', 'localhost.evil.example', 'a b', '127.0.0.1:0']) {
      const answer = await api.ask('/api/list', { key, headers: { host } })
      expect(answer, host).toMatchObject({ status: 421, code: 'unknown-host' })
    }
    for (const host of ['localhost', `127.0.0.1:${api.port}`, '[::1]:1'])
      expect((await api.ask('/api/list', { key, headers: { host } })).status, host).toBe(200)
  })

  it('a page of another origin, whatever key comes with it', async ({ api }) => {
    const key = api.key()
    const own = `http://127.0.0.1:${api.port}`
    for (const origin of [
      'http://evil.example',
      `http://127.0.0.1:${api.port + 1}`,
      'null',
      own.replace('http', 'https'),
    ]) {
      const answer = await api.ask('/api/list', { key, headers: { origin } })
      expect(answer, origin).toMatchObject({ status: 403, code: 'foreign-origin' })
      expect(answer.headers).not.toHaveProperty('access-control-allow-origin')
    }
    expect((await api.ask('/api/list', { key, headers: { origin: own } })).status).toBe(200)
  })

  it('another method than that of the order: a GET never changes anything', async ({ api }) => {
    const key = api.key(['read', 'control'])
    const answer = await api.ask('/api/stop?units=web', { key })
    expect(answer).toMatchObject({ status: 405, code: 'wrong-method' })
    expect(answer.headers.allow).toBe('POST')
    expect((await api.ask('/api/stop?units=web', { key, method: 'HEAD' })).status).toBe(405)
    expect(api.told).toEqual([])
  })

  it('an oversized body, told beforehand or not', async ({ api }) => {
    const key = api.key(['control'])
    const body = `{"units":["${'x'.repeat(2 << 20)}"]}`
    expect(await api.ask('/api/stop', { method: 'POST', key, body })).toMatchObject({
      status: 413,
      code: 'too-large',
    })
    const chunked = { method: 'POST', key, body, headers: { 'transfer-encoding': 'chunked' } }
    // It may still be sending when the connection ends.
    const status = await api.ask('/api/stop', chunked).then(
      (answer) => answer.status,
      () => 413,
    )
    expect(status).toBe(413)
    expect(api.told).toEqual([])
  })

  it('an oversized head', async ({ api }) => {
    const answer = await api.ask('/api/list', { key: api.key(), headers: { 'x-long': 'x'.repeat(20_000) } })
    expect(answer.status).toBe(431)
  })

  it('a body that is no JSON, or is not called so', async ({ api }) => {
    const key = api.key(['control'])
    const post = { method: 'POST', key, body: '{"units":' }
    expect(await api.ask('/api/stop', post)).toMatchObject({ status: 400, code: 'invalid-input' })
    const form = { 'content-type': 'application/x-www-form-urlencoded' }
    expect(await api.ask('/api/stop', { ...post, headers: form })).toMatchObject({
      status: 415,
      code: 'wrong-content-type',
    })
    const unknown = { ...post, body: { units: ['web'], force: true } }
    expect(await api.ask('/api/stop', unknown)).toMatchObject({ status: 400, code: 'invalid-input' })
  })

  it('shell metacharacters and option-like words, which are names and nothing else', async ({ api }) => {
    const key = api.key(['read', 'control'])
    for (const word of [
      '$(id)',
      '`id`',
      'web; id',
      '--all',
      '-rf',
      '../web',
      'web\n',
      '*',
      '__proto__',
      '\0',
    ]) {
      const answer = await api.ask('/api/stop', { method: 'POST', key, body: { units: [word] } })
      expect(answer, word).toMatchObject({ status: 404, code: 'unknown-unit' })
      expect((await api.ask(`/api/list?units=${encodeURIComponent(word)}`, { key })).status, word).toBe(404)
    }
    expect((await api.ask('/api/list?__proto__=1', { key })).status).toBe(400)
    expect(api.told.every((line) => line.startsWith('Order of'))).toBe(true)
  })

  it('no Host header, two of them, and both lengths of a body', async ({ api }) => {
    const key = api.key(['control'])
    const send = (head: string) =>
      new Promise<string>((resolve) => {
        let text = ''
        const socket = connect(api.port, '127.0.0.1', () => socket.write(head))
        socket.on('data', (chunk) => {
          text += chunk
        })
        socket.on('error', () => {})
        socket.on('close', () => resolve(text))
      })
    const bearer = `Authorization: Bearer ${key}`
    expect(
      await send(`GET /api/list HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n${bearer}\r\n\r\n`),
    ).toMatch(/^HTTP\/1.1 421 /)
    const both = 'Content-Length: 2\r\nTransfer-Encoding: chunked'
    expect(
      await send(`POST /api/stop HTTP/1.1\r\nHost: localhost\r\n${bearer}\r\n${both}\r\n\r\n0\r\n\r\n`),
    ).toMatch(/^HTTP\/1.1 400 /)
    expect(
      await send(`GET http://evil.example/api/list HTTP/1.1\r\nHost: localhost\r\n${bearer}\r\n\r\n`),
    ).toMatch(/^HTTP\/1.1 421 /)
  })
})

describe('A session of a browser', () => {
  const opened = async (api: Api, scopes: ('read' | 'control')[] = ['read', 'control']) => {
    const answer = await api.ask('/api/session', { method: 'POST', key: api.key(scopes) })
    expect(answer.status).toBe(200)
    const [cookie = ''] = answer.headers['set-cookie'] ?? []
    return { cookie: cookie.split(';')[0] ?? '', set: cookie, csrf: answer.json.output.csrfToken as string }
  }
  const stop = { method: 'POST', body: { units: ['web'], wait: false } }

  it('is a cookie that pages cannot read and other sites do not get', async ({ api }) => {
    const { set, cookie } = await opened(api)
    expect(set).toMatch(/; HttpOnly; SameSite=Strict$/)
    expect((await api.ask('/api/list', { headers: { cookie } })).status).toBe(200)
  })

  it('changes something only with its CSRF token', async ({ api }) => {
    const { cookie, csrf } = await opened(api)
    const other = await opened(api)
    for (const token of [undefined, '', 'x', other.csrf]) {
      const headers = { cookie, ...(token === undefined ? {} : { 'x-csrf-token': token }) }
      expect(await api.ask('/api/stop', { ...stop, headers })).toMatchObject({
        status: 403,
        code: 'no-csrf-token',
      })
    }
    expect(api.told).toEqual([])
    expect((await api.ask('/api/stop', { ...stop, headers: { cookie, 'x-csrf-token': csrf } })).status).toBe(
      200,
    )
    const told = await api.ask('/api/session', { headers: { cookie } })
    expect(told.json.output).toMatchObject({ csrfToken: csrf, scopes: ['read', 'control'], units: null })
  })

  it('is not for pages of other ports of this host, which browsers send the cookie along with', async ({
    api,
  }) => {
    const { cookie } = await opened(api)
    const browser = { cookie, 'user-agent': 'Mozilla/5.0' }
    for (const headers of [
      { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' },
      { referer: `http://127.0.0.1:${api.port + 1}/` },
      {},
    ])
      expect((await api.ask('/api/list', { headers: { ...browser, ...headers } })).code).toBe(
        'foreign-origin',
      )
    const own = { ...browser, 'sec-fetch-site': 'same-origin' }
    expect((await api.ask('/api/list', { headers: own })).status).toBe(200)
  })

  it('does not open the next one, or it would never end', async ({ api }) => {
    const { cookie, csrf } = await opened(api)
    const headers = { cookie, 'x-csrf-token': csrf }
    const answer = await api.ask('/api/session', { method: 'POST', headers })
    expect(answer).toMatchObject({ status: 401, code: 'no-key' })
    expect(answer.headers['set-cookie']).toBe(undefined)
    expect((await api.ask('/api/session', { headers })).status).toBe(200)
  })

  it('ends by order, and with its key', async ({ api }) => {
    const first = await opened(api)
    const headers = { cookie: first.cookie, 'x-csrf-token': first.csrf }
    const answer = await api.ask('/api/session', { method: 'DELETE', headers })
    expect(answer.headers['set-cookie']?.[0]).toContain('Max-Age=0')
    expect((await api.ask('/api/list', { headers })).code).toBe('no-key')
    const { cookie } = await opened(api)
    for (const { id } of api.keys.list()) api.keys.revoke(id)
    expect((await api.ask('/api/list', { headers: { cookie } })).code).toBe('no-key')
  })
})

describe('Without a key', () => {
  it('health is told, and nothing else', async ({ api }) => {
    expect((await api.ask('/healthz')).json).toEqual({ status: 'ok' })
    const ready = await api.ask('/readyz')
    expect(ready.json).toEqual({ status: ready.status === 200 ? 'ready' : 'not-ready' })
    expect(ready.headers.connection).toBe('close')
  })

  it('a connection is good for one answer, and ends although nobody reads', async ({ api }) => {
    const socket = connect(api.port, '127.0.0.1')
    let answers = ''
    let isClosed = false
    socket.on('data', (chunk) => {
      answers += chunk
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      isClosed = true
    })
    socket.write('GET /api/list HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(20))
    await until('the connection has ended', async () => isClosed || undefined, 5000)
    expect(answers.match(/HTTP\/1.1/g)).toHaveLength(1)
  })
})

describe('A slow client', () => {
  const limits = { headMs: 300, requestMs: 600, takeMs: 300, lingerMs: 200, ofThisMachine: 8 }

  /** What a client hears that sends these pieces and then nothing, and whether its connection ended. */
  const talk = (port: number, ...pieces: string[]) => {
    const heard = { text: '', isClosed: false }
    const socket = connect(port, '127.0.0.1', () => {
      for (const piece of pieces) socket.write(piece)
    })
    socket.on('data', (chunk) => {
      heard.text += chunk
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      heard.isClosed = true
    })
    return { heard, socket }
  }
  const ended = (heard: { isClosed: boolean }) =>
    until('the connection has ended', async () => heard.isClosed || undefined, 5000)

  it('that does not finish its head or its body is cut off', async ({ watched }) => {
    const api = await openApi(watched.directory, [{ name: 'web' }], {}, undefined, limits)
    const head = 'POST /api/stop HTTP/1.1\r\nHost: localhost\r\n'
    const key = `Authorization: Bearer ${api.key(['control'])}\r\nContent-Type: application/json\r\n`
    for (const pieces of [
      [],
      ['GET /'],
      [head],
      [head, key, 'Content-Length: 100\r\n\r\n{'],
      [head, 'Content-Length: 100\r\n\r\n{'],
    ])
      await ended(talk(api.port, ...pieces).heard)
    expect(api.told).toEqual([])
    api.close()
  })

  it('that takes all the room makes place for who shows a key', async ({ watched }) => {
    const api = await openApi(watched.directory, [{ name: 'web' }], {}, undefined, {
      ...limits,
      headMs: 60_000,
      requestMs: 60_000,
    })
    const silent = Array.from({ length: 20 }, () => talk(api.port, 'GET /'))
    await until(
      'some are cut off',
      async () => silent.filter(({ heard }) => heard.isClosed).length >= 12 || undefined,
    )
    expect((await api.ask('/api/list', { key: api.key() })).status).toBe(200)
    for (const { socket } of silent) socket.destroy()
    api.close()
  })

  it('that leaves a long answer unread is cut off', async ({ watched }) => {
    const many = Array.from({ length: 20_000 }, (_, port) => ({ name: `web${port}`, port }))
    const api = await openApi(watched.directory, many, {}, undefined, limits)
    const get = `GET /api/list HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${api.key()}\r\n\r\n`
    const socket = connect(api.port, '127.0.0.1', () => socket.write(get.repeat(3))).on('error', () => {})
    socket.pause()
    // A paused socket notices a reset when it writes; servers skip an empty line.
    await until('its connection has ended', async () => {
      if (!socket.destroyed) socket.write('\r\n')
      return socket.destroyed || undefined
    })
    api.close()
  })
})
