/** What the MCP gateway writes of itself every few seconds, and `mcp-proxy status` reads: `mcp-proxy-runtime-state.json`. */
import type { GatewayCondition } from './gateway-conditions.ts'

export interface GatewayClient {
  readonly name: string
  readonly protocolVersion: string
  /** `active`: it has asked within a minute. `idle`: it has not. `gone`: it has no connection any more. */
  readonly state: 'active' | 'idle' | 'gone'
  /** Wall times, ISO 8601. */
  readonly connectedAt: string
  readonly lastSeen: string
  readonly sessions: number
  readonly toolCalls: number
}

export interface GatewayConnector {
  readonly id: string
  readonly toolCount: number
  readonly healthy: boolean
  readonly state: 'pending' | 'ready' | 'error' | 'awaiting-auth' | 'disabled' | 'idle'
  readonly error: string | null
  /** The revision that it speaks; null = not known yet. */
  readonly protocolVersion: string | null
  readonly pid: number | null
  /** Requests under way. */
  readonly inFlight: number
  /** Calls that failed since the last one that did not: its server ended, did not answer in time, or answered with an error of its own. */
  readonly failuresInRow: number
  /** When a call succeeded last, wall time; null = none has. */
  readonly lastSuccessAt: string | null
  /** Lines on its stdout that were no messages. */
  readonly junkLines: number
  /** Restarts after failures. */
  readonly restarts: number
  /** When it is started again, wall time; null = nothing is waited for. */
  readonly nextTryAt: string | null
  /** Why it was not there the last time, with the last lines of its stderr; null = it always was. */
  readonly lastError: {
    readonly at: string
    readonly message: string
    readonly stderr: readonly string[]
  } | null
}

/** Where keys are kept, and whether they can be looked up. */
export interface GatewayStore {
  readonly kind: 'files' | 'postgres'
  /** A file, or a database: without user and password. */
  readonly place: string
  readonly state: 'up' | 'down'
  /** Since when it is down, wall time; null = it is up. */
  readonly since: string | null
  readonly problem: string | null
  /** Keys that are known are taken; false = clients get 503. */
  readonly serves: boolean
}

export interface GatewayState {
  readonly version: 1
  readonly proxy: {
    readonly state: 'RUNNING' | 'STOPPED'
    readonly mode: 'stdio' | 'http' | 'stdio+http'
    readonly startedAt: string
    readonly pid: number
    readonly heartbeat: string
    /** Where it serves HTTP; null = it does not. */
    readonly url: string | null
    /** The file that holds the key which the first start made; null = there is none. */
    readonly keyFile: string | null
  }
  /** Null = nobody comes over HTTP, and nobody needs a key. */
  readonly store: GatewayStore | null
  readonly connectors: readonly GatewayConnector[]
  readonly clients: Readonly<Record<string, GatewayClient>>
  /** What is failing; missing = an older version has written it. */
  readonly problems?: readonly GatewayCondition[]
  readonly logging: {
    readonly level: string
    readonly bufferedLines: number
    readonly maxLines: number
  }
}

/** Reads what a gateway wrote; undefined = it is something else. */
export function readGatewayState(value: unknown): GatewayState | undefined {
  const state = value as Partial<GatewayState> | null
  const isState =
    typeof state === 'object' &&
    state?.version === 1 &&
    typeof state.proxy?.pid === 'number' &&
    typeof state.proxy.heartbeat === 'string' &&
    typeof state.proxy.startedAt === 'string' &&
    Array.isArray(state.connectors) &&
    typeof state.clients === 'object' &&
    typeof state.logging === 'object'
  return isState ? (state as GatewayState) : undefined
}
