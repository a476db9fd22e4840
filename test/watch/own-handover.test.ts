import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, type TestContext, test } from 'vitest'
import { type ControlServer, holdControlSocket } from '../../src/control/server.ts'
import { ownIdentity } from '../../src/process/identity.ts'
import { forwarderIdentity } from '../../src/record/shapes/control.ts'
import { OwnProcessLink, orderReplacement } from '../../src/watch/own-handover.ts'
import { temporaryDirectory } from '../support/children.ts'

const before = ownIdentity()
const after = { ...before, pid: before.pid + 1 }

function linkTo(t: TestContext, socket: string, ended = () => {}): OwnProcessLink {
  const read = (answer: unknown) => forwarderIdentity.read(answer)
  const link = new OwnProcessLink({ socket: () => socket, pidFile: () => `${socket}.pid`, ended, read })
  t.onTestFinished(() => link.close())
  return link
}

async function hold(t: TestContext, socket: string, identity: typeof before): Promise<ControlServer> {
  const identify = () => ({ role: 'forwarder', identity, version: '1.0.0', options: '{}' })
  const server = await holdControlSocket(socket, { identify }, () => true)
  t.onTestFinished(() => server.close())
  return server
}

test('A successor is found although the connection to the one before it has not been seen to end', async (t) => {
  const socket = path.join(temporaryDirectory(t), 'c.sock')
  let ends = 0
  const link = linkTo(t, socket, () => ends++)
  const first = await hold(t, socket, before)
  expect(await link.successorOf(before)).toBeUndefined()
  await hold(t, socket, after)
  first.close()
  // The kernel has not told this process yet.
  expect(await link.successorOf(before)).toEqual(after)
  expect(ends).toBe(1)
})

/** Answers one question and ends. */
const lastAnswer = `
const result = { identity: JSON.parse(process.argv[2]) }
require('node:net').createServer((socket) => socket.on('data', (line) => {
  const { id } = JSON.parse(line)
  socket.write(JSON.stringify({ id, ok: true, result }) + '\\n', () => process.exit())
})).listen(process.argv[1], () => console.log('listening'))`

test('The answer to a handover counts although something was asked after the end of who gave it', async (t) => {
  const socket = path.join(temporaryDirectory(t), 'c.sock')
  const child = spawn(process.execPath, ['-e', lastAnswer, socket, JSON.stringify(after)])
  await once(child.stdout, 'data')
  const link = linkTo(t, socket)
  await link.connect()
  const connectApart = link.connectApart.bind(link)
  link.connectApart = async () => {
    link.connectApart = connectApart
    const connection = await connectApart()
    // This process gets no turn until the other has ended; then its timers are first, before what has arrived.
    setImmediate(() => {
      const latest = performance.now() + 10_000
      const hasEnded = () => readFileSync(`/proc/${child.pid}/stat`, 'utf8').includes(') Z')
      while (!hasEnded() && performance.now() < latest);
      void link.successorOf(before)
    })
    return connection
  }
  expect(await orderReplacement(link, { run: [] }, 10_000)).toEqual({ ok: true, identity: after })
})
