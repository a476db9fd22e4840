import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import { connect } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { ask, type GateUnderTest, listen, logIn, startGate } from '../support/gate.ts'

/*
 * Whatever a visitor sends, the gate goes on, and nothing of it reaches the target without a login. An error that nobody
 * handles anywhere in the gate ends this process, and so the test.
 */
describe('A gate under fire', () => {
  let target: Server
  let reached = 0
  let smuggled = 0
  let gate: GateUnderTest
  let cookie: string

  beforeAll(async () => {
    target = createServer((request, response) => {
      reached++
      if (request.url === '/smuggled') smuggled++
      request.resume()
      response.end('target')
    })
    gate = await startGate(await listen(target))
    cookie = await logIn(gate)
  })
  afterAll(async () => {
    await gate.close()
    target.close()
  })

  /** Sends the pieces, ends, and resolves when the gate has closed. */
  const send = (pieces: readonly Uint8Array[], reset: boolean): Promise<void> =>
    new Promise((resolve) => {
      const socket = connect({ port: gate.port, host: '127.0.0.1', noDelay: true })
      socket.on('error', () => {}).on('close', () => resolve())
      socket.resume()
      for (const piece of pieces) socket.write(piece)
      if (reset) socket.write('', () => socket.resetAndDestroy())
      else socket.end()
    })

  const isAlive = async () => {
    assert.equal((await ask(gate.port)).status, 401)
    assert.equal((await ask(gate.port, { headers: { cookie } })).status, 200)
  }

  it('of bytes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 5 }),
        fc.boolean(),
        async (pieces, reset) => {
          const before = reached
          await send(pieces, reset)
          assert.equal(reached, before)
        },
      ),
      { numRuns: 300 },
    )
    await isAlive()
  })

  const line = fc.constantFrom(
    'Host: 127.0.0.1',
    'Host: [::1',
    'Content-Length: 5',
    'Content-Length: -1',
    'Content-Length: 99999999999999999999',
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: gzip, chunked',
    'Connection: upgrade',
    'Connection: keep-alive, host, cookie',
    'Connection: transfer-encoding',
    'Upgrade: websocket',
    'Upgrade: h2c',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    'Expect: 100-continue',
    'Expect: miracles',
    'Origin: null',
    'Origin: http://127.0.0.1',
    'Access-Control-Request-Method: \u00ff',
    'Authorization: Bearer',
    'Authorization: Basic Og==',
    'Cookie: =;;=;a',
    'Accept: text/html',
    'Referer: //\\',
    'Trailer: x',
    'TE: trailers',
    'Range: bytes=9-1',
    'Content-Type: application/x-www-form-urlencoded',
  )
  const request = fc.record({
    method: fc.constantFrom('GET', 'POST', 'OPTIONS', 'HEAD', 'DELETE', 'CONNECT', 'TRACE', 'PRI', 'get'),
    path: fc.oneof(
      fc.constantFrom(
        '/',
        '*',
        '//',
        '/.port-watchdog/login',
        '/.port-watchdog/logout',
        '/.port-watchdog/x',
        'http://a/',
      ),
      fc.string({ maxLength: 20 }).map((text) => `/${text}`),
    ),
    version: fc.constantFrom('HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'HTTP/9.9', ''),
    lines: fc.array(line, { maxLength: 8 }),
    body: fc.constantFrom(
      '',
      'hello',
      'GET /smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n',
      '0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n',
      '5\r\nhello\r\n0\r\n\r\n',
      'ffffffffffffffffff\r\n',
      'token=%&next=%zz',
      '\0\0',
    ),
    again: fc.nat({ max: 3 }),
    cut: fc.nat({ max: 400 }),
    reset: fc.boolean(),
  })

  // On a connection that has carried a request already, the target's is a kept one.
  for (const who of ['strangers', 'those who are in', 'those who are in, on kept connections']) {
    it(`of broken requests of ${who}`, async () => {
      const own = who === 'strangers' ? [] : [`Host: 127.0.0.1`, `Cookie: ${cookie}`]
      await fc.assert(
        fc.asyncProperty(request, async ({ method, path, version, lines, body, again, cut, reset }) => {
          const before = reached
          const one = `${method} ${path} ${version}\r\n${[...own, ...lines].join('\r\n')}\r\n\r\n${body}`
          const bytes = Buffer.from(one.repeat(again + 1), 'latin1')
          const first = who.endsWith('kept connections')
            ? `GET /first HTTP/1.1\r\n${own.join('\r\n')}\r\n\r\n`
            : ''
          await send(
            [
              Buffer.from(first),
              bytes.subarray(0, bytes.length - (cut % (bytes.length + 1))),
              Buffer.from('\r\n\r\n'),
            ],
            reset,
          )
          if (who === 'strangers') assert.equal(reached, before)
          assert.equal(smuggled, 0)
        }),
        { numRuns: 500 },
      )
      await isAlive()
    })
  }
})
