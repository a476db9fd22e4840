import { mayBeEphemeral } from '../../os/ephemeral-ports.ts'
import type { RelaySocket } from '../relay/relay-socket.ts'
import { openConnection } from './open-connection.ts'

/** A connected target, not read from yet. */
export interface Connected {
  readonly socket: RelaySocket
  readonly address: string
}

export interface ConnectFailure {
  readonly address: string
  readonly error: Error
}

export interface ConnectRace {
  /** IP addresses, or `unix:/path`; at least one. */
  readonly addresses: readonly string[]
  readonly port: number
  /** Infinity = as long as the kernel tries. */
  readonly timeoutMs: number
  /** Told once when the first address is still silent after `nextAddressAfterMs`. */
  readonly onSlow: () => void
}

/**
 * ms after which the next address is tried while the one before is still silent, RFC 8305 (Happy Eyeballs) section 5. Earlier
 * attempts go on; the first to answer wins.
 */
const nextAddressAfterMs = 250

/**
 * Connects to whichever address answers first; attempts run into each other's heels. One timer serves the next address and the
 * whole timeout.
 * @param outcome told once, never within this call: the winner, or the failures; fewer than addresses when time was up.
 * @returns a function that gives up: the outcome is then never told.
 */
export function raceToConnect(
  { addresses, port, timeoutMs, onSlow }: ConnectRace,
  outcome: (failures: readonly ConnectFailure[], connected: Connected | undefined) => void,
): () => void {
  const deadline = performance.now() + timeoutMs
  const attempts = new Set<{ giveUp(): void }>()
  const failures: ConnectFailure[] = []
  let next = 0
  let slow = false
  let over = false
  let timer: NodeJS.Timeout | undefined

  const finish = () => {
    over = true
    clearTimeout(timer)
    for (const attempt of attempts) attempt.giveUp()
  }
  const attemptNext = () => {
    const address = addresses[next]
    if (address === undefined) return
    next++
    attempt(address)
    armTimer()
  }
  const armTimer = () => {
    clearTimeout(timer)
    const left = deadline - performance.now()
    const wait = slow && next >= addresses.length ? left : Math.min(left, nextAddressAfterMs)
    timer = Number.isFinite(wait) ? setTimeout(timerFired, Math.max(1, wait)) : undefined
  }
  const timerFired = () => {
    if (performance.now() >= deadline - 1) {
      finish()
      return outcome(failures, undefined)
    }
    if (!slow) {
      slow = true
      onSlow()
      // Whoever heard that may have given up.
      if (over) return
    }
    if (next < addresses.length) attemptNext()
    else armTimer()
  }
  const attempt = (address: string) => {
    const failed = (error: Error) => {
      attempts.delete(opening)
      failures.push({ address, error })
      if (next < addresses.length) return attemptNext()
      if (attempts.size > 0) return
      finish()
      outcome(failures, undefined)
    }
    const connected = (socket: RelaySocket) => {
      if (isSelfConnected(socket, port)) {
        socket.destroy()
        return failed(selfConnectedError(port))
      }
      attempts.delete(opening)
      finish()
      outcome(failures, { socket, address })
    }
    const opening = openConnection(address, port, { connected, failed })
    attempts.add(opening)
  }
  attemptNext()
  return finish
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
