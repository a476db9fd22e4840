// What a request is must be the same for the gate and for its target: no header unseen, no body without its length, no coding unknown.
import assert from 'node:assert/strict'
import { connect, createServer, type Server } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, it } from 'vitest'
import { ask, type GateUnderTest, listen, logIn, startGate } from '../support/gate.ts'

for (const isKept of [false, true])
  describe(`A request at a gate${isKept ? ', on a kept connection' : ''}`, () => {
    let target: Server
    let gate: GateUnderTest
    let cookie: string
    /** Every byte that reached the target, a connection each. */
    let seen: string[] = []
    let answer = ''

    beforeAll(async () => {
      target = createServer((socket) => {
        let index: number | undefined
        socket.on('error', () => {}).setEncoding('latin1')
        socket.on('data', (chunk: string) => {
          if (chunk.startsWith('GET /first '))
            return void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst')
          index ??= seen.push('') - 1
          seen[index] += chunk
          if (seen[index]?.includes('\r\n\r\n')) setImmediate(() => socket.end(answer))
        })
      })
      gate = await startGate(await listen(target))
      cookie = await logIn(gate)
    })
    beforeEach(() => {
      seen = []
      answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok'
    })
    afterAll(async () => {
      await gate.close()
      target.close()
    })

    const raw = (first: string, headers: string[], body = ''): Promise<string> =>
      new Promise((resolve) => {
        let got = ''
        const head = [first, 'Host: 127.0.0.1', `Cookie: ${cookie}`, ...headers, 'Connection: close']
        const send = () => socket.write(`${head.join('\r\n')}\r\n\r\n${body}`)
        const socket = connect(gate.port, '127.0.0.1', () => {
          if (isKept) socket.write(`GET /first HTTP/1.1\r\n${head.slice(1, 3).join('\r\n')}\r\n\r\n`)
          else send()
        })
        socket.setEncoding('latin1').on('data', (chunk: string) => {
          got += chunk
          if (!isKept || !got.endsWith('\r\n\r\nfirst')) return
          got = ''
          send()
        })
        socket.on('close', () => resolve(got)).on('error', () => {})
      })
    const many = Array<string>(1_050).fill('a:b')

    it('with more than 1,000 headers before its Origin is judged by that', async () => {
      assert.match(await raw('GET / HTTP/1.1', [...many, 'Origin: http://evil.example']), /^HTTP\/1\.1 403 /)
      assert.deepEqual(seen, [])
    })

    for (const method of ['GET', 'DELETE', 'POST']) {
      it(`with more than 1,000 headers before its length: the body of ${method} is framed`, async () => {
        const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n'
        await raw(`${method} / HTTP/1.1`, [...many, `Content-Length: ${smuggled.length}`], smuggled)
        assert.equal(seen.length, 1)
        assert.match(seen[0] ?? '', new RegExp(`^content-length: ${smuggled.length}\r$`, 'im'))
      })
    }

    it('is answered with every header of the target, however many', async () => {
      answer = `HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(1_500)}Content-Security-Policy: script-src 'none'\r\nContent-Length: 0\r\n\r\n`
      const { headers } = await ask(gate.port, { headers: { cookie }, maxHeaderSize: 1 << 16 })
      assert.ok(headers !== undefined)
      assert.match(await raw('GET / HTTP/1.1', []), /content-security-policy: script-src 'none'/i)
    })

    for (const coding of ['deflate, chunked', 'gzip, chunked', 'identity, chunked', 'chunked, chunked']) {
      it(`with the transfer coding "${coding}" is answered 501 or 400`, async () => {
        const got = await raw('POST / HTTP/1.1', [`Transfer-Encoding: ${coding}`], '0\r\n\r\n')
        assert.match(got, /^HTTP\/1\.1 (501|400) /)
        assert.deepEqual(seen, [])
      })
    }

    it('with a whole address counts by that address, whatever its Host says', async () => {
      assert.match(await raw(`GET http://127.0.0.1:${gate.port}/a?b=c HTTP/1.1`, []), /^HTTP\/1\.1 200 /)
      assert.match(seen[0] ?? '', /^GET \/a\?b=c HTTP\/1\.1\r\n/)
      assert.match(await raw('GET http://127.0.0.1?b=c HTTP/1.1', []), /^HTTP\/1\.1 200 /)
      assert.match(seen[1] ?? '', /^GET \/\?b=c HTTP\/1\.1\r\n/)
      for (const [address, status] of [
        ['http://evil.example/', 421],
        ['https://127.0.0.1/', 421],
        ['http://user@127.0.0.1/', 400],
        ['ftp://127.0.0.1/', 400],
        ['*', 400],
      ] as const) {
        assert.match(await raw(`GET ${address} HTTP/1.1`, []), new RegExp(`^HTTP/1\\.1 ${status} `), address)
      }
      assert.equal(seen.length, 2)
    })

    it('with a port that is none in its Host is refused', async () => {
      for (const host of ['127.0.0.1:99999', '127.0.0.1:0', 'localhost:65536']) {
        assert.equal((await ask(gate.port, { headers: { host, cookie } })).status, 400, host)
      }
    })
  })
