import { wallTime } from '../os/clock.ts'
import { hostAndPort } from '../os/interfaces.ts'
import type { ConnectionFacts } from '../record/shapes/control.ts'
import type { Connection } from './connection.ts'
import type { ConnectionPhase } from './connection-state.ts'
import type { Termination } from './termination.ts'

/** How a connection was, told once at its end: one line of the access log. */
export interface AccessRecord {
  /** When it ended: wall time, ISO 8601 in UTC. */
  readonly time: string
  /** The forward's listening port. */
  readonly port: number
  /** Counts from 1 within a forwarder; with workers, those of worker 3 count from 3,000,000,001. */
  readonly id: number
  /**
   * Address and port of the client, or `unix:/path` of the listener. Of a client that reset its connection before it was accepted the port
   * is 0, and the address `unknown` unless it came to a loopback address.
   */
  readonly source: string
  /** The target's address that answered; null when none did. */
  readonly target: string | null
  /** From its accept until target and steps were done; null when they were not. */
  readonly connectMs: number | null
  /** From its accept to its end. */
  readonly totalMs: number
  /** Bytes that the other side's kernel has taken. */
  readonly bytesFromClient: number
  readonly bytesFromTarget: number
  /** Dials that failed before one succeeded, or before it was given up. */
  readonly retries: number
  /** Connections that were open when it ended, without it. */
  readonly open: number
  /** Two letters in HAProxy's manner; see termination.ts. */
  readonly code: string
  /** The same in plain words. */
  readonly reason: string
}

export function accessRecord(
  connection: Connection,
  { code, words }: Termination,
  place: { readonly port: number; readonly open: number },
): AccessRecord {
  const { id, source, targetAddress, connectMs, acceptedAt, retries } = connection
  const { bytesFromClient, bytesFromTarget } = connection
  return {
    time: wallTime(),
    port: place.port,
    id,
    source: hostAndPort(source.address, source.port),
    target: targetAddress ?? null,
    connectMs: connectMs === undefined ? null : tenths(connectMs),
    totalMs: tenths(performance.now() - acceptedAt),
    bytesFromClient,
    bytesFromTarget,
    retries,
    open: place.open,
    code,
    reason: words,
  }
}

/** A live connection for a list. */
export function connectionFacts(
  connection: Connection,
  phase: Exclude<ConnectionPhase, 'ended'>,
): ConnectionFacts {
  const { id, source, targetAddress, acceptedAt, bytesFromClient, bytesFromTarget } = connection
  return {
    id,
    source: hostAndPort(source.address, source.port),
    phase,
    target: targetAddress ?? null,
    ageMs: Math.round(performance.now() - acceptedAt),
    bytesFromClient,
    bytesFromTarget,
  }
}

const tenths = (ms: number) => Math.round(ms * 10) / 10
