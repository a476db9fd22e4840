import type { Socket } from 'node:net'
import { BareSocket } from './bare-socket.ts'
import { fileDescriptor, isResetInDisguise, libuv, takeHandle, unsentBytes } from './libuv.ts'
import {
  type GoneListener,
  keepAliveSeconds,
  type RelaySocket,
  type RelaySocketListener,
  type Sender,
  type SocketAddress,
} from './relay-socket.ts'
import { resetSocket } from './reset.ts'
import { whenAcknowledged } from './send-queue.ts'

/**
 * A connected socket of Node's for a relay: on the bare handle where it is a plain TCP one, and as it is otherwise (TLS, Unix sockets,
 * a Node whose inside is unknown). It must be half-open and paused, and belongs to what is returned.
 */
export function relaySocketOf(socket: Socket): RelaySocket {
  const isQuiet = !socket.destroyed && !socket.writableEnded && socket.writableLength === 0
  if (libuv === undefined || !isQuiet || hasEnd(socket)) return new StreamSocket(socket)
  const alreadyRead: Buffer[] = []
  for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) alreadyRead.push(chunk)
  const handle = hasEnd(socket) ? undefined : takeHandle(socket)
  if (handle !== undefined) return new BareSocket(libuv, handle, 'accepted', alreadyRead)
  for (const chunk of alreadyRead.reverse()) socket.unshift(chunk)
  return new StreamSocket(socket)
}

/** The other end's FIN has been read, whether told or not. */
function hasEnd(socket: Socket): boolean {
  const state = Reflect.get(socket, '_readableState') as { readonly ended?: boolean } | undefined
  return socket.readableEnded || state?.ended === true
}

/** Any `net.Socket`, by Node's public interface alone: the same as a bare one for about twice the processor time. */
export class StreamSocket implements RelaySocket {
  readonly #socket: Socket
  #listener: RelaySocketListener | undefined
  #goneListener: GoneListener | undefined
  #sender: Sender | undefined
  /** What it failed with before `open`, after it had sent: told when the bytes can be. */
  #earlyError: NodeJS.ErrnoException | undefined

  constructor(socket: Socket) {
    this.#socket = socket
    // Before anybody listens, and for good: an error that nobody hears would end the process.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (this.#listener !== undefined) this.#listener.lost(error)
      else if (socket.readableLength > 0) this.#earlyError = error
      else this.#goneListener?.gone()
    })
  }

  get remote(): SocketAddress | undefined {
    const { remoteAddress, remotePort } = this.#socket
    return remoteAddress === undefined ? undefined : { address: remoteAddress, port: remotePort ?? 0 }
  }

  get local(): SocketAddress | undefined {
    const { localAddress, localPort } = this.#socket
    return localAddress === undefined ? undefined : { address: localAddress, port: localPort ?? 0 }
  }

  get buffered(): number {
    return this.#socket.readableLength
  }

  get unsent(): number {
    return unsentBytes(this.#socket)
  }

  get readEnded(): boolean {
    return this.#socket.readableEnded
  }

  get ended(): boolean {
    return this.#socket.writableEnded
  }

  get finished(): boolean {
    return this.#socket.writableFinished
  }

  get destroyed(): boolean {
    return this.#socket.destroyed
  }

  get closed(): boolean {
    return this.#socket.closed
  }

  keepAlive(): void {
    this.#socket.setKeepAlive(true, keepAliveSeconds * 1000)
  }

  onGone(listener: GoneListener): void {
    this.#goneListener = listener
  }

  watch(): void {
    this.#socket.read(0)
  }

  open(listener: RelaySocketListener): void {
    const socket = this.#socket
    this.#listener = listener
    const ended = () => {
      if (isResetInDisguise(socket)) listener.lost(resetError())
      else listener.finReceived()
    }
    socket.on('end', ended)
    // Whoever had it before may have read as far as the FIN.
    if (socket.readableEnded) queueMicrotask(ended)
    const earlyError = this.#earlyError
    if (earlyError !== undefined) queueMicrotask(() => listener.lost(earlyError))
    const closed = () => listener.closed()
    if (socket.closed) queueMicrotask(closed)
    else socket.once('close', closed)
    socket.on('data', this.#received)
  }

  resume(): void {
    this.#socket.resume()
  }

  pause(): void {
    this.#socket.pause()
  }

  takeLeftovers(): readonly Buffer[] {
    const socket = this.#socket
    socket.off('data', this.#received)
    const leftovers: Buffer[] = []
    for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) leftovers.push(chunk)
    return leftovers
  }

  send(bytes: Buffer, sender: Sender): boolean {
    const socket = this.#socket
    socket.write(bytes, this.#written)
    // Zero right after the write: the kernel took it all at once.
    if (socket.writableLength === 0) return true
    this.#sender = sender
    return false
  }

  replaceBuffer(): boolean {
    return false
  }

  end(): void {
    this.#socket.end()
  }

  reset(): void {
    resetSocket(this.#socket)
  }

  destroy(): void {
    this.#socket.destroy()
  }

  whenAcknowledged(then: () => void): void {
    whenAcknowledged(fileDescriptor(this.#socket), () => this.#socket.destroyed, then)
  }

  toSocket(): Socket {
    return this.#socket
  }

  #received = (chunk: Buffer): void => this.#listener?.received(chunk)

  #written = (error?: Error | null): void => {
    const sender = this.#sender
    if (sender === undefined || this.#socket.writableLength > 0) return
    this.#sender = undefined
    // A write that a destroyed socket cancelled is reported as done on some versions of Node.
    sender.sent(Boolean(error) || this.#socket.destroyed)
  }
}

function resetError(): NodeJS.ErrnoException {
  return Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', syscall: 'read' })
}
