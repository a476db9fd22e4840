import { BufferPool } from './buffer-pool.ts'
import {
  allowance,
  type FastReader,
  giveBackLarge,
  isFastNoMore,
  isOnlyFastReader,
  type LargeBuffer,
  lendLarge,
  TURN_BYTES,
  waitForTurn,
} from './fast-streams.ts'
import { Prefixes } from './prefixes.ts'
import type { RelaySocket, RelaySocketListener, Sender } from './relay-socket.ts'

/** The two ends of a relay: who connected to us, and whom we connected to. */
export type Side = 'client' | 'target'

/** Process-wide live counters; every relay adds to them in place, as the kernel takes bytes. */
export interface RelayTotals {
  bytesFromClient: number
  bytesFromTarget: number
}

/** What a direction tells the relay that it is half of. */
export interface DirectionListener {
  /** The source has sent its FIN, and all before it was read. */
  finReceived(direction: Direction): void
  /** The source is gone. */
  lost(direction: Direction, error: NodeJS.ErrnoException): void
  /** The source is closed. */
  closed(direction: Direction): void
  /** It has waited until others had their turn. */
  mayGoOn(direction: Direction): void
  /** Everything read has been taken by the destination's kernel; the last `bytes` of it after a wait. */
  flushed(direction: Direction, bytes: number): void
}

/**
 * One thread, and the kernel fills a buffer in the same breath in which we are told of it: so all sockets share one
 * buffer of that many bytes to be read into, and a connection that is silent, or sends little, holds none.
 */
export const COMMON_SIZE = 64 * 1024
const commonBuffer = Buffer.allocUnsafeSlow(COMMON_SIZE)
const commonPrefixes = new Prefixes(commonBuffer)

/** What the common buffer is copied to. Whoever's write cannot be completed at once keeps it until then. */
const stagingBuffers = new BufferPool<Buffer>({ make: () => Buffer.allocUnsafeSlow(COMMON_SIZE), keep: 32 })
const lendStaging = () => stagingBuffers.lend() as Buffer
let staging = lendStaging()
const stagingPrefixes = new Prefixes(staging)

/** One way through a relay: from its source's reader to its destination's writer. */
export class Direction implements RelaySocketListener, Sender, FastReader {
  /** Bytes the destination's kernel has taken. */
  delivered = 0
  /** Bytes handed to the destination that its kernel has not taken yet. */
  pending = 0
  readonly firstBuffer = commonBuffer
  readonly from: Side
  readonly source: RelaySocket
  readonly destination: RelaySocket
  readonly #relay: DirectionListener
  readonly #totals: RelayTotals
  /** Gives back what {@link pending} is in, when that was borrowed. */
  #loan: (() => void) | undefined
  /** The large buffer the next read goes to. */
  #large: LargeBuffer | undefined
  /** Sent after what is pending. */
  #owed: Buffer | undefined

  constructor(
    relay: DirectionListener,
    from: Side,
    source: RelaySocket,
    destination: RelaySocket,
    totals: RelayTotals,
  ) {
    this.#relay = relay
    this.from = from
    this.source = source
    this.destination = destination
    this.#totals = totals
  }

  get buffered(): number {
    return this.source.buffered + (this.destination.destroyed ? 0 : this.pending)
  }

  /** The FIN was read and has been passed on. */
  get isOver(): boolean {
    return this.source.readEnded && this.destination.ended
  }

  /**
   * A number that changes whenever a byte moved: one was read, or the kernel took a part of a pending write. Without
   * the latter a slow reader that is busy with one large write would look silent. Reads weigh double so that reading
   * and queueing the same bytes does not cancel out.
   */
  get progress(): number {
    return 2 * (this.delivered + this.pending) - this.destination.unsent
  }

  start(): void {
    this.source.open(this)
    this.source.resume()
  }

  /** A destroyed source tells of nothing any more, but what it had read while paused is still owed. */
  forwardLeftovers(): void {
    const leftovers = this.source.takeLeftovers()
    if (leftovers.length === 0) return
    const owed = Buffer.concat(leftovers)
    if (this.pending > 0) this.#owed = owed
    else this.#send(owed)
  }

  finReceived(): void {
    this.#relay.finReceived(this)
  }

  lost(error: NodeJS.ErrnoException): void {
    this.#relay.lost(this, error)
  }

  closed(): void {
    this.#relay.closed(this)
  }

  received(bytes: Buffer): void {
    if (!this.#send(bytes)) this.source.pause()
  }

  filled(length: number, buffer: Buffer): Buffer | undefined {
    const large = this.#large
    return large === undefined ? this.#forwardCommon(length) : this.#forwardLarge(length, buffer, large)
  }

  /**
   * The common buffer belongs to the next socket as soon as this returns, so what is sent is a copy. When it was filled
   * there is more to come, and that is read into a large buffer of its own.
   */
  #forwardCommon(length: number): Buffer | undefined {
    const copied = stagingPrefixes.of(length)
    copied.set(commonPrefixes.of(length))
    if (this.#send(copied)) return length === COMMON_SIZE ? this.#moreToCome() : undefined
    this.source.pause()
    const lent = staging
    this.#loan = () => stagingBuffers.giveBack(lent)
    staging = lendStaging()
    stagingPrefixes.moveTo(staging)
    return undefined
  }

  /** When all large buffers are lent, a stream that fills the common one waits for its turn after each time. */
  #moreToCome(): Buffer | undefined {
    this.#large = lendLarge(this)
    if (this.#large !== undefined) return allowance(this.#large)
    this.source.pause()
    waitForTurn(this, COMMON_SIZE)
    return undefined
  }

  /**
   * Who has filled a large buffer waits until all others had their turn; beside other fast streams, who has read much waits, too. The
   * buffer is given back at once, so that the next one reads into memory that is still in the processor's caches; only a stream that is
   * alone and fills it keeps it.
   */
  #forwardLarge(length: number, buffer: Buffer, large: LargeBuffer): Buffer | undefined {
    // The kernel still takes bytes from it, and nothing is read until it has them all.
    if (!this.#send(buffer.subarray(0, length))) {
      this.source.pause()
      this.#loan = () => giveBackLarge(large)
      this.#large = undefined
      return commonBuffer
    }
    const isFull = length === buffer.length
    const isAlone = isOnlyFastReader()
    if (isFull || (!isAlone && length >= COMMON_SIZE)) {
      this.source.pause()
      waitForTurn(this, Math.min(length, TURN_BYTES))
      if (isFull && isAlone) return allowance(large)
    }
    if (length < COMMON_SIZE) isFastNoMore(this)
    this.#releaseLarge()
    return commonBuffer
  }

  #releaseLarge(): void {
    if (this.#large === undefined) return
    giveBackLarge(this.#large)
    this.#large = undefined
  }

  goOn(): void {
    this.#relay.mayGoOn(this)
  }

  reclaimLarge(): void {
    if (this.#large !== undefined && this.source.replaceBuffer(commonBuffer)) this.#releaseLarge()
  }

  /** Gives everything borrowed back; for when both sockets are closed. */
  release(): void {
    isFastNoMore(this)
    this.#releaseLarge()
    this.#returnLoan()
  }

  #returnLoan(): void {
    this.#loan?.()
    this.#loan = undefined
  }

  /** False when the destination did not take all of it, and the source has to wait: never more than one chunk is held. */
  #send(bytes: Buffer): boolean {
    const { destination } = this
    if (destination.ended || destination.destroyed) return true
    if (destination.send(bytes, this)) {
      this.#count(bytes.length)
      return true
    }
    this.pending = bytes.length
    return false
  }

  sent(failed: boolean): void {
    this.#returnLoan()
    const { pending } = this
    if (failed || pending === 0) return
    this.#count(pending)
    this.pending = 0
    const owed = this.#owed
    this.#owed = undefined
    if (owed === undefined || this.#send(owed)) this.#relay.flushed(this, pending)
  }

  #count(bytes: number): void {
    this.delivered += bytes
    if (this.from === 'client') this.#totals.bytesFromClient += bytes
    else this.#totals.bytesFromTarget += bytes
  }
}
