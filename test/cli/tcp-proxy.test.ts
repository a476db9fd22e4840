import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, lstatSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { describe } from 'vitest'
import { optionGroups } from '../../src/config/option-groups.ts'
import { askControl } from '../../src/control/client.ts'
import { identityOf } from '../../src/process/identity.ts'
import type { ForwarderHealth } from '../../src/record/shapes/forwarder-health.ts'
import { it } from '../support/fixtures.ts'
import { Resident } from '../support/resident.ts'
import { freePort, run, tcpProxy, until } from '../support/tools.ts'
import { askThrough, echoServer } from '../support/watched.ts'

describe('tcp-proxy', () => {
  it('forwards, keeps a PID file with its identity, answers on its control socket, and leaves nothing behind', async ({
    watched,
  }) => {
    const echo = await echoServer()
    const port = await freePort()
    const forward = watched.start('tcp-proxy', String(port), 'localhost', String(echo.port))
    await forward.line(/Target .* answers/)
    const pidFile = watched.file(`tcp_proxy_${port}.pid`)
    await until('the PID file', async () => existsSync(pidFile) || undefined)
    const [pid, identity] = readFileSync(pidFile, 'utf8').split('\n')
    assert.equal(Number(pid), forward.pid)
    assert.deepEqual(JSON.parse(identity ?? ''), identityOf(forward.pid))
    assert.equal(lstatSync(pidFile).mode & 0o777, 0o600)
    assert.equal(lstatSync(watched.directory).mode & 0o777, 0o700)

    const answers = await Promise.all(Array.from({ length: 50 }, () => askThrough(port)))
    assert.ok(answers.every((answer) => answer === 'hello'))
    const socket = watched.file(`tcp_proxy_${port}.sock`)
    const health = (await askControl(socket, 'health')) as ForwarderHealth
    assert.equal(health.connections.total, 50)
    assert.equal(health.bytes.fromClients, 250)
    assert.equal(health.bytes.fromTarget, 250)
    assert.equal(health.target.state, 'reachable')
    assert.deepEqual(health.listen.addresses, [{ address: '0.0.0.0', port, origin: 'bound' }])

    assert.equal(await forward.stop(), 0)
    assert.ok(!existsSync(pidFile))
    assert.ok(!existsSync(socket))
    assert.match(readFileSync(watched.file(`tcp_proxy_${port}.log`), 'utf8'), /Ended\n$/)
    await echo.close()
  })

  it('lets connections finish after SIGTERM, and accepts no more', async ({ watched }) => {
    const echo = await echoServer()
    const port = await freePort()
    const forward = watched.start('tcp-proxy', String(port), 'localhost', String(echo.port))
    await forward.line(/Listening/)
    const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    client.write('before')
    assert.equal(String((await once(client, 'data'))[0]), 'before')
    process.kill(forward.pid, 'SIGTERM')
    await forward.line(/no more connections are accepted, 1 connection/)
    assert.equal(await askThrough(port), 'ECONNREFUSED')
    client.write('after')
    assert.equal(String((await once(client, 'data'))[0]), 'after')
    client.end()
    assert.equal(await forward.ended(), 0)
    client.destroy()
    await echo.close()
  })

  it('ends connections when the drain time is over, or at a second signal', async ({ watched }) => {
    const echo = await echoServer()
    for (const [drain, signals] of [
      ['100ms', 1],
      ['1h', 2],
    ] as const) {
      const port = await freePort()
      const forward = watched.start(
        'tcp-proxy',
        String(port),
        'localhost',
        String(echo.port),
        '--drain',
        drain,
      )
      await forward.line(/Listening/)
      const client = connect({ port, host: '127.0.0.1' })
      client.write('x')
      await once(client, 'data')
      const ended = once(client, 'error')
      process.kill(forward.pid, 'SIGTERM')
      await forward.line(/no more connections/)
      if (signals === 2) process.kill(forward.pid, 'SIGINT')
      assert.equal((await ended)[0].code, 'ECONNRESET')
      assert.equal(await forward.ended(), 0)
    }
    await echo.close()
  })

  it('says who holds the port, and how to go on', async ({ watched }) => {
    const port = await freePort()
    const script = `require('node:net').createServer().listen(${port}, '127.0.0.1', () => console.log('ready'))`
    const stranger = watched.adopt(new Resident([process.execPath, '--eval', script], {}))
    await stranger.line(/ready/)
    const { code, stderr } = await watched.run('tcp-proxy', String(port), 'localhost', '1')
    assert.equal(code, 69)
    const line = `^tcp-proxy: cannot listen on 0\\.0\\.0\\.0:${port}: the port is taken by PID ${stranger.pid} \\(.*\\); stop that process.*\\n$`
    assert.match(stderr, new RegExp(line))
  })

  it('does not start twice for one port', async ({ watched }) => {
    const port = await freePort()
    const forward = watched.start('tcp-proxy', String(port), 'localhost', '1')
    await forward.line(/Listening/)
    const { code, stderr } = await watched.run('tcp-proxy', String(port), 'localhost', '1')
    assert.equal(code, 69)
    assert.match(stderr, new RegExp(`already runs, as PID ${forward.pid}`))
  })

  const usage: readonly [readonly string[], RegExp][] = [
    [[], /missing required argument 'LISTEN_PORT'/],
    [['0', 'localhost', '1'], /LISTEN_PORT: "0" is not a port/],
    [['1', 'http://localhost', '1'], /TARGET_HOST: .* write host and port as two words: localhost 80/],
    [['8080', 'localhost', '1', '--drian', '3'], /unknown option '--drian'.*--drain/],
    [['8080', 'localhost', '1', '--drain', 'soon'], /--drain: "soon" is not a duration/],
    [['8080', 'localhost', '1', '--allow', '10.0.0.0/33'], /--allow: .* is not a network/],
    [['8080', 'localhost', '1', '--bind', 'eth0'], /--bind: .* is not an IP address/],
  ]
  for (const [words, message] of usage) {
    it(`refuses "${words.join(' ')}" in one line, with exit code 64`, async ({ watched }) => {
      const { code, stderr, stdout } = await watched.run('tcp-proxy', ...words)
      assert.equal(code, 64)
      assert.match(stderr, message)
      assert.match(stderr, /^tcp-proxy: [^\n]*\n$/)
      assert.equal(stdout, '')
    })
  }

  for (const words of [
    ['8080', 'localhost', '8080', '--bind', '127.0.0.1'],
    ['8080', '127.0.0.1', '8080', '--bind', '::1'],
  ]) {
    it(`refuses to dial itself: ${words.join(' ')}`, async ({ watched }) => {
      const { code, stderr } = await watched.run('tcp-proxy', ...words)
      assert.equal(code, 78)
      assert.match(stderr, /would dial itself for ever/)
    })
  }

  for (const [metrics, more, problem] of [
    ['127.0.0.1:8080', [], /is where the forward listens/],
    ['localhost:8080', ['--bind', '::'], /is where the forward listens/],
    ['[0:0::1]:8080', ['--bind', '::1'], /is where the forward listens/],
    ['127.0.0.1:8081', [], /is the target/],
    ['0.0.0.0:8081', [], /is the target/],
    ['localhost:8082', ['--target', '127.0.0.1:8082'], /is the target/],
  ] as const) {
    it(`refuses to serve its metrics where they cannot be: ${[metrics, ...more].join(' ')}`, async ({
      watched,
    }) => {
      const words = ['8080', 'localhost', '8081', ...more, '--metrics', metrics]
      const { code, stderr } = await watched.run('tcp-proxy', ...words)
      assert.equal(code, 78)
      assert.match(stderr, problem)
      assert.match(stderr, /^tcp-proxy: --metrics [^\n]*; give another port\n$/)
    })
  }
})

describe('help of tcp-proxy', () => {
  it('lists its options under headings, with signals, exit codes and examples', async () => {
    const { stdout, code } = await run([process.execPath, tcpProxy, '--help'])
    assert.equal(code, 0)
    const headings = [...stdout.matchAll(/^([A-Z][\w ]+):$/gm)].map(([, heading]) => heading)
    assert.deepEqual(headings, ['Arguments', 'Options', ...optionGroups, 'Signals', 'Exit codes', 'Examples'])
    assert.match(stdout, /^ {2}--gate token /m)
    assert.doesNotMatch(stdout, /--gate </)
  })
})
