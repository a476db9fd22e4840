import assert from 'node:assert/strict'
import { describe } from 'vitest'
import { takeInheritance } from '../../src/process/inheritance.ts'
import { it } from '../support/fixtures.ts'
import { healthWhen, type PassedSocket, withSockets } from '../support/inherited.ts'
import { Resident } from '../support/resident.ts'
import { freePort } from '../support/tools.ts'
import { askThrough, command, echoServer, type Watched } from '../support/watched.ts'

describe('LISTEN_FDS', () => {
  it('is taken once, and only by the process that it is meant for', () => {
    const environment = { LISTEN_PID: '42', LISTEN_FDS: '2', LISTEN_FDNAMES: 'web:', HOME: '/' }
    assert.deepEqual(takeInheritance(environment, 42), {
      kind: 'activation',
      sockets: [
        { descriptor: 3, name: 'web' },
        { descriptor: 4, name: 'unknown' },
      ],
    })
    assert.deepEqual(environment, { HOME: '/' })
    assert.deepEqual(takeInheritance({ LISTEN_PID: '42', LISTEN_FDS: '2' }, 43), { kind: 'none' })
    assert.deepEqual(takeInheritance({ LISTEN_PID: '42', LISTEN_FDS: '0' }, 42), { kind: 'none' })
    assert.deepEqual(takeInheritance({ LISTEN_FDS: '1' }, 42), { kind: 'none' })
  })

  for (const count of ['many', '-1', '9999', '']) {
    it(`is refused when it says "${count}"`, () => {
      assert.throws(() => takeInheritance({ LISTEN_PID: '7', LISTEN_FDS: count }, 7), /LISTEN_FDS/)
    })
  }

  it('of the real systemd-socket-activate: both sockets serve, nothing else is bound', async ({
    watched,
  }) => {
    const echo = await echoServer()
    const port = await freePort()
    const proxy = command('tcp-proxy', String(port), 'localhost', String(echo.port), '--bind', '127.0.0.9')
    const sockets = ['-l', `127.0.0.1:${port}`, '-l', `[::1]:${port}`, '--fdname=first:second']
    const forward = watched.adopt(
      new Resident(['systemd-socket-activate', ...sockets, ...proxy, '--state-dir', watched.directory], {}),
    )
    await forward.line(/Listening on \[::1\]/)
    // The first connect starts it, and waits in the backlog meanwhile.
    assert.equal(await askThrough(port), 'hello')
    assert.equal(await askThrough(port, '::1'), 'hello')
    assert.equal(await askThrough(port, '127.0.0.9'), 'ECONNREFUSED')
    const { listen } = await healthWhen(watched, port)
    assert.equal(listen.rule, 'inherited')
    assert.deepEqual(listen.addresses, [
      { address: '127.0.0.1', port, origin: 'activation' },
      { address: '::1', port, origin: 'activation' },
    ])
    assert.equal(await forward.stop(), 0)
    await echo.close()
  })

  it('may pass a socket that is bound and does not listen yet', async ({ watched }) => {
    const echo = await echoServer()
    const port = await freePort()
    await activated(watched, 'bound4', ['127.0.0.1', '127.0.0.2'], port, [
      'localhost',
      String(echo.port),
    ]).line(/Listening/)
    assert.equal(await askThrough(port), 'hello')
    assert.equal(await askThrough(port, '127.0.0.2'), 'hello')
    await echo.close()
  })

  it('follows the same-port rule: any address but that of the target', async ({ watched }) => {
    const port = await freePort()
    const words = ['localhost', String(port)]
    const refused = activated(watched, 'listening6', ['::'], port, words)
    await refused.line(/the inherited socket on \[::\]:\d+ takes the address of the target.*ListenStream=/)
    assert.equal(await refused.ended(), 78)
    const echo = await echoServer(port)
    await activated(watched, 'listening4', ['127.0.0.2'], port, words).line(/Target .* answers/)
    assert.equal(await askThrough(port, '127.0.0.2'), 'hello')
    await echo.close()
  })

  it('is refused in words when the socket is of another port, or none to listen on', async ({ watched }) => {
    const port = await freePort()
    const other = activated(watched, 'listening4', ['127.0.0.1'], port, ['localhost', '9'], port + 1)
    await other.line(
      /inherited socket 3 \(unknown\) listens on 127\.0\.0\.1:\d+, and this forward is of port \d+/,
    )
    assert.equal(await other.ended(), 78)
    const datagrams = activated(watched, 'udp4', ['127.0.0.1'], port, ['localhost', '9'])
    await datagrams.line(/inherited socket 3 \(unknown\) is no TCP socket/)
    assert.equal(await datagrams.ended(), 78)
  })
})

describe('A port whose socket is held by somebody else', () => {
  it('refuses nobody while its forwarder is killed again and again', async ({ watched }) => {
    const echo = await echoServer()
    const port = await freePort()
    // The holder: it keeps the socket and starts a forwarder again whenever one has gone, as a .socket unit does.
    const proxy = command('tcp-proxy', String(port), 'localhost', String(echo.port))
    const restart = `while true; do LISTEN_FDS=1 sh -c 'LISTEN_PID=$$ exec "$@"' - "$@"; done`
    const words = ['sh', '-c', restart, 'holder', ...proxy, '--state-dir', watched.directory]
    const holder = watched.adopt(new Resident(withSockets('listening4', ['127.0.0.1'], port, words), {}))
    await healthWhen(watched, port)
    const asking = askAgainAndAgain(port)
    try {
      for (let kill = 0, last = 0; kill < 10; kill++) {
        const { identity } = await healthWhen(watched, port, (health) => health.identity.pid !== last)
        await asking.next()
        await asking.next()
        process.kill(identity.pid, 'SIGKILL')
        last = identity.pid
      }
    } finally {
      await asking.stop()
    }
    assert.equal(asking.outcomes.get('ECONNREFUSED'), undefined)
    assert.ok((asking.outcomes.get('hello') ?? 0) > 10)
    await holder.stop('SIGKILL')
    await echo.close()
  })
})

function activated(
  watched: Watched,
  kind: PassedSocket,
  addresses: readonly string[],
  port: number,
  target: readonly string[],
  listenPort = port,
): Resident {
  const proxy = command('tcp-proxy', String(listenPort), ...target, '--state-dir', watched.directory)
  return watched.adopt(new Resident(withSockets(kind, addresses, port, proxy), {}))
}

/** A client that connects as soon as its last connection has ended. */
interface Asking {
  /** How often each answer came; an error counts by its code. */
  readonly outcomes: ReadonlyMap<string, number>
  /** Resolves with the next answer. Two of them mean that one connection began since. */
  next(): Promise<void>
  stop(): Promise<void>
}

function askAgainAndAgain(port: number): Asking {
  const outcomes = new Map<string, number>()
  let stopped = false
  const waiting: (() => void)[] = []
  const run = async () => {
    while (!stopped) {
      const answer = await askThrough(port)
      outcomes.set(answer, (outcomes.get(answer) ?? 0) + 1)
      for (const resolve of waiting.splice(0)) resolve()
    }
  }
  const running = run()
  return {
    outcomes,
    next: () => new Promise((resolve) => waiting.push(resolve)),
    stop: () => {
      stopped = true
      return running
    },
  }
}
