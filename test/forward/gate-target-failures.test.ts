// Each failure of a target behind the gate is told as what it is: on the page, to programs, once in the log, in the health report.
import assert from 'node:assert/strict'
import { createServer as createHttps } from 'node:https'
import { createServer, type Server, type Socket } from 'node:net'
import { describe, it } from 'vitest'
import { type GateEvent, gateLine } from '../../src/forward/gate/gate-events.ts'
import { Authority, contents } from '../support/certificates.ts'
import { ask, type GateUnderTest, listen, startGate } from '../support/gate.ts'

/** A target that answers a request with these bytes and closes. */
const saying = (answer: string | Buffer) =>
  createServer((socket: Socket) => {
    socket.on('error', () => {}).once('data', () => socket.end(answer))
  })

const html = 'text/html,application/xhtml+xml'

async function visit(
  target: Server | undefined,
  use: (
    get: (accept?: string) => ReturnType<typeof ask>,
    events: GateEvent[],
    gate: GateUnderTest,
  ) => Promise<void>,
): Promise<void> {
  const events: GateEvent[] = []
  const gate = await startGate(target === undefined ? 1 : await listen(target), { events })
  const headers = { authorization: `Bearer ${gate.secrets.token}` }
  try {
    await use(
      (accept) => ask(gate.port, { headers: accept === undefined ? headers : { ...headers, accept } }),
      events,
      gate,
    )
  } finally {
    await gate.close()
    target?.close()
  }
}

describe('A target behind a gate', () => {
  for (const [what, target, title, cure] of [
    ['that does not listen', () => undefined, 'The target is not running', /Start the program/],
    ['that speaks TLS and closes', tlsTarget, 'The target speaks TLS', /Add --target-tls/],
    [
      'that answers with a TLS alert',
      () => saying(Buffer.from('15030100020246', 'hex')),
      'The target speaks TLS',
      /Add --target-tls/,
    ],
    [
      'that speaks another protocol',
      () => saying('SSH-2.0-OpenSSH_9.2p1\r\n'),
      'The target does not speak HTTP',
      /without --gate/,
    ],
    [
      'that closes at once',
      () => createServer((socket) => socket.on('error', () => {}).end()),
      'The target closed the connection',
      /Its own log/,
    ],
    [
      'whose header is malformed',
      () => saying('HTTP/1.1 200 OK\r\nA: \u0001\r\n\r\n'),
      'The target’s answer is malformed',
      /corrected/,
    ],
    [
      'whose status is malformed',
      () => saying('HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n'),
      'The target’s answer is malformed',
      /corrected/,
    ],
    [
      'whose head is too long',
      () => saying(`HTTP/1.1 200 OK\r\nA: ${'x'.repeat(70_000)}\r\n\r\n`),
      'The target’s answer is malformed',
      /too many headers/,
    ],
    [
      'that switches protocols',
      () => saying('HTTP/1.1 101 x\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n'),
      'The target’s answer is malformed',
      /switched/,
    ],
  ] as const) {
    it(`${what} is told as that`, async () =>
      visit(await target(), async (get, events, gate) => {
        const page = await get(html)
        assert.equal(page.status, 502)
        assert.match(page.body, new RegExp(`<h1>${title}</h1>`))
        const text = await get()
        assert.match(String(text.headers['content-type']), /^text\/plain/)
        assert.match(text.body, cure)
        assert.doesNotMatch(text.body, /</)
        const lines = events.map(gateLine).map(({ message }) => message)
        assert.equal(lines.length, 1, lines.join('\n'))
        assert.match(lines[0] ?? '', cure)
        assert.match(gate.gate.health().targetProblem ?? '', cure)
      }))
  }

  it('that answers again is told, too', async () => {
    let answer = 'nonsense\r\n\r\n'
    const target = createServer((socket) => {
      socket.on('error', () => {}).once('data', () => socket.end(answer))
    })
    await visit(target, async (get, events, gate) => {
      await get()
      answer = 'HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n'
      assert.equal((await get()).status, 500)
      assert.deepEqual(
        events.map(({ kind }) => kind),
        ['target-fails', 'target-answers'],
      )
      assert.equal(gate.gate.health().targetProblem, null)
    })
  })

  it('that fails and answers in turns does not fill the log', async () => {
    const answers = ['nonsense\r\n\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n']
    let count = 0
    const target = createServer((socket) => {
      socket.on('error', () => {}).once('data', () => socket.end(answers[count++ % 2] ?? ''))
    })
    await visit(target, async (get, events) => {
      for (let visits = 0; visits < 40; visits++) await get()
      assert.deepEqual(
        events.map(({ kind }) => kind),
        ['target-fails', 'target-answers'],
      )
    })
  })
})

async function tlsTarget(): Promise<Server> {
  const authority = await Authority.create()
  const pair = contents(await authority.issue({ name: 'target' }))
  authority.remove()
  return createHttps(pair, (_request, response) => response.end('secret')).on('tlsClientError', () => {})
}
