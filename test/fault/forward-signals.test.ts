import assert from 'node:assert/strict'
import { once } from 'node:events'
import type net from 'node:net'
import { describe, it } from 'vitest'
import { connected, fate, openTarget, roundTrip, silence } from '../support/forward.ts'
import { startTcpProxy } from '../support/forwarder-process.ts'
import { receive } from '../support/relay-peers.ts'

describe('signals', () => {
  it('SIGTERM under load: whoever is in gets everything, whoever comes is refused, and it ends with 0', async () => {
    const answer = Buffer.alloc(2_000_000, 'answer')
    const target = await openTarget((socket) => {
      // In small pieces, so that it takes a while.
      socket.once('data', () => {
        let at = 0
        const next = () => {
          socket.write(answer.subarray(at, at + 100_000))
          at += 100_000
          if (at < answer.length) setTimeout(next, 10)
          else socket.end()
        }
        next()
      })
    })
    const forwarder = await startTcpProxy(`127.0.0.1 ${target.port}`, ['--drain', '30s'])
    const to = { host: '127.0.0.1', port: forwarder.port }
    const clients = await Promise.all(Array.from({ length: 50 }, () => connected(to)))
    const received = clients.map((client) => {
      client.end('ask')
      return receive(client)
    })
    await target.connections.count(50)
    forwarder.child.kill('SIGTERM')
    await forwarder.lines.find((line) => line.includes('SIGTERM'))
    assert.equal(await fate(to), 'ECONNREFUSED')
    for (const { bytes, end } of await Promise.all(received)) {
      assert.equal(end, 'FIN')
      assert.ok(bytes.equals(answer))
    }
    assert.equal(await forwarder.exited, 0)
    await forwarder.close()
    await target.close()
  })

  it('SIGTERM and a stream without an end: it is reset when the drain time is over', async () => {
    const target = await openTarget(silence)
    const forwarder = await startTcpProxy(`127.0.0.1 ${target.port}`, ['--drain', '200ms'])
    const client = await connected({ host: '127.0.0.1', port: forwarder.port })
    const end = receive(client)
    await target.connections.count(1)
    forwarder.child.kill('SIGTERM')
    assert.equal((await end).end, 'ECONNRESET')
    assert.equal(await forwarder.exited, 0)
    const [record] = await forwarder.records.count(1)
    assert.equal(record?.code, 'LD')
    await forwarder.close()
    await target.close()
  })

  it('SIGSTOP and SIGCONT: bytes and new clients wait, and none is lost, though time limits passed', async () => {
    const target = await openTarget()
    const forwarder = await startTcpProxy(`127.0.0.1 ${target.port}`, ['--idle-timeout', '2s'])
    const to = { host: '127.0.0.1', port: forwarder.port }
    const before = await connected(to)
    await roundTrip(before)
    forwarder.child.kill('SIGSTOP')
    const sent = Buffer.alloc(1_000_000, 'while it sleeps')
    before.end(sent)
    const reply = receive(before)
    // The kernel lets clients in for it.
    const during = await connected(to)
    const answered = roundTrip(during, 'are you there')
    await new Promise((resolve) => setTimeout(resolve, 2_500))
    forwarder.child.kill('SIGCONT')
    const { bytes, end } = await reply
    assert.equal(end, 'FIN')
    assert.ok(bytes.equals(sent))
    await answered
    during.destroy()
    await forwarder.close()
    await target.close()
  })

  it('SIGHUP is no order to end', async () => {
    const target = await openTarget()
    const forwarder = await startTcpProxy(`127.0.0.1 ${target.port}`)
    const client = await connected({ host: '127.0.0.1', port: forwarder.port })
    await roundTrip(client)
    forwarder.child.kill('SIGHUP')
    await roundTrip(client)
    client.destroy()
    await forwarder.close()
    await target.close()
  })
})

describe('a target', () => {
  it('that dies in mid-stream: its clients get what it said and a reset, and its successor serves the next', async () => {
    const program = `require('net').createServer((socket) => { socket.on('error', () => {}); socket.pipe(socket) })
      .listen(Number(process.argv[1]), '127.0.0.1', function () { process.stdout.write(this.address().port + '\\n') })`
    const { spawn } = await import('node:child_process')
    const start = async (port: number) => {
      const child = spawn(process.execPath, ['-e', program, String(port)], {
        stdio: ['ignore', 'pipe', 'ignore'],
      })
      const [line] = (await once(child.stdout, 'data')) as [Buffer]
      return { child, port: Number(line.toString()) }
    }
    const first = await start(0)
    const forwarder = await startTcpProxy(`127.0.0.1 ${first.port}`)
    const to: net.TcpNetConnectOpts = { host: '127.0.0.1', port: forwarder.port }
    const client = await connected(to)
    await roundTrip(client)
    // With something unread of it, the dead program's kernel resets; without, it sends FIN.
    first.child.kill('SIGSTOP')
    client.write(Buffer.alloc(1_000))
    const end = receive(client)
    await forwarder.health().then(function delivered(health): Promise<unknown> | undefined {
      return health.bytes.fromClients < 1_004 ? forwarder.health().then(delivered) : undefined
    })
    first.child.kill('SIGKILL')
    assert.equal((await end).end, 'ECONNRESET')
    assert.equal((await forwarder.records.count(1))[0]?.code, 'SD')
    // Dialled while nobody is there: waited for.
    const early = await connected(to)
    const served = roundTrip(early)
    const second = await start(first.port)
    await served
    early.destroy()
    second.child.kill('SIGKILL')
    await forwarder.close()
  })
})
