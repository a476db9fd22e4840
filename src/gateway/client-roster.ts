import { monotonicMs, wallTime } from '../os/clock.ts'
import type { GatewayClient } from '../record/shapes/gateway-state.ts'

/** ms without a request after which a client counts as idle. */
const idleAfterMs = 60_000

/** ms after which a client that has gone is forgotten. */
const forgottenAfterMs = 60 * 60_000

/** Names that are remembered: anybody may say any name. */
const mostNames = 200

interface Known {
  readonly connectedAt: string
  protocolVersion: string
  lastSeenMs: number
  /** Open now. Of the newer generation, which has no sessions, none ever is. */
  open: number
  sessions: number
  toolCalls: number
  isModern: boolean
}

/** Who uses the gateway, by the name that clients give themselves: two of one name are one entry. */
export class ClientRoster {
  readonly #known = new Map<string, Known>()

  /** A session begins. @returns what ends it. */
  opened(name: string, protocolVersion: string): () => void {
    const known = this.#seen(name, protocolVersion)
    known.open++
    known.sessions++
    return () => {
      known.open--
    }
  }

  /** A request of a client that has no session. */
  asked(name: string, protocolVersion: string): void {
    const known = this.#seen(name, protocolVersion)
    known.isModern = true
    if (known.sessions === 0) known.sessions = 1
  }

  /** Something has come from a client. */
  seen(name: string): void {
    const known = this.#known.get(name)
    if (known === undefined) return
    known.lastSeenMs = monotonicMs()
  }

  called(name: string): void {
    const known = this.#known.get(name)
    if (known !== undefined) known.toolCalls++
  }

  #seen(name: string, protocolVersion: string): Known {
    const known = this.#known.get(name)
    if (known !== undefined) {
      known.protocolVersion = protocolVersion
      known.lastSeenMs = monotonicMs()
      return known
    }
    if (this.#known.size >= mostNames) this.#known.delete(this.#known.keys().next().value ?? '')
    const now = wallTime()
    const fresh: Known = {
      connectedAt: now,
      protocolVersion,
      lastSeenMs: monotonicMs(),
      open: 0,
      sessions: 0,
      toolCalls: 0,
      isModern: false,
    }
    this.#known.set(name, fresh)
    return fresh
  }

  report(): Readonly<Record<string, GatewayClient>> {
    const now = monotonicMs()
    const wallNow = Date.now()
    for (const [name, { open, lastSeenMs }] of this.#known) {
      if (open === 0 && now - lastSeenMs > forgottenAfterMs) this.#known.delete(name)
    }
    const entries = [...this.#known].map(([name, known]): [string, GatewayClient] => {
      const quietMs = now - known.lastSeenMs
      const isGone = known.open === 0 && (!known.isModern || quietMs > 5 * idleAfterMs)
      return [
        name,
        {
          name,
          protocolVersion: known.protocolVersion,
          state: isGone ? 'gone' : quietMs > idleAfterMs ? 'idle' : 'active',
          connectedAt: known.connectedAt,
          lastSeen: new Date(wallNow - quietMs).toISOString(),
          sessions: known.sessions,
          toolCalls: known.toolCalls,
        },
      ]
    })
    return Object.fromEntries(entries)
  }
}
