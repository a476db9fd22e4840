// Answers that are read as fast as they come leave everybody else a turn: a visitor who comes, a small answer.
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { expect, it } from 'vitest'
import { TargetConnection } from '../../src/forward/gate/target-connection.ts'
import { listen } from '../support/gate.ts'

const KiB = 1024
const answerBytes = 4096 * KiB

/** What one connection may bring in a turn: its share, and what was read already when it was told to wait. */
const mostOfOne = (256 + 128) * KiB

/** A target that answers each connection with the same many bytes. */
async function target(): Promise<{ port: number; close: () => void }> {
  const body = Buffer.alloc(answerBytes, 'x')
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${answerBytes}\r\n\r\n`)
      socket.write(body)
    })
  })
  const port = await listen(server)
  return { port, close: () => server.close() }
}

/** Asks, and resolves when the whole answer is there. */
function readAnswer(socket: Socket, received: (bytes: number) => void): Promise<number> {
  return new Promise((resolve, reject) => {
    const connection = new TargetConnection(socket)
    let got = 0
    const ignore = () => {}
    const asker = {
      ...{ head: ignore, drained: ignore, switched: () => reject(new Error('it switched')) },
      body: (bytes: Buffer) => {
        got += bytes.length
        received(bytes.length)
      },
      end: () => {
        connection.destroy()
        resolve(got)
      },
      failed: ({ detail }: { readonly detail: string }) => reject(new Error(detail)),
    }
    connection.ask(asker, 'GET', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', false)
    connection.sentWhole()
  })
}

it('Of several large answers one goes on in each turn of the event loop, and all arrive whole', async () => {
  const { port, close } = await target()
  const sockets = Array.from({ length: 6 }, () => connect({ port, host: '127.0.0.1' }))
  await Promise.all(sockets.map((socket) => once(socket, 'connect')))
  let inThisTurn = 0
  let isOver = false
  const turns: number[] = []
  const count = () => {
    if (inThisTurn > 0) turns.push(inThisTurn)
    inThisTurn = 0
    if (!isOver) setImmediate(count)
  }
  setImmediate(count)
  const answers = await Promise.all(
    sockets.map((socket) =>
      readAnswer(socket, (bytes) => {
        inThisTurn += bytes
      }),
    ),
  )
  isOver = true
  close()
  expect(answers).toEqual(sockets.map(() => answerBytes))
  // Each begins with a share of its own.
  const begins = sockets.length * mostOfOne
  expect(Math.max(...turns)).toBeLessThanOrEqual(begins)
  expect(turns.length).toBeGreaterThanOrEqual((sockets.length * answerBytes - begins) / mostOfOne)
})
