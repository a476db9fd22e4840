// The gate together with TLS, on either side, with clients that others wrote: curl and ws.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { Authority, contents, type Pair } from '../support/certificates.ts'
import { type ForwarderProcess, startTcpProxy } from '../support/forwarder-process.ts'
import { listen } from '../support/gate.ts'
import { run } from '../support/tools.ts'

let authority: Authority
let pair: Pair

beforeAll(async () => {
  authority = await Authority.create()
  pair = await authority.issueLocal()
})
afterAll(() => authority.remove())

for (const [side, isClientTls, isTargetTls] of [
  ['its visitors', true, false],
  ['its target', false, true],
  ['both', true, true],
] as const) {
  describe(`A gate that speaks TLS with ${side}`, () => {
    let target: Server
    let targetOrigin: string
    let forwarder: ForwarderProcess
    let origin: string
    let token: string
    let seen: IncomingMessage[] = []
    let location = ''

    beforeAll(async () => {
      target = isTargetTls ? createSecureServer(contents(pair)) : createServer()
      target.on('request', (request: IncomingMessage, response) => {
        seen.push(request)
        response.writeHead(200, { 'content-type': 'text/html', ...(location !== '' && { location }) })
        response.end(`<head></head>${request.method} ${request.url} at ${targetOrigin}/x`)
      })
      const sockets = new WebSocketServer({ server: target })
      sockets.on('connection', (client, request) => {
        seen.push(request)
        client.on('message', (data, isBinary) => client.send(data, { binary: isBinary }))
      })
      const port = await listen(target)
      targetOrigin = `${isTargetTls ? 'https' : 'http'}://localhost:${port}`
      const options = [
        ...['--gate', 'token', '--target-check', '0'],
        ...(isClientTls ? ['--tls-cert', pair.cert, '--tls-key', pair.key] : []),
        ...(isTargetTls ? ['--target-tls', '--target-tls-ca', authority.ca.cert] : []),
      ]
      forwarder = await startTcpProxy(`localhost ${port}`, options)
      origin = `${isClientTls ? 'https' : 'http'}://localhost:${forwarder.port}`
      token = readFileSync(join(dirname(forwarder.control), 'gate_token'), 'utf8').trim()
    })
    beforeEach(() => {
      seen = []
      location = ''
    })
    afterAll(async () => {
      await forwarder.close()
      target.closeAllConnections()
      target.close()
    })

    const curl = async (...words: string[]) => {
      const { stdout, stderr, code } = await run(['curl', '-sS', '--cacert', authority.ca.cert, ...words])
      assert.equal(code, 0, stderr)
      return stdout
    }
    const jar = () => join(dirname(forwarder.control), 'cookies')
    const logIn = (...words: string[]) =>
      curl(
        ...['--cookie-jar', jar(), '--cookie', jar(), '--data-urlencode', `token=${token}`, ...words],
        `${origin}/.port-watchdog/login`,
      )
    /** The `Cookie` header after a login. */
    const session = async () => {
      const heads = await logIn('--dump-header', '-', '--output', '/dev/null')
      const [, cookie = ''] = /^set-cookie: ([^;]+);/im.exec(heads) ?? []
      return { heads, cookie }
    }

    it('lets nobody in without a login', async () => {
      assert.match(await curl('--dump-header', '-', `${origin}/x`), /^HTTP\/1\.1 401 /)
      assert.equal(seen.length, 0)
    })

    it('sets a cookie that never leaves https, where there is https', async () => {
      const { heads } = await session()
      assert.match(heads, /^HTTP\/1\.1 303 /)
      const form = isClientTls
        ? /^set-cookie: __Host-port_watchdog_.*; Secure\r$/im
        : /^set-cookie: port_watchdog_/im
      assert.match(heads, form)
      assert.equal(/; Secure/i.test(heads), isClientTls)
    })

    it('curl logs in, and reads a page with the addresses that it knows', async () => {
      await logIn()
      const page = await curl('--cookie', jar(), '--header', 'Accept: text/html', `${origin}/page`)
      assert.ok(page.includes(`GET /page at ${origin}/x`), page)
      assert.ok(page.includes('/.port-watchdog/page.js'))
      assert.equal(seen[0]?.headers.cookie, undefined, 'the session ends at the gate')
    })

    it('speaks to the target as a browser on its own machine does, and back', async () => {
      const { cookie } = await session()
      location = `${targetOrigin}/there`
      const words = ['--header', `Cookie: ${cookie}`, '--header', `Origin: ${origin}`]
      const heads = await curl(...words, '--referer', `${origin}/p`, '--dump-header', '-', `${origin}/`)
      const { host, origin: told, referer, 'x-forwarded-proto': scheme } = seen[0]?.headers ?? {}
      assert.equal(`${new URL(targetOrigin).protocol}//${host}`, targetOrigin)
      assert.deepEqual([told, referer], [targetOrigin, `${targetOrigin}/p`])
      assert.equal(scheme, isClientTls ? 'https' : 'http')
      assert.match(heads, new RegExp(`^location: ${origin}/there\r$`, 'im'))
    })

    it('refuses the page of the other scheme, which is another origin', async () => {
      const { cookie } = await session()
      const other = origin.replace(/^https?/, isClientTls ? 'http' : 'https')
      const words = ['--header', `Cookie: ${cookie}`, '--header', `Origin: ${other}`]
      assert.match(await curl(...words, '--dump-header', '-', `${origin}/`), /^HTTP\/1\.1 403 /)
    })

    it('carries a WebSocket, with a login alone', async () => {
      const address = `${origin.replace('http', 'ws')}/socket`
      const ca = contents(authority.ca).cert
      const refused = new WebSocket(address, { ca, origin })
      refused.on('error', () => {})
      const [, answer] = (await once(refused, 'unexpected-response')) as [unknown, IncomingMessage]
      answer.resume()
      assert.equal(answer.statusCode, 401)
      const { cookie } = await session()
      const socket = new WebSocket(address, { ca, origin, headers: { cookie } })
      await once(socket, 'open')
      const message = Buffer.alloc(1_000_000, 'w')
      socket.send(message)
      const [echo] = (await once(socket, 'message')) as [Buffer]
      assert.ok(message.equals(echo))
      assert.equal(seen.at(-1)?.headers.origin, targetOrigin)
      socket.close()
      await once(socket, 'close')
    })

    it('logs out', async () => {
      await logIn()
      await curl(
        '--cookie',
        jar(),
        '--cookie-jar',
        jar(),
        '--request',
        'POST',
        `${origin}/.port-watchdog/logout`,
      )
      assert.match(await curl('--cookie', jar(), '--dump-header', '-', `${origin}/`), /^HTTP\/1\.1 401 /)
    })
  })
}
