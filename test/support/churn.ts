import type { ChildProcess } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import net, { type Socket } from 'node:net'
import { handleOf, hasLostPeer, isResetInDisguise } from '../../src/forward/relay/libuv.ts'
import { resetSocket } from '../../src/forward/relay/reset.ts'

/** Numbers from 0 to 1 that a seed repeats (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** What one end of a connection does. Rests are in ms. */
export interface EndScript {
  readonly bytes: number
  /** How it ends after `bytes`: a FIN, or a reset in the middle of whatever is going on. */
  readonly ending: 'fin' | 'reset'
  readonly pieces: number
  readonly restBetweenPieces: number
  /** It sends nothing, and no FIN, before it has the other's FIN. */
  readonly waitsForFin: boolean
  /** It does not read for so long, at first and after each pause. */
  readonly readRest: number
  readonly readsBeforeRest: number
}

/** One connection: both ends play their parts, or the client leaves before there are two. */
export interface PairScript {
  readonly client: EndScript
  readonly target: EndScript
  /** ms after which the client leaves though nothing has happened yet; undefined = it stays. */
  readonly leavesAfter: number | undefined
}

export function randomPair(random: () => number): PairScript {
  const pick = <T>(...choices: readonly T[]): T => choices[Math.floor(random() * choices.length)] as T
  const client = randomEnd(random, pick)
  const target = randomEnd(random, pick)
  return {
    client,
    target: { ...target, waitsForFin: target.waitsForFin && !client.waitsForFin },
    leavesAfter: random() < 0.12 ? pick(0, 1, 5, 40, 300) : undefined,
  }
}

function randomEnd(random: () => number, pick: <T>(...choices: readonly T[]) => T): EndScript {
  const bytes = pick(
    () => 0,
    () => 1 + random() * 3_000,
    () => pick(65_535, 65_536, 65_537, 131_072, 65_536 + 1_048_576),
    () => 5_000 + random() * 300_000,
    () => 300_000 + random() * 3_000_000,
  )()
  return {
    bytes: Math.floor(bytes),
    ending: random() < 0.75 ? 'fin' : 'reset',
    pieces: 1 + Math.floor(random() * 6),
    restBetweenPieces: pick(0, 0, 1, 10),
    waitsForFin: random() < 0.25,
    readRest: pick(0, 0, 1, 20, 100),
    readsBeforeRest: 1 + Math.floor(random() * 20),
  }
}

/** Every connection's bytes are cut out of this at a place of its own, so that nothing can be swapped, lost or doubled unseen. */
const patternBytes = 1 << 20
const pattern = Buffer.alloc(2 * patternBytes)
{
  const random = randomNumbers(20_26)
  for (let at = 0; at < patternBytes; at++) pattern[at] = random() * 256
  pattern.copy(pattern, patternBytes, 0, patternBytes)
}
const patternPlace = (key: number) => Math.imul(key + 1, 0x9e3779b1) >>> 0

/** What is left of an end when it is closed. */
export interface PlayedEnd {
  readonly sent: number
  readonly received: number
  /** It got the other's FIN, and that was none in disguise. */
  readonly gotFin: boolean
  /** It was no reset in disguise: after its own FIN a socket of Node 20 and 22 cannot always tell. */
  readonly finIsCertain: boolean
  /** The same as `gotFin`, before its own FIN. */
  readonly gotFinFirst: boolean
  /** Its own FIN went out after everything. */
  readonly finished: boolean
  /** It reset the connection. */
  readonly didReset: boolean
  /** What is wrong with the bytes it got. */
  readonly wrong: string | undefined
}

/**
 * Plays one end, on a half-open socket that nobody else reads.
 * @param keys where the bytes to be sent and those to be received lie in the pattern.
 */
export function playEnd(
  socket: Socket,
  script: EndScript,
  keys: { readonly send: number; readonly receive: number },
): Promise<PlayedEnd> {
  let sent = 0
  let received = 0
  let gotFin = false
  let finIsCertain = false
  let gotFinFirst = false
  let finished = false
  let didReset = false
  let wrong: string | undefined
  let readsLeft = 0
  const timers = new Set<NodeJS.Timeout>()
  const later = (ms: number, then: () => void) => {
    const timer = setTimeout(() => {
      timers.delete(timer)
      then()
    }, ms)
    timers.add(timer)
  }

  const check = (chunk: Buffer) => {
    for (let at = 0; at < chunk.length; ) {
      const place = (patternPlace(keys.receive) + received) % patternBytes
      const length = Math.min(patternBytes, chunk.length - at)
      if (chunk.compare(pattern, place, place + length, at, at + length) !== 0) {
        wrong ??= `other bytes than were sent, within ${length} after ${received}`
      }
      received += length
      at += length
    }
  }
  const rest = () => {
    readsLeft = script.readsBeforeRest
    if (script.readRest === 0) return
    socket.pause()
    later(script.readRest, () => socket.resume())
  }
  const end = () => {
    if (script.ending === 'fin') {
      socket.end(() => {
        finished = true
      })
      return
    }
    didReset = true
    resetSocket(socket)
  }
  const piece = Math.max(1, Math.ceil(script.bytes / script.pieces))
  const sendOn = () => {
    if (socket.destroyed) return
    if (sent >= script.bytes) return end()
    const length = Math.min(piece, script.bytes - sent, patternBytes)
    const place = (patternPlace(keys.send) + sent) % patternBytes
    sent += length
    // One that resets does so in the middle of its last write.
    const isLast = sent >= script.bytes && script.ending === 'reset'
    const next = () => later(script.restBetweenPieces, sendOn)
    if (!socket.write(pattern.subarray(place, place + length)) && !isLast) socket.once('drain', next)
    else next()
  }

  return new Promise((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      check(chunk)
      if (--readsLeft <= 0) rest()
    })
    socket.on('end', () => {
      if (isResetInDisguise(socket)) return void socket.destroy()
      gotFin = true
      finIsCertain = !hasLostPeer(handleOf(socket))
      gotFinFirst = !socket.writableEnded
      if (script.waitsForFin) sendOn()
    })
    socket.on('error', () => {})
    socket.once('close', () => {
      for (const timer of timers) clearTimeout(timer)
      resolve({ sent, received, gotFin, finIsCertain, gotFinFirst, finished, didReset, wrong })
    })
    rest()
    if (script.readRest === 0) socket.resume()
    if (!script.waitsForFin) sendOn()
  })
}

/** Open descriptors of a process. */
export function descriptorsOf(process: ChildProcess): number {
  return readdirSync(`/proc/${process.pid}/fd`).length
}

/** Processor time of a process in ms, at a hundred ticks a second (proc(5)). */
export function processorMsOf(process: ChildProcess): number {
  const stat = readFileSync(`/proc/${process.pid}/stat`, 'latin1')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

/** Connects half-open; undefined when it cannot. */
export function connectHalfOpen(port: number): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true })
    socket.on('error', () => {})
    socket.once('close', () => resolve(undefined))
    socket.once('connect', () => resolve(socket))
  })
}
