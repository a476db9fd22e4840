import { type RelaySocketListener, watchedBytes } from './relay-socket.ts'

/**
 * What a bare socket has read before its relay listens: what came with its connect, and what a client sent while its target was dialled. Once
 * the relay has it, the socket reads into the relay's buffers and has none of these.
 */
export class EarlyReads {
  readonly chunks: Buffer[]
  bytes = 0
  /** The other side has ended after these bytes. */
  fin = false
  /** What the connection failed with after these bytes: told when they have been. */
  error: NodeJS.ErrnoException | undefined

  constructor(chunks: readonly Buffer[] = []) {
    this.chunks = [...chunks]
    for (const chunk of chunks) this.bytes += chunk.length
  }

  /** So much that the other side is to wait. */
  get isFull(): boolean {
    return this.bytes >= watchedBytes
  }

  add(chunk: Buffer): void {
    this.chunks.push(chunk)
    this.bytes += chunk.length
  }

  /**
   * Tells the bytes, chunk by chunk, for as long as they are wanted.
   * @returns whether all were told.
   */
  tell(listener: RelaySocketListener, isWanted: () => boolean): boolean {
    for (;;) {
      if (!isWanted()) return false
      const chunk = this.chunks.shift()
      if (chunk === undefined) return true
      this.bytes -= chunk.length
      listener.received(chunk)
    }
  }
}
