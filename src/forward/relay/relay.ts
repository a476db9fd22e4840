/**
 * relay/: moves bytes between two connected sockets. No logging, allocation or event for a chunk.
 *
 *   RelaySocket (bare-socket.ts on the system's handle, or stream-socket.ts around a socket of Node) -> Direction, twice -> Relay
 *
 * fast-streams.ts lends large buffers and gives fast streams their turns. libuv.ts holds everything undocumented in Node, checks it before
 * use, and so decides which kind of socket there is; whatever else touches the inside of Node belongs there.
 */
import { isLoopback } from '../../os/interfaces.ts'
import { COMMON_SIZE, Direction, type DirectionListener, type RelayTotals, type Side } from './direction.ts'
import { TURN_BYTES, waitForTurn } from './fast-streams.ts'
import type { RelaySocket } from './relay-socket.ts'
import { type SilenceWatch, watchSilence } from './silence.ts'

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

/**
 * Relays bytes between two connected sockets until both are closed, keeping TCP's own meaning:
 *
 * - A FIN is passed on as a FIN once that direction is flushed; the other direction stays open.
 * - A RST is passed on as a RST, but not before the bytes already read have arrived at the other side.
 * - A side that does not read stops the other one from being read: at most {@link COMMON_SIZE} and `LARGE_BYTES` are held in a direction.
 *
 * Both sockets belong to the relay from here on. Nothing is thrown; `onEnd` is called exactly once, never before this function returned,
 * when both sockets are closed.
 */
export function startRelay(
  client: RelaySocket,
  target: RelaySocket,
  limits: RelayLimits,
  totals: RelayTotals,
  onEnd: (end: RelayEnd) => void,
): Relay {
  const relay = new SocketRelay(client, target, limits, totals, onEnd)
  relay.start()
  return relay
}

/** What a relay is doing. Only ever moves downwards. */
type Phase =
  | { kind: 'relaying' }
  /** At least one FIN was passed on; `first` sent it. */
  | { kind: 'half-closed'; first: Side }
  /** It failed or was stopped. What the surviving side is still owed is being delivered, then it is reset. */
  | { kind: 'ending'; cause: RelayEnd['cause']; side: Side | undefined; error: RelayEnd['error'] }

const relaying: Phase = { kind: 'relaying' }
const halfClosedByClient: Phase = { kind: 'half-closed', first: 'client' }
const halfClosedByTarget: Phase = { kind: 'half-closed', first: 'target' }

class SocketRelay implements Relay, DirectionListener {
  readonly #fromClient: Direction
  readonly #fromTarget: Direction
  readonly #limits: RelayLimits
  readonly #onEnd: (end: RelayEnd) => void
  #phase: Phase = relaying
  #closedSockets = 0
  #silence: SilenceWatch | undefined

  constructor(
    client: RelaySocket,
    target: RelaySocket,
    limits: RelayLimits,
    totals: RelayTotals,
    onEnd: (end: RelayEnd) => void,
  ) {
    this.#fromClient = new Direction(this, 'client', client, target, totals)
    this.#fromTarget = new Direction(this, 'target', target, client, totals)
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

  /** Changes whenever a byte moved in either direction. */
  get progress(): number {
    return this.#fromClient.progress + this.#fromTarget.progress
  }

  start(): void {
    this.#watchSilence()
    this.#fromClient.start()
    this.#fromTarget.start()
  }

  stop(): void {
    this.#end({ cause: 'stopped', side: undefined, error: undefined })
    this.#fromClient.source.reset()
    this.#fromTarget.source.reset()
  }

  /** The direction whose bytes go to where `direction` gets its bytes from. */
  #opposite(direction: Direction): Direction {
    return direction === this.#fromClient ? this.#fromTarget : this.#fromClient
  }

  finReceived(direction: Direction): void {
    if (this.#phase.kind === 'ending') return
    if (this.#phase.kind === 'relaying') {
      this.#phase = direction.from === 'client' ? halfClosedByClient : halfClosedByTarget
      this.#watchSilence()
    }
    direction.destination.end()
  }

  /**
   * A side is gone, without an error when somebody else destroyed it. The other one gets what was read from it, and then a reset, also
   * after a FIN: who sends without end to somebody who is gone must learn of it, as it would without us. What it has acknowledged it can
   * still read.
   */
  lost(direction: Direction, error: NodeJS.ErrnoException | undefined): void {
    // The survivor of an ending fails as well: nobody is owed anything any more.
    if (this.#phase.kind === 'ending') return direction.source.destroy()
    if (error === undefined) this.#end({ cause: 'stopped', side: undefined, error })
    else this.#end({ cause: causeOf(error), side: direction.from, error })
    direction.source.destroy()
    direction.forwardLeftovers()
    direction.destination.pause()
    if (direction.pending === 0) this.flushed(direction)
  }

  #end(ending: Omit<Extract<Phase, { kind: 'ending' }>, 'kind'>): void {
    if (this.#phase.kind === 'ending') return
    this.#phase = { kind: 'ending', ...ending }
    this.#watchSilence()
  }

  mayGoOn({ source }: Direction): void {
    if (this.#phase.kind !== 'ending') source.resume()
  }

  flushed(direction: Direction, bytes = 0): void {
    if (this.#phase.kind !== 'ending') {
      if (bytes > COMMON_SIZE) return waitForTurn(direction, Math.min(bytes, TURN_BYTES))
      return direction.source.resume()
    }
    const { destination } = direction
    if (direction.delivered === 0 || hasArrived(direction.delivered, destination)) destination.reset()
    else destination.whenAcknowledged(() => destination.reset())
  }

  closed(direction: Direction): void {
    this.#closedSockets += 1
    if (this.#closedSockets < 2) {
      if (!direction.isOver || !this.#opposite(direction).isOver) this.lost(direction, undefined)
      return
    }
    this.#silence?.stop()
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
      case 'half-closed': {
        const { first } = this.#phase
        return { cause: 'finished', side: first, error: undefined, bytesFromClient, bytesFromTarget }
      }
      case 'relaying':
        return { cause: 'stopped', side: undefined, error: undefined, bytesFromClient, bytesFromTarget }
    }
  }

  /** Counts silence afresh, against the limit of the phase we are in. */
  #watchSilence(): void {
    const { idleTimeoutMs, halfCloseTimeoutMs } = this.#limits
    const limit = this.#phase.kind === 'relaying' ? idleTimeoutMs : shorter(idleTimeoutMs, halfCloseTimeoutMs)
    this.#silence?.stop()
    this.#silence = limit > 0 ? watchSilence(limit, this) : undefined
  }

  silent(limit: number): void {
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

/**
 * True when all that was ever sent to this end of a connection is there by now. On one machine the kernel puts what it sends into the
 * receiver's queue at once, and so few bytes are within the first window of any receiver.
 */
function hasArrived(bytes: number, { local, remote }: RelaySocket): boolean {
  if (bytes > leastFirstWindow || local === undefined || remote === undefined) return false
  return local.address === remote.address || isLoopback(remote.address)
}

/** Bytes that a receiver on this machine takes before its first acknowledgement, however small it has made its buffer. */
const leastFirstWindow = 2048

function causeOf(error: NodeJS.ErrnoException): 'reset' | 'error' {
  return error.code === 'ECONNRESET' || error.code === 'EPIPE' ? 'reset' : 'error'
}

/** Closes a socket that was silent for too long. One that already got its FIN keeps what the kernel still sends it. */
function abandonSocket(socket: RelaySocket): void {
  if (socket.finished) socket.destroy()
  else socket.reset()
}

/** Of two limits, where 0 = none. */
function shorter(one: number, other: number): number {
  return one === 0 || other === 0 ? one + other : Math.min(one, other)
}
