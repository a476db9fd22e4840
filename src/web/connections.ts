import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { monotonicMs } from '../os/clock.ts'
import { isLoopback, sourceNetwork } from '../os/interfaces.ts'

const thisMachine = 'this machine'

/** Connections at once from one source, and from all; this machine is counted as one source of its own, beside the others. */
export interface ConnectionLimits {
  readonly ofOne: number
  readonly ofOthers: number
  readonly ofThisMachine: number
  /** ms that a client may leave bytes of an answer waiting without taking one. */
  readonly takeMs: number
  /** ms after the last byte of an answer that ends a connection, whatever its other end does. */
  readonly lingerMs: number
}

interface Connection {
  readonly source: string
  /** A key was shown on it. */
  isAdmitted: boolean
  isEnding: boolean
  /** Bytes taken at the last look, and when one was last taken or none waited. */
  taken: number
  takenAt: number
}

/**
 * The connections of clients, with a bound for what Node's server does not bound: how many there are, and how long one may leave an answer
 * unread. Heads, bodies and pauses between requests are timed by the server itself.
 *
 * Where there is no room for a new one, the oldest one without a key makes room, so that whoever shows a key gets in.
 */
export class Connections {
  readonly #limits: ConnectionLimits
  /** The oldest first. */
  readonly #open = new Map<Socket, Connection>()
  readonly #counts = new Map<string, number>()
  readonly #looking: NodeJS.Timeout

  constructor(limits: ConnectionLimits) {
    this.#limits = limits
    this.#looking = setInterval(() => this.#look(), Math.max(10, limits.takeMs / 4))
    this.#looking.unref()
  }

  /** A connection was accepted. */
  accept(socket: Socket): void {
    const { remoteAddress } = socket
    if (remoteAddress === undefined) return cut(socket)
    const source = isLoopback(remoteAddress) ? thisMachine : sourceNetwork(remoteAddress)
    if (!this.#makeRoom(source)) return cut(socket)
    this.#open.set(socket, { source, isAdmitted: false, isEnding: false, taken: 0, takenAt: monotonicMs() })
    this.#counts.set(source, this.#count(source) + 1)
    socket.once('close', () => this.#leave(socket))
  }

  /** Somebody has shown a key on it. */
  admit(socket: Socket): void {
    const connection = this.#open.get(socket)
    if (connection !== undefined) connection.isAdmitted = true
  }

  #makeRoom(source: string): boolean {
    const { ofOne, ofOthers, ofThisMachine } = this.#limits
    const isLocal = source === thisMachine
    if (this.#count(source) >= (isLocal ? ofThisMachine : ofOne)) return this.#endOne((one) => one === source)
    const others = this.#open.size - this.#count(thisMachine)
    return isLocal || others < ofOthers || this.#endOne((one) => one !== thisMachine)
  }

  #endOne(isOf: (source: string) => boolean): boolean {
    for (const [socket, { source, isAdmitted }] of this.#open) {
      if (isAdmitted || !isOf(source)) continue
      this.#leave(socket)
      cut(socket)
      return true
    }
    return false
  }

  #leave(socket: Socket): void {
    const connection = this.#open.get(socket)
    if (connection === undefined) return
    this.#open.delete(socket)
    const left = this.#count(connection.source) - 1
    if (left === 0) this.#counts.delete(connection.source)
    else this.#counts.set(connection.source, left)
  }

  #count(source: string): number {
    return this.#counts.get(source) ?? 0
  }

  /** Its last answer is under way: what else is asked on it gets none. */
  isEnding(socket: Socket): boolean {
    return this.#open.get(socket)?.isEnding === true
  }

  /** The answer that was just begun is the last one: the connection ends soon, whether it is read or not. */
  endSoon(socket: Socket): void {
    const connection = this.#open.get(socket)
    if (connection !== undefined) connection.isEnding = true
    const timer = setTimeout(() => cut(socket), this.#limits.lingerMs)
    socket.once('close', () => clearTimeout(timer))
  }

  close(): void {
    clearInterval(this.#looking)
    for (const socket of this.#open.keys()) socket.destroy()
  }

  #look(): void {
    const now = monotonicMs()
    for (const [socket, connection] of this.#open) {
      const taken = socket.bytesWritten - socket.writableLength
      if (taken !== connection.taken || socket.writableLength === 0) connection.takenAt = now
      connection.taken = taken
      // With a reset: what the kernel keeps for a client that does not read must go, too.
      if (now - connection.takenAt > this.#limits.takeMs) cut(socket)
    }
  }
}

/** Ends a connection at once, with a reset where Node can give one: a TLS socket has none. */
export function cut(socket: Socket): void {
  if (socket instanceof TLSSocket) socket.destroy()
  else socket.resetAndDestroy()
}
