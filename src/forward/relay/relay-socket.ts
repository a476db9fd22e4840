import type { Socket } from 'node:net'

/**
 * A connected socket as connections and relays use it: half-open, not read from before it is told to, and with one pending write at
 * the most. `BareSocket` is one straight on the system's handle, `StreamSocket` one around any `net.Socket`.
 *
 *   accepted or dialled -> (toSocket) or open -> ... -> closed
 */
export interface RelaySocket {
  /** The other end; undefined when it is gone already, or is a Unix socket's. */
  readonly remote: SocketAddress | undefined
  /** This end; the same. */
  readonly local: SocketAddress | undefined
  /** Bytes that were read and not told yet. */
  readonly buffered: number
  /** Bytes given to `send` that the kernel has not taken. */
  readonly unsent: number
  /** The other end's FIN was read and told. */
  readonly readEnded: boolean
  /** `end` was called. */
  readonly ended: boolean
  /** Our FIN is with the kernel. */
  readonly finished: boolean
  readonly destroyed: boolean
  readonly closed: boolean

  /** Has the kernel ask whether the other end is still there after {@link keepAliveSeconds} of silence. */
  keepAlive(): void
  /**
   * Who is told when the connection fails before `open`. A FIN alone is no failure: an answer may be wanted. One that failed after it had sent
   * is told as lost after `open`, behind its bytes.
   */
  onGone(listener: GoneListener): void
  /**
   * Begins to read before `open`, since a socket that is not read tells nothing: into a buffer of its own, and no further than
   * {@link watchedBytes}.
   */
  watch(): void

  /** Begins to tell what happens; nothing is told within this call. Follow with `resume`. */
  open(listener: RelaySocketListener): void
  resume(): void
  pause(): void
  /** Takes what was read before the socket was destroyed and not told yet. */
  takeLeftovers(): readonly Buffer[]
  /**
   * Not before the last one was sent.
   * @returns true when the kernel took it all at once, and the bytes may be changed again; else `sender` is told when that is so.
   */
  send(bytes: Buffer, sender: Sender): boolean
  /** Puts a buffer that no read has filled out of use. False when it cannot be. */
  replaceBuffer(buffer: Buffer): boolean
  /** Sends a FIN after what is pending. */
  end(): void
  /** Closes with a RST; with a FIN where there is no such thing. */
  reset(): void
  /** Closes with a FIN, and without what is pending. */
  destroy(): void
  /** Calls back when the other end has all that was sent, or when that cannot be known. */
  whenAcknowledged(then: () => void): void
  /**
   * The same connection as a socket of Node's: for TLS, HTTP and whatever reads a header. This object is done with then. Not after
   * `watch` or `open`.
   */
  toSocket(mode: SocketMode): Socket
}

/** As sockets of Node's are after an accept with `pauseOnConnect`, or after a connect. */
export type SocketMode = 'paused' | 'reading'

export interface GoneListener {
  gone(): void
}

/** What happens to an open socket. */
export interface RelaySocketListener {
  /** Where bytes are read into, at first; for sockets that can. */
  readonly firstBuffer: Buffer
  /**
   * `length` bytes are in `buffer`, whose next use is this listener's affair.
   * @returns where the next read goes; undefined = to the same buffer.
   */
  filled(length: number, buffer: Buffer): Buffer | undefined
  /** Bytes in memory that is nobody else's. */
  received(bytes: Buffer): void
  finReceived(): void
  /** It failed: nothing more will be read or sent, but for leftovers. Not told of one that was closed from here. */
  lost(error: NodeJS.ErrnoException): void
  /** The descriptor is closed. Last of all. */
  closed(): void
}

/** Whose bytes a socket is sending. */
export interface Sender {
  /** The kernel has taken all; or it failed, and takes no more of it. */
  sent(failed: boolean): void
}

/** An end of a connection. */
export interface SocketAddress {
  readonly address: string
  readonly port: number
}

/** What {@link RelaySocket.watch} reads at the most, in bytes. */
export const watchedBytes = 64 * 1024

/** TCP_KEEPIDLE, tcp(7). */
export const keepAliveSeconds = 60
