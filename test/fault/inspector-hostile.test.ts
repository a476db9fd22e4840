// A target that is taken for an MCP Inspector is asked a few things, and may answer anything.
import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { describe, it } from 'vitest'
import { startTcpProxy } from '../support/forwarder-process.ts'
import { listen } from '../support/gate.ts'
import { until } from '../support/tools.ts'

const page = (token: string) =>
  `<title>MCP Inspector</title><script>__INSPECTOR_API_TOKEN__ = "${token}"</script>`

type Serve = (request: IncomingMessage, response: ServerResponse) => void

/** The page, and settings that want the token. */
const withToken =
  (token: string): Serve =>
  ({ url }, response) => {
    if (url === '/') response.end(page(token))
    else response.writeHead(401).end('{"error":"token"}')
  }

const settings =
  (value: unknown): Serve =>
  ({ url }, response) =>
    response.end(url === '/' ? page('a') : JSON.stringify(value))

const http: Readonly<Record<string, Serve>> = {
  'a token with a line break': withToken('a\r\nx-evil: 1'),
  'a token of other letters': withToken('ключ'),
  'a token with a NUL': withToken('\0'),
  'a version of control characters': settings({ defaultEnvironment: {}, version: '\u001b]0;owned\u0007' }),
  'a version of a megabyte': settings({ defaultEnvironment: {}, version: 'x'.repeat(1 << 20) }),
  'settings that are no object': settings(['defaultEnvironment']),
  'a redirect': (_request, response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
  'an endless body': (_request, response) => {
    const more = () => {
      while (!response.destroyed && response.write('x'.repeat(65_536)));
    }
    response.on('drain', more)
    more()
  },
}

/** A megabyte a second: more would only keep this machine busy for as long as the asking takes. */
const endlessly = (begin: string, more: string) => (socket: Socket) => {
  const pouring = setInterval(() => socket.write(more.repeat(200)), 10)
  socket
    .on('error', () => {})
    .on('close', () => clearInterval(pouring))
    .resume()
  socket.write(begin)
}

const raw: Readonly<Record<string, (socket: Socket) => void>> = {
  'endless headers': endlessly('HTTP/1.1 200 OK\r\n', 'X-A: b\r\n'),
  'a flood of 1xx': endlessly('', 'HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n'),
  'another protocol': (socket) =>
    socket
      .on('error', () => {})
      .resume()
      .end('HTTP/1.1 101 X\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n'),
  'a reset': (socket) => socket.on('error', () => {}).once('data', () => socket.resetAndDestroy()),
}

const cases: readonly (readonly [string, () => Server])[] = [
  ...Object.entries(http).map(([what, serve]) => [what, () => createServer(serve)] as const),
  ...Object.entries(raw).map(([what, serve]) => [what, () => createTcpServer(serve)] as const),
]

describe('A target that is asked whether it is an MCP Inspector and answers with', {
  concurrent: true,
}, () => {
  for (const [what, make] of cases) {
    it(`${what} does not end the forwarder, and nothing of it is told`, async (t) => {
      const server = make()
      let connections = 0
      const sockets = new Set<Socket>()
      server.on('connection', (socket: Socket) => {
        connections++
        sockets.add(socket)
        socket.once('close', () => sockets.delete(socket))
      })
      const target = await listen(server)
      const forwarder = await startTcpProxy(`127.0.0.1 ${target}`, ['--inspector'])
      t.onTestFinished(() => {
        void forwarder.close()
      })
      t.onTestFinished(() => {
        void server.close()
      })
      await until(
        'it was asked, and the asking has ended',
        async () => (connections > 0 && sockets.size === 0) || undefined,
        60_000,
      )
      const { inspector } = await forwarder.health()
      assert.doesNotMatch(JSON.stringify(inspector ?? null), /owned|xxx|evil|root|\\u00/)
    })
  }
})
