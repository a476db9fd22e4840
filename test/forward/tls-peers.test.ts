// The forwarder beside programs that others wrote: openssl, curl, HAProxy, nginx.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import net, { type AddressInfo } from 'node:net'
import path from 'node:path'
import { afterAll, beforeAll, describe } from 'vitest'
import { Authority, type Pair } from '../support/certificates.ts'
import { it } from '../support/fixtures.ts'
import { openForwarder, openTarget } from '../support/forwarders.ts'
import { receive } from '../support/relay-peers.ts'
import { Resident } from '../support/resident.ts'
import { checkout, freePort, run, skipFor, until } from '../support/tools.ts'
import type { Watched } from '../support/watched.ts'

let authority: Authority
let pair: Pair

beforeAll(async () => {
  authority = await Authority.create()
  pair = await authority.issueLocal()
})
afterAll(() => authority.remove())

const options = { timeout: 120_000 }

/** Where Debian keeps daemons is not in everybody's PATH. */
function installed(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin']
  return folders.map((folder) => path.join(folder, name)).find((file) => existsSync(file))
}

const haproxy = installed('haproxy')
const needsHaproxy =
  haproxy === undefined ? 'haproxy is not installed: run scripts/install-test-tools' : false

async function httpTarget(): Promise<{ port: number; close(): Promise<unknown> }> {
  const server = createServer((request, response) => response.end(`you asked for ${request.url}`))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    close: () => new Promise((resolve) => server.close(resolve).closeAllConnections()),
  }
}

describe('TLS with clients of others', options, () => {
  it('curl reads a page, with HTTP/1.1 for want of another word', async () => {
    const target = await httpTarget()
    const forwarder = await openForwarder(target.port, {}, pair)
    try {
      const url = `https://localhost:${forwarder.port}/page`
      const { stdout, code, stderr } = await run(['curl', '-sS', '--cacert', authority.ca.cert, url])
      assert.deepEqual([code, stdout], [0, 'you asked for /page'], stderr)
      const distrusted = await run(['curl', '-sS', url])
      assert.equal(distrusted.code, 60)
      const { failure } = await forwarder.event('step-failed')
      assert.match(failure.message, /does not trust this forward’s certificate/)
    } finally {
      await forwarder.close()
      await target.close()
    }
  })

  for (const version of ['tls1_2', 'tls1_3']) {
    it(`openssl s_client shows its certificate and talks, ${version}`, async () => {
      const target = await openTarget()
      const forwarder = await openForwarder(target.port, {}, { ...pair, clientCa: authority.ca.cert })
      try {
        const own = await authority.issue({ name: 'client' })
        const client = new Resident(
          [
            ...['openssl', 's_client', '-quiet', `-${version}`, '-connect', `127.0.0.1:${forwarder.port}`],
            ...['-verify_return_error', '-CAfile', authority.ca.cert, '-cert', own.cert, '-key', own.key],
          ],
          {},
        )
        const socket = await target.next()
        const ended = receive(socket)
        socket.end('220 hello\n')
        await client.line(/220 hello/)
        await client.stop()
        await ended
      } finally {
        await forwarder.close()
        await target.close()
      }
    })
  }

  it('SIGHUP changes what openssl s_client sees; a connection goes on', async ({ watched }) => {
    const target = await openTarget()
    const own = await authority.issueLocal()
    const next = await authority.issueLocal()
    const port = await freePort()
    const words = [
      String(port),
      '127.0.0.1',
      String(target.port),
      '--bind',
      '127.0.0.1',
      '--target-check',
      '0',
    ]
    const forwarder = watched.start('tcp-proxy', ...words, '--tls-cert', own.cert, '--tls-key', own.key)
    await forwarder.line(/Listening on/)
    const long = new Resident(['openssl', 's_client', '-quiet', '-connect', `127.0.0.1:${port}`], {})
    const socket = await target.next()
    socket.write('before\n')
    await long.line(/before/)
    const before = await serial(port)
    copyFileSync(next.cert, own.cert)
    copyFileSync(next.key, own.key)
    process.kill(watched.pid(port), 'SIGHUP')
    await until('the new certificate', async () => ((await serial(port)) !== before ? true : undefined))
    socket.write('after\n')
    await long.line(/after/)
    writeFileSync(own.key, 'broken')
    process.kill(watched.pid(port), 'SIGHUP')
    await forwarder.line(/kept: .* holds no private key/)
    await long.stop()
    await target.close()
  })
})

async function serial(port: number): Promise<string> {
  const { stdout } = await run([
    ...['sh', '-c', 'openssl s_client -connect "$0" </dev/null 2>/dev/null | openssl x509 -noout -serial'],
    `127.0.0.1:${port}`,
  ])
  return stdout
}

describe('A certificate made for this machine', options, () => {
  it('is made once, kept, good for curl, and made anew when it is broken', async ({ watched }) => {
    const target = await httpTarget()
    const port = await freePort()
    const file = watched.file('tls_self_signed.pem')
    const start = async () => {
      const words = [
        String(port),
        '127.0.0.1',
        String(target.port),
        '--tls-self-signed',
        '--bind',
        '127.0.0.1',
      ]
      const forwarder = watched.start('tcp-proxy', ...words)
      await forwarder.line(/Certificate in use: .*DNS:localhost.*IP Address:127\.0\.0\.1/)
      await forwarder.line(/Listening on/)
      for (const host of ['localhost', '127.0.0.1']) {
        const { stdout, stderr } = await run(['curl', '-sS', '--cacert', file, `https://${host}:${port}/x`])
        assert.equal(stdout, 'you asked for /x', stderr)
      }
      await forwarder.stop()
      return new X509Certificate(readFileSync(file)).fingerprint256
    }
    const first = await start()
    assert.equal(await start(), first)
    const certificate = new X509Certificate(readFileSync(file))
    assert.equal(certificate.ca, false)
    writeFileSync(file, 'broken')
    assert.notEqual(await start(), first)
    await target.close()
  })
})

describe('Plain TCP', options, () => {
  it('does not load TLS', async () => {
    const script = `
      const { Forwarder } = await import(process.argv[1] + '/src/forward/forwarder.js')
      const { withDefaults } = await import(process.argv[1] + '/src/config/option-table.js')
      const before = process.moduleLoadList.filter((name) => / (_?tls|_tls_wrap|_tls_common)$/.test(name))
      const given = { bind: ['127.0.0.1'], sendProxy: 'v2', acceptProxy: ['private'] }
      const place = { listenPort: ${await freePort()}, targetHost: 'localhost', targetPort: 1 }
      const forwarder = new Forwarder(withDefaults(place, given), { event: () => {} })
      await forwarder.start()
      const after = process.moduleLoadList.filter((name) => / (_?tls|_tls_wrap|_tls_common)$/.test(name))
      console.log(JSON.stringify({ before, after }))
      process.exit()`
    const dist = path.join(checkout, 'dist')
    const { stdout, stderr } = await run([process.execPath, '--input-type=module', '-e', script, dist])
    assert.deepEqual(JSON.parse(stdout || '{}'), { before: [], after: [] }, stderr)
  })
})

/** Runs HAProxy with one proxy, in a folder of the test's own. */
async function startHaproxy(watched: Watched, port: number, lines: readonly string[]): Promise<void> {
  const file = watched.file(`haproxy-${port}.cfg`)
  const times = 'timeout connect 5s\n  timeout client 30s\n  timeout server 30s'
  writeFileSync(file, `defaults\n  mode tcp\n  ${times}\nlisten it\n  ${lines.join('\n  ')}\n`)
  const resident = watched.adopt(new Resident([haproxy ?? 'haproxy', '-db', '-f', file], {}))
  const isUp = () =>
    new Promise<true | undefined>((resolve) => {
      const socket = net.connect(port, '127.0.0.1', () => resolve(socket.destroy() && true))
      socket.on('error', () => resolve(undefined))
    })
  await until(`HAProxy: ${resident.output}`, isUp)
}

describe('HAProxy', { ...options, skip: skipFor(needsHaproxy) }, () => {
  const forms = ['send-proxy', 'send-proxy-v2', 'send-proxy-v2 proxy-v2-options crc32c,unique-id']
  for (const form of forms) {
    it(`is believed: ${form}`, async ({ watched }) => {
      const target = await openTarget()
      const forwarder = await openForwarder(target.port, {
        acceptProxy: ['127.0.0.1/32'],
        allow: ['127.0.0.0/8'],
        sendProxy: 'v1',
      })
      const port = await freePort()
      await startHaproxy(watched, port, [
        `bind 127.0.0.1:${port}`,
        `server us 127.0.0.1:${forwarder.port} ${form}`,
      ])
      // HAProxy was asked once whether it is up; that connection may have come through.
      const client = net.connect({
        port,
        host: '127.0.0.1',
        localAddress: '127.0.0.7',
        allowHalfOpen: true,
      })
      client.end('question')
      let text = ''
      while (!text.includes('question')) {
        const socket = await target.next()
        text = (await receive(socket)).bytes.toString()
        socket.end('answer')
      }
      assert.match(
        text,
        new RegExp(`^PROXY TCP4 127\\.0\\.0\\.7 127\\.0\\.0\\.1 ${client.localPort} ${port}\r\nquestion$`),
      )
      assert.equal((await receive(client)).bytes.toString(), 'answer')
      await forwarder.close()
      await target.close()
    })
  }

  for (const version of ['v1', 'v2'] as const) {
    it(`believes us: ${version}, behind its own TLS`, async ({ watched }) => {
      const target = await httpTarget()
      const port = await freePort()
      const both = watched.file('both.pem')
      writeFileSync(both, readFileSync(pair.cert, 'utf8') + readFileSync(pair.key, 'utf8'), { mode: 0o600 })
      // Hands on in a header of version 1 what it was told.
      const told = await openTarget()
      await startHaproxy(watched, port, [
        `bind 127.0.0.1:${port} accept-proxy ssl crt ${both}`,
        `server it 127.0.0.1:${told.port} send-proxy`,
      ])
      const forwarder = await openForwarder(port, {
        sendProxy: version,
        targetTls: true,
        targetTlsCa: authority.ca.cert,
        targetTlsName: 'localhost',
      })
      const client = net.connect({
        port: forwarder.port,
        host: '127.0.0.1',
        localAddress: '127.0.0.8',
        allowHalfOpen: true,
      })
      client.write('question')
      const socket = await told.next()
      const [bytes] = (await once(socket, 'data')) as [Buffer]
      assert.match(
        bytes.toString(),
        new RegExp(`^PROXY TCP4 127\\.0\\.0\\.8 127\\.0\\.0\\.1 ${client.localPort} ${forwarder.port}\r\n`),
      )
      socket.end('answer')
      assert.equal((await receive(client)).bytes.toString(), 'answer')
      client.destroy()
      await forwarder.close()
      await told.close()
      await target.close()
    })
  }

  it('as a TLS client with a certificate gets through', async ({ watched }) => {
    const target = await openTarget()
    const own = await authority.issue({ name: 'haproxy' })
    const both = watched.file('client.pem')
    writeFileSync(both, readFileSync(own.cert, 'utf8') + readFileSync(own.key, 'utf8'), { mode: 0o600 })
    const forwarder = await openForwarder(target.port, {}, { ...pair, clientCa: authority.ca.cert })
    const port = await freePort()
    const verify = `ssl verify required ca-file ${authority.ca.cert} verifyhost localhost crt ${both}`
    await startHaproxy(watched, port, [
      `bind 127.0.0.1:${port}`,
      `server us 127.0.0.1:${forwarder.port} ${verify}`,
    ])
    const client = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    client.end('question')
    let text = ''
    while (text !== 'question') {
      const socket = await target.next()
      text = (await receive(socket)).bytes.toString()
      socket.end('answer')
    }
    assert.equal((await receive(client)).bytes.toString(), 'answer')
    await forwarder.close()
    await target.close()
  })
})
