import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createReadStream, openSync, readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, it } from 'vitest'
import { askControl } from '../../src/control/client.ts'
import type { ConnectionFacts } from '../../src/record/shapes/control.ts'
import type { WorkerFacts } from '../../src/record/shapes/forwarder-health.ts'
import { closed, connected, fate, openTarget, roundTrip, Told, temporaryFolder } from '../support/forward.ts'
import { freePort, run, tcpProxy } from '../support/tools.ts'
import { healthOnce, servingOf, startWithWorkers } from '../support/workers.ts'

describe('a forward with workers', () => {
  it('shares its clients out, and counts, lists and ends them as one', async () => {
    const target = await openTarget()
    const forward = await startWithWorkers(`127.0.0.1 ${target.port}`, 3)
    try {
      const clients: Socket[] = []
      let health = await forward.health()
      // Whom the kernel wakes is its affair: a process that is quick takes many of those that come at once.
      while (servingOf(health).some(({ total }) => total === 0)) {
        const more = Array.from({ length: 30 }, () => connected({ host: '127.0.0.1', port: forward.port }))
        for (const client of await Promise.all(more)) {
          clients.push(client)
          await roundTrip(client)
        }
        health = await forward.health()
      }
      const processes = servingOf(health)
      assert.equal(processes.length, 3)
      assert.equal(
        processes.reduce((sum, { open }) => sum + open, 0),
        clients.length,
      )
      assert.equal(health.connections.open, clients.length)
      assert.equal(health.connections.total, clients.length)

      const list = (await askControl(forward.control, 'connections')) as ConnectionFacts[]
      assert.equal(new Set(list.map(({ id }) => id)).size, clients.length)
      for (const { number, open } of processes) {
        const own = list.filter(({ id }) => Math.floor(id / 1e9) === number)
        assert.equal(own.length, open)
        const [{ id, source } = { id: 0, source: '' }] = own
        const client = clientOf(clients, source)
        const ended = closed(client)
        assert.deepEqual(await askControl(forward.control, 'kill', { connection: id }), { killed: 1 })
        await ended
      }
      assert.deepEqual(await askControl(forward.control, 'kill', { connection: list[0]?.id ?? 0 }), {
        killed: 0,
      })
      assert.deepEqual(await askControl(forward.control, 'kill', { source: '127.0.0.1' }), {
        killed: clients.length - 3,
      })
      const records = await forward.records.count(clients.length)
      assert.deepEqual(
        records.map(({ id }) => id).sort((a, b) => a - b),
        list.map(({ id }) => id).sort((a, b) => a - b),
      )
      const after = await healthOnce(forward, 'all have ended', ({ connections }) => connections.open === 0)
      assert.deepEqual(after.connections.ended, { KD: clients.length })
      const bytes = 4 * clients.length
      assert.deepEqual(after.bytes, { fromClients: bytes, fromTarget: bytes })
      assert.match(
        ((await askControl(forward.control, 'metrics')) as { text: string }).text,
        new RegExp(`connections_ended_total\\{[^}]*\\} ${clients.length}`),
      )
    } finally {
      await forward.close()
      await target.close()
    }
  })

  it('keeps the limits of the whole forward, exactly', async () => {
    const target = await openTarget()
    const limits = ['--max-connections', '7', '--max-connections-per-source', '5']
    const forward = await startWithWorkers(`127.0.0.1 ${target.port}`, 3, limits)
    const enter = async (localAddress: string): Promise<Socket | undefined> => {
      const client = await connected({ host: '127.0.0.1', port: forward.port, localAddress }).catch(
        () => undefined,
      )
      return new Promise((resolve) => {
        if (client === undefined) return resolve(undefined)
        client.once('data', () => resolve(client))
        client.once('close', () => resolve(undefined))
        client.write('hello')
      })
    }
    const enterMany = async (count: number, address: string) =>
      (await Promise.all(Array.from({ length: count }, () => enter(address)))).filter(
        (one) => one !== undefined,
      )
    try {
      for (let round = 0; round < 5; round++) {
        const first = await enterMany(20, '127.0.0.1')
        assert.equal(first.length, 5, 'of one source')
        const second = await enterMany(20, '127.0.0.2')
        assert.equal(second.length, 2, 'of all')
        const { connections } = await forward.health()
        assert.equal(connections.open, 7)
        assert.equal(connections.limit, 7)
        assert.equal(connections.full, 'max-connections')
        // One goes, one may come.
        first[0]?.destroy()
        await healthOnce(forward, 'one has gone', (health) => health.connections.open === 6)
        const third = await enterMany(3, '127.0.0.3')
        assert.equal(third.length, 1)
        for (const client of [...first, ...second, ...third]) client.destroy()
        await healthOnce(forward, 'all have gone', (health) => health.connections.open === 0)
      }
      const { connections } = await forward.health()
      assert.equal(connections.refused['max-connections-per-source'], 75)
      assert.equal(connections.refused['max-connections'], 100)
      assert.equal(connections.total, 40)
    } finally {
      await forward.close()
      await target.close()
    }
  })

  it('keeps the rate of one source over all processes', async () => {
    const target = await openTarget()
    const forward = await startWithWorkers(`127.0.0.1 ${target.port}`, 2, ['--max-rate-per-source', '10'])
    try {
      const began = performance.now()
      const fates = await Promise.all(Array.from({ length: 60 }, () => outcome(forward.port)))
      const took = (performance.now() - began) / 1000
      const admitted = fates.filter((one) => one === 'echo').length
      assert.ok(admitted >= 10 && admitted <= 10 + Math.ceil(took * 10), `${admitted} within ${took} s`)
    } finally {
      await forward.close()
      await target.close()
    }
  })

  it('gives those back that a killed worker had', async () => {
    const target = await openTarget()
    const forward = await startWithWorkers(`127.0.0.1 ${target.port}`, 2, ['--max-connections', '10'])
    try {
      const fill = async (): Promise<WorkerFacts> => {
        const clients = await Promise.all(
          Array.from({ length: 10 }, () => connected({ host: '127.0.0.1', port: forward.port })),
        )
        for (const client of clients) await roundTrip(client)
        const [, worker] = servingOf(await forward.health())
        if (worker !== undefined && worker.open > 0) return worker
        // So few may all come to one process.
        for (const client of clients) client.destroy()
        await healthOnce(forward, 'all have gone', ({ connections }) => connections.open === 0)
        return fill()
      }
      const worker = await fill()
      assert.equal(await fate({ host: '127.0.0.1', port: forward.port }), 'ECONNRESET')
      process.kill(worker.identity.pid, 'SIGKILL')
      await healthOnce(
        forward,
        'its places are free',
        ({ connections }) => connections.open === 10 - worker.open,
      )
      for (let free = worker.open; free > 0; free--) assert.equal(await outcome(forward.port, true), 'echo')
      assert.equal(await fate({ host: '127.0.0.1', port: forward.port }), 'ECONNRESET')
    } finally {
      await forward.close()
      await target.close()
    }
  })

  it('writes the access log of all processes to one file, whole lines only', async () => {
    const target = await openTarget()
    const folder = temporaryFolder()
    const file = join(folder.path, 'access.jsonl')
    const forward = await startWithWorkers(`127.0.0.1 ${target.port}`, 3, ['--access-log', file])
    try {
      await Promise.all(Array.from({ length: 200 }, () => outcome(forward.port)))
      await healthOnce(forward, 'all have ended', ({ connections }) => connections.open === 0)
      const records = readFileSync(file, 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as { id: number })
      assert.equal(new Set(records.map(({ id }) => id)).size, 200)
      assert.ok(new Set(records.map(({ id }) => Math.floor(id / 1e9))).size > 1)
    } finally {
      await forward.close()
      await target.close()
      folder.remove()
    }
  })

  it('prints the access log of all processes in whole lines, however slow its reader is', async () => {
    const target = await openTarget()
    const folder = temporaryFolder()
    const pipe = join(folder.path, 'pipe')
    execFileSync('mkfifo', [pipe])
    const reader = openSync(pipe, 'r+')
    const forward = await startWithWorkers(`127.0.0.1 ${target.port}`, 3, [], `exec >${pipe}`)
    const records = new Told<{ id: number }>()
    try {
      // A pipe holds a hundred records or two.
      for (let round = 0; round < 15; round++)
        await Promise.all(Array.from({ length: 100 }, () => outcome(forward.port)))
      await healthOnce(forward, 'all have ended', ({ connections }) => connections.open === 0)
      const lines = createInterface(createReadStream('', { fd: reader }))
      lines.on('line', (line) => line.startsWith('{') && records.add(JSON.parse(line)))
      const ids = (await records.count(1500)).map(({ id }) => id)
      assert.equal(new Set(ids).size, 1500)
      assert.ok(new Set(ids.map((id) => Math.floor(id / 1e9))).size > 1)
      lines.close()
    } finally {
      await forward.close()
      await target.close()
      folder.remove()
    }
  })

  it('refuses numbers of workers that make no sense', async () => {
    const program = tcpProxy
    for (const number of ['0', '65', '-1', 'many']) {
      const { code, stderr } = await run([
        process.execPath,
        program,
        String(await freePort()),
        'localhost',
        '1',
        '--workers',
        number,
      ])
      assert.equal(code, 64)
      assert.match(stderr, /--workers/)
    }
  })
})

function clientOf(clients: readonly Socket[], source: string): Socket {
  const found = clients.find(({ localPort }) => source.endsWith(`:${localPort}`))
  assert.ok(found !== undefined)
  return found
}

/** `echo` when the target has answered. The connection is closed, or kept open to the end of the test. */
function outcome(port: number, keep = false): Promise<string> {
  return new Promise((resolve) => {
    void connected({ host: '127.0.0.1', port }).then(
      (client) => {
        client.once('data', () => {
          if (!keep) client.destroy()
          resolve('echo')
        })
        client.once('close', () => resolve('closed'))
        client.write('hello')
      },
      (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message),
    )
  })
}
