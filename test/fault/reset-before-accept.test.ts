import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'vitest'
import { closed, openTarget, type Target, Told, temporaryFolder } from '../support/forward.ts'
import { type ForwarderProcess, startTcpProxy } from '../support/forwarder-process.ts'
import { freePort, skipFor } from '../support/tools.ts'
import { healthOnce, servingOf, startWithWorkers } from '../support/workers.ts'

const clients = 200

/** An address of this machine that is not loopback. */
const ownAddress =
  Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? ''
const beyondLoopback = {
  skip: skipFor(ownAddress === '' && 'this machine has no IPv4 address but loopback'),
}

/** A target that reads all, and tells the whole of each message that it got, however its connection ended. */
async function openReader(port = 0): Promise<{ readonly target: Target; readonly messages: Told<string> }> {
  const messages = new Told<string>()
  const read = (socket: Socket) => {
    let got = ''
    socket.on('data', (chunk: Buffer) => {
      got += chunk.toString('latin1')
    })
    socket.on('close', () => messages.add(got))
    socket.on('end', () => socket.end())
  }
  return { target: await openTarget(read, { port }), messages }
}

const messageOf = (number: number) => `${number} `.padEnd(1000, '.')

/** Connects, sends, and resets. */
async function sendAndReset(port: number, host: string, text: string): Promise<void> {
  const socket = connect({ port, host, autoSelectFamily: false })
  await once(socket, 'connect')
  if (text !== '') await new Promise<void>((resolve) => socket.write(text, () => resolve()))
  socket.resetAndDestroy()
  await closed(socket)
}

/** Has all clients come and go while the forwarder stands still, so that each is gone before it is accepted. */
async function allBeforeAccept(
  forward: ForwarderProcess,
  host: string,
  message: (number: number) => string,
): Promise<void> {
  forward.child.kill('SIGSTOP')
  const numbers = Array.from({ length: clients }, (_, number) => number)
  await Promise.all(numbers.map((number) => sendAndReset(forward.port, host, message(number))))
  forward.child.kill('SIGCONT')
}

describe('A client that resets before it is accepted', () => {
  for (const [where, options, host] of [
    ['a listener on loopback', [], '127.0.0.1'],
    ['loopback, where all addresses are listened on', ['--bind', '0.0.0.0'], '127.0.0.1'],
    ['a listener that admits any source', ['--bind', ownAddress, '--allow', 'any'], ownAddress],
    ['a listener on loopback with a limit a source', ['--max-connections-per-source', '1000'], '127.0.0.1'],
    [
      'a listener on loopback with a deadline for the first byte',
      ['--first-byte-timeout', '5s'],
      '127.0.0.1',
    ],
  ] as const) {
    it(
      `has what it sent delivered, and is counted: ${where}`,
      host === ownAddress ? beyondLoopback : {},
      async () => {
        const { target, messages } = await openReader()
        const forward = await startTcpProxy(`127.0.0.1 ${target.port}`, ['--target-check', '0', ...options])
        await allBeforeAccept(forward, host, messageOf)
        const got = await messages.count(clients)
        assert.deepEqual([...got].sort(), Array.from({ length: clients }, (_, n) => messageOf(n)).sort())
        const records = await forward.records.count(clients)
        assert.ok(records.every(({ bytesFromClient }) => bytesFromClient === 1000))
        const { connections, bytes } = await forward.health()
        assert.deepEqual(
          [connections.total, connections.open, bytes.fromClients],
          [clients, 0, clients * 1000],
        )
        await forward.close()
        await target.close()
      },
    )
  }

  it(
    'is counted, logged and refused where its address matters and nothing tells it',
    beyondLoopback,
    async () => {
      const { target, messages } = await openReader()
      const forward = await startTcpProxy(`127.0.0.1 ${target.port}`, [
        ...['--target-check', '0', '--bind', ownAddress],
      ])
      await allBeforeAccept(forward, ownAddress, messageOf)
      const records = await forward.records.count(clients)
      assert.deepEqual([...new Set(records.map(({ code, source }) => `${code} ${source}`))], ['PR unknown:0'])
      assert.match(
        await forward.lines.find((line) => /refused/.test(line)),
        /Connection from unknown refused: it reset the connection before its address could be read/,
      )
      const { connections } = await forward.health()
      assert.deepEqual([connections.total, connections.refused.admission], [0, clients])
      assert.equal(messages.all.length, 0)
      await forward.close()
      await target.close()
    },
  )

  it('has what it sent delivered by whichever process accepts it', async () => {
    const { target, messages } = await openReader()
    const forward = await startWithWorkers(`127.0.0.1 ${target.port}`, 2, ['--target-check', '0'])
    const pids = servingOf(await forward.health()).map(({ identity }) => identity.pid)
    for (const pid of pids) process.kill(pid, 'SIGSTOP')
    const numbers = Array.from({ length: clients }, (_, number) => number)
    await Promise.all(numbers.map((number) => sendAndReset(forward.port, '127.0.0.1', messageOf(number))))
    for (const pid of pids) process.kill(pid, 'SIGCONT')
    const got = await messages.count(clients)
    assert.deepEqual([...got].sort(), numbers.map(messageOf).sort())
    await healthOnce(forward, 'all counted', ({ connections }) => connections.total === clients)
    await forward.close()
    await target.close()
  })

  it('is told to the target as unknown by a PROXY header', beyondLoopback, async () => {
    const { target, messages } = await openReader()
    const words = ['--target-check', '0', '--bind', ownAddress, '--allow', 'any', '--send-proxy', 'v1']
    const forward = await startTcpProxy(`127.0.0.1 ${target.port}`, words)
    await allBeforeAccept(forward, ownAddress, messageOf)
    const got = await messages.count(clients)
    assert.deepEqual(
      [...got].sort(),
      Array.from({ length: clients }, (_, number) => `PROXY UNKNOWN\r\n${messageOf(number)}`).sort(),
    )
    await forward.close()
    await target.close()
  })
})

describe('A client that sends and resets while its target is dialled', () => {
  for (const listener of ['127.0.0.1', 'unix']) {
    it(`has what it sent delivered when the target answers: ${listener}`, async () => {
      const folder = temporaryFolder()
      const path = join(folder.path, 'in')
      const port = await freePort()
      const words = ['--target-check', '0', '--dial-retry', '20s', '--listen-unix', path]
      const forward = await startTcpProxy(`127.0.0.1 ${port}`, words)
      const to = listener === 'unix' ? { path } : { host: listener, port: forward.port }
      const socket = connect(to)
      await once(socket, 'connect')
      await new Promise<void>((resolve) => socket.write(messageOf(1), () => resolve()))
      await healthOnce(forward, 'it is dialled', ({ connections }) => connections.open === 1)
      if (listener === 'unix') socket.destroy()
      else socket.resetAndDestroy()
      await closed(socket)
      const { messages, target } = await openReader(port)
      assert.deepEqual(await messages.count(1), [messageOf(1)])
      await forward.close()
      await target.close()
      folder.remove()
    })
  }

  it('is let go at once when it has sent nothing', async () => {
    const forward = await startTcpProxy(`127.0.0.1 ${await freePort()}`, [
      ...['--target-check', '0', '--dial-retry', '60s'],
    ])
    const socket = connect({ host: '127.0.0.1', port: forward.port })
    await once(socket, 'connect')
    await healthOnce(forward, 'it is dialled', ({ connections }) => connections.open === 1)
    socket.resetAndDestroy()
    const [record] = await forward.records.count(1)
    assert.equal(record?.code, 'CC')
    await forward.close()
  })
})
