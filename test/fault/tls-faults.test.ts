import assert from 'node:assert/strict'
import { randomBytes, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, it } from 'vitest'
import type { ForwardOptions } from '../../src/config/forward-options.ts'
import { acceptTls } from '../../src/forward/steps/tls-in.ts'
import { Authority, contents, type Pair } from '../support/certificates.ts'
import { type LocalForwarder, type LocalTarget, openForwarder, openTarget } from '../support/forwarders.ts'
import { receive, until } from '../support/relay-peers.ts'

let authority: Authority
let stranger: Authority
let pair: Pair

beforeAll(async () => {
  authority = await Authority.create()
  stranger = await Authority.create('Stranger')
  pair = await authority.issueLocal()
})
afterAll(() => {
  authority.remove()
  stranger.remove()
})

interface Place {
  readonly forwarder: LocalForwarder
  readonly target: LocalTarget
  /** A plain client, connected. */
  plain(): Promise<net.Socket>
  /** A TLS client, not secure yet. */
  secure(options?: tls.ConnectionOptions): tls.TLSSocket
}

interface Setting {
  readonly options?: Partial<ForwardOptions>
  readonly certificate?: Pair & { readonly clientCa?: string }
  readonly target?: LocalTarget
}

async function withPlace(setting: Setting, use: (place: Place) => Promise<void>): Promise<void> {
  const target = setting.target ?? (await openTarget())
  const forwarder = await openForwarder(target.port, setting.options, setting.certificate)
  const clients: net.Socket[] = []
  const plain = async () => {
    const client = net.connect({ host: '127.0.0.1', port: forwarder.port, noDelay: true })
    clients.push(client.on('error', () => {}))
    await once(client, 'connect')
    return client
  }
  const secure = (options: tls.ConnectionOptions = {}) => {
    const ca = contents(authority.ca).cert
    const to = { host: '127.0.0.1', port: forwarder.port, ca, allowHalfOpen: true }
    const client = tls.connect({ ...to, ...options })
    clients.push(client.on('error', () => {}))
    return client
  }
  try {
    await use({ forwarder, target, plain, secure })
  } finally {
    for (const client of clients) client.destroy()
    await forwarder.close()
    await target.close()
  }
}

/** Whatever ended it, with an error or without. */
function closed(socket: net.Socket): Promise<void> {
  return new Promise((resolve) => socket.resume().once('close', () => resolve()))
}

/** Proves that the forwarder still serves: a line there and back. */
async function assertServes({ secure, target }: Place, options?: tls.ConnectionOptions): Promise<void> {
  const client = secure(options)
  client.end('question')
  const socket = await target.next()
  assert.equal((await receive(socket)).bytes.toString(), 'question')
  socket.end('answer')
  assert.equal((await receive(client)).bytes.toString(), 'answer')
}

describe('A client of a TLS port', () => {
  it('that says nothing is ended at the deadline of the handshake', () =>
    withPlace({ options: { tlsHandshakeTimeoutMs: 150 }, certificate: pair }, async (place) => {
      const silent = await place.plain()
      const stuck = await place.plain()
      // The head of a record that never comes.
      stuck.write(Buffer.from([0x16, 3, 1, 2, 0, 1]))
      assert.equal((await receive(silent)).end, 'ECONNRESET')
      assert.equal((await receive(stuck)).end, 'ECONNRESET')
      await until(() => place.forwarder.forwarder.openConnections === 0)
      assert.deepEqual(place.forwarder.forwarder.health().connections.ended, { cR: 2 })
    }))

  it('that sends garbage instead of a ClientHello is refused, and nothing reaches the target', () =>
    withPlace({ certificate: pair }, async (place) => {
      const garbage = [
        randomBytes(100),
        Buffer.alloc(100_000),
        Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'),
        Buffer.concat([Buffer.from([0x16, 3, 1, 0, 200]), randomBytes(200)]),
        Buffer.from([0x16, 3, 1, 0xff, 0xff, ...randomBytes(300)]),
      ]
      for (const bytes of garbage) {
        const client = await place.plain()
        client.write(bytes)
        await closed(client)
      }
      await until(() => place.forwarder.forwarder.openConnections === 0)
      assert.deepEqual(place.forwarder.forwarder.health().connections.ended, { PR: garbage.length })
      await assertServes(place)
    }))

  it('that speaks plain HTTP is told in words', () =>
    withPlace({ certificate: pair }, async ({ plain, forwarder }) => {
      const client = await plain()
      client.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
      await closed(client)
      const { failure } = await forwarder.event('step-failed')
      assert.equal(failure.step.name, 'TLS handshake')
      assert.match(failure.message, /plain HTTP to a TLS port; the address begins with https:/)
    }))

  it('that finishes in the middle of the handshake is gone at once, deadline or not', () =>
    withPlace({ options: { tlsHandshakeTimeoutMs: 0 }, certificate: pair }, async (place) => {
      for (const begun of [Buffer.alloc(0), Buffer.from([0x16, 3, 1, 2, 0, 1])]) {
        const client = await place.plain()
        client.end(begun)
        await closed(client)
      }
      await until(() => place.forwarder.forwarder.openConnections === 0)
      assert.deepEqual(place.forwarder.forwarder.health().connections.ended, { CR: 2 })
      await assertServes(place)
    }))

  it('that goes away in the middle of the handshake, 300 times, leaves nothing behind', () =>
    withPlace({ options: { tlsHandshakeTimeoutMs: 0 }, certificate: pair }, async (place) => {
      for (let round = 0; round < 3; round++) {
        const clients = Array.from({ length: 100 }, (_, index) => {
          const client = net.connect({ host: '127.0.0.1', port: place.forwarder.port })
          client.on('error', () => {})
          const secure = index % 2 === 0 ? tls.connect({ socket: client }).on('error', () => {}) : undefined
          client.once('connect', () => setTimeout(() => client.resetAndDestroy(), index % 7))
          return closed(client).then(() => secure?.destroy())
        })
        await Promise.all(clients)
      }
      await until(() => place.forwarder.forwarder.openConnections === 0)
      await assertServes(place)
    }))
})

describe('A client certificate', () => {
  const asked = () => ({ certificate: { ...pair, clientCa: authority.ca.cert } })

  async function refusal(client: net.Socket, { event }: LocalForwarder): Promise<string> {
    client.resume()
    return (await event('step-failed')).failure.message
  }

  it('of the authority lets its client in', () =>
    withPlace(asked(), async (place) => {
      const own = await authority.issue({ name: 'client' })
      await assertServes(place, contents(own))
    }))

  it('that is missing refuses the client', () =>
    withPlace(asked(), async ({ secure, forwarder }) => {
      assert.match(await refusal(secure(), forwarder), /showed no client certificate/)
      assert.deepEqual(forwarder.forwarder.health().connections.ended, { PR: 1 })
    }))

  it('that has expired refuses the client', () =>
    withPlace(asked(), async ({ secure, forwarder }) => {
      const expired = await authority.issue({ name: 'client', days: -1 })
      assert.equal(await refusal(secure(contents(expired)), forwarder), 'its client certificate has expired')
    }))

  it('of another authority, even of the same name, refuses the client', () =>
    withPlace(asked(), async ({ secure, forwarder }) => {
      const foreign = await stranger.issue({ name: 'client' })
      assert.match(
        await refusal(secure(contents(foreign)), forwarder),
        /its client certificate is signed by an authority that is not trusted here/,
      )
    }))

  it('is looked at anew at every connection, whatever session the client brings along', () =>
    withPlace(asked(), async ({ secure, target }) => {
      const own = contents(await authority.issue({ name: 'client' }))
      const first = secure(own)
      const session = new Promise<Buffer | undefined>((resolve) => {
        first.once('session', resolve)
        first.once('close', () => resolve(undefined))
      })
      first.end('x')
      const socket = await target.next()
      socket.end('y')
      await receive(first)
      first.destroy()
      const kept = await session
      const second = secure(kept === undefined ? own : { ...own, session: kept })
      await once(second, 'secureConnect')
      assert.equal(second.isSessionReused(), false)
    }))
})

describe('The certificate', () => {
  const serialOf = (client: tls.TLSSocket) => client.getPeerCertificate().serialNumber

  it('is replaced under load: no connection is lost, new ones see the new one', async () => {
    const own = await authority.issueLocal()
    const next = await authority.issueLocal()
    await withPlace({ certificate: own }, async (place) => {
      const { secure, target, forwarder } = place
      const long = secure()
      await once(long, 'secureConnect')
      const longTarget = await target.next()
      const before = serialOf(long)
      const bytes = randomBytes(5_000_000)
      const received = receive(long)
      longTarget.write(bytes.subarray(0, 1_000_000))

      let swapped = false
      const visitors = Array.from({ length: 4 }, async () => {
        let visits = 0
        for (let isNew = false; !isNew; visits++) {
          await assertServes(place)
          const client = secure()
          await once(client, 'secureConnect')
          isNew = swapped && serialOf(client) !== before
          client.end()
          ;(await target.next()).end()
        }
        return visits
      })
      copyFileSync(next.cert, own.cert)
      copyFileSync(next.key, own.key)
      await forwarder.forwarder.reloadCertificates()
      swapped = true
      await Promise.all(visitors)
      longTarget.end(bytes.subarray(1_000_000))
      const got = await received
      assert.deepEqual([got.end, got.bytes.equals(bytes)], ['FIN', true])
    })
  })

  it('is taken over when its files change, without a signal', async () => {
    const own = await authority.issueLocal()
    const next = await authority.issueLocal()
    await withPlace({ certificate: own }, async ({ secure, forwarder }) => {
      const before = forwarder.forwarder.health().tls.certificate?.fingerprint
      copyFileSync(next.key, own.key)
      copyFileSync(next.cert, own.cert)
      await until(() => forwarder.forwarder.health().tls.certificate?.fingerprint !== before)
      const client = secure()
      await once(client, 'secureConnect')
      assert.equal(
        client.getPeerCertificate().fingerprint256,
        forwarder.forwarder.health().tls.certificate?.fingerprint,
      )
    })
  })

  it('is taken over when its files change while it is being read', async () => {
    const own = await authority.issueLocal()
    const next = await authority.issueLocal()
    const loaded: (string | undefined)[] = []
    const tlsIn = await acceptTls({ ...own, clientCa: undefined }, 1000, [], (event) => {
      loaded.push(event.kind === 'certificate-loaded' ? event.certificate.fingerprint : event.problem)
      if (loaded.length > 1) return
      copyFileSync(next.key, own.key)
      copyFileSync(next.cert, own.cert)
    })
    try {
      await until(() => loaded.length === 2)
      assert.equal(loaded[1], new X509Certificate(contents(next).cert).fingerprint256)
    } finally {
      tlsIn.close()
    }
  })

  it('from before is kept while the new files are broken, and the report says so until they are whole', async () => {
    const own = await authority.issueLocal()
    const whole = contents(own)
    const next = await authority.issueLocal()
    await withPlace({ certificate: own }, async (place) => {
      const { forwarder } = place.forwarder
      const broken: readonly (readonly [() => void, RegExp])[] = [
        [() => copyFileSync(next.key, own.key), /is not the key of the certificate/],
        [() => writeFileSync(own.cert, ''), /holds no certificate in PEM/],
        [() => writeFileSync(own.cert, whole.cert.slice(0, 200)), /holds no certificate in PEM/],
        [() => copyFileSync(next.key, own.cert), /holds no certificate in PEM/],
      ]
      for (const [breakIt, problem] of broken) {
        breakIt()
        await forwarder.reloadCertificates()
        assert.match(forwarder.health().warnings.join(), problem)
        await assertServes(place)
      }
      copyFileSync(next.cert, own.cert)
      copyFileSync(next.key, own.key)
      await forwarder.reloadCertificates()
      assert.deepEqual(forwarder.health().warnings, [])
      await assertServes(place)
    })
  })
})

describe('The target’s certificate', () => {
  function tlsTarget(own: Pair): Promise<LocalTarget> {
    const server = tls.createServer({ ...contents(own), allowHalfOpen: true } as tls.TlsOptions)
    return openTarget(server, 'secureConnection')
  }

  async function refusal(own: Pair, options: Partial<ForwardOptions>, problem: RegExp): Promise<void> {
    const target = await tlsTarget(own)
    await withPlace({ target, options: { targetTls: true, ...options } }, async ({ plain, forwarder }) => {
      const client = await plain()
      client.write('a secret')
      assert.equal((await receive(client)).end, 'ECONNRESET')
      const { failure } = await forwarder.event('step-failed')
      assert.match(failure.message, problem)
      const health = forwarder.forwarder.health()
      assert.deepEqual(health.connections.ended, { PH: 1 })
      assert.match(health.target.lastError ?? '', problem)
    })
  }

  it('that nobody trusts is not accepted', () => refusal(pair, {}, /is not trusted here; --target-tls-ca/))

  it('of another authority is not accepted', () =>
    refusal(pair, { targetTlsCa: stranger.ca.cert }, /is not trusted here/))

  it('for another name is not accepted', async () =>
    refusal(
      await authority.issue({ name: 'other', alternatives: 'DNS:other.example' }),
      { targetTlsCa: authority.ca.cert },
      /is not for 127\.0\.0\.1: .*--target-tls-name/,
    ))

  it('that has expired is not accepted', async () =>
    refusal(
      await authority.issue({ name: 'local', alternatives: 'IP:127.0.0.1', days: -1 }),
      { targetTlsCa: authority.ca.cert },
      /has expired/,
    ))

  it('for the name that was asked for is accepted, and the target is asked for that name', async () => {
    const own = await authority.issue({ name: 'other', alternatives: 'DNS:other.example' })
    const target = await tlsTarget(own)
    const options = { targetTls: true, targetTlsCa: authority.ca.cert, targetTlsName: 'other.example' }
    await withPlace({ target, options }, async ({ plain }) => {
      const client = await plain()
      client.end('question')
      const socket = await target.next()
      assert.equal((socket as tls.TLSSocket).servername, 'other.example')
      assert.equal((await receive(socket)).bytes.toString(), 'question')
    })
  })

  it('is not looked at with --target-tls-insecure, and the report warns of it', async () => {
    const target = await tlsTarget(pair)
    const options = { targetTls: true, targetTlsInsecure: true }
    await withPlace({ target, options }, async ({ plain, forwarder }) => {
      const client = await plain()
      client.end('question')
      assert.equal((await receive(await target.next())).bytes.toString(), 'question')
      const { tls: state, warnings } = forwarder.forwarder.health()
      assert.equal(state.target, 'insecure')
      assert.match(warnings.join(), /not verified/)
    })
  })

  it('does not come from a target that speaks plain TCP, or says nothing, or closes', async () => {
    const talker = await openTarget()
    const options = { targetTls: true, targetTlsCa: authority.ca.cert, tlsHandshakeTimeoutMs: 300 }
    await withPlace({ target: talker, options }, async ({ plain, forwarder, target }) => {
      const answers: ((socket: net.Socket) => unknown)[] = [
        (socket) => socket.write('220 mail.example ESMTP\r\n'),
        () => {},
        (socket) => socket.end(),
      ]
      for (const answer of answers) {
        const client = await plain()
        answer(await target.next())
        assert.equal((await receive(client)).end, 'ECONNRESET')
      }
      await until(() => forwarder.forwarder.openConnections === 0)
      assert.deepEqual(forwarder.forwarder.health().connections.ended, { PH: 1, sH: 1, SH: 1 })
    })
  })
})

describe('A TLS stream that is cut short', () => {
  // Node tells a FIN without close_notify (RFC 8446 section 6.1) as it tells one with it.
  it('by a FIN is passed on as a FIN, and by a reset as a reset', () =>
    withPlace({ certificate: pair }, async ({ forwarder, target, plain, secure }) => {
      for (const [cut, end] of [
        [(carrier: net.Socket) => carrier.destroySoon(), 'FIN'],
        [(carrier: net.Socket) => carrier.resetAndDestroy(), 'ECONNRESET'],
      ] as const) {
        const carrier = await plain()
        const client = secure({ socket: carrier })
        client.write('half of it')
        const socket = await target.next()
        const received = receive(socket)
        await once(socket, 'data')
        cut(carrier)
        client.destroy()
        const got = await received
        assert.deepEqual([got.bytes.toString(), got.end], ['half of it', end])
        socket.end()
        await until(() => forwarder.forwarder.openConnections === 0)
      }
    }))
})
