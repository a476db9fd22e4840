// Clients of every kind, each doing the same over and over until it is told to stop.
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { isResetInDisguise } from '../../src/forward/relay/libuv.ts'
import { answerBytes, sourceBytes, wish } from './target.ts'

interface Kind {
  readonly name: string
  /** How many of them at once. */
  readonly count: number
  /** ms between two turns of one of them. */
  readonly pause: number
  /** One turn. Throws when it saw what it should not. */
  readonly turn: (port: number) => Promise<void>
}

export interface Tally {
  readonly name: string
  done: number
  failed: number
  lastFailure: string
}

const kinds: readonly Kind[] = [
  { name: 'bulk, 16 MiB both ways', count: 2, pause: 300, turn: bulk },
  { name: 'small request', count: 8, pause: 30, turn: small },
  { name: 'half-close, then an answer', count: 2, pause: 40, turn: halfClose },
  { name: 'reset by the client', count: 2, pause: 50, turn: resetByClient },
  { name: 'reset by the target', count: 2, pause: 50, turn: resetByTarget },
  { name: 'slow reader, 4 MB', count: 4, pause: 100, turn: slowReader },
]

const silentStreams = 50

/**
 * Runs the load until the signal is given.
 * @returns what each kind has seen.
 */
export async function runLoad(port: number, stop: AbortSignal): Promise<readonly Tally[]> {
  const silent = tally(`silent stream (${silentStreams} kept open)`)
  const runs = kinds.map((kind) => ({ kind, seen: tally(`${kind.name} (${kind.count} at once)`) }))
  await Promise.all([
    keepSilentStreams(port, stop, silent),
    ...runs.flatMap(({ kind, seen }) =>
      Array.from({ length: kind.count }, () => repeat(kind, port, stop, seen)),
    ),
  ])
  return [...runs.map(({ seen }) => seen), silent]
}

const tally = (name: string): Tally => ({ name, done: 0, failed: 0, lastFailure: '' })

async function repeat({ turn, pause }: Kind, port: number, stop: AbortSignal, seen: Tally): Promise<void> {
  while (!stop.aborted) {
    await count(seen, () => turn(port))
    await sleep(pause)
  }
}

async function count(seen: Tally, act: () => Promise<void>): Promise<void> {
  try {
    await act()
    seen.done++
  } catch (error) {
    seen.failed++
    seen.lastFailure = String(error)
  }
}

/** Streams that say nothing from the beginning to the end, and are still there then. */
async function keepSilentStreams(port: number, stop: AbortSignal, seen: Tally): Promise<void> {
  const streams = await Promise.all(
    Array.from({ length: silentStreams }, async () => {
      const socket = await dial(port)
      await roundTrip(socket, 'e')
      return socket
    }),
  )
  if (!stop.aborted) await once(stop, 'abort')
  for (const socket of streams) {
    await count(seen, async () => {
      await roundTrip(socket, 'still there')
      socket.end()
      expect('end', (await readToEnd(socket)).end, 'FIN')
    })
    socket.destroy()
  }
}

const bulkPiece = randomBytes(1 << 20)
const bulkPieces = 16

async function bulk(port: number): Promise<void> {
  const socket = await dial(port)
  const received = readToEnd(socket)
  const sent = createHash('sha1')
  const send = async (piece: Buffer | string) => {
    sent.update(piece)
    if (!socket.write(piece)) await Promise.race([once(socket, 'drain'), received])
  }
  await send(wish.echo)
  for (let piece = 0; piece < bulkPieces; piece++) {
    // Never the same from one piece to the next.
    await send(bulkPiece.subarray(piece * 7))
  }
  socket.end()
  const { digest, end } = await received
  expect('end', end, 'FIN')
  expect('digest', digest, sent.digest('hex'))
}

async function small(port: number): Promise<void> {
  const socket = await dial(port)
  await roundTrip(socket, 'echo this')
  socket.end()
  expect('end', (await readToEnd(socket)).end, 'FIN')
}

async function halfClose(port: number): Promise<void> {
  const socket = await dial(port)
  socket.end(wish.answer)
  const { length, end } = await readToEnd(socket)
  expect('end', end, 'FIN')
  expect('bytes', length, answerBytes)
}

async function resetByClient(port: number): Promise<void> {
  const socket = await dial(port)
  await roundTrip(socket, 'e')
  socket.resetAndDestroy()
}

async function resetByTarget(port: number): Promise<void> {
  const socket = await dial(port)
  socket.write(wish.reset)
  expect('end', (await readToEnd(socket)).end, 'ECONNRESET')
}

async function slowReader(port: number): Promise<void> {
  const socket = await dial(port)
  socket.end(wish.source)
  const { length, end } = await readToEnd(socket, 5)
  expect('end', end, 'FIN')
  expect('bytes', length, sourceBytes)
}

async function dial(port: number): Promise<net.Socket> {
  const socket = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true })
  await once(socket, 'connect')
  socket.on('error', () => {})
  return socket
}

async function roundTrip(socket: net.Socket, text: string): Promise<void> {
  const back = new Promise<string>((resolve, reject) => {
    let got = ''
    const finish = (settle: () => void) => {
      socket.removeListener('data', read).removeListener('close', gone).removeListener('end', gone)
      settle()
    }
    const read = (chunk: Buffer) => {
      got += chunk.toString()
      if (got.length >= text.length) finish(() => resolve(got))
    }
    const gone = () => finish(() => reject(new Error(`ended after "${got}" of "${text}"`)))
    socket.on('data', read).once('close', gone).once('end', gone)
  })
  socket.write(text)
  expect('echo', await back, text)
}

interface Received {
  readonly length: number
  readonly digest: string
  /** `FIN`, or the code of the error. */
  readonly end: string
}

/** @param rest ms of rest after each chunk. */
async function readToEnd(socket: net.Socket, rest = 0): Promise<Received> {
  const hash = createHash('sha1')
  let length = 0
  const end = new Promise<string>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      hash.update(chunk)
      length += chunk.length
      if (rest === 0) return
      socket.pause()
      setTimeout(() => socket.resume(), rest)
    })
    socket.once('end', () => resolve(isResetInDisguise(socket) ? 'ECONNRESET' : 'FIN'))
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    socket.once('close', () => resolve('closed'))
    socket.resume()
  })
  const how = await end
  if (how !== 'FIN') socket.destroy()
  return { length, digest: hash.digest('hex'), end: how }
}

function expect(what: string, got: string | number, wanted: string | number): void {
  if (got !== wanted) throw new Error(`${what} ${got}, not ${wanted}`)
}
