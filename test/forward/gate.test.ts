import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, it } from 'vitest'
import { loadGateSecrets } from '../../src/forward/gate/index.ts'
import { sha256 } from '../../src/forward/gate/sha256.ts'
import { ask, type GateUnderTest, listen, logIn, sendForm, startGate } from '../support/gate.ts'
import { checkout, run } from '../support/tools.ts'

const page = { accept: 'text/html,application/xhtml+xml' }

describe('A gate', () => {
  let target: Server
  let targetPort: number
  let gate: GateUnderTest
  let cookie: string
  /** What has reached the target since the test began. */
  let seen: IncomingMessage[] = []
  let answerWith: Readonly<Record<string, string>> = {}
  /** '' = what was sent. */
  let bodyWith = ''

  beforeAll(async () => {
    target = createServer((request, response) => {
      seen.push(request)
      response.writeHead(200, { 'content-type': 'text/plain', ...answerWith })
      if (bodyWith === '') request.pipe(response)
      else response.end(bodyWith)
    })
    targetPort = await listen(target)
    gate = await startGate(targetPort, { hosts: ['inspector.lan'] })
    cookie = await logIn(gate)
  })
  beforeEach(() => {
    seen = []
    answerWith = {}
    bodyWith = ''
  })
  afterAll(async () => {
    await gate.close()
    target.close()
  })

  const headersSeen = () => seen[0]?.headers ?? {}

  describe('before the login', () => {
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE']) {
      it(`lets no ${method} through`, async () => {
        for (const path of [
          '/',
          '/api/config',
          '/.well-known/x',
          '/.port-watchdog',
          '/.port-watchdog/../api',
          '//x',
        ]) {
          assert.equal((await ask(gate.port, { method, path })).status, 401, path)
        }
        assert.equal(seen.length, 0)
      })
    }

    it('shows a browser the login page, whatever the path, with nothing from elsewhere', async () => {
      const { status, headers, body } = await ask(gate.port, { path: '/tools?x=1&y="><b>', headers: page })
      assert.equal(status, 401)
      assert.match(String(headers['content-security-policy']), /default-src 'none'.*frame-ancestors 'none'/)
      assert.match(body, /<form method="post" action="\/\.port-watchdog\/login">/)
      assert.match(body, /name="next" value="\/tools\?x=1&#38;y=%22%3E%3Cb%3E"/)
      assert.doesNotMatch(body, /https?:\/\/|<script/)
      assert.equal(seen.length, 0)
    })

    it('tells the file with the token to a browser on this machine alone', async () => {
      const file = gate.secrets.tokenPlace
      const shown = async (headers: Record<string, string>) =>
        (await ask(gate.port, { headers: { ...page, ...headers } })).body.includes(file)
      assert.equal(await shown({}), true)
      assert.equal(await shown({ host: 'localhost:1' }), true)
      for (const headers of [
        { host: '10.0.0.1' },
        { host: 'inspector.lan' },
        { 'x-forwarded-for': '10.0.0.9' },
        { via: '1.1 x' },
      ])
        assert.equal(await shown(headers as Record<string, string>), false, JSON.stringify(headers))
    })

    it('takes neither its own script nor a preflight for a way in', async () => {
      assert.equal((await ask(gate.port, { path: '/.port-watchdog/page.js' })).status, 401)
      const headers = { origin: 'http://elsewhere.example', 'access-control-request-method': 'POST' }
      const preflight = await ask(gate.port, { method: 'OPTIONS', headers })
      assert.equal(preflight.status, 401)
      assert.equal(preflight.headers['access-control-allow-origin'], undefined)
      assert.equal(seen.length, 0)
    })

    it('answers 502 with a page only to those who are in when the target is down', async () => {
      const lonely = await startGate(1)
      const session = await logIn(lonely)
      const refused = await ask(lonely.port, { headers: { ...page, cookie: session } })
      assert.equal(refused.status, 502)
      assert.match(refused.body, /<h1>The target is not running</)
      assert.equal((await ask(lonely.port)).status, 401)
      await lonely.close()
    })
  })

  describe('at the login', () => {
    it('sets a session that scripts cannot read, other sites cannot use, and that is not the token', async () => {
      const { status, headers } = await sendForm(gate.port, {
        token: ` ${gate.secrets.token}\n`,
        next: '/a?b=c',
      })
      assert.equal(status, 303)
      assert.equal(headers.location, '/a?b=c')
      const [set = ''] = headers['set-cookie'] ?? []
      assert.match(
        set,
        /^port_watchdog_[0-9a-f]{8}=1\.[^;]+; Max-Age=3600; Path=\/; HttpOnly; SameSite=Strict$/,
      )
      assert.ok(!set.includes(gate.secrets.token))
    })

    it('says that a token is wrong, and then that it is too much', async () => {
      const own = await startGate(targetPort)
      for (let attempt = 0; attempt < 4; attempt++) {
        const { status, body } = await sendForm(own.port, { token: 'wrong', next: '/' })
        assert.equal(status, 401)
        assert.match(body, /role="alert">That is not the token/)
      }
      const fifth = await sendForm(own.port, { token: 'wrong', next: '/' })
      assert.equal(fifth.status, 429)
      assert.match(String(fifth.headers['retry-after']), /^[12]$/)
      assert.equal(own.gate.health().failedAttempts, 5)
      await own.close()
    })

    it('refuses forms of other pages, and forms without end', async () => {
      const foreign = await sendForm(
        gate.port,
        { token: gate.secrets.token },
        { origin: 'http://evil.example' },
      )
      assert.equal(foreign.status, 403)
      const opaque = await sendForm(gate.port, { token: gate.secrets.token }, { origin: 'null' })
      assert.equal(opaque.status, 403)
      const long = await sendForm(gate.port, { token: 'x'.repeat(20_000) })
      assert.equal(long.status, 413)
    })

    it('ends a session at the logout', async () => {
      const shown = await ask(gate.port, { path: '/.port-watchdog/logout', headers: { ...page, cookie } })
      assert.equal(shown.status, 200)
      assert.match(shown.body, /<form method="post" action="\/\.port-watchdog\/logout">/)
      const done = await ask(gate.port, {
        method: 'POST',
        path: '/.port-watchdog/logout',
        headers: { cookie },
      })
      assert.equal(done.status, 303)
      assert.match(String(done.headers['set-cookie']), /=; Max-Age=0;/)
    })
  })

  describe('after the login', () => {
    it('lets requests through, with their bodies', async () => {
      const { status, body } = await ask(
        gate.port,
        { method: 'POST', path: '/x?y', headers: { cookie } },
        'hello',
      )
      assert.equal(status, 200)
      assert.equal(body, 'hello')
      assert.equal(seen[0]?.url, '/x?y')
    })

    it('lets programs in with the token in Authorization, which ends here', async () => {
      const authorization = `Bearer ${gate.secrets.token}`
      assert.equal((await ask(gate.port, { headers: { authorization } })).status, 200)
      assert.equal(headersSeen().authorization, undefined)
    })

    it('takes the token in a header of its own where the target needs Authorization', async () => {
      const headers = { authorization: 'Bearer for-the-target', 'x-port-watchdog-token': gate.secrets.token }
      assert.equal((await ask(gate.port, { headers })).status, 200)
      assert.equal(headersSeen().authorization, 'Bearer for-the-target')
      assert.equal(headersSeen()['x-port-watchdog-token'], undefined)
      const wrong = { authorization: `Bearer ${gate.secrets.token}`, 'x-port-watchdog-token': 'wrong' }
      assert.equal((await ask(gate.port, { headers: wrong })).status, 401)
      await ask(gate.port, { headers: { cookie, 'x-port-watchdog-token': 'x' } })
      assert.equal(seen[1]?.headers['x-port-watchdog-token'], undefined)
    })

    it('leaves an Authorization that is the target’s own alone', async () => {
      await ask(gate.port, { headers: { cookie, authorization: 'Bearer for-the-target' } })
      assert.equal(headersSeen().authorization, 'Bearer for-the-target')
    })

    it('passes on what the target would see from its own machine', async () => {
      const host = `10.1.2.3:${gate.port}`
      await ask(gate.port, {
        headers: {
          host,
          cookie: `a=1; ${cookie}; b=2`,
          origin: `http://${host}`,
          referer: `http://${host}/page?x`,
          connection: 'close, x-private',
          'x-private': 'hop',
          te: 'trailers',
          'x-forwarded-for': '1.2.3.4',
          forwarded: 'for=1.2.3.4',
        },
      })
      const headers = headersSeen()
      assert.equal(headers.host, `localhost:${targetPort}`)
      assert.equal(headers.origin, `http://localhost:${targetPort}`)
      assert.equal(headers.referer, `http://localhost:${targetPort}/page?x`)
      assert.equal(headers.cookie, 'a=1; b=2')
      assert.equal(headers['x-forwarded-for'], '127.0.0.1')
      assert.equal(headers['x-forwarded-host'], host)
      assert.equal(headers['x-forwarded-proto'], 'http')
      for (const name of ['x-private', 'te', 'forwarded']) assert.equal(headers[name], undefined, name)
    })

    it('translates what the target says of itself', async () => {
      answerWith = {
        location: `http://localhost:${targetPort}/there`,
        'set-cookie': 'x=1; Domain=localhost; Path=/',
        'access-control-allow-origin': `http://localhost:${targetPort}`,
        'content-security-policy': `frame-ancestors http://localhost:${targetPort}`,
      }
      const { headers } = await ask(gate.port, { headers: { cookie } })
      const own = `http://127.0.0.1:${gate.port}`
      assert.equal(headers.location, `${own}/there`)
      assert.deepEqual(headers['set-cookie'], ['x=1; Path=/'])
      assert.equal(headers['access-control-allow-origin'], own)
      assert.equal(headers['content-security-policy'], `frame-ancestors ${own}`)
    })

    it('names an IPv6 visitor’s host in a policy as well as a policy can', async () => {
      answerWith = {
        'content-security-policy': `frame-ancestors http://[::1]:${targetPort} http://localhost:${targetPort}`,
      }
      const host = `[fd77::1]:${gate.port}`
      const { headers } = await ask(gate.port, { headers: { host, cookie } })
      const any = `http://*:${gate.port}`
      assert.equal(headers['content-security-policy'], `frame-ancestors ${any} ${any}`)
    })

    it('refuses pages of other sites and other ports, though they bring the cookie', async () => {
      for (const origin of [
        'http://evil.example',
        'http://127.0.0.1:1',
        `https://127.0.0.1:${gate.port}`,
        'null',
      ]) {
        assert.equal((await ask(gate.port, { headers: { cookie, origin } })).status, 403, origin)
      }
      assert.equal(seen.length, 0)
    })

    it('refuses a name that it was not told: it may have been pointed here by anybody', async () => {
      const statusFor = async (host: string) => (await ask(gate.port, { headers: { host, cookie } })).status
      for (const host of [
        'evil.example',
        `evil.example:${gate.port}`,
        'inspector.lan.evil.example',
        '127.0.0.1.evil.example',
      ])
        assert.equal(await statusFor(host), 421, host)
      for (const host of ['a b', 'x@y', '[::1', '127.0.0.1:x']) assert.equal(await statusFor(host), 400, host)
      for (const host of [
        'inspector.lan',
        `INSPECTOR.LAN:${gate.port}`,
        'localhost',
        'a.localhost',
        '[::1]:1',
        '192.168.0.1',
      ])
        assert.equal(await statusFor(host), 200, host)
    })

    it('puts its script into pages before every other, and leaves every other byte as it is', async () => {
      answerWith = { 'content-type': 'text/html; charset=utf-8', etag: '"1"' }
      const text = `\u00fc \u{1f600} http://localhost:${targetPort}/x http://localhost:${targetPort}1/y`
      bodyWith = `<!doctype html><html><head lang="en"><script src="/a.js"></script></head>${text}</html>`
      const shown = await ask(gate.port, { headers: { ...page, cookie, 'accept-encoding': 'gzip' } })
      const expected = bodyWith
        .replace('<!doctype html>', '<!doctype html><script src="/.port-watchdog/page.js"></script>')
        .replace(`http://localhost:${targetPort}/x`, `http://127.0.0.1:${gate.port}/x`)
      assert.equal(shown.body, expected)
      assert.equal(shown.headers.etag, undefined)
      assert.equal(headersSeen()['accept-encoding'], 'identity')
      const fetched = await ask(gate.port, { headers: { cookie } })
      assert.equal(fetched.body, bodyWith, 'what a program asks for is not touched')
      assert.equal(fetched.headers.etag, '"1"')
    })

    it('gives its script to those who are in', async () => {
      const { status, body, headers } = await ask(gate.port, {
        path: '/.port-watchdog/page.js',
        headers: { cookie },
      })
      assert.equal(status, 200)
      assert.match(String(headers['content-type']), /^text\/javascript/)
      assert.doesNotThrow(() => new Function(body))
      assert.equal(seen.length, 0)
    })
  })

  describe('against ambiguous and endless requests', () => {
    const raw = (text: string): Promise<string> =>
      new Promise((resolve, reject) => {
        let answer = ''
        const socket = connect(gate.port, '127.0.0.1', () => socket.write(text))
        socket.setEncoding('latin1').on('data', (chunk: string) => {
          answer += chunk
        })
        socket.on('close', () => resolve(answer))
        socket.on('error', reject)
      })
    const head = () => `Host: 127.0.0.1\r\nCookie: ${cookie}\r\n`

    for (const [what, text] of [
      [
        'both lengths',
        () => `POST / HTTP/1.1\r\n${head()}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      ],
      ['two lengths', () => `POST / HTTP/1.1\r\n${head()}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd`],
      ['a strange coding', () => `POST / HTTP/1.1\r\n${head()}Transfer-Encoding: xchunked\r\n\r\nabcd`],
      ['a space before the colon', () => `GET / HTTP/1.1\r\n${head()}Content-Length : 0\r\n\r\n`],
      ['a folded header', () => `GET / HTTP/1.1\r\n${head()}X: a\r\n b\r\n\r\n`],
      ['two hosts', () => `GET / HTTP/1.1\r\n${head()}Host: localhost\r\n\r\n`],
      ['an empty host', () => `GET / HTTP/1.1\r\nHost: \r\nCookie: ${cookie}\r\n\r\n`],
      ['no host', () => `GET / HTTP/1.1\r\nCookie: ${cookie}\r\n\r\n`],
      ['a head too long', () => `GET / HTTP/1.1\r\n${head()}X: ${'x'.repeat(40_000)}\r\n\r\n`],
      ['no HTTP at all', () => `\u0016\u0003\u0001\u0002\r\n\r\n`],
    ] as const) {
      it(`refuses ${what}`, async () => {
        assert.match(await raw(text()), /^HTTP\/1\.1 [45]\d\d /)
        assert.equal(seen.length, 0)
      })
    }

    it('closes on a head that does not come, or comes by drops', async () => {
      const hasty = await startGate(targetPort, { limits: { headMs: 100 } })
      const drops = ['GET / HT', 'TP/1.1\r\nHost: 127', '.0.0.1\r\nX: ', ...Array<string>(1000).fill('x')]
      for (const pieces of [[], drops]) {
        const socket = connect(hasty.port, '127.0.0.1')
        socket.on('error', () => {}).resume()
        const dripping = setInterval(() => socket.write(pieces.shift() ?? ''), 10)
        await new Promise((resolve) => socket.once('close', resolve))
        clearInterval(dripping)
      }
      await hasty.close()
    })

    it('closes on CONNECT', async () => {
      assert.equal(await raw(`CONNECT 127.0.0.1:22 HTTP/1.1\r\n${head()}\r\n`), '')
    })

    it('passes a chunked body on whole, and as one', async () => {
      const answer = await raw(
        `DELETE /x HTTP/1.1\r\n${head()}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
      )
      assert.match(answer, /hello/)
      assert.equal(seen.length, 1)
    })
  })
})

describe('The SHA-256 that pages get', () => {
  it('is the one that everybody has', () => {
    for (const length of [0, 1, 3, 55, 56, 57, 63, 64, 65, 119, 120, 1000, 100_000]) {
      const message = randomBytes(length)
      const expected = createHash('sha256').update(message).digest()
      assert.ok(expected.equals(sha256(message)), `${length} bytes`)
    }
  })
})

describe('The secrets of a state directory', () => {
  let directory: string
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'pw-gate-'))
  })
  afterAll(() => rmSync(directory, { recursive: true }))

  it('are made once, for this user alone, with nothing left lying about', () => {
    const first = loadGateSecrets(directory, '')
    assert.deepEqual(loadGateSecrets(directory, ''), first)
    assert.ok(first.token.length >= 32)
    assert.deepEqual(readdirSync(directory).sort(), ['gate_key', 'gate_token'])
    for (const name of readdirSync(directory))
      assert.equal(statSync(join(directory, name)).mode & 0o777, 0o600)
    assert.equal(readFileSync(join(directory, 'gate_token'), 'utf8').trim(), first.token)
  })

  it('are the same for all who start at once', async () => {
    const own = join(directory, 'at-once')
    mkdirSync(own)
    const secrets = join(checkout, 'dist', 'src', 'forward', 'gate', 'login.js')
    const script = `import(${JSON.stringify(secrets)}).then(({ loadGateSecrets }) => {
      const { token, key } = loadGateSecrets(${JSON.stringify(own)}, '')
      console.log(token, key.toString('hex'))
    })`
    const all = await Promise.all(Array.from({ length: 8 }, () => run([process.execPath, '-e', script])))
    const told = new Set(all.map(({ stdout }) => stdout))
    assert.equal(told.size, 1, [...told].join())
    assert.match([...told][0] ?? '', /^\S{32} [0-9a-f]{64}\n$/)
  })

  it('are not used when the key is damaged: it would sign sessions that anybody can sign', () => {
    const own = join(directory, 'damaged')
    mkdirSync(own)
    writeFileSync(join(own, 'gate_key'), 'short\n')
    assert.throws(() => loadGateSecrets(own, ''), /gate_key is damaged; empty it/)
  })

  it('take a token of one’s own, unless it is too short', () => {
    const file = join(directory, 'mine')
    writeFileSync(file, 'a-token-of-my-own\n', { mode: 0o600 })
    const own = loadGateSecrets(directory, file)
    assert.equal(own.token, 'a-token-of-my-own')
    assert.notEqual(own.cookieName, loadGateSecrets(directory, '').cookieName)
    writeFileSync(file, 'short')
    assert.throws(() => loadGateSecrets(directory, file), /16 to 512/)
    assert.throws(() => loadGateSecrets(directory, join(directory, 'none')), /cannot be read/)
    for (const mode of [0o644, 0o640, 0o604]) {
      const told = join(directory, 'told')
      writeFileSync(told, 'a-token-of-my-own\n')
      chmodSync(told, mode)
      // A file of root's may be read by its group.
      const isRoots = process.geteuid?.() === 0
      if (isRoots && mode === 0o640) assert.equal(loadGateSecrets(directory, told).token, 'a-token-of-my-own')
      else assert.throws(() => loadGateSecrets(directory, told), /other users can read .*; chmod 600 /)
    }
  })
})
