import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'vitest'
import { fate, roundTrip, temporaryFolder } from '../support/forward.ts'
import { openForwarder } from '../support/forwarders.ts'
import { whyNoLab } from '../support/namespaces.ts'
import { until } from '../support/relay-peers.ts'
import { Resident } from '../support/resident.ts'
import { until as eventually, freePort, skipFor } from '../support/tools.ts'
import { inLab, type LabForwarder, startForwarder } from '../support/wire-room.ts'

const checkMs = 50

async function counting(where: net.ListenOptions) {
  let connections = 0
  const server = net.createServer((socket) => {
    connections++
    socket.on('error', () => {}).pipe(socket)
  })
  server.listen(where)
  await once(server, 'listening')
  return {
    get connections() {
      return connections
    },
    close: () => new Promise((resolve) => server.close(resolve)),
  }
}

describe('A check of a target on this machine connects to nobody', () => {
  it('a listener is seen to come and to go, and no connection is made', async () => {
    const port = await freePort()
    const { forwarder, event, close } = await openForwarder(port, { targetCheckMs: checkMs })
    const facts = () => forwarder.health().target
    await until(() => facts().state === 'waiting')
    assert.match(facts().lastError ?? '', /nothing listens/)
    for (const host of ['127.0.0.1', '0.0.0.0', '::']) {
      const server = await counting({ port, host })
      await until(() => facts().state === 'reachable')
      const { knownBy, knownAgeMs, address } = facts()
      assert.deepEqual([knownBy, address], ['listener-table', '127.0.0.1'])
      assert.ok((knownAgeMs ?? checkMs) <= 1_000)
      const looks = new Set<number | null>()
      await until(() => looks.add(facts().answeredAgeMs).size > 20)
      assert.equal(server.connections, 0, host)
      await server.close()
      await until(() => facts().state === 'unreachable')
    }
    await event('target-answers')
    await close()
  })

  it('one that comes up is seen within a second or two, with the times as they are by default', async () => {
    const port = await freePort()
    const { event, close } = await openForwarder(port, { targetCheckMs: 10_000 })
    await event('target-fails')
    const server = await counting({ port, host: '127.0.0.1' })
    const began = performance.now()
    await event('target-answers')
    // Long before a target that is there is looked for again.
    assert.ok(performance.now() - began < 8_000)
    assert.equal(server.connections, 0)
    await close()
    await server.close()
  })

  it('a listener on another address, or of another port, is not the target', async () => {
    const port = await freePort()
    const other = await counting({ port, host: '127.0.0.2' })
    const { forwarder, close } = await openForwarder(port, { targetCheckMs: checkMs })
    await until(() => forwarder.health().target.state === 'waiting')
    await close()
    await other.close()
  })

  it('a server of one client keeps it for the first real one', async () => {
    const port = await freePort()
    const program = `TCP-LISTEN:${port},bind=127.0.0.1,reuseaddr`
    const oneClient = new Resident(['socat', '-d', '-d', program, 'EXEC:cat'], {})
    await oneClient.line(/listening on/)
    const opened = await openForwarder(port, { targetCheckMs: checkMs })
    await opened.event('target-answers')
    const looks = new Set<number | null>()
    await until(() => looks.add(opened.forwarder.health().target.answeredAgeMs).size > 20)
    const client = net.connect(opened.port, '127.0.0.1')
    await once(client, 'connect')
    await roundTrip(client)
    client.destroy()
    await opened.close()
    await oneClient.stop()
  })

  it('a Unix socket is looked for by its path, through links too', async () => {
    const folder = temporaryFolder()
    const path = join(folder.path, 'app.sock')
    const server = await counting({ path })
    const [link, linked] = [join(folder.path, 'link.sock'), join(folder.path, 'linked')]
    symlinkSync('app.sock', link)
    symlinkSync('.', linked)
    const paths = [path, link, join(linked, 'app.sock')]
    const opened = []
    for (const each of paths) {
      const { forwarder, close } = await openForwarder(0, {
        targetHost: `unix:${each}`,
        targetCheckMs: checkMs,
      })
      const facts = () => forwarder.health().target
      assert.deepEqual([facts().state, facts().knownBy], ['reachable', 'listener-table'], each)
      opened.push({ facts, close })
    }
    assert.equal(server.connections, 0)
    await server.close()
    for (const { facts, close } of opened) {
      await until(() => facts().state === 'unreachable')
      await close()
    }
    rmSync(path, { force: true })
    folder.remove()
  })

  it('a listener that refuses all the same is not believed, and a client that gets through is', async () => {
    const port = await freePort()
    // Takes no IPv4: the kernel's table does not tell it from one that does.
    const program = `const s = require('node:net').createServer(); s.listen({ port: ${port}, host: '::', ipv6Only: true }, () => console.log('ready'))`
    const server = new Resident([process.execPath, '--eval', program], {})
    await server.line(/ready/)
    const opened = await openForwarder(port, { targetCheckMs: checkMs, dialRetryMs: 0 })
    await until(() => opened.forwarder.health().target.state === 'reachable')
    assert.equal(await fate({ port: opened.port, host: '127.0.0.1' }), 'ECONNRESET')
    const looks = new Set<number>()
    await until(() => looks.add(opened.forwarder.health().target.stateForMs).size > 20)
    const { state, knownBy, lastError } = opened.forwarder.health().target
    assert.deepEqual([state, knownBy], ['unreachable', 'traffic'])
    assert.match(lastError ?? '', /refused/)
    await opened.close()
    await server.stop()
  })
})

/** Counts who connects and leaves without a word, as a database does, and answers the others. */
const countingServer = `let left = 0
require('node:net').createServer((socket) => {
  let spoke = false
  socket.on('error', () => {}).on('data', (data) => { spoke = true; socket.end(data) })
  socket.on('close', () => { if (!spoke) console.log('interrupted', ++left) })
}).listen(7000, () => console.log('ready'))`

async function reachable(health: LabForwarder['health']): Promise<void> {
  while ((await health()).target.state !== 'reachable');
}

const reason = whyNoLab()

describe('A check of a target on another machine', { timeout: 240_000, skip: skipFor(reason) }, () => {
  it('interrupts one handshake while it answers, however long nobody uses it, and sees it come back', () =>
    inLab(async (lab) => {
      const start = async () => {
        const server = lab.visitor.start([process.execPath, '--eval', countingServer])
        await server.line(/ready/)
        return server
      }
      const before = await start()
      const words = [lab.visitor.address.ipv4, '7000', '--target-check', '20ms', '--dial-retry', '0']
      const { health } = await startForwarder(lab, 6274, ...words)
      await before.line(/interrupted 1/)
      for (let question = 0; question < 100; question++) {
        const { target } = await health()
        assert.deepEqual([target.state, target.knownBy], ['reachable', 'knock'])
      }
      assert.doesNotMatch(before.output, /interrupted 2/)
      await before.stop('SIGKILL')
      assert.equal((await health()).target.state, 'reachable', 'nobody has seen it go')
      await lab.host.run(['socat', '-u', 'TCP:127.0.0.1:6274', 'STDOUT'])
      assert.equal((await health()).target.state, 'unreachable')
      const after = await start()
      await after.line(/interrupted 1/)
      await reachable(health)
    }))

  it('a planned restart hands on what is known, and knocks at nobody', () =>
    inLab(async (lab) => {
      const server = lab.visitor.start([process.execPath, '--eval', countingServer])
      await server.line(/ready/)
      const words = [lab.visitor.address.ipv4, '7000', '--target-check', '20ms']
      const { health } = await startForwarder(lab, 6274, ...words)
      await server.line(/interrupted 1/)
      for (let restart = 0; restart < 3; restart++) {
        const { identity, target } = await health()
        process.kill(identity.pid, 'SIGUSR2')
        // Its control connections end when it has handed over: whoever asks in that moment asks again.
        const next = await eventually('the next one answers', async () => {
          const answer = await health()
          return answer.identity.pid === identity.pid ? undefined : answer
        })
        assert.deepEqual([next.target.state, next.target.knownBy], ['reachable', 'knock'])
        assert.ok((next.target.knownAgeMs ?? 0) > (target.knownAgeMs ?? 0))
        for (let question = 0; question < 50; question++) await health()
      }
      assert.doesNotMatch(server.output, /interrupted 2/)
    }))

  for (const version of ['v1', 'v2'] as const) {
    it(`${version}: its PROXY header says that nobody is behind it`, () =>
      inLab(async (lab) => {
        const program = `require('node:net').createServer((s) => s.on('data', (d) => console.log(d.toString('hex')))).listen(7000, () => console.log('ready'))`
        const server = lab.visitor.start([process.execPath, '--eval', program])
        await server.line(/ready/)
        const forwarder = await startForwarder(
          lab,
          6274,
          lab.visitor.address.ipv4,
          '7000',
          '--send-proxy',
          version,
        )
        const header = await server.line(/^[0-9a-f]{20,}$/)
        const unknown = Buffer.from('PROXY UNKNOWN\r\n').toString('hex')
        assert.match(header, version === 'v1' ? new RegExp(`^${unknown}$`) : /^0d0a0d0a000d0a515549540a20/)
        await forwarder.program.line(/Target .* answers/)
      }))
  }

  it('a socket of another network namespace, which no table here lists, is found', () =>
    inLab(async (lab) => {
      const path = join(lab.folder, 'app.sock')
      const program = `require('node:net').createServer((s) => s.pipe(s)).listen(${JSON.stringify(path)}, () => console.log('ready'))`
      const server = lab.visitor.start([process.execPath, '--eval', program])
      await server.line(/ready/)
      const { health } = await startForwarder(lab, 6274, `unix:${path}`, '--target-check', '100ms')
      await reachable(health)
      assert.equal((await health()).target.knownBy, 'knock')
    }))
})

const hasMariaDb = spawnSync('mariadbd', ['--version']).status === 0

describe('MariaDB', {
  skip: skipFor(reason ?? (!hasMariaDb && 'mariadbd is missing (scripts/install-test-tools)')),
}, () => {
  it('blocks a host that hangs up on it, and not the host of a forward that nobody uses', () =>
    inLab(async (lab) => {
      const { ipv4: own, publicIpv4: other } = lab.host.address
      // Only hosts whose names can be found are counted.
      appendFileSync(
        `/etc/netns/${lab.visitor.name}/hosts`,
        `${own} forward.example\n${other} other.example\n`,
      )
      const data = mkdtempSync(join(lab.folder, 'data-'))
      const server = lab.visitor.start([
        'mariadbd',
        '--no-defaults',
        `--datadir=${data}`,
        `--socket=${join(data, 's')}`,
        ...(process.getuid?.() === 0 ? ['--user=root'] : []),
        // Without accounts nobody can log in, but hosts are counted before that.
        '--skip-grant-tables',
        '--port=7000',
        '--max-connect-errors=3',
        '--innodb-buffer-pool-size=8M',
        '--innodb-log-file-size=4M',
      ])
      await server.line(/ready for connections/)
      const target = [lab.visitor.address.ipv4, '7000']
      const { health } = await startForwarder(lab, 6274, ...target, '--target-check', '20ms')
      await reachable(health)
      // A host that hangs up in the middle of the handshake is blocked after three times.
      const greeting = async (where: net.TcpNetConnectOpts) => {
        const program = `require('node:net').connect(${JSON.stringify(where)}).once('data', (data) => { process.stdout.write(data, () => process.exit()) })`
        return (await lab.host.run([process.execPath, '--eval', program])).stdout
      }
      const direct = { host: lab.visitor.address.ipv4, port: 7000, localAddress: other }
      for (let left = 0; left < 3; left++) assert.match(await greeting(direct), /MariaDB/)
      assert.match(await greeting(direct), /is blocked because of many connection errors/)
      for (let question = 0; question < 100; question++)
        assert.equal((await health()).target.state, 'reachable')
      assert.match(await greeting({ host: '127.0.0.1', port: 6274 }), /MariaDB/)
      await server.stop('SIGKILL')
    }))
})
