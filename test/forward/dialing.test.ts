import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { describe, it } from 'vitest'
import { isSelfConnected } from '../../src/forward/dial/connect-race.ts'
import { interleaveFamilies } from '../../src/forward/dial/dial.ts'
import { type Lookup, NameCache, nameCacheDefaults } from '../../src/forward/dial/name-cache.ts'
import { StreamSocket } from '../../src/forward/relay/stream-socket.ts'
import { openBlackHole } from '../support/black-hole.ts'
import { type DnsBehaviour, type DnsServer, openDnsServer } from '../support/dns-server.ts'
import { fate, roundTrip, silence, type Target } from '../support/forward.ts'
import { openedForEachTest } from '../support/opened.ts'
import { freePort, until } from '../support/tools.ts'

const { kept, close, target, forward } = openedForEachTest()
const dns = async (behaviour: DnsBehaviour): Promise<DnsServer> => kept(await openDnsServer(behaviour))

describe('several targets', () => {
  it('takes the next when one refuses, and the one that failed last of all for a while', async () => {
    const port = await freePort()
    const second = await target()
    const forwarded = await forward({ host: '127.0.0.1', port }, { target: [`127.0.0.1:${second.port}`] })
    for (let count = 0; count < 2; count++) {
      const client = await forwarded.connect()
      await roundTrip(client)
      client.end()
    }
    const records = await forwarded.records.count(2)
    const address = `127.0.0.1:${second.port}`
    assert.deepEqual(
      records.map(({ target, retries, code }) => [target, retries, code]),
      [
        [address, 1, '--'],
        [address, 0, '--'],
      ],
    )
    const { target: summary, targets } = forwarded.forwarder.health()
    assert.deepEqual([summary.state, summary.port, summary.address], ['reachable', port, '127.0.0.1'])
    assert.deepEqual(
      targets.map(({ state }) => state),
      ['waiting', 'reachable'],
    )
    // It is there now, and the only one that is.
    await target(undefined, { port })
    await close(second)
    const client = await forwarded.connect()
    await roundTrip(client)
    client.end()
    const [, , third] = await forwarded.records.count(3)
    assert.deepEqual([third?.target, third?.retries], [`127.0.0.1:${port}`, 1])
  })

  it('gives one that does not answer its share of the time only', async () => {
    const blackHole = kept(await openBlackHole())
    const second = await target()
    const forwarded = await forward(
      { host: '127.0.0.1', port: blackHole.port },
      { target: [`127.0.0.1:${second.port}`], connectTimeout: 400 },
    )
    const client = await forwarded.connect()
    await roundTrip(client)
    client.end()
    const [record] = await forwarded.records.count(1)
    assert.deepEqual([record?.target, record?.retries], [`127.0.0.1:${second.port}`, 1])
    assert.ok((record?.connectMs ?? 0) >= 190)
  })

  it('says what each of them said when all fail', async () => {
    const ports = [await freePort(), await freePort()]
    const forwarded = await forward(
      { host: '127.0.0.1', port: ports[0] ?? 0 },
      { target: [`127.0.0.1:${ports[1]}`], dialRetry: 0 },
    )
    assert.equal(await fate({ port: forwarded.port, host: '127.0.0.1' }), 'ECONNRESET')
    const [record] = await forwarded.records.count(1)
    assert.match(record?.reason ?? '', new RegExp(`${ports[0]} refused: .*; 127.0.0.1:${ports[1]} refused`))
    assert.deepEqual([record?.code, record?.retries], ['SC', 1])
  })
})

describe('a target that is away', () => {
  it('is waited for while it restarts: the client notices nothing', async () => {
    const port = await freePort()
    const forwarded = await forward({ host: '127.0.0.1', port })
    const client = await forwarded.connect()
    client.write('early')
    await forwarded.events.find(({ kind }) => kind === 'target-fails')
    await target(undefined, { port })
    const [chunk] = (await once(client, 'data')) as [Buffer]
    assert.equal(chunk.toString(), 'early')
    client.end()
    const [record] = await forwarded.records.count(1)
    assert.equal(record?.code, '--')
    assert.ok((record?.retries ?? 0) >= 1)
  })

  it('is told a FIN that the client sent while it was waited for', async () => {
    const port = await freePort()
    const forwarded = await forward({ host: '127.0.0.1', port })
    const client = await forwarded.connect()
    client.end()
    await forwarded.events.find(({ kind }) => kind === 'target-fails')
    const there = await target((socket) => socket.resume().on('end', () => socket.end('so be it')), { port })
    const [chunk] = (await once(client, 'data')) as [Buffer]
    assert.equal(chunk.toString(), 'so be it')
    assert.equal((await forwarded.records.count(1))[0]?.code, '--')
    assert.equal(there.connections.all.length, 1)
  })

  it('fails at once when it has been away for long', async () => {
    const forwarded = await forward(
      { host: '127.0.0.1', port: await freePort() },
      { dialRetry: 60, connectTimeout: 10_000 },
    )
    const to = { port: forwarded.port, host: '127.0.0.1' }
    assert.equal(await fate(to), 'ECONNRESET')
    assert.equal(await fate(to), 'ECONNRESET')
    const [first, second] = await forwarded.records.count(2)
    assert.deepEqual([first?.code, second?.code, second?.retries], ['SC', 'SC', 0])
    assert.ok((first?.retries ?? 0) >= 1)
  })

  it('sC: does not answer, and its silence stalls nobody else', async () => {
    const blackHole = kept(await openBlackHole())
    const forwarded = await forward({ host: '127.0.0.1', port: blackHole.port }, { connectTimeout: 1500 })
    const to = { port: forwarded.port, host: '127.0.0.1' }
    const fates = Promise.all([fate(to), fate(to)])
    await until('both are dialled for at once', async () => {
      const phases = forwarded.forwarder.connections().map(({ phase }) => phase)
      return phases.join() === 'dialling,dialling' || undefined
    })
    assert.deepEqual(await fates, ['ECONNRESET', 'ECONNRESET'])
    const records = await forwarded.records.count(2)
    assert.deepEqual(
      records.map(({ code }) => code),
      ['sC', 'sC'],
    )
    assert.match(records[0]?.reason ?? '', /did not answer within 1\.5 s$/)
  })

  it('CC: a client that resets is noticed though the target is silent', async () => {
    const blackHole = kept(await openBlackHole())
    const forwarded = await forward({ host: '127.0.0.1', port: blackHole.port }, { connectTimeout: 20_000 })
    const client = await forwarded.connect()
    client.resetAndDestroy()
    const [record] = await forwarded.records.count(1)
    assert.equal(record?.code, 'CC')
    assert.ok((record?.totalMs ?? 0) < 5_000)
  })
})

describe('names', () => {
  it('fail, heal and change, and clients follow', async () => {
    const server = await dns('servfail')
    const port = await freePort()
    const [first, second] = [
      await target(undefined, { port }),
      await target(undefined, { port, host: '127.0.0.2' }),
    ]
    const forwarded = await forward({ host: 'app.test', port }, { resolver: [server.address] })
    const to = { port: forwarded.port, host: '127.0.0.1' }
    assert.equal(await fate(to), 'ECONNRESET')
    const [failed] = await forwarded.records.count(1)
    assert.deepEqual(
      [failed?.code, failed?.reason],
      ['SC', 'the name app.test cannot be resolved (ESERVFAIL)'],
    )

    server.behaviour = ['127.0.0.1']
    const servedBy = (one: Target) =>
      until('the new answer counts', async () => {
        await fateOfWord(to)
        return one.connections.all.length > 0 || undefined
      })
    await servedBy(first)
    assert.equal(await fateOfWord(to), 'word')

    server.behaviour = ['127.0.0.2']
    await servedBy(second)
    const asked = server.asked.all.length
    await fateOfWord(to)
    assert.equal(server.asked.all.length, asked, 'an answer a moment old is used again')
  })

  it('happy eyeballs: a silent address delays, but does not prevent', async () => {
    const blackHole = kept(await openBlackHole())
    await target(undefined, { port: blackHole.port, host: '127.0.0.2' })
    const server = await dns(['127.0.0.1', '127.0.0.2'])
    const forwarded = await forward(
      { host: 'app.test', port: blackHole.port },
      { resolver: [server.address] },
    )
    const client = await forwarded.connect()
    await roundTrip(client)
    client.end()
    const [record] = await forwarded.records.count(1)
    assert.equal(record?.target, `127.0.0.2:${blackHole.port}`)
    assert.ok((record?.connectMs ?? 0) >= 240 && (record?.connectMs ?? 0) < 4_500)
  })

  it('a resolver that hangs stalls only who needs it', async () => {
    const server = await dns('silent')
    const other = await target()
    const forwarded = await forward(
      { host: 'app.test', port: 1 },
      { resolver: [server.address], target: [`127.0.0.1:${other.port}`], connectTimeout: 600 },
    )
    const client = await forwarded.connect()
    await roundTrip(client)
    client.end()
    const [record] = await forwarded.records.count(1)
    assert.equal(record?.target, `127.0.0.1:${other.port}`)
    const direct = await forwarded.connect()
    await roundTrip(direct)
    direct.end()
    const [, second] = await forwarded.records.count(2)
    assert.equal(second?.retries, 0)
  })

  it('one question is under way, however many ask', () => {
    const asked: Parameters<Lookup>[1][] = []
    const names = new NameCache((_name, answer) => asked.push(answer))
    const got: unknown[] = []
    for (let count = 0; count < 100; count++) names.resolve('a.test', (...answer) => got.push(answer))
    assert.equal(asked.length, 1)
    asked[0]?.(null, ['10.0.0.1'])
    assert.equal(got.length, 100)
    names.resolve('a.test', (...answer) => assert.deepEqual(answer, [undefined, ['10.0.0.1']]))
    assert.equal(asked.length, 1)
  })

  it('the answer from before is used while the resolver fails or hangs', async () => {
    const answers: Parameters<Lookup>[1][] = []
    const names = new NameCache((_name, answer) => answers.push(answer), {
      ...nameCacheDefaults,
      freshMs: 0,
      failedMs: 0,
      renewalMs: 20,
    })
    const resolve = () => new Promise<unknown>((done) => names.resolve('a.test', (...answer) => done(answer)))
    const first = resolve()
    answers.shift()?.(null, ['10.0.0.1'])
    const known = [undefined, ['10.0.0.1']]
    assert.deepEqual(await first, known)
    const failing = resolve()
    answers.shift()?.(new Error('no'), [])
    assert.deepEqual(await failing, known)
    assert.deepEqual(await resolve(), known, 'it hangs, and is waited for once')
    let within = false
    names.resolve('a.test', (...answer) => {
      within = true
      assert.deepEqual(answer, known)
    })
    assert.equal(within, true, 'it still hangs, and nobody waits any more')
    assert.equal(answers.length, 1, 'nor is it asked again')
  })

  it('are forgotten when there are too many', () => {
    let asked = 0
    const names = new NameCache(
      (_name, answer) => {
        asked++
        answer(null, ['10.0.0.1'])
      },
      { ...nameCacheDefaults, names: 10 },
    )
    for (let count = 0; count < 11; count++) names.resolve(`${count}.test`, () => {})
    names.resolve('10.test', () => {})
    assert.equal(asked, 11)
    names.resolve('0.test', () => {})
    assert.equal(asked, 12)
  })

  it('alternate families, the resolver’s first one first', () => {
    const mixed = ['::1', '::2', '::3', '10.0.0.1', '10.0.0.2']
    assert.deepEqual(interleaveFamilies(mixed), ['::1', '10.0.0.1', '::2', '10.0.0.2', '::3'])
    assert.deepEqual(interleaveFamilies(['10.0.0.1', '::1', '::2']), ['10.0.0.1', '::1', '::2'])
    assert.deepEqual(interleaveFamilies([]), [])
  })
})

describe('a socket that met itself', () => {
  it('is known for what it is', async () => {
    const socket = await selfConnected()
    assert.equal(isSelfConnected(new StreamSocket(socket), socket.remotePort ?? 0), true)
    socket.destroy()
    const to = await target(silence)
    const other = net.connect(to.port, to.host)
    await once(other, 'connect')
    assert.equal(isSelfConnected(new StreamSocket(other), to.port), false)
    other.destroy()
  })
})

/** Binding to the port that is dialled is what the kernel does by chance when it picks a source port. */
async function selfConnected(): Promise<net.Socket> {
  // One of those that the kernel gives away: no other is suspected.
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  server.close()
  await once(server, 'close')
  const socket = net.connect({ host: '127.0.0.1', port, localAddress: '127.0.0.1', localPort: port })
  await once(socket, 'connect')
  return socket
}

/** Says `word` and tells what came back, or how it failed. */
function fateOfWord(to: { port: number; host: string }): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect(to, () => socket.write('word'))
    socket.on('data', (chunk) => {
      resolve(chunk.toString())
      socket.end()
    })
    socket.on('error', ({ message }) => resolve(message))
  })
}
