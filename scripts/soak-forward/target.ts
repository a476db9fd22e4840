// What stands behind the forwarder. The first byte of a connection says what is wanted of it.
import { once } from 'node:events'
import net from 'node:net'

export const wish = {
  /** Everything comes back, FIN for FIN. */
  echo: 'e',
  /** `answerBytes` after the client's FIN. */
  answer: 'a',
  /** `sourceBytes` at once. */
  source: 's',
  /** A reset. */
  reset: 'r',
} as const

export const answerBytes = 100_000
export const sourceBytes = 4_000_000

const answer = Buffer.alloc(answerBytes, 'answer')
const source = Buffer.alloc(sourceBytes, 'source')

export async function openTarget(): Promise<{ readonly port: number; close(): void }> {
  const connections = new Set<net.Socket>()
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    connections.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => connections.delete(socket))
    socket.once('data', (first: Buffer) => serve(socket, first))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = () => {
    server.close()
    for (const socket of connections) socket.destroy()
  }
  return { port: (server.address() as net.AddressInfo).port, close }
}

function serve(socket: net.Socket, first: Buffer): void {
  switch (String.fromCharCode(first[0] ?? 0)) {
    case wish.answer:
      socket.resume().once('end', () => socket.end(answer))
      break
    case wish.source:
      socket.resume().end(source)
      break
    case wish.reset:
      socket.resetAndDestroy()
      break
    default:
      socket.write(first)
      socket.pipe(socket)
  }
}
