// Connections to the target that are kept for the visitor's next request: when they are, when they are not, and what can go wrong with one.
import assert from 'node:assert/strict'
import { Agent, createServer as createHttpServer, type Server as HttpServer } from 'node:http'
import { connect, createServer, type Server, type Socket } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, it } from 'vitest'
import { framingOf, MalformedAnswer, readAnswerHead, reusableMs } from '../../src/forward/gate/answer-head.ts'
import { Chunks } from '../../src/forward/gate/chunks.ts'
import { requestHead } from '../../src/forward/gate/request-head.ts'
import { ask, type GateUnderTest, listen, logIn, startGate } from '../support/gate.ts'
import { until } from '../support/tools.ts'

const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

describe('A connection to the target', () => {
  let target: Server
  let gate: GateUnderTest
  let cookie: string
  /** The first lines of the requests, by connection. */
  let seen: string[][] = []
  let sockets: Socket[] = []
  /** What a request on a connection that has carried so many before is answered with; undefined = with a reset. */
  let answer: (before: number, path: string) => string | undefined = () => ok

  beforeAll(async () => {
    target = createServer((socket) => {
      const mine: string[] = []
      seen.push(mine)
      sockets.push(socket)
      socket.on('error', () => {}).setEncoding('latin1')
      let text = ''
      socket.on('data', (chunk: string) => {
        text += chunk
        for (;;) {
          const end = text.indexOf('\r\n\r\n')
          if (end < 0) return
          const first = text.slice(0, text.indexOf('\r\n'))
          const length = Number(/^content-length: (\d+)\r$/im.exec(text.slice(0, end + 2))?.[1] ?? 0)
          const isEarly = first.includes('/early')
          if (!isEarly && text.length < end + 4 + length) return
          text = text.slice(end + 4 + length)
          const given = answer(mine.length, first.split(' ')[1] ?? '')
          mine.push(first)
          if (given === undefined) socket.resetAndDestroy()
          else socket.write(given)
        }
      })
    })
    gate = await startGate(await listen(target))
    cookie = await logIn(gate)
  })
  beforeEach(() => {
    for (const socket of sockets) socket.destroy()
    seen = []
    sockets = []
    answer = () => ok
  })
  afterAll(async () => {
    await gate.close()
    target.close()
  })

  /** Sends requests one after another on one connection, each when the one before is answered with a whole body `ok`, or anything at its end. */
  const visit = () => {
    let got = ''
    const socket = connect({ port: gate.port, host: '127.0.0.1', noDelay: true })
    socket.on('error', () => {}).setEncoding('latin1')
    socket.on('data', (chunk: string) => {
      got += chunk
    })
    const ask = async (first: string, headers: string[] = [], body = '') => {
      got = ''
      const head = [`${first} HTTP/1.1`, 'Host: 127.0.0.1', `Cookie: ${cookie}`, ...headers]
      socket.write(`${head.join('\r\n')}\r\n\r\n${body}`)
      await until('the answer', async () =>
        /\r\n\r\n(ok|2\r\nok\r\n0\r\n\r\n)$/.test(got) || socket.closed || /^HTTP\/1\.1 50/.test(got)
          ? true
          : undefined,
      )
      return Number(got.split(' ')[1])
    }
    return { socket, ask }
  }
  const paths = () => seen.map((lines) => lines.map((line) => line.split(' ').slice(0, 2).join(' ')))

  it('carries one request of its visitor after another, and none of anybody else', async () => {
    const one = visit()
    const other = visit()
    for (const path of ['/1', '/2']) assert.equal(await one.ask(`GET ${path}`), 200)
    assert.equal(await other.ask('GET /other'), 200)
    assert.equal(await one.ask('HEAD /3').catch(() => 200), 200)
    assert.deepEqual(paths()[1], ['GET /other'])
    assert.deepEqual(paths()[0]?.slice(0, 2), ['GET /1', 'GET /2'])
    one.socket.destroy()
    other.socket.destroy()
    await until('both to be closed', async () => (gate.open.target.size === 0 ? true : undefined))
  })

  it('is a new one for a request that could not be sent again, and is kept behind it', async () => {
    const { ask, socket } = visit()
    await ask('GET /1')
    await ask('POST /2', ['Content-Length: 2'], 'hi')
    await ask('GET /3')
    await ask('PUT /4', ['Content-Length: 2'], 'hi')
    assert.deepEqual(paths(), [['GET /1'], ['POST /2', 'GET /3'], ['PUT /4']])
    socket.destroy()
  })

  for (const [what, given] of [
    ['that says close', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok'],
    ['in HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok'],
    ['with bytes behind it', `${ok}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`],
    [
      'with bytes behind its chunks',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nX',
    ],
    [
      'that keeps it for a second only',
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=1\r\n\r\nok',
    ],
  ] as const) {
    it(`is not used again after an answer ${what}`, async () => {
      answer = (_before, path) => (path === '/1' ? given : ok)
      const { ask, socket } = visit()
      assert.equal(await ask('GET /1'), 200)
      assert.equal(await ask('GET /2'), 200)
      assert.deepEqual(paths(), [['GET /1'], ['GET /2']])
      socket.destroy()
    })
  }

  it('is not used again after an answer that came before the request was sent whole', async () => {
    const { ask, socket } = visit()
    assert.equal(await ask('POST /early', ['Content-Length: 30'], 'GET /smuggled'), 200)
    socket.write(' HTTP/1.1\r\n\r\n    ')
    assert.equal(await ask('GET /2'), 200)
    assert.deepEqual(paths().flat().sort(), ['GET /2', 'POST /early'])
    assert.equal(seen.length, 2)
    socket.destroy()
  })

  it('is not used again after bytes that nobody asked for', async () => {
    const { ask, socket } = visit()
    await ask('GET /1')
    sockets[0]?.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil')
    await until('it to be closed', async () => (gate.open.target.size === 0 ? true : undefined))
    assert.equal(await ask('GET /2'), 200)
    assert.deepEqual(paths(), [['GET /1'], ['GET /2']])
    socket.destroy()
  })

  it('that the target closed meanwhile costs nobody an answer', async () => {
    // With a reset, and with the words of servers that have waited long enough.
    for (const last of [
      undefined,
      'HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
    ]) {
      seen = []
      answer = (count) => (count === 0 ? ok : last)
      const { ask, socket } = visit()
      assert.equal(await ask('GET /1'), 200)
      assert.equal(await ask('GET /2'), 200)
      assert.deepEqual(paths(), [['GET /1', 'GET /2'], ['GET /2']])
      socket.destroy()
    }
  })

  it('is tried once more only: a target that fails is told as that', async () => {
    const { ask, socket } = visit()
    assert.equal(await ask('GET /1'), 200)
    answer = () => undefined
    assert.equal(await ask('GET /2'), 502)
    assert.deepEqual(
      paths().filter((lines) => lines.length > 0),
      [['GET /1', 'GET /2'], ['GET /2']],
    )
    socket.destroy()
  })

  it('cut off within an answer, kept or not, is no complete answer', async () => {
    for (const path of ['/1', '/2']) {
      const { ask, socket } = visit()
      answer = (_before, asked) => (asked === path ? 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok' : ok)
      if (path === '/2') await ask('GET /1')
      const asking = ask(`GET ${path}`)
      await asking
      sockets.at(-1)?.resetAndDestroy()
      await new Promise((resolve) => (socket.closed ? resolve(undefined) : socket.once('close', resolve)))
    }
  })
})

describe('A visitor who was let in on this connection before', () => {
  let target: HttpServer
  let gate: GateUnderTest
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })

  beforeAll(async () => {
    target = createHttpServer((_request, response) => response.end('ok'))
    gate = await startGate(await listen(target), { sessionMs: 1_500 })
  })
  afterAll(async () => {
    agent.destroy()
    await gate.close()
    target.close()
  })

  const statusWith = async (headers: Record<string, string>) =>
    (await ask(gate.port, { agent, headers })).status

  it('is judged anew when the session has expired', async () => {
    const cookie = await logIn(gate)
    assert.equal(await statusWith({ cookie }), 200)
    await until('the session to expire', async () =>
      (await statusWith({ cookie })) === 401 ? true : undefined,
    )
  })

  it('is judged anew with another token, session or none', async () => {
    const cookie = await logIn(gate)
    const right = { authorization: `Bearer ${gate.secrets.token}` }
    for (const wrong of [
      { authorization: `Bearer ${gate.secrets.token}x` },
      { cookie: `${cookie}x` },
      { cookie: cookie.slice(0, -1) },
      { 'x-port-watchdog-token': 'no' },
      {},
    ] as Record<string, string>[]) {
      for (const good of [right, { cookie: await logIn(gate) }] as Record<string, string>[]) {
        assert.equal(await statusWith(good), 200)
        assert.equal(await statusWith(good), 200)
        assert.equal(await statusWith(wrong), 401, JSON.stringify(wrong))
      }
    }
  })
})

describe('The head of an answer', () => {
  const head = (...lines: string[]) => readAnswerHead(['HTTP/1.1 200 OK', ...lines].join('\r\n'))

  for (const text of [
    ...[
      'HTTP/1.1 099 x',
      'HTTP/1.1 20 x',
      'HTTP/2.0 200 x',
      'HTTP/1.1  200 x',
      'HTTP/1.1 200 a\nb',
      ' HTTP/1.1 200',
    ],
    ...['a b: c', 'a : b', ': b', ' a: b', 'a', 'a: b\n c: d', 'a: \0', 'a\x01: b'].map(
      (bad) => `HTTP/1.1 200 OK\r\n${bad}`,
    ),
  ]) {
    it(`${JSON.stringify(text)} is malformed`, () =>
      assert.throws(() => readAnswerHead(text), MalformedAnswer))
  }

  for (const lines of [
    ['Content-Length: 1', 'Content-Length: 1'],
    ['Content-Length: 1, 1'],
    ['Content-Length: +1'],
    ['Content-Length: 0x1'],
    ['Content-Length: '],
    ['Content-Length: 1', 'Transfer-Encoding: chunked'],
    ['Transfer-Encoding: gzip'],
    ['Transfer-Encoding: chunked, gzip'],
    ['Transfer-Encoding: chunked, chunked, x'],
    ['Transfer-Encoding: \x0bchunked'],
    ['Transfer-Encoding: \xa0chunked'],
  ]) {
    it(`${JSON.stringify(lines)} tells no length`, () =>
      assert.throws(() => framingOf(head(...lines), 'GET'), MalformedAnswer))
  }

  it('tells how its body ends', () => {
    assert.deepEqual(framingOf(head('Content-Length: 12'), 'GET'), { kind: 'length', bytes: 12 })
    assert.deepEqual(framingOf(head('Content-Length: 12'), 'HEAD'), { kind: 'none' })
    assert.deepEqual(framingOf(head('Transfer-Encoding: gzip, Chunked'), 'GET'), { kind: 'chunked' })
    assert.deepEqual(framingOf(head(), 'GET'), { kind: 'until-close' })
    assert.deepEqual(framingOf(readAnswerHead('HTTP/1.1 304 x'), 'GET'), { kind: 'none' })
  })

  it('tells how long its connection is kept', () => {
    assert.equal(reusableMs(head(), 4_000), 4_000)
    assert.equal(reusableMs(head('Keep-Alive: timeout=3, max=5'), 4_000), 2_000)
    assert.equal(reusableMs(head('Connection: x, Close'), 4_000), 0)
  })

  it('joins what is repeated, and keeps cookies apart', () => {
    const { headers } = head(
      'A: 1',
      'a:2\t',
      'Set-Cookie: x',
      'Set-Cookie: y',
      'Location: /1',
      'Location: /2',
    )
    assert.deepEqual(headers, { a: '1, 2', 'set-cookie': ['x', 'y'], location: '/1' })
  })
})

describe('A body in chunks', () => {
  const read = (pieces: readonly Buffer[]) => {
    const chunks = new Chunks()
    let body = ''
    let used = 0
    for (const piece of pieces) {
      used += chunks.read(piece, (part) => {
        body += part.toString('latin1')
      })
    }
    return { body, used, isOver: chunks.isOver }
  }

  it('is the same wherever it is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ minLength: 1, maxLength: 30 }).map((text) => Buffer.from(text).toString('hex'))),
        fc.array(fc.nat({ max: 40 }), { minLength: 1 }),
        (texts, cuts) => {
          const chunks = texts.map((text) => `${text.length.toString(16)};ext="x"\r\n${text}\r\n`).join('')
          const whole = Buffer.from(`${chunks}0\r\nTrailer: dropped\r\n\r\n`)
          const bytes = Buffer.concat([whole, Buffer.from('more')])
          const pieces: Buffer[] = []
          for (let at = 0, turn = 0; at < bytes.length; turn++) {
            const length = (cuts[turn % cuts.length] ?? 0) + 1
            pieces.push(bytes.subarray(at, at + length))
            at += length
          }
          assert.deepEqual(read(pieces), { body: texts.join(''), used: whole.length, isOver: true })
        },
      ),
    )
  })

  for (const text of [
    'x\r\n',
    '-1\r\n',
    '1 1\r\n',
    '\r\n',
    '2\nok',
    '2\r\nokk\r\n',
    '2\r\nok\n',
    '1;\x01\r\n',
    '1'.repeat(2_000),
  ]) {
    it(`${JSON.stringify(text.slice(0, 20))} is malformed`, () =>
      assert.throws(() => read([Buffer.from(text)]), MalformedAnswer))
  }
})

it('A header that would break out of its line is never sent', () => {
  for (const bad of ['a\r\nb: c', 'a\nb', 'a\0'])
    assert.throws(() => requestHead('GET', '/', { host: 'h', a: bad }, 'none', 'close'))
  for (const path of ['/ HTTP/1.1', '/\r\n', ''])
    assert.throws(() => requestHead('GET', path, {}, 'none', 'close'))
})
