import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { describe, it } from 'vitest'
import { relayVariable } from '../../src/config/forward-options.ts'
import { choose, type RelayPath } from '../../src/forward/relay/libuv.ts'
import { openTarget } from '../support/forward.ts'
import { startTcpProxy } from '../support/forwarder-process.ts'
import { passedWith } from '../support/plain-tests.ts'
import { compiled } from '../support/tools.ts'
import { withWatched } from '../support/watched.ts'

const inside = pathToFileURL(compiled('src/forward/relay/libuv.ts'))

/** The way that a process goes in which `before` has run first. */
async function pathAfter(before: string, environment: NodeJS.ProcessEnv = {}): Promise<RelayPath> {
  const code = `${before}; console.log(JSON.stringify((await import('${inside}')).relayPath))`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code], {
    env: { ...process.env, ...environment },
  })
  return JSON.parse(stdout) as RelayPath
}

describe('The way by which bytes are relayed', () => {
  it('is the bare one on a Node that is tested with it, and not on others unless that is asked for', () => {
    for (const node of ['20.19.0', '22.1.0', '24.0.0', '26.0.0']) {
      assert.deepEqual(choose(undefined, node).path, { kind: 'bare', reason: null })
    }
    for (const node of ['21.7.0', '25.1.0', '28.0.0']) {
      const { path, libuv } = choose(undefined, node)
      assert.equal(path.kind, 'stream')
      assert.match(path.reason ?? '', new RegExp(`Node ${node} is not among .*; PORT_WATCHDOG_RELAY=bare`))
      assert.equal(libuv, undefined)
      const asked = choose('bare', node)
      assert.equal(asked.path.kind, 'bare')
      assert.match(asked.path.reason ?? '', /not tested/)
      assert.notEqual(asked.libuv, undefined)
    }
    assert.equal(choose('stream', '24.0.0').path.kind, 'stream')
    assert.equal(choose('streams', '24.0.0').path.kind, 'bare')
  })

  it('is the bare one, too, where something was read before: by a preload, a test runner, a parent', async () => {
    const read = `
      import net from 'node:net'
      const server = net.createServer((socket) => socket.end('bytes')).listen(0, '127.0.0.1')
      await new Promise((resolve) => server.once('listening', resolve))
      const socket = net.connect(server.address().port, '127.0.0.1')
      await new Promise((resolve) => socket.once('data', resolve))
      socket.destroy()
      server.close()`
    assert.deepEqual(await pathAfter(read), { kind: 'bare', reason: null })
  })

  it('is said with its reason where this Node hides its inside', async () => {
    const { kind, reason } = await pathAfter('delete process.binding')
    assert.equal(kind, 'stream')
    assert.match(reason ?? '', /does not have/)
  })

  it('stands in the health of a forwarder, and on its page of proxy-status', async () => {
    const target = await openTarget()
    process.env[relayVariable] = 'stream'
    const forward = await startTcpProxy(`127.0.0.1 ${target.port}`)
    delete process.env[relayVariable]
    assert.deepEqual((await forward.health()).relay, {
      kind: 'stream',
      reason: 'PORT_WATCHDOG_RELAY=stream asks for it',
    })
    await forward.close()
    await withWatched(async (watched) => {
      const place = { name: 'web', listen: forward.port, target: `127.0.0.1:${target.port}` }
      await watched.monitor([place])
      await watched.statusWhen('healthy', ({ forwards }) => forwards[0]?.state === 'healthy')
      const { stdout } = await watched.run('proxy-status', 'web')
      assert.match(stdout, /relay +bare: by the system’s sockets\n/)
    })
    await target.close()
  })
})

describe('A Node that does not tell which socket a TLS one is made around', () => {
  it('speaks TLS with clients all the same', async () => {
    const hide =
      "import tls from 'node:tls';Object.defineProperty(tls.TLSSocket.prototype,'_parent',{set(){},get(){return null}})"
    const options = `--import "data:text/javascript,${encodeURIComponent(hide)}"`
    const passed = await passedWith(options, ['test/forward/tls.test.ts'], 'brings a long answer back')
    assert.ok(passed > 0)
  })
})
