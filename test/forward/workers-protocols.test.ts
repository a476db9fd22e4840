import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { dirname, join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { describe } from 'vitest'
import { it } from '../support/fixtures.ts'
import { closed, connected, openTarget, roundTrip } from '../support/forward.ts'
import type { ForwarderProcess } from '../support/forwarder-process.ts'
import { healthWhen, withSockets } from '../support/inherited.ts'
import { Resident } from '../support/resident.ts'
import { freePort } from '../support/tools.ts'
import { askThrough, command, echoServer } from '../support/watched.ts'
import { allGone, healthOnce, servingOf, startWithWorkers } from '../support/workers.ts'

/** Does something many times at once, until every process has had a part in it. */
async function inEveryProcess(
  forward: Pick<ForwarderProcess, 'health'>,
  once: () => Promise<void>,
): Promise<void> {
  for (;;) {
    await Promise.all(Array.from({ length: 30 }, once))
    if (servingOf(await forward.health()).every(({ total }) => total > 0)) return
  }
}

describe('every process of a forward with workers', () => {
  it('speaks TLS with the same certificate', async () => {
    const target = await openTarget()
    const forward = await startWithWorkers(`127.0.0.1 ${target.port}`, 3, ['--tls-self-signed'])
    try {
      const fingerprints = new Set<string>()
      await inEveryProcess(forward, async () => {
        const client = connectTls({ host: '127.0.0.1', port: forward.port, rejectUnauthorized: false })
        await once(client, 'secureConnect')
        fingerprints.add(client.getPeerCertificate().fingerprint256)
        await roundTrip(client)
        client.destroy()
      })
      assert.deepEqual([...fingerprints], [(await forward.health()).tls.certificate?.fingerprint])
    } finally {
      await forward.close()
      await target.close()
    }
  })

  it('reads PROXY headers, counts whom they name against one limit, and passes them on', async () => {
    const headers = new Set<string>()
    const target = await openTarget((socket) => {
      socket.once('data', (chunk) => headers.add(chunk.toString().split('\r\n')[0] ?? ''))
      socket.pipe(socket)
    })
    const proxy = [
      '--accept-proxy',
      '127.0.0.1/32',
      '--send-proxy',
      'v1',
      '--max-connections-per-source',
      '3',
      '--target-check',
      '0',
    ]
    const forward = await startWithWorkers(`127.0.0.1 ${target.port}`, 3, proxy)
    const enter = async (source: string) => {
      const client = await connected({ host: '127.0.0.1', port: forward.port })
      client.write(`PROXY TCP4 ${source} 10.9.9.9 555 443\r\nhello`)
      return new Promise<typeof client | undefined>((resolve) => {
        client.once('data', () => resolve(client))
        client.once('close', () => resolve(undefined))
      })
    }
    try {
      for (const source of ['10.1.2.3', '10.1.2.4']) {
        const clients = await Promise.all(Array.from({ length: 30 }, () => enter(source)))
        const admitted = clients.filter((client) => client !== undefined)
        assert.equal(admitted.length, 3)
        for (const client of admitted) client.destroy()
      }
      assert.deepEqual(
        [...headers],
        ['10.1.2.3', '10.1.2.4'].map((source) => `PROXY TCP4 ${source} 10.9.9.9 555 443`),
      )
      const { connections } = await forward.health()
      assert.equal(connections.refused['max-connections-per-source'], 54)
      await healthOnce(forward, 'all have ended', (health) => health.connections.open === 0)
      // What was held is given back.
      const again = await Promise.all(Array.from({ length: 3 }, () => enter('10.1.2.3')))
      assert.ok(again.every((client) => client !== undefined))
      for (const client of again) client?.destroy()
    } finally {
      await forward.close()
      await target.close()
    }
  })

  it('lets in at the gate who has logged in with another', async () => {
    const server = createServer((_request, response) => void response.end('behind the gate')).listen(
      0,
      '127.0.0.1',
    )
    await once(server, 'listening')
    const forward = await startWithWorkers(`127.0.0.1 ${(server.address() as AddressInfo).port}`, 3, [
      '--gate',
      'token',
    ])
    const ask = (method: string, path: string, headers: Record<string, string>, body?: string) =>
      new Promise<{ status: number; cookie: string | undefined; text: string }>((resolve, reject) => {
        const sent = request(
          { host: '127.0.0.1', port: forward.port, method, path, headers, agent: false },
          (answer) => {
            let text = ''
            answer.on('data', (chunk) => {
              text += chunk
            })
            answer.on('end', () => {
              const [cookie] = answer.headers['set-cookie'] ?? []
              resolve({ status: answer.statusCode ?? 0, cookie: cookie?.split(';')[0], text })
            })
          },
        )
        sent.on('error', reject)
        sent.end(body)
      })
    try {
      const token = readFileSync(join(dirname(forward.control), 'gate_token'), 'utf8').trim()
      const form = { 'content-type': 'application/x-www-form-urlencoded' }
      const { cookie = '' } = await ask('POST', '/.port-watchdog/login', form, `token=${token}&next=/`)
      assert.match(cookie, /^port_watchdog_/)
      await inEveryProcess(forward, async () => {
        assert.equal((await ask('GET', '/', { cookie })).text, 'behind the gate')
      })
      await inEveryProcess(forward, async () => assert.equal((await ask('GET', '/', {})).status, 401))
      assert.equal((await forward.health()).gate?.logins, 1)
      // A worker that ends takes nothing away from the others of the login.
      const file = join(dirname(forward.control), `tcp_proxy_${forward.port}.gate`)
      const entry = readFileSync(file, 'utf8')
      const [, worker] = servingOf(await forward.health())
      process.kill(worker?.identity.pid ?? 0, 'SIGTERM')
      await healthOnce(forward, 'it is replaced', (health) => {
        const serving = servingOf(health)
        return serving.length === 3 && !serving.some(({ number }) => number === worker?.number)
      })
      assert.equal(readFileSync(file, 'utf8'), entry)
    } finally {
      await forward.close()
      server.close()
    }
  })

  it('accepts from sockets that a service manager holds, which outlive them all', async ({ watched }) => {
    const echo = await echoServer()
    const port = await freePort()
    const words = [
      String(port),
      'localhost',
      String(echo.port),
      '--workers',
      '2',
      '--state-dir',
      watched.directory,
    ]
    const passed = withSockets('listening4', ['127.0.0.1'], port, command('tcp-proxy', ...words))
    const forward = watched.adopt(new Resident(passed, {}))
    const health = () => healthWhen(watched, port)
    const { listen } = await healthOnce({ health }, 'both serve', (one) => servingOf(one).length === 2)
    assert.deepEqual(listen.addresses, [{ address: '127.0.0.1', port, origin: 'activation' }])
    await inEveryProcess({ health }, async () => {
      assert.equal(await askThrough(port), 'hello')
    })
    assert.equal(await forward.stop(), 0)
    await echo.close()
  })

  it('serves a Unix socket, which stays when a worker ends and when the forwarder is replaced', async () => {
    const target = await openTarget()
    const path = `/tmp/pw-workers-${process.pid}.sock`
    const forward = await startWithWorkers(`127.0.0.1 ${target.port}`, 2, ['--listen-unix', path])
    try {
      const use = async () => {
        const client = connect(path)
        await once(client, 'connect')
        await roundTrip(client)
        client.destroy()
        await closed(client)
      }
      await inEveryProcess(forward, use)
      const [, worker] = servingOf(await forward.health())
      process.kill(worker?.identity.pid ?? 0, 'SIGTERM')
      await healthOnce(forward, 'it is replaced', (health) => {
        const serving = servingOf(health)
        return serving.length === 2 && !serving.some(({ number }) => number === worker?.number)
      })
      await use()
      const before = forward.child.pid
      process.kill(before ?? 0, 'SIGUSR2')
      const successor = await healthOnce(forward, 'another one has taken over', (health) => {
        return health.identity.pid !== before && servingOf(health).length === 2
      })
      assert.equal(await forward.exited, 0)
      await use()
      process.kill(successor.identity.pid, 'SIGTERM')
      // Its folder is taken away now, and it must not write there any more.
      await allGone(servingOf(successor))
    } finally {
      await forward.close()
      await target.close()
    }
  })
})
