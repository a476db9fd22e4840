import type { Socket } from 'node:net'
import { BufferPool } from './buffer-pool.ts'
import { resetSocket } from './reset.ts'
import { whenAcknowledged } from './send-queue.ts'
import { isResetInDisguise, readIntoUserBuffer, replaceUserBuffer, unsentBytes } from './socket-internals.ts'

/** The two ends of a relay: who connected to us, and whom we connected to. */
export type Side = 'client' | 'target'

export interface RelayLimits {
  /** Milliseconds without a byte in either direction before both sides are reset; 0 = off. */
  idleTimeoutMs: number
  /**
   * Milliseconds without a byte, counted from the first FIN (or from the loss of one side while the other still
   * has bytes to take), before the pair is reaped; 0 = off. Silent streams that are open both ways are untouched.
   */
  halfCloseTimeoutMs: number
}

/** Why and how a relay ended. The first cause wins: a reset that follows a timeout does not rename it. */
export type RelayEnd = {
  /**
   * - `finished`: both sides sent FIN and got everything.
   * - `reset`: one side went away abruptly (RST, or a write to it failed with EPIPE).
   * - `error`: one side failed otherwise, e.g. ETIMEDOUT from keepalive.
   * - `idle-timeout`, `half-close-timeout`: see {@link RelayLimits}.
   * - `stopped`: by {@link Relay.stop}, or somebody else destroyed a socket of ours.
   */
  cause: 'finished' | 'reset' | 'error' | 'idle-timeout' | 'half-close-timeout' | 'stopped'
  /**
   * Who caused it: for `finished` the side whose FIN came first, for `half-close-timeout` the side that was still
   * open, for `reset` and `error` the side that failed; undefined for the others.
   */
  side: Side | undefined
  error: NodeJS.ErrnoException | undefined
  bytesFromClient: number
  bytesFromTarget: number
}

export interface Relay {
  /** Bytes from the client that the target's kernel has taken; live. */
  readonly bytesFromClient: number
  /** Bytes from the target that the client's kernel has taken; live. */
  readonly bytesFromTarget: number
  /** Bytes read from one side and not yet taken by the other side's kernel, both directions together. */
  readonly bufferedBytes: number
  /** Ends both sides now, with a reset. Does nothing when the relay is ending already by itself and both are gone. */
  stop(): void
}

/** Process-wide live counters; every relay adds to them in place, as {@link Relay.bytesFromClient} counts. */
export interface RelayTotals {
  bytesFromClient: number
  bytesFromTarget: number
}

/**
 * Relays bytes between two connected sockets until both are closed, keeping TCP's own meaning:
 *
 * - A FIN is passed on as a FIN once that direction is flushed; the other direction stays open.
 * - A RST is passed on as a RST, but not before the bytes already read have arrived at the other side.
 * - A side that does not read stops the other one from being read: at most about two buffers are held.
 *
 * Both sockets must have been created with `allowHalfOpen: true` and not been read from (`pauseOnConnect: true` for
 * the accepted one). They belong to the relay from here on. Nothing is thrown and every 'error' is handled; `onEnd`
 * is called exactly once, never before this function returned, when both sockets are closed.
 */
export function startRelay(
  client: Socket,
  target: Socket,
  limits: RelayLimits,
  totals: RelayTotals,
  onEnd: (end: RelayEnd) => void,
): Relay {
  const relay = new SocketRelay(client, target, limits, totals, onEnd)
  relay.start('fastest')
  return relay
}

/**
 * {@link startRelay} by Node's public interface alone: the same behaviour for about twice the processor time. It is
 * what `startRelay` itself falls back to for sockets, or on a Node, that cannot do better.
 */
export const startPlainRelay: typeof startRelay = (client, target, limits, totals, onEnd) => {
  const relay = new SocketRelay(client, target, limits, totals, onEnd)
  relay.start('plain')
  return relay
}

/** What a relay is doing. Only ever moves downwards. */
type Phase =
  | { kind: 'relaying' }
  /** At least one FIN was passed on; `first` sent it. */
  | { kind: 'half-closed'; first: Side }
  /** It failed or was stopped. What the surviving side is still owed is being delivered, then it is reset. */
  | { kind: 'ending'; cause: RelayEnd['cause']; side: Side | undefined; error: RelayEnd['error'] }

class SocketRelay implements Relay {
  readonly #fromClient: Direction
  readonly #fromTarget: Direction
  readonly #limits: RelayLimits
  readonly #onEnd: (end: RelayEnd) => void
  #phase: Phase = { kind: 'relaying' }
  #closedSockets = 0
  #silence: SilenceTimer | undefined

  constructor(
    client: Socket,
    target: Socket,
    limits: RelayLimits,
    totals: RelayTotals,
    onEnd: (end: RelayEnd) => void,
  ) {
    const flushed = (direction: Direction) => this.#flushed(direction)
    this.#fromClient = new Direction('client', client, target, totals, flushed)
    this.#fromTarget = new Direction('target', target, client, totals, flushed)
    this.#limits = limits
    this.#onEnd = onEnd
  }

  get bytesFromClient(): number {
    return this.#fromClient.delivered
  }

  get bytesFromTarget(): number {
    return this.#fromTarget.delivered
  }

  get bufferedBytes(): number {
    return this.#fromClient.buffered + this.#fromTarget.buffered
  }

  start(way: Way): void {
    this.#watch(this.#fromClient)
    this.#watch(this.#fromTarget)
    this.#armSilenceTimer()
    this.#fromClient.start(way)
    this.#fromTarget.start(way)
  }

  stop(): void {
    this.#end({ cause: 'stopped', side: undefined, error: undefined })
    resetSocket(this.#fromClient.source)
    resetSocket(this.#fromTarget.source)
  }

  /** The direction whose bytes go to where `direction` gets its bytes from. */
  #opposite(direction: Direction): Direction {
    return direction === this.#fromClient ? this.#fromTarget : this.#fromClient
  }

  #watch(direction: Direction): void {
    const { source } = direction
    source.on('error', (error: NodeJS.ErrnoException) => this.#lost(direction, error))
    source.on('end', () => this.#finReceived(direction))
    // Whoever had it before may have read as far as the FIN.
    if (source.readableEnded) queueMicrotask(() => this.#finReceived(direction))
    if (source.closed) queueMicrotask(() => this.#closed(direction))
    else source.once('close', () => this.#closed(direction))
  }

  #finReceived(direction: Direction): void {
    if (this.#phase.kind === 'ending') return
    if (isResetInDisguise(direction.source)) {
      this.#lost(direction, resetError())
      return
    }
    if (this.#phase.kind === 'relaying') {
      this.#phase = { kind: 'half-closed', first: direction.from }
      this.#armSilenceTimer()
    }
    direction.destination.end()
  }

  /** A side is gone, without an error when somebody else destroyed it. The other one gets what was read from it, and then a reset. */
  #lost(direction: Direction, error: NodeJS.ErrnoException | undefined): void {
    if (this.#phase.kind === 'ending') return
    if (error === undefined) this.#end({ cause: 'stopped', side: undefined, error })
    else this.#end({ cause: causeOf(error), side: direction.from, error })
    direction.source.destroy()
    direction.forwardLeftovers()
    const survivor = this.#opposite(direction)
    if (direction.destination.writableEnded) survivor.discard()
    else survivor.pause()
    if (direction.pending === 0) this.#flushed(direction)
  }

  #end(ending: Omit<Extract<Phase, { kind: 'ending' }>, 'kind'>): void {
    if (this.#phase.kind === 'ending') return
    this.#phase = { kind: 'ending', ...ending }
    this.#armSilenceTimer()
  }

  /** Everything read in this direction has been taken by the destination's kernel. */
  #flushed(direction: Direction): void {
    if (this.#phase.kind !== 'ending') {
      direction.resume()
      return
    }
    // A destination that was sent its FIN has got a complete stream, and a reset could take the end of it away
    // again. It may finish what it sends (into the void) instead; the silence timer bounds that.
    const { destination } = direction
    if (destination.writableEnded) return
    if (direction.delivered === 0) resetSocket(destination)
    else whenAcknowledged(destination, () => resetSocket(destination))
  }

  #closed(direction: Direction): void {
    this.#closedSockets += 1
    if (this.#closedSockets < 2) {
      if (!direction.isOver || !this.#opposite(direction).isOver) this.#lost(direction, undefined)
      return
    }
    this.#silence?.cancel()
    this.#fromClient.release()
    this.#fromTarget.release()
    this.#onEnd(this.#summary())
  }

  #summary(): RelayEnd {
    const { bytesFromClient, bytesFromTarget } = this
    switch (this.#phase.kind) {
      case 'ending': {
        const { cause, side, error } = this.#phase
        return { cause, side, error, bytesFromClient, bytesFromTarget }
      }
      case 'half-closed':
        return {
          cause: 'finished',
          side: this.#phase.first,
          error: undefined,
          bytesFromClient,
          bytesFromTarget,
        }
      case 'relaying':
        return { cause: 'stopped', side: undefined, error: undefined, bytesFromClient, bytesFromTarget }
    }
  }

  /** Starts counting silence afresh, against the limit of the phase we are in. */
  #armSilenceTimer(): void {
    this.#silence?.cancel()
    const { idleTimeoutMs, halfCloseTimeoutMs } = this.#limits
    const candidates = this.#phase.kind === 'relaying' ? [idleTimeoutMs] : [idleTimeoutMs, halfCloseTimeoutMs]
    const limit = Math.min(...candidates.filter((candidate) => candidate > 0))
    this.#silence = Number.isFinite(limit)
      ? new SilenceTimer(
          limit,
          () => this.#fromClient.progress + this.#fromTarget.progress,
          () => this.#silenceExceeded(limit),
        )
      : undefined
  }

  #silenceExceeded(limit: number): void {
    const isHalfClose = this.#phase.kind !== 'relaying' && limit !== this.#limits.idleTimeoutMs
    const stillOpen = this.#fromClient.isOver ? 'target' : 'client'
    this.#end(
      isHalfClose
        ? { cause: 'half-close-timeout', side: stillOpen, error: undefined }
        : { cause: 'idle-timeout', side: undefined, error: undefined },
    )
    abandonSocket(this.#fromClient.source)
    abandonSocket(this.#fromTarget.source)
  }
}

/** How bytes get out of a source: into buffers of ours where that works, or by 'data' events. */
type Way = 'fastest' | 'plain'

/** One way through a relay: from its source's reader to its destination's writer. */
class Direction {
  /** Bytes the destination's kernel has taken. */
  delivered = 0
  /** Bytes handed to the destination's socket that its kernel has not taken yet. */
  pending = 0
  readonly from: Side
  readonly source: Socket
  readonly destination: Socket
  readonly #totals: RelayTotals
  readonly #onFlushed: (direction: Direction) => void
  /** What {@link pending} is in, when that was borrowed. */
  #loan: Loan | undefined
  /** The large buffer the next read goes to. */
  #large: Buffer | undefined
  #discarding = false

  constructor(
    from: Side,
    source: Socket,
    destination: Socket,
    totals: RelayTotals,
    onFlushed: (direction: Direction) => void,
  ) {
    this.from = from
    this.source = source
    this.destination = destination
    this.#totals = totals
    this.#onFlushed = onFlushed
  }

  get buffered(): number {
    return this.source.readableLength + (this.destination.destroyed ? 0 : this.pending)
  }

  /** The FIN was read and has been passed on. */
  get isOver(): boolean {
    return this.source.readableEnded && this.destination.writableEnded
  }

  /**
   * A number that changes whenever a byte moved: one was read, or the kernel took a part of a pending write. Without
   * the latter a slow reader that is busy with one large write would look silent. Reads weigh double so that reading
   * and queueing the same bytes does not cancel out.
   */
  get progress(): number {
    return 2 * (this.delivered + this.pending) - unsentBytes(this.destination)
  }

  start(way: Way): void {
    const { source } = this
    if (way === 'plain' || !readIntoUserBuffer(source, commonBuffer, this.#forwardRead, chosenNextBuffer)) {
      source.on('data', this.#forward)
      source.resume()
      return
    }
    // A socket that net.connect made reads from the moment it is connected, and that was not into our buffer.
    if (source.readableLength > 0) this.#forwardReadAhead()
    if (this.pending > 0) source.pause()
    else source.resume()
  }

  pause(): void {
    this.source.pause()
  }

  resume(): void {
    this.source.resume()
  }

  /** Reads on, but drops what comes: unread bytes would turn the later close into a reset. */
  discard(): void {
    this.#discarding = true
    this.source.resume()
  }

  /** A destroyed source emits no 'data' any more, but what it had read while paused is still owed. */
  forwardLeftovers(): void {
    this.source.off('data', this.#forward)
    this.#forwardReadAhead()
  }

  #forwardReadAhead(): void {
    for (let chunk = this.source.read(); chunk !== null; chunk = this.source.read()) this.#forward(chunk)
  }

  #forward = (chunk: Buffer): void => {
    if (!this.#send(chunk)) this.source.pause()
  }

  #forwardRead = (length: number, buffer: Buffer): boolean => {
    nextBuffer = undefined
    return buffer === commonBuffer ? this.#forwardCommon(length) : this.#forwardBorrowed(length, buffer)
  }

  /**
   * The common buffer belongs to the next socket as soon as this returns, so what is sent is a copy. When it was filled
   * there is more to come, and that is read into a large buffer of its own.
   */
  #forwardCommon(length: number): boolean {
    staging.set(length === COMMON_SIZE ? commonBuffer : commonBuffer.subarray(0, length))
    if (this.#send(staging.subarray(0, length))) {
      if (length === COMMON_SIZE) this.#borrowLarge()
      return true
    }
    this.#loan = { buffer: staging, pool: stagingBuffers }
    staging = lendStaging()
    return false
  }

  #borrowLarge(): void {
    nextBuffer = this.#large = largeBuffers.lend()
    if (this.#large) watchLargeBuffer(this)
  }

  /** A large buffer is kept only for as long as it gets filled, so that no silent connection holds one. */
  #forwardBorrowed(length: number, buffer: Buffer): boolean {
    const sent = this.#send(buffer.subarray(0, length))
    if (sent && length === buffer.length) return true
    nextBuffer = commonBuffer
    if (sent) {
      this.#releaseLarge()
    } else {
      this.#loan = { buffer, pool: largeBuffers }
      this.#large = undefined
      largeBufferHolders.delete(this)
    }
    return sent
  }

  #releaseLarge(): void {
    if (this.#large) largeBuffers.giveBack(this.#large)
    this.#large = undefined
    largeBufferHolders.delete(this)
  }

  /** Takes the large buffer away from a source that fell silent right after it was given one. */
  reclaimLarge(): void {
    if (replaceUserBuffer(this.source, commonBuffer)) this.#releaseLarge()
  }

  /** Gives everything borrowed back; for when both sockets are closed. */
  release(): void {
    this.#releaseLarge()
    this.#returnLoan()
  }

  #returnLoan(): void {
    this.#loan?.pool.giveBack(this.#loan.buffer)
    this.#loan = undefined
  }

  /** False when the destination did not take all of it, and the source has to wait. */
  #send(chunk: Buffer): boolean {
    const { destination } = this
    if (this.#discarding || !destination.writable) return true
    destination.write(chunk, this.#written)
    // Zero right after the write: the kernel took it all at once. Anything else waits for room, and so does the
    // source, so that never more than this chunk is held.
    if (destination.writableLength === 0) {
      this.#count(chunk.length)
      return true
    }
    this.pending += chunk.length
    return false
  }

  #written = (error?: Error | null): void => {
    if (this.pending === 0 || this.destination.writableLength > 0) return
    this.#returnLoan()
    // A write that a destroyed socket cancelled is reported as done on some versions of Node.
    if (error || this.destination.destroyed) return
    this.#count(this.pending)
    this.pending = 0
    this.#onFlushed(this)
  }

  #count(bytes: number): void {
    this.delivered += bytes
    if (this.from === 'client') this.#totals.bytesFromClient += bytes
    else this.#totals.bytesFromTarget += bytes
  }
}

interface Loan {
  buffer: Buffer
  pool: BufferPool
}

// One thread, and the kernel fills a buffer in the same breath in which we are told of it: so all sockets share one
// buffer to be read into, and a connection that is silent, or sends little, holds none.
const COMMON_SIZE = 64 * 1024
const commonBuffer = Buffer.allocUnsafeSlow(COMMON_SIZE)

/** What the common buffer is copied to. Whoever's write cannot be completed at once keeps it until then. */
const stagingBuffers = new BufferPool({ size: COMMON_SIZE, keep: 32 })
const lendStaging = () => stagingBuffers.lend() ?? Buffer.allocUnsafeSlow(COMMON_SIZE)
let staging = lendStaging()

/** For streams that fill the common buffer. Limited, or many stalled receivers would hold one each. */
const largeBuffers = new BufferPool({ size: 1024 * 1024, keep: 4, limit: 32 })

/**
 * A stream that stops exactly when the common buffer was full leaves its source waiting with a large one, and no read
 * to notice it by. Those are taken back after a while.
 */
const largeBufferHolders = new Map<Direction, number>()
const RECLAIM_INTERVAL_MS = 1000
let reclaimTimer: NodeJS.Timeout | undefined

function watchLargeBuffer(holder: Direction): void {
  largeBufferHolders.set(holder, holder.progress)
  reclaimTimer ??= setInterval(reclaimLargeBuffers, RECLAIM_INTERVAL_MS).unref()
}

function reclaimLargeBuffers(): void {
  if (largeBufferHolders.size === 0) {
    clearInterval(reclaimTimer)
    reclaimTimer = undefined
  }
  for (const [holder, progress] of largeBufferHolders) {
    if (holder.progress === progress) holder.reclaimLarge()
    else largeBufferHolders.set(holder, holder.progress)
  }
}

/** Where the socket whose read is being handled shall read next; undefined = where it did. */
let nextBuffer: Buffer | undefined
const chosenNextBuffer = () => nextBuffer

/** Silence is looked for this often per limit; a limit is overrun by at most one such part. */
const CHECKS_PER_LIMIT = 4
const LONGEST_TIMER_MS = 2 ** 31 - 1

/**
 * Calls back when `progress` has not changed for a limit. Nothing is re-armed per chunk. It counts checks, not wall
 * time: after the process was suspended, what waits in the kernel is read before the next check can call it silence.
 */
class SilenceTimer {
  #timer: NodeJS.Timeout
  #silentChecks = 0
  #lastProgress: number

  readonly #progress: () => number

  constructor(limitMs: number, progress: () => number, onSilence: () => void) {
    this.#progress = progress
    this.#lastProgress = progress()
    const interval = Math.min(Math.ceil(limitMs / CHECKS_PER_LIMIT), LONGEST_TIMER_MS)
    this.#timer = setInterval(() => {
      if (this.#check() < CHECKS_PER_LIMIT) return
      this.cancel()
      onSilence()
    }, interval)
  }

  cancel(): void {
    clearInterval(this.#timer)
  }

  #check(): number {
    const progress = this.#progress()
    this.#silentChecks = progress === this.#lastProgress ? this.#silentChecks + 1 : 0
    this.#lastProgress = progress
    return this.#silentChecks
  }
}

function resetError(): NodeJS.ErrnoException {
  return Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', syscall: 'read' })
}

function causeOf(error: NodeJS.ErrnoException): 'reset' | 'error' {
  return error.code === 'ECONNRESET' || error.code === 'EPIPE' ? 'reset' : 'error'
}

/** Closes a socket that was silent for too long. One that already got its FIN keeps what the kernel still sends it. */
function abandonSocket(socket: Socket): void {
  if (socket.writableFinished) socket.destroy()
  else resetSocket(socket)
}
