// The health server stays reachable whatever visitors do with their connections, and tells strangers no more than they need.

import assert from 'node:assert/strict'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { describe, it } from 'vitest'
import { createAdmission } from '../../src/forward/limits/admission.ts'
import { serveMetrics } from '../../src/forward/metrics-server.ts'
import { plainLog } from '../../src/log/index.ts'
import { isLoopback, machineAddresses } from '../../src/os/interfaces.ts'
import type { ForwarderHealth } from '../../src/record/shapes/forwarder-health.ts'
import { closed, openForward } from '../support/forward.ts'
import { freePort, until } from '../support/tools.ts'

/** An address of this machine that is not loopback; its connections come from itself. */
const ownAddress = machineAddresses().find(
  ({ address, family }) => family === 4 && !isLoopback(address),
)?.address

async function withServer(
  health: () => ForwarderHealth | Promise<ForwarderHealth>,
  use: (ask: (options?: object) => Promise<{ status: number; body: string }>, port: number) => Promise<void>,
): Promise<void> {
  const port = await freePort()
  let isUp = () => {}
  const up = new Promise<void>((resolve) => {
    isUp = resolve
  })
  const server = serveMetrics(`0.0.0.0:${port}`, {
    health,
    admission: createAdmission(['any']),
    hosts: ['box.lan'],
    log: plainLog(() => isUp()),
  })
  await up
  const ask = (options: object = {}) =>
    new Promise<{ status: number; body: string }>((resolve, reject) => {
      const sent = request(
        { host: '127.0.0.1', port, path: '/livez', agent: false, ...options },
        (answer) => {
          let body = ''
          answer.setEncoding('utf8').on('data', (chunk: string) => {
            body += chunk
          })
          answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body }))
        },
      )
      sent.on('error', reject).end()
    })
  try {
    await use(ask, port)
  } finally {
    server.close()
  }
}

describe('The health server', () => {
  const silent = async (count: number, host: string, port: number, text = ''): Promise<Socket[]> => {
    const sockets = Array.from({ length: count }, () =>
      connect({ host, port, allowHalfOpen: true }, function (this: Socket) {
        this.write(text)
      })
        .on('error', () => {})
        .pause(),
    )
    const settled = (socket: Socket) =>
      new Promise((resolve) => socket.once('connect', resolve).once('close', resolve))
    await Promise.all(sockets.map(settled))
    return sockets
  }

  it('answers although silent connections fill it, and ends each of them', async () => {
    const forward = await openForward({ host: '127.0.0.1', port: 1 })
    await withServer(
      () => forward.forwarder.health(),
      async (ask, port) => {
        const hosts = ['127.0.0.1', ...(ownAddress === undefined ? [] : [ownAddress])]
        for (const text of [
          '',
          'GET /livez HTTP/1.1\r\n',
          'nonsense\r\n\r\n',
          'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n',
        ]) {
          const sockets = (await Promise.all(hosts.map((host) => silent(32, host, port, text)))).flat()
          assert.equal((await ask()).status, 200, JSON.stringify(text))
          // They read only now, so that their ends are seen; the server has ended its side without that.
          for (const socket of sockets) socket.once('end', () => socket.end()).resume()
          await Promise.all(sockets.map(closed))
        }
      },
    )
    forward.close()
  })

  it('answers a newcomer of a source that keeps more slow connections open than it may have', async () => {
    const forward = await openForward({ host: '127.0.0.1', port: 1 })
    await withServer(
      () => forward.forwarder.health(),
      async (ask, port) => {
        for (const host of ['127.0.0.1', ...(ownAddress === undefined ? [] : [ownAddress])]) {
          const from = { host, localAddress: host }
          const sockets = await silent(200, host, port, 'GET /livez HTTP/1.1\r\n')
          const left = () => sockets.filter(({ destroyed }) => !destroyed).length
          for (const socket of sockets) socket.resume()
          for (let question = 0; question < 5; question++) {
            assert.equal((await ask(from)).status, 200, host)
          }
          await until('the oldest are ended', async () => left() <= 64 || undefined)
          for (const socket of sockets) socket.destroy()
        }
      },
    )
    forward.close()
  })

  it('knows this host by addresses, localhost and given names alone', async () => {
    const forward = await openForward({ host: '127.0.0.1', port: 1 })
    await withServer(
      () => forward.forwarder.health(),
      async (ask) => {
        const statusBy = async (host: string) => (await ask({ headers: { host } })).status
        for (const host of ['127.0.0.1', '[::1]:9', 'localhost:9', '10.1.2.3', 'box.lan'])
          assert.equal(await statusBy(host), 200, host)
        for (const host of ['rebound.example', 'box.lan.evil.example', 'a b'])
          assert.equal(await statusBy(host), 421, host)
      },
    )
    forward.close()
  })

  it('tells its own machine the whole health, and others whether it is ready', async () => {
    const forward = await openForward({ host: '127.0.0.1', port: 1 })
    await withServer(
      () => forward.forwarder.health(),
      async (ask) => {
        const keysFor = async (host: string) =>
          Object.keys(JSON.parse((await ask({ host, path: '/healthz' })).body))
        assert.deepEqual(await keysFor('127.0.0.1'), ['live', 'ready', 'reasons', 'health'])
        if (ownAddress !== undefined)
          assert.deepEqual(await keysFor(ownAddress), ['live', 'ready', 'reasons'])
      },
    )
    forward.close()
  })

  it('answers 500 when there is no health to tell, and goes on', async () => {
    await withServer(
      () => Promise.reject(new Error('the worker is gone')),
      async (ask) => {
        for (let round = 0; round < 2; round++) assert.equal((await ask()).status, 500)
        await until('it to answer again', async () => ((await ask()).status === 500 ? true : undefined))
      },
    )
  })
})
