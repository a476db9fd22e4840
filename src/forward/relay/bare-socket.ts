import type { Socket } from 'node:net'
import { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import { EarlyReads } from './early-reads.ts'
import { type HandleOwner, onread, shutdownDone, tellSoon, writeDone } from './handle-events.ts'
import {
  fileDescriptor,
  hasLostPeer,
  type Libuv,
  localAddress,
  owner,
  remoteAddress,
  resetsMayBeDisguised,
  socketAround,
  type TcpHandle,
  type WriteRequest,
} from './libuv.ts'
import {
  type GoneListener,
  keepAliveSeconds,
  type RelaySocket,
  type RelaySocketListener,
  type Sender,
  type SocketAddress,
  type SocketMode,
} from './relay-socket.ts'
import { whenAcknowledged } from './send-queue.ts'

/** libuv's own, the same on every system. */
const endOfFile = -4095
const notConnected = -constants.errno.ENOTCONN

/**
 * A TCP connection straight on libuv's handle, without the streams, events and queues of `net.Socket`: a third of the processor time for
 * a connection that is opened and closed, and of the memory of one that is idle. What it has instead is what a relay needs: reads
 * into buffers of the relay's, one write at a time, and a FIN of its own for each direction.
 */
export class BareSocket implements RelaySocket, HandleOwner {
  readonly #libuv: Libuv
  readonly #handle: TcpHandle
  #listener: RelaySocketListener | undefined
  /** Where reads go; undefined before `open`. */
  #buffer: Buffer | undefined
  #early: EarlyReads | undefined
  #goneListener: GoneListener | undefined
  /** Whose bytes are pending; undefined = none are. */
  #sender: Sender | undefined
  #nagle: 'on' | 'on, one write' | 'off'
  /** Whether who listens wants more. */
  #flowing = false
  #isReading = false
  #readEnded = false
  #ended = false
  #finished = false
  #shutdownUnderWay = false
  #resetWanted = false
  #failed = false
  #destroyed = false
  #closed = false

  /**
   * @param handle connected, and nobody else's.
   * @param origin what was done with it: an accepted one has TCP_NODELAY, a dialled one reads already, where the system let it.
   */
  constructor(
    libuv: Libuv,
    handle: TcpHandle,
    origin: 'accepted' | 'dialled' | 'dialled, not reading',
    alreadyRead: readonly Buffer[] = [],
  ) {
    this.#libuv = libuv
    this.#handle = handle
    this.#nagle = origin === 'accepted' ? 'off' : 'on'
    this.#isReading = origin === 'dialled'
    handle[owner] = this
    handle.onread = onread
    if (alreadyRead.length > 0) this.#early = new EarlyReads(alreadyRead)
  }

  get remote(): SocketAddress | undefined {
    return this.#destroyed ? undefined : remoteAddress(this.#handle)
  }

  get local(): SocketAddress | undefined {
    return this.#destroyed ? undefined : localAddress(this.#handle)
  }

  get buffered(): number {
    return this.#early?.bytes ?? 0
  }

  get unsent(): number {
    return this.#destroyed ? 0 : (this.#handle.writeQueueSize ?? 0)
  }

  get readEnded(): boolean {
    return this.#readEnded
  }

  get ended(): boolean {
    return this.#ended
  }

  get finished(): boolean {
    return this.#finished
  }

  get destroyed(): boolean {
    return this.#destroyed
  }

  get closed(): boolean {
    return this.#closed
  }

  keepAlive(): void {
    if (!this.#destroyed) this.#handle.setKeepAlive(true, keepAliveSeconds)
  }

  onGone(listener: GoneListener): void {
    this.#goneListener = listener
  }

  watch(): void {
    this.#early ??= new EarlyReads()
    if (!this.#early.isFull && !this.#early.fin) this.#readStart()
  }

  open(listener: RelaySocketListener): void {
    this.#listener = listener
    this.#goneListener = undefined
    if (this.#destroyed) {
      this.#closed = false
      return tellSoon(this)
    }
    // One that reads since its connect goes on: `resume` follows before anything can come.
    if (this.#early !== undefined) this.#readStop()
    this.#buffer = listener.firstBuffer
    this.#handle.useUserBuffer(this.#buffer)
  }

  resume(): void {
    this.#flowing = true
    if (this.#early === undefined) this.#readStart()
    else queueMicrotask(() => this.#tellEarly())
  }

  pause(): void {
    this.#flowing = false
    this.#readStop()
  }

  takeLeftovers(): readonly Buffer[] {
    const leftovers = this.#early?.chunks ?? []
    this.#early = undefined
    return leftovers
  }

  send(bytes: Buffer, sender: Sender): boolean {
    if (this.#nagle !== 'off') this.#turnNagleOff()
    const request = spareRequest ?? this.#libuv.newWriteRequest()
    const error = this.#handle.writeBuffer(request, bytes)
    if (error === 0 && !this.#libuv.wasAsync()) {
      spareRequest = request
      return true
    }
    this.#sender = sender
    if (error !== 0) {
      spareRequest = request
      // Not within a call of the one who is to be told.
      queueMicrotask(() => this.#sent(error))
      return false
    }
    // Nobody holds back the tail of a write that was taken in part.
    if (this.#nagle !== 'off') this.#turnNagleOff()
    spareRequest = undefined
    request.handle = this.#handle
    request.buffer = bytes
    request.oncomplete = writeDone
    return false
  }

  replaceBuffer(buffer: Buffer): boolean {
    if (this.#destroyed || this.#buffer === undefined) return false
    this.#buffer = buffer
    this.#handle.useUserBuffer(buffer)
    return true
  }

  end(): void {
    if (this.#ended || this.#destroyed) return
    this.#ended = true
    if (this.#sender === undefined) this.#shutdown()
  }

  reset(): void {
    if (this.#destroyed) return
    // libuv refuses to reset while a shutdown is under way. That takes one turn.
    if (this.#shutdownUnderWay) {
      this.#resetWanted = true
      return
    }
    this.#destroyed = true
    this.#handle.reset()
    this.#isClosing()
  }

  destroy(): void {
    if (this.#destroyed) return
    this.#destroyed = true
    this.#handle.close()
    this.#isClosing()
  }

  whenAcknowledged(then: () => void): void {
    whenAcknowledged(fileDescriptor(this.#handle), () => this.#destroyed, then)
  }

  toSocket(mode: SocketMode): Socket {
    this.keepAlive()
    if (this.#nagle !== 'off') this.#handle.setNoDelay(true)
    this.#readStop()
    this.#destroyed = true
    this.#closed = true
    return socketAround(this.#handle, mode)
  }

  readDone(memory: ArrayBuffer | undefined): Buffer | undefined {
    const length = this.#libuv.bytesOrError()
    if (length <= 0) {
      if (length < 0) this.#readFailed(length)
      return undefined
    }
    lastToRead = this
    const listener = this.#listener
    if (listener === undefined || this.#buffer === undefined) {
      if (memory !== undefined) this.#keep(Buffer.from(memory, this.#libuv.offset(), length))
      return undefined
    }
    const next = listener.filled(length, this.#buffer)
    if (next !== undefined) this.#buffer = next
    return next
  }

  writeDone(status: number): void {
    this.#sent(status)
  }

  shutdownDone(): void {
    this.#shutdownUnderWay = false
    if (this.#destroyed) return
    this.#finished = true
    if (this.#resetWanted) this.reset()
    else if (this.#readEnded) this.destroy()
  }

  /** Nagle's algorithm (RFC 896) holds back what follows bytes on their way, so that the first write needs no call more. */
  #turnNagleOff(): void {
    if (this.#nagle === 'on') {
      this.#nagle = 'on, one write'
      return
    }
    this.#nagle = 'off'
    this.#handle.setNoDelay(true)
  }

  #readStart(): void {
    if (this.#isReading || this.#readEnded || this.#destroyed || this.#failed) return
    this.#isReading = true
    const error = this.#handle.readStart()
    if (error !== 0) queueMicrotask(() => this.#readFailed(error))
  }

  #readStop(): void {
    if (!this.#isReading || this.#destroyed) return
    this.#isReading = false
    this.#handle.readStop()
  }

  #readFailed(error: number): void {
    if (this.#destroyed || this.#failed) return
    this.#isReading = false
    if (error !== endOfFile) this.#fail('read', getSystemErrorName(error))
    else if (this.#isResetInDisguise()) this.#fail('read', 'ECONNRESET')
    else this.#finArrived()
  }

  /** An older libuv says so in the same breath as the bytes that came before; an end that comes alone is one. */
  #isResetInDisguise(): boolean {
    return resetsMayBeDisguised && lastToRead === this && !this.#ended && hasLostPeer(this.#handle)
  }

  #finArrived(): void {
    if (this.#listener === undefined) {
      this.#early ??= new EarlyReads()
      this.#early.fin = true
      return
    }
    this.#readEnded = true
    this.#listener.finReceived()
    // A shutdown that is under way has nothing before it, and the close sends its FIN: mostly a system call less.
    if (this.#finished || this.#shutdownUnderWay) {
      this.#finished = true
      this.destroy()
    }
  }

  #keep(chunk: Buffer): void {
    this.#early ??= new EarlyReads()
    const early = this.#early
    early.add(chunk)
    if (early.isFull) this.#readStop()
  }

  /** What was read before anybody was there to be told. */
  #tellEarly(): void {
    const early = this.#early
    const listener = this.#listener
    if (early === undefined || listener === undefined) return
    if (!early.tell(listener, () => this.#flowing && !this.#destroyed)) return
    this.#early = undefined
    if (early.error !== undefined) listener.lost(early.error)
    else if (early.fin) this.#finArrived()
    else this.#readStart()
  }

  #sent(status: number): void {
    const sender = this.#sender
    if (sender === undefined) return
    this.#sender = undefined
    const failed = status < 0 || this.#destroyed
    if (!failed && this.#ended) this.#shutdown()
    sender.sent(failed)
    if (status < 0) this.#fail('write', getSystemErrorName(status))
  }

  #shutdown(): void {
    // Both directions are complete: the close sends the FIN itself.
    if (this.#readEnded) {
      this.#finished = true
      return this.destroy()
    }
    const request = this.#libuv.newShutdownRequest()
    request.handle = this.#handle
    request.oncomplete = shutdownDone
    this.#shutdownUnderWay = true
    const error = this.#handle.shutdown(request)
    if (error === 0) return
    this.#shutdownUnderWay = false
    if (error === 1 || error === notConnected) queueMicrotask(() => this.shutdownDone())
    else queueMicrotask(() => this.#fail('shutdown', getSystemErrorName(error)))
  }

  #fail(syscall: string, code: string): void {
    if (this.#destroyed || this.#failed) return
    this.#failed = true
    const error = Object.assign(new Error(`${syscall} ${code}`), { code, syscall })
    if (this.#listener !== undefined) this.#listener.lost(error)
    else if (this.buffered > 0 && this.#early !== undefined) this.#early.error = error
    else this.#goneListener?.gone()
  }

  #isClosing(): void {
    this.#isReading = false
    if (this.#listener === undefined) this.#closed = true
    else tellSoon(this)
  }

  /** libuv closes descriptors at once; only its own memory goes later. */
  tellClosed(): void {
    if (this.#closed) return
    this.#closed = true
    const sender = this.#sender
    this.#sender = undefined
    sender?.sent(true)
    this.#listener?.closed()
  }
}

/** A write that is done at once leaves its request as it was, so that nearly all writes share one. */
let spareRequest: WriteRequest | undefined

/** Who read bytes last, of all sockets. */
let lastToRead: BareSocket | undefined
