import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import net from 'node:net'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { describe, it } from 'vitest'
import { openConnection } from '../../src/forward/dial/open-connection.ts'
import type { RelaySocket } from '../../src/forward/relay/relay-socket.ts'
import { openForward } from '../support/forward.ts'
import { passedWith } from '../support/plain-tests.ts'
import { compiled, freePort } from '../support/tools.ts'

/** The timer of a connection in the kernel's table: 0 = none, 1 = retransmission, 2 = keepalive (proc(5), tcp). */
function timerOf(localPort: number, remotePort: number): string | undefined {
  const hex = (port: number) => port.toString(16).toUpperCase().padStart(4, '0')
  const rows = readFileSync('/proc/self/net/tcp', 'latin1')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
  const row = rows.find(
    ([, local, remote]) => local?.endsWith(`:${hex(localPort)}`) && remote?.endsWith(`:${hex(remotePort)}`),
  )
  return row?.[5]?.split(':')[0]
}

function opened(port: number): Promise<RelaySocket> {
  return new Promise((resolve, reject) => {
    openConnection('127.0.0.1', port, { connected: resolve, failed: reject })
  })
}

describe('a bare socket', () => {
  it('asks after a client that fell silent, from its accept on', async () => {
    const target = net.createServer(() => {}).listen(0, '127.0.0.1')
    await once(target, 'listening')
    const forward = await openForward({ host: '127.0.0.1', port: (target.address() as net.AddressInfo).port })
    const client = await forward.connect()
    await once(target, 'connection')
    assert.equal(timerOf(forward.port, client.localPort ?? 0), '02')
    client.destroy()
    forward.close()
    target.close()
  })

  it('asks after a target that fell silent, when it is told to', async () => {
    const target = net.createServer(() => {}).listen(0, '127.0.0.1')
    await once(target, 'listening')
    const { port } = target.address() as net.AddressInfo
    const socket = await opened(port)
    const { port: own = 0 } = socket.local ?? {}
    assert.equal(timerOf(own, port), '00')
    socket.keepAlive()
    assert.equal(timerOf(own, port), '02')
    socket.destroy()
    target.close()
  })

  it('tells why it could not be connected, after the call that tried', async () => {
    const port = await freePort()
    let returned = false
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => {
      openConnection('127.0.0.1', port, {
        connected: () => assert.fail('connected'),
        failed: (error) => {
          assert.equal(returned, true)
          resolve(error)
        },
      })
    })
    returned = true
    assert.equal((await failed).code, 'ECONNREFUSED')
  })

  it('tells nothing any more once the connect was given up', async () => {
    const target = net.createServer().listen(0, '127.0.0.1')
    await once(target, 'listening')
    const { port } = target.address() as net.AddressInfo
    openConnection('127.0.0.1', port, {
      connected: () => assert.fail('connected'),
      failed: () => assert.fail('failed'),
    }).giveUp()
    const later = await opened(port)
    later.destroy()
    target.close()
  })

  it('is not needed: the same tests of the forwarder pass on a Node that hides its inside', async () => {
    const hidden = '--import data:text/javascript,delete%20process.binding'
    const inside = pathToFileURL(compiled('src/forward/relay/libuv.ts'))
    const look = `console.log((await import('${inside}')).libuv)`
    const env = { ...process.env, NODE_OPTIONS: hidden }
    const run = promisify(execFile)
    assert.equal(
      (await run(process.execPath, ['--input-type=module', '-e', look], { env })).stdout,
      'undefined\n',
    )
    const files = ['forwarder', 'dialing', 'proxy-protocol-forward', 'unix-sockets']
    const passed = await passedWith(
      hidden,
      files.map((name) => `test/forward/${name}.test.ts`),
    )
    assert.ok(passed > 50)
  })
})
