import { mayBeEphemeral } from '../../os/ephemeral-ports.ts'
import type { RelaySocket } from '../relay/relay-socket.ts'
import { addWaiter, removeWaiter, type Waiter } from './deadlines.ts'
import { type ConnectListener, type Opening, openConnection } from './open-connection.ts'

/** A connected target, not read from yet. */
export interface Connected {
  readonly socket: RelaySocket
  readonly address: string
}

export interface ConnectFailure {
  readonly address: string
  readonly error: Error
  /** This machine's kernel refused at once, without a packet sent. */
  readonly isLocal: boolean
}

/** The time that something has, in ms of `performance.now()`. */
export interface Span {
  readonly from: number
  /** Infinity = as long as resolver and kernel try. */
  readonly until: number
}

export interface RaceCourse {
  /** IP addresses, or `unix:/path`; at least one. */
  readonly addresses: readonly string[]
  readonly port: number
  readonly span: Span
}

/** Told once whether it was won or lost, and never within the call that begins. */
export interface RaceListener {
  /** Told at most once, before the end, when the first address is still silent after `nextAddressAfterMs`. */
  slow(): void
  won(connected: Connected): void
  /** @param failures fewer than addresses when time was up. */
  lost(failures: readonly ConnectFailure[]): void
}

/**
 * ms after which the next address is tried while the one before is still silent, RFC 8305 (Happy Eyeballs) section 5. Earlier
 * attempts go on; the first to answer wins.
 */
const nextAddressAfterMs = 250

/** Connects to whichever address answers first; attempts run into each other's heels. */
export class ConnectRace implements Waiter {
  listedBefore: Waiter | undefined
  listedAfter: Waiter | undefined
  /** Of the next address, or of the whole race. */
  deadline: number
  readonly #course: RaceCourse
  readonly #listener: RaceListener
  /** Still on their way. */
  readonly #attempts: Attempt[] = []
  readonly #failures: ConnectFailure[] = []
  #next = 0
  #isSlow = false
  #isOver = false

  constructor(course: RaceCourse, listener: RaceListener) {
    this.#course = course
    this.#listener = listener
    this.deadline = course.span.until
  }

  start(): void {
    addWaiter(this)
    this.#attemptNext(this.#course.span.from)
  }

  /** Ends it: nobody is told anything then. */
  giveUp(): void {
    this.#isOver = true
    removeWaiter(this)
    for (const attempt of this.#attempts) attempt.giveUp()
  }

  /** For an attempt. */
  connected(attempt: Attempt, socket: RelaySocket): void {
    const { address } = attempt
    const { port } = this.#course
    if (isSelfConnected(socket, port)) {
      socket.destroy()
      return this.failed(attempt, selfConnectedError(port))
    }
    this.#forget(attempt)
    this.giveUp()
    this.#listener.won({ socket, address })
  }

  /** For an attempt. */
  failed(attempt: Attempt, error: Error): void {
    this.#forget(attempt)
    const { isLocal = false } = error as { isLocal?: boolean }
    this.#failures.push({ address: attempt.address, error, isLocal })
    if (this.#next < this.#course.addresses.length) return this.#attemptNext(performance.now())
    if (this.#attempts.length === 0) this.#lose()
  }

  #forget(attempt: Attempt): void {
    this.#attempts.splice(this.#attempts.indexOf(attempt), 1)
  }

  #lose(): void {
    this.giveUp()
    this.#listener.lost(this.#failures)
  }

  #attemptNext(now: number): void {
    const { addresses, port } = this.#course
    const address = addresses[this.#next]
    if (address === undefined) return
    this.#next++
    this.#attempts.push(new Attempt(this, address, port))
    this.#setDeadline(now)
  }

  #setDeadline(now: number): void {
    const { addresses, span } = this.#course
    const isLast = this.#isSlow && this.#next >= addresses.length
    this.deadline = isLast ? span.until : Math.min(span.until, now + nextAddressAfterMs)
  }

  deadlinePassed(): void {
    const now = performance.now()
    if (now >= this.#course.span.until) return this.#lose()
    if (!this.#isSlow) {
      this.#isSlow = true
      this.#listener.slow()
      // Whoever heard that may have given up.
      if (this.#isOver) return
    }
    if (this.#next < this.#course.addresses.length) this.#attemptNext(now)
    else this.#setDeadline(now)
  }
}

/** One address of a race. */
class Attempt implements ConnectListener {
  readonly address: string
  readonly #race: ConnectRace
  readonly #opening: Opening

  constructor(race: ConnectRace, address: string, port: number) {
    this.#race = race
    this.address = address
    this.#opening = openConnection(address, port, this)
  }

  giveUp(): void {
    this.#opening.giveUp()
  }

  connected(socket: RelaySocket): void {
    this.#race.connected(this, socket)
  }

  failed(error: Error): void {
    this.#race.failed(this, error)
  }
}

/**
 * A connect to a free port of the ephemeral range can meet its own source port: the kernel then connects the socket with itself
 * although nobody listens there (TCP simultaneous open, RFC 9293 section 3.5). A Unix socket has no ports.
 */
export function isSelfConnected(socket: Pick<RelaySocket, 'local' | 'remote'>, port: number): boolean {
  if (!mayBeEphemeral(port)) return false
  const { local } = socket
  // The other end's address is a system call more, and only ever needed when the ports are the same.
  return local !== undefined && local.port === port && local.address === socket.remote?.address
}

function selfConnectedError(port: number): Error {
  return Object.assign(new Error(`nobody listens on port ${port}: the socket met itself`), {
    code: 'ECONNREFUSED',
  })
}
