import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import net from 'node:net'
import tls from 'node:tls'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { contradictionIn } from '../../src/config/contradiction.ts'
import type { ForwardOptions } from '../../src/config/forward-options.ts'
import { flagOf, withDefaults } from '../../src/config/option-table.ts'
import { parseClientHello } from '../../src/forward/steps/client-hello.ts'
import { Authority, contents, type Pair } from '../support/certificates.ts'
import { type LocalForwarder, openForwarder } from '../support/forwarders.ts'
import { run } from '../support/tools.ts'

let authority: Authority
let pair: Pair
beforeAll(async () => {
  authority = await Authority.create()
  pair = await authority.issueLocal()
})
afterAll(() => authority.remove())

interface Web {
  readonly port: number
  close(): void
}

const answer = (_request: unknown, response: http2.Http2ServerResponse) => response.end('answered')

/** A server that answers HTTP/2, and HTTP/1.1 where that is allowed. */
async function openWeb(kind: 'h2' | 'h2 and http/1.1' | 'http/1.1' | 'h2c'): Promise<Web> {
  const server = serverOf(kind)
  const sockets = new Set<net.Socket>()
  server.on('connection', (socket: net.Socket) => sockets.add(socket.on('error', () => {})))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as net.AddressInfo).port,
    close: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

function serverOf(kind: Parameters<typeof openWeb>[0]): net.Server {
  if (kind === 'h2c') return http2.createServer(answer)
  const own = contents(pair)
  if (kind !== 'http/1.1') return http2.createSecureServer({ ...own, allowHTTP1: kind !== 'h2' }, answer)
  const server = tls.createServer({ ...own, ALPNProtocols: ['http/1.1'] }, (socket) => {
    socket
      .on('error', () => {})
      .once('data', () =>
        socket.end('HTTP/1.1 200 OK\r\ncontent-length: 8\r\nconnection: close\r\n\r\nanswered'),
      )
  })
  return server
}

interface Line {
  readonly forwarder: LocalForwarder
  readonly url: string
}

async function withLine(
  web: Parameters<typeof openWeb>[0],
  { isTlsIn, ...options }: Partial<ForwardOptions> & { readonly isTlsIn: boolean },
  use: (line: Line) => Promise<void>,
): Promise<void> {
  const target = await openWeb(web)
  const out = web === 'h2c' ? {} : { targetTls: true, targetTlsCa: authority.ca.cert }
  const forwarder = await openForwarder(target.port, { ...out, ...options }, isTlsIn ? pair : undefined)
  try {
    await use({ forwarder, url: `${isTlsIn ? 'https' : 'http'}://127.0.0.1:${forwarder.port}` })
  } finally {
    await forwarder.close()
    target.close()
  }
}

/** One request by HTTP/2, whatever carries it. */
async function askByHttp2(url: string): Promise<string> {
  const session = http2.connect(url, { ca: contents(authority.ca).cert })
  try {
    const stream = session.request({ ':path': '/' })
    let body = ''
    stream.setEncoding('utf8').on('data', (piece: string) => {
      body += piece
    })
    await Promise.race([once(stream, 'end'), once(session, 'error').then(([error]) => Promise.reject(error))])
    return body
  } finally {
    session.destroy()
  }
}

/** What is agreed on with a client that offers these. */
async function agreed(
  port: number,
  ALPNProtocols: string[],
  more: tls.ConnectionOptions = {},
): Promise<string> {
  const socket = tls.connect({
    port,
    host: '127.0.0.1',
    ca: contents(authority.ca).cert,
    ALPNProtocols,
    ...more,
  })
  try {
    await once(socket, 'secureConnect')
    return String(socket.alpnProtocol)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error)
  } finally {
    socket.on('error', () => {}).destroy()
  }
}

describe('ALPN', () => {
  it('with TLS on both sides the client is answered what the target chooses', async () => {
    const offers = [['h2', 'http/1.1'], ['http/1.1', 'h2'], ['h2'], ['http/1.1']]
    for (const web of ['h2', 'h2 and http/1.1', 'http/1.1'] as const) {
      await withLine(web, { isTlsIn: true }, async ({ forwarder, url }) => {
        const direct = await openWeb(web)
        for (const offered of offers) {
          const beside = await agreed(direct.port, offered)
          const got = await agreed(forwarder.port, offered)
          // What the target refuses ends here with a reset.
          if (['h2', 'http/1.1'].includes(beside)) assert.equal(got, beside, `${web}, ${offered}`)
          else assert.ok(!['h2', 'http/1.1'].includes(got), `${web}, ${offered}: ${beside}, ${got}`)
        }
        direct.close()
        if (web !== 'http/1.1') assert.equal(await askByHttp2(url), 'answered')
      })
    }
  })

  it('gRPC’s way: HTTP/2 by --target-alpn from a client without TLS, by --tls-alpn to a target without', async () => {
    await withLine('h2', { isTlsIn: false, targetAlpn: ['h2'] }, async ({ url }) =>
      assert.equal(await askByHttp2(url), 'answered'),
    )
    await withLine('h2c', { isTlsIn: true, tlsAlpn: ['h2'] }, async ({ url, forwarder }) => {
      assert.equal(await askByHttp2(url), 'answered')
      assert.equal(await agreed(forwarder.port, ['h2', 'http/1.1']), 'h2')
    })
  })

  it('a client that must show a certificate is answered from --tls-alpn, and the target is offered that', async () => {
    const target = await openWeb('h2')
    const client = await authority.issue({ name: 'client' })
    const forwarder = await openForwarder(
      target.port,
      { targetTls: true, targetTlsCa: authority.ca.cert, tlsAlpn: ['h2,http/1.1'] },
      { ...pair, clientCa: authority.ca.cert },
    )
    const session = http2.connect(`https://127.0.0.1:${forwarder.port}`, {
      ca: contents(authority.ca).cert,
      ...contents(client),
    })
    const [headers] = await once(session.request({ ':path': '/' }).resume(), 'response')
    assert.equal(headers[':status'], 200)
    session.destroy()
    await forwarder.close()
    target.close()
  })

  it('what cannot be agreed on is told, and to whom', async () => {
    await withLine('http/1.1', { isTlsIn: true, tlsAlpn: ['h2'] }, async ({ forwarder }) => {
      const failed = forwarder.event('step-failed')
      const client = tls.connect({
        port: forwarder.port,
        host: '127.0.0.1',
        ca: contents(authority.ca).cert,
        ALPNProtocols: ['h2'],
      })
      client.on('error', () => {}).resume()
      const { failure } = await failed
      client.destroy()
      assert.equal(failure.step.side, 'target')
      assert.match(failure.message, /none of the protocols .*offered h2; --target-alpn|promised h2/)
    })
    await withLine('h2c', { isTlsIn: true, tlsAlpn: ['h2'] }, async ({ forwarder }) => {
      await agreed(forwarder.port, ['smtp'])
      const { failure } = await forwarder.event('step-failed')
      assert.equal(failure.step.side, 'client')
      assert.match(failure.message, /no protocol by ALPN that is spoken here \(--tls-alpn\)/)
    })
  })

  it('curl --http2 gets HTTP/2 where the target speaks it, and HTTP/1.1 where not', async () => {
    for (const [web, version] of [
      ['h2', '2'],
      ['http/1.1', '1.1'],
    ] as const) {
      await withLine(web, { isTlsIn: true }, async ({ url }) => {
        const words = ['-sS', '--http2', '--cacert', authority.ca.cert, '-w', ' %{http_version}', url]
        assert.deepEqual(await run(['curl', ...words]), {
          code: 0,
          stdout: `answered ${version}`,
          stderr: '',
        })
      })
    }
  })

  it('openssl s_client -alpn sees it', async () => {
    await withLine('h2', { isTlsIn: true }, async ({ forwarder }) => {
      const command = `openssl s_client -connect 127.0.0.1:${forwarder.port} -alpn h2,http/1.1 </dev/null`
      const { stdout } = await run(['sh', '-c', command])
      assert.match(stdout, /ALPN protocol: h2/)
    })
  })

  it('who speaks no TLS, or leaves within its hello, never reaches the target', async () => {
    await withLine('h2', { isTlsIn: true }, async ({ forwarder }) => {
      const plain = net.connect(forwarder.port, '127.0.0.1').on('error', () => {})
      plain.write('GET / HTTP/1.1\r\n\r\n')
      await new Promise((resolve) => plain.once('close', resolve))
      const { failure } = await forwarder.event('step-failed')
      assert.match(failure.message, /speaks plain HTTP to a TLS port/)
      assert.equal(forwarder.forwarder.health().target.state, 'unknown')
    })
    await withLine('h2', { isTlsIn: true }, async ({ forwarder }) => {
      const hello = await helloOf(['h2'])
      const leaver = net.connect(forwarder.port, '127.0.0.1').on('error', () => {})
      leaver.end(hello.subarray(0, 20))
      await new Promise((resolve) => leaver.resume().once('close', resolve))
      const { failure } = await forwarder.event('step-failed')
      assert.equal(failure.reason, 'gone')
      assert.equal(forwarder.forwarder.health().target.state, 'unknown')
    })
  })

  it('the options are refused where they mean nothing', () => {
    const place = { listenPort: 1, targetHost: 'localhost', targetPort: 2 }
    const wrong = (given: Record<string, unknown>) => contradictionIn(withDefaults(place, given), flagOf)
    assert.match(wrong({ tlsAlpn: ['h2'] }) ?? '', /--tls-alpn needs a certificate/)
    assert.match(wrong({ targetAlpn: ['h2'] }) ?? '', /--target-alpn needs --target-tls/)
    assert.match(wrong({ gate: 'token', targetTls: true, targetAlpn: ['h2'] }) ?? '', /HTTP\/1\.1 only/)
  })
})

/** The first bytes of a real client. */
async function helloOf(ALPNProtocols: string[]): Promise<Buffer> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  const client = tls
    .connect({ port, host: '127.0.0.1', ALPNProtocols, servername: 'a.test' })
    .on('error', () => {})
  const [socket] = (await once(server, 'connection')) as [net.Socket]
  const [hello] = (await once(socket, 'data')) as [Buffer]
  for (const one of [client, socket]) one.destroy()
  server.close()
  return hello
}

describe('A ClientHello', () => {
  it('tells its protocols, however it is cut into records, and nothing before it is whole', async () => {
    const offered = ['h2', 'http/1.1', 'postgresql']
    const hello = await helloOf(offered)
    assert.deepEqual(parseClientHello(hello), { kind: 'hello', alpn: offered })
    assert.deepEqual(parseClientHello(await helloOf([])), { kind: 'hello', alpn: [] })
    const body = hello.subarray(5)
    fc.assert(
      fc.property(fc.integer({ min: 1, max: body.length }), fc.nat(hello.length - 1), (size, cut) => {
        const records: Buffer[] = []
        for (let at = 0; at < body.length; at += size) {
          const piece = body.subarray(at, at + size)
          records.push(Buffer.from([22, 3, 1, piece.length >> 8, piece.length & 255]), piece)
        }
        assert.deepEqual(parseClientHello(Buffer.concat(records)), { kind: 'hello', alpn: offered })
        assert.deepEqual(parseClientHello(hello.subarray(0, cut)), { kind: 'more' })
      }),
    )
  })

  it('whatever bytes come, they are judged', async () => {
    const hello = await helloOf(['h2'])
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(hello.length), fc.nat(255), (bytes, at, value) => {
        parseClientHello(Buffer.from(bytes))
        const damaged = Buffer.from(hello)
        damaged[at] = value
        parseClientHello(damaged)
      }),
    )
  })
})
