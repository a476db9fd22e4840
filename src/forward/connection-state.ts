import type { RefusalReason } from '../record/shapes/forwarder-health.ts'
import type { SocketAddress } from './relay/relay-socket.ts'

/** Who connected, or what it connected to. */
export type Source = SocketAddress

/**
 * Where a connection is. It moves downwards, and steps that a forward does not have are skipped; only late client steps come after the
 * target's.
 */
export type ConnectionPhase =
  | 'accepted'
  | 'client-steps'
  | 'dialling'
  | 'target-steps'
  | 'relaying'
  /** The gate speaks with the client. */
  | 'served'
  | 'ended'

/** What limits and steps know of a connection and may change. `Connection` is the one implementation; it imports both. */
export interface ConnectionState {
  readonly phase: ConnectionPhase
  /** As a PROXY header tells it, where there is one. */
  source: Source
  /** Where it connected to: an address of this machine, or what a PROXY header says. */
  destination: Source
  /** The address whose limits it counts against; undefined = none's. */
  countedFor: string | undefined
  /** What its client offers by ALPN; empty = nothing, or nobody has looked. */
  protocols: readonly string[]
  /** What was agreed on by ALPN, with whichever side was asked first. */
  protocol: string | undefined
  /** Turns it away, before or instead of a target. */
  refuse(reason: RefusalReason, message: string): void
}
