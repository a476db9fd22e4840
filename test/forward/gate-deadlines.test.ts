// No state of a visitor's connection lasts for ever: who does not read, does not ask, or is silent costs the gate nothing in the end.
import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { type GateSettings, type GateUnderTest, listen, logIn, startGate } from '../support/gate.ts'
import { until } from '../support/tools.ts'

describe('A visitor of a gate', () => {
  let target: Server
  let targetPort: number
  /** Requests that the target saw. */
  let asked = 0

  beforeAll(async () => {
    target = createServer((request, response) => {
      asked++
      if (request.url === '/silent') return void response.writeHead(200).flushHeaders()
      if (request.url === '/never') return
      // Without end, as fast as it is taken.
      const block = Buffer.alloc(1 << 20)
      const more = () => {
        while (!response.destroyed && response.write(block));
        if (!response.destroyed) response.once('drain', more)
      }
      more()
    })
    target.on('upgrade', (_request, socket) => {
      socket.on('error', () => {})
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    })
    targetPort = await listen(target)
  })
  afterAll(() => {
    target.closeAllConnections()
    target.close()
  })

  const withGate = async (
    limits: GateSettings['limits'],
    use: (gate: GateUnderTest, head: (first: string, ...more: string[]) => string) => Promise<void>,
  ) => {
    const gate = await startGate(targetPort, limits === undefined ? {} : { limits })
    const cookie = await logIn(gate)
    try {
      await use(
        gate,
        (first, ...more) =>
          `${[`${first} HTTP/1.1`, 'Host: 127.0.0.1', `Cookie: ${cookie}`, ...more].join('\r\n')}\r\n\r\n`,
      )
    } finally {
      await gate.close()
    }
  }
  /** Sends, and reads nothing. */
  const visit = (gate: GateUnderTest, text: string): Socket => {
    const socket = connect({ port: gate.port, host: '127.0.0.1' }, () => socket.write(text))
    return socket.on('error', () => {}).pause()
  }
  const allGone = (gate: GateUnderTest) =>
    until('the gate to have ended it', async () =>
      gate.open.visitors.size === 0 && gate.open.target.size === 0 ? true : undefined,
    )

  it('who has not logged in cannot collect answers without reading them', async () => {
    await withGate(undefined, async (gate) => {
      let sent = 0
      const visitors = Array.from({ length: 20 }, () => visit(gate, ''))
      for (; sent < 560; sent += 5) {
        const ask = 'GET /.port-watchdog/login HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'.repeat(5)
        for (const visitor of visitors) visitor.write(ask)
        await new Promise((resolve) => setImmediate(resolve))
      }
      await until('the gate to have ended them', async () =>
        gate.open.visitors.size === 0 ? true : undefined,
      )
      for (const visitor of visitors) visitor.destroy()
    })
  })

  it('who has not logged in queues no more than a few requests', async () => {
    await withGate({ ownAnswerMs: 60_000 }, async (gate) => {
      const form = 'POST /.port-watchdog/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n'
      const waiting = 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'
      visit(gate, `${form}token=xyz${waiting.repeat(40)}`)
      await allGone(gate)
    })
  })

  it('who does not send the login form that was announced is ended', async () => {
    await withGate({ ownAnswerMs: 200 }, async (gate) => {
      visit(gate, 'POST /.port-watchdog/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n')
      await allGone(gate)
    })
  })

  it('who is let in and takes nothing of an answer is ended, also after a handover', async () => {
    for (const isHandedOver of [false, true]) {
      await withGate({ takeMs: 300 }, async (gate, head) => {
        const before = asked
        visit(gate, head('GET /'))
        await until('the target to be asked', async () => (asked > before ? true : undefined))
        if (isHandedOver) gate.gate.close()
        await allGone(gate)
      })
    }
  })

  it('who takes something again and again is not ended', async () => {
    await withGate({ takeMs: 5_000 }, async (gate, head) => {
      const visitor = visit(gate, head('GET /'))
      let got = 0
      visitor.on('data', (chunk) => {
        got += chunk.length
        visitor.pause()
        setTimeout(() => visitor.resume(), 5)
      })
      visitor.resume()
      await until(
        'it to have been served for a while',
        async () => (visitor.destroyed || got > 48 << 20 ? true : undefined),
        60_000,
      )
      assert.equal(visitor.destroyed, false)
      visitor.destroy()
    })
  })

  it('who is silent is ended by --idle-timeout: in a stream, before an answer, in a WebSocket, between requests', async () => {
    const upgrade = [
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ]
    await withGate({ idleMs: 300 }, async (gate, head) => {
      for (const text of [
        head('GET /silent'),
        head('GET /never'),
        head('GET /socket', ...upgrade),
        head('GET /.port-watchdog/page.js'),
      ]) {
        const visitor = visit(gate, text).resume()
        await new Promise((resolve) => visitor.once('close', resolve))
        await allGone(gate)
      }
    })
  })

  it('who is silent in a stream stays without --idle-timeout', async () => {
    await withGate({ takeMs: 100 }, async (gate, head) => {
      const visitor = visit(gate, head('GET /silent')).resume()
      const end = await Promise.race([
        new Promise((resolve) => visitor.once('close', () => resolve('ended'))),
        new Promise((resolve) => setTimeout(resolve, 600, 'there')),
      ])
      assert.equal(end, 'there')
      visitor.destroy()
    })
  })
})
