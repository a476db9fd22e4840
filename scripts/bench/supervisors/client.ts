// The target, and the client that never stops trying.
import { connect, createServer, type Server } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Served {
  readonly ms: number
  /** Connects that were refused meanwhile. */
  readonly refused: number
  /** Connections that were accepted, by the kernel at least, and then reset, closed or left without an answer. */
  readonly broken: number
}

export interface Patience {
  readonly limitMs: number
  /** Between two tries. 0 = at once. */
  readonly pauseMs?: number
  /** How long one accepted connection may take to answer. */
  readonly answerMs?: number
}

/** An echo target on a free port of loopback. */
export async function startTarget(): Promise<{ port: number; server: Server }> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.pipe(socket)
  })
  await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1' }, resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the target has no port')
  return { port: address.port, server }
}

/** Connects again and again until a byte has come back through the port; undefined when the limit is over first. */
export async function untilServed(
  port: number,
  { limitMs, pauseMs = 0, answerMs = 1000 }: Patience,
): Promise<Served | undefined> {
  const began = performance.now()
  let refused = 0
  let broken = 0
  while (performance.now() - began < limitMs) {
    const outcome = await tryOnce(port, answerMs)
    if (outcome === 'served') return { ms: performance.now() - began, refused, broken }
    if (outcome === 'refused') refused += 1
    else broken += 1
    if (pauseMs > 0) await sleep(pauseMs)
  }
  return undefined
}

/** One connection with one byte, there and back. */
export function tryOnce(port: number, answerMs: number): Promise<'served' | 'refused' | 'broken'> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', autoSelectFamily: false })
    const end = (outcome: 'served' | 'refused' | 'broken') => {
      socket.destroy()
      resolve(outcome)
    }
    socket.setTimeout(answerMs, () => end('broken'))
    socket.once('connect', () => socket.write('.'))
    socket.once('data', () => end('served'))
    socket.once('error', (error: NodeJS.ErrnoException) =>
      end(error.code === 'ECONNREFUSED' ? 'refused' : 'broken'),
    )
    socket.once('close', () => end('broken'))
  })
}
