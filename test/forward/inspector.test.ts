import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { describe, it, type TestContext } from 'vitest'
import { asker } from '../../src/forward/inspector/ask.ts'
import { recognise } from '../../src/forward/inspector/recognise.ts'
import { healthOf, healthWhen } from '../support/inherited.ts'
import { freePort } from '../support/tools.ts'
import { withWatched } from '../support/watched.ts'

type Dial = Parameters<typeof asker>[0]

const door = { origins: ['http://192.0.2.2:6274'], isGated: false }

describe('Recognising an MCP Inspector', () => {
  const strangers: Readonly<Record<string, (socket: Socket) => void>> = {
    'speaks first': (socket) => socket.write('J\0\0\0\n5.5.5-10.11.6-MariaDB\0'),
    'answers in a protocol of its own': (socket) => socket.once('data', () => socket.end('-ERR unknown\r\n')),
    'is silent': () => {},
  }
  for (const [what, treat] of Object.entries(strangers)) {
    it(`asks a target once that ${what}`, async (t) => {
      const { dial, visits } = await target(t, createServer(treat))
      assert.equal(await recognise(asker(dial), door), null)
      assert.equal(visits(), 1)
    })
  }

  it('asks a target that hangs up twice at most, the second time over TLS', async (t) => {
    const { dial, visits } = await target(
      t,
      createServer((socket) => socket.once('data', () => socket.destroy())),
    )
    assert.equal(await recognise(asker(dial), door), null)
    assert.equal(visits(), 2)
  })

  it('takes a page of another app for what it is', async (t) => {
    const app = createHttpServer((_request, response) => response.end('<title>Not the MCP Inspector</title>'))
    const { dial } = await target(t, app)
    assert.equal(await recognise(asker(dial), door), null)
  })

  it('tells a target that takes no connection from one that is no Inspector', async () => {
    const refuse: Dial = (outcome) =>
      outcome({ reason: 'target-refused', message: 'refused', retries: 0 }, undefined)
    assert.equal(await recognise(asker(refuse), door), 'no-answer')
  })

  it('reads no more than it needs of an answer without an end', async (t) => {
    const app = createHttpServer((_request, response) => {
      const more = () => response.write('<title>'.repeat(1000), () => setImmediate(more))
      more()
    })
    const { dial } = await target(t, app)
    assert.equal(await recognise(asker(dial), door), null)
  })
})

describe('A forward on a port of its own', () => {
  it('asks its target nothing, unless it is told to look for an Inspector', () =>
    withWatched(async (watched) => {
      const asked: string[] = []
      const app = createHttpServer(({ url }, response) => {
        asked.push(url ?? '')
        response.end('<title>MCP Inspector</title>')
      }).listen(0, '127.0.0.1')
      let visits = 0
      app.on('connection', () => visits++)
      await once(app, 'listening')
      const words = ['127.0.0.1', String((app.address() as AddressInfo).port), '--bind', '127.0.0.1']

      const plain = await freePort()
      await watched.start('tcp-proxy', String(plain), ...words).line(/Listening on/)
      await healthWhen(watched, plain, ({ target: { state } }) => state === 'reachable')
      const looking = await freePort()
      await watched.start('tcp-proxy', String(looking), ...words, '--inspector').line(/Listening on/)
      const { inspector } = await healthWhen(watched, looking, (health) => health.inspector !== null)

      assert.equal(inspector?.generation, 1)
      assert.equal((await healthOf(watched, plain)).inspector, null)
      assert.deepEqual(asked, ['/', '/api/config'])
      assert.equal(visits, asked.length)
      app.close()
    }))
})

/** A server, how it is dialled, and how often that was done. */
async function target(t: TestContext, server: Server) {
  let visits = 0
  server.on('connection', (socket) => {
    visits++
    socket.on('error', () => {})
    t.onTestFinished(() => {
      void socket.destroy()
    })
  })
  server.listen(0, '127.0.0.1')
  t.onTestFinished(() => {
    void server.close()
  })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const dial: Dial = (outcome) => {
    const socket = connect(port, '127.0.0.1', () => outcome(undefined, socket))
    socket.on('error', () => {})
  }
  return { dial, visits: () => visits }
}
