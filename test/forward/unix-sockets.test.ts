import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, lstatSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'vitest'
import { resetSocket } from '../../src/forward/relay/reset.ts'
import { fate, roundTrip, temporaryFolder } from '../support/forward.ts'
import { openedForEachTest } from '../support/opened.ts'
import { receive } from '../support/relay-peers.ts'

let folder: ReturnType<typeof temporaryFolder>
beforeEach(() => {
  folder = temporaryFolder()
})
const { close, target, forward } = openedForEachTest()
afterEach(() => folder.remove())

const modeOf = (path: string) => (lstatSync(path).mode & 0o777).toString(8)

describe('a Unix socket as listener', () => {
  it('is its owner’s alone, is counted and told like any other, and goes with the forwarder', async () => {
    const path = join(folder.path, 'in.sock')
    const forwarded = await forward(await target(), { listenUnix: [path] })
    assert.equal(modeOf(path), '600')
    const client = await forwarded.connect({ path })
    await roundTrip(client)
    assert.equal(forwarded.forwarder.connections()[0]?.source, `unix:${path}`)
    assert.deepEqual(forwarded.forwarder.health().listen.paths, [path])
    assert.equal(forwarded.forwarder.health().listen.addresses.length, 1)
    client.end()
    const [record] = await forwarded.records.count(1)
    assert.deepEqual([record?.code, record?.source], ['--', `unix:${path}`])
    forwarded.close()
    assert.equal(existsSync(path), false)
  })

  it('has the mode that was asked for', async () => {
    const path = join(folder.path, 'in.sock')
    const umask = process.umask()
    await forward(await target(), { listenUnix: [path], listenUnixMode: '0660' })
    assert.equal(modeOf(path), '660')
    assert.equal(process.umask(), umask)
  })

  it('takes the place of one whose process died', async () => {
    const path = join(folder.path, 'in.sock')
    const program = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
    await once(spawn(process.execPath, ['-e', program]), 'exit')
    assert.equal(existsSync(path), true)
    const forwarded = await forward(await target(), { listenUnix: [path] })
    await roundTrip(await forwarded.connect({ path }))
  })

  it('leaves one alone that answers', async () => {
    const path = join(folder.path, 'in.sock')
    const holder = await forward(await target(), { listenUnix: [path] })
    const second = await forward(await target(), { listenUnix: [path] })
    const event = await second.events.find(({ kind }) => kind === 'not-listening')
    assert.deepEqual(event, {
      kind: 'not-listening',
      place: `unix:${path}`,
      problem: 'somebody listens there already',
    })
    await roundTrip(await holder.connect({ path }))
    second.close()
    await roundTrip(await holder.connect({ path }))
  })

  it('leaves a file alone that is no socket', async () => {
    const path = join(folder.path, 'in.sock')
    writeFileSync(path, 'precious')
    const forwarded = await forward(await target(), { listenUnix: [path] })
    const event = await forwarded.events.find(({ kind }) => kind === 'not-listening')
    assert.ok(event.kind === 'not-listening' && /no socket/.test(event.problem))
    forwarded.close()
    assert.equal(readFileSync(path, 'utf8'), 'precious')
  })
})

describe('a Unix socket as target', () => {
  it('gets the bytes, half-closed too', async () => {
    const path = join(folder.path, 'app.sock')
    const forwarded = await forward(await target(undefined, { path }))
    const client = await forwarded.connect()
    const sent = Buffer.alloc(3_000_000, 'unix')
    client.end(sent)
    const { bytes, end } = await receive(client)
    assert.equal(end, 'FIN')
    assert.ok(bytes.equals(sent))
    const [record] = await forwarded.records.count(1)
    assert.deepEqual([record?.code, record?.target], ['--', `unix:${path}`])
  })

  it('is waited for while it restarts, and is not there afterwards', async () => {
    const path = join(folder.path, 'app.sock')
    const forwarded = await forward({ host: `unix:${path}`, port: 0 })
    const client = await forwarded.connect()
    await forwarded.events.find(({ kind }) => kind === 'target-fails')
    const there = await target(undefined, { path })
    await roundTrip(client)
    client.end()
    assert.equal((await forwarded.records.count(1))[0]?.code, '--')
    await close(there)
    const gone = await forward({ host: `unix:${path}`, port: 0 }, { dialRetry: 0 })
    assert.equal(await fate({ port: gone.port, host: '127.0.0.1' }), 'ECONNRESET')
    const [record] = await gone.records.count(1)
    assert.deepEqual([record?.code, record?.reason], ['SC', `unix:${path} is not there`])
  })

  it('whose program dies resets nothing that it had said', async () => {
    const path = join(folder.path, 'app.sock')
    const serve = (socket: Parameters<typeof resetSocket>[0]) => {
      socket.once('data', () => socket.write('x'.repeat(50_000), () => resetSocket(socket)))
    }
    const forwarded = await forward(await target(serve, { path }))
    const client = await forwarded.connect()
    client.write('go')
    assert.equal((await receive(client)).bytes.length, 50_000)
  })

  it('that is this forward’s own listener is never dialled', async () => {
    const path = join(folder.path, 'loop.sock')
    const forwarded = await forward({ host: `unix:${path}`, port: 0 }, { listenUnix: [path] })
    assert.equal(await fate({ path }), 'FIN')
    const [record] = await forwarded.records.count(1)
    assert.equal(record?.code, 'IC')
    assert.equal(forwarded.forwarder.health().connections.total, 1)
  })
})
