import type { ProcessIdentity } from '../os/process-identity.ts'

/** One live connection, as `connections` lists it. Ages and durations in ms. */
export interface ConnectionFacts {
  /** Counts from 1 within a forwarder; with workers, those of worker 3 count from 3,000,000,001. `kill` takes it. */
  readonly id: number
  /** Address and port of the client, or `unix:/path` of the listener. */
  readonly source: string
  readonly phase: 'accepted' | 'client-steps' | 'dialling' | 'target-steps' | 'relaying' | 'served'
  readonly target: string | null
  readonly ageMs: number
  readonly bytesFromClient: number
  readonly bytesFromTarget: number
}

/** What a forwarder answers to `identify`. */
export interface ForwarderIdentity {
  readonly role: 'forwarder'
  readonly identity: ProcessIdentity
  readonly version: string
  /** The forward's options as JSON: a monitor that wants others knows that it must replace this process. */
  readonly options: string
}

/** Whether an answer to `health` is one: whatever holds the socket may answer anything. */
export function isForwarderHealth(value: unknown): value is ForwarderHealth {
  if (typeof value !== 'object' || value === null) return false
  const { identity, uptimeMs, listen, target, connections } = value as Partial<ForwarderHealth>
  return (
    typeof identity?.pid === 'number' &&
    typeof identity.startTime === 'string' &&
    typeof uptimeMs === 'number' &&
    Array.isArray(listen?.addresses) &&
    Array.isArray(listen.failed) &&
    typeof target?.state === 'string' &&
    typeof connections?.open === 'number'
  )
}

export interface ListeningAddress {
  readonly address: string
  readonly port: number
}

/** Why a connection was turned away before a byte was relayed. */
export type RefusalReason =
  | 'admission'
  | 'max-connections'
  | 'max-connections-per-source'
  | 'max-rate-per-source'
  /** The process, or the machine, has no descriptor left. */
  | 'descriptors'
  /** This machine has no free source port towards the target. */
  | 'source-ports'
  /** This machine's kernel has no memory for the connection. */
  | 'memory'
  /** This machine's resolver cannot be asked for the target's name. */
  | 'resolver'
  /** This machine has no route to the target. */
  | 'no-route'
  | 'target-refused'
  | 'target-timeout'
  | 'target-error'
  | 'self-dial'
  /** It came from a network that is not named by --accept-proxy. */
  | 'not-a-proxy'

/**
 * - `waiting`: it has not answered since the forwarder started. No fault: the target may not be wanted yet.
 * - `reachable`: it accepted the last connect.
 * - `unreachable`: it accepted before and refused, or did not answer, the last connect.
 * - `unknown`: nobody has tried yet.
 */
export type TargetState = 'unknown' | 'waiting' | 'reachable' | 'unreachable'

/**
 * How the state of a target is known:
 * - `listener-table`: the kernel's table of listening sockets was read; nobody connected.
 * - `traffic`: by a client's connection.
 * - `knock`: by a connection made only to see.
 */
export type KnownBy = 'listener-table' | 'traffic' | 'knock'

/** What this machine lacks to reach a target, which says nothing about the target. */
export interface Shortage {
  readonly reason: 'descriptors' | 'source-ports' | 'memory' | 'resolver'
  /** What is short, for which target, and the cure. */
  readonly message: string
  /** ms since it was met last. It is forgotten when a dial succeeds, or 15 s after it was met last. */
  readonly ageMs: number
}

export interface TargetFacts {
  /** Host name, IP address or `unix:/path`. */
  readonly host: string
  /** 0 for a Unix socket. */
  readonly port: number
  readonly state: TargetState
  /** The address that answered last. */
  readonly address: string | null
  /** Null = nobody has tried yet. */
  readonly knownBy: KnownBy | null
  /** ms since that was seen last. */
  readonly knownAgeMs: number | null
  /** ms since the target took on its state. */
  readonly stateForMs: number
  readonly answeredAgeMs: number | null
  readonly lastError: string | null
  readonly lastErrorAgeMs: number | null
}

/** What clients see of a forward that speaks TLS with them. */
export interface CertificateFacts {
  /** The distinguished name on one line: `O=port-watchdog, CN=box`. */
  readonly subject: string
  /** The names and addresses it is for: `DNS:box, IP Address:10.0.0.5`. */
  readonly names: string
  readonly validFrom: string
  readonly validTo: string
  /** SHA-256, in pairs of hexadecimal digits. */
  readonly fingerprint: string
}

/** One of the processes that serve a forward together. */
export interface WorkerFacts {
  /** 0 is the process that answers. A number is never given twice while that process lives. */
  readonly number: number
  readonly identity: ProcessIdentity
  /** `leaving`: it takes no new connections and finishes those it has. */
  readonly state: 'starting' | 'serving' | 'leaving'
  readonly open: number
  readonly total: number
}

/** An MCP Inspector that answers behind a forward. */
export interface InspectorFacts {
  readonly generation: 1 | 2
  /** Of 1.x the page and its proxy are apart; 2.x has both in one. */
  readonly part: 'page' | 'proxy'
  /** Null = it does not tell. */
  readonly version: string | null
  /** It speaks TLS itself. */
  readonly isHttps: boolean
  /**
   * The token without which it starts no program: `handed-out` to everybody who loads the page, `not-asked-for`
   * (`DANGEROUSLY_OMIT_AUTH`), or `kept`.
   */
  readonly token: 'handed-out' | 'not-asked-for' | 'kept'
  /** Whether it allows pages opened at the forward's addresses; null = it gave no answer. Empty behind a gate. */
  readonly origins: readonly { readonly origin: string; readonly allowed: boolean | null }[]
}

/** What a forwarder answers to `health`. Ages in ms on its monotonic clock. */
export interface ForwarderHealth {
  readonly schemaVersion: 1
  readonly identity: ProcessIdentity
  readonly version: string
  readonly startedAt: string
  readonly uptimeMs: number
  readonly draining: boolean
  /** Who started this process and starts another one when it ends; null = nobody, or a monitor of ours. */
  readonly supervisor: 'systemd' | null
  /**
   * The forwarder with which the chain of planned restarts began that led to this process; itself when there was none. The same one means
   * a handover, another one a new start. Missing from a forwarder of an older version.
   */
  readonly first?: ProcessIdentity
  /** Forwarders that this one has replaced and that still finish their connections. */
  readonly predecessors: readonly ProcessIdentity[]
  readonly listen: {
    readonly port: number
    /**
     * `same-port`: loopback is left to the target and every other address is bound. `inherited`: whoever holds the sockets chose.
     */
    readonly rule: 'all' | 'addresses' | 'same-port' | 'inherited'
    /**
     * `origin`: bound by this process, or listening before it was there: passed on by a service manager (`activation`) or by
     * the forwarder before this one (`handover`).
     */
    readonly addresses: readonly (ListeningAddress & {
      readonly origin: 'bound' | 'activation' | 'handover'
    })[]
    /** Unix sockets that are bound. */
    readonly paths: readonly string[]
    /** Addresses that should be bound and are not, with the reason in words. They are tried again. */
    readonly failed: readonly (ListeningAddress & { readonly error: string })[]
  }
  /** The forward's target: of several the first one's name, and the state of them all together. */
  readonly target: TargetFacts
  /** Every target by itself, in order of preference. */
  readonly targets: readonly TargetFacts[]
  /** What this machine lacks just now to dial a target; null = nothing. */
  readonly shortage: Shortage | null
  /** The MCP Inspector behind this forward; null = none was seen. Absent in what an older forwarder says. */
  readonly inspector?: InspectorFacts | null
  /** Which sources are admitted: `private`, `any`, or the networks. */
  readonly admission: string
  /** The login in front of the target; null = none. */
  readonly gate: {
    readonly kind: 'token'
    /** Where the token is, in words; never the token itself. */
    readonly tokenPlace: string
    readonly logins: number
    readonly failedAttempts: number
    /** Of late. Absent in what an older forwarder says. */
    readonly wrongTokens?: {
      readonly lastHour: number
      readonly lastTenMinutes: number
      /** The address that the last one came from; null = there was none. */
      readonly lastFrom: string | null
      readonly lastAgeMs: number | null
    }
    /** Why the target gave no answer to the last request, in words; null = it gave one, or none was asked for. */
    readonly targetProblem?: string | null
  } | null
  readonly connections: {
    readonly open: number
    readonly total: number
    readonly limit: number
    /** Why connections are turned away just now, if they are. */
    readonly full: 'max-connections' | 'descriptors' | null
    readonly refused: Readonly<Record<RefusalReason, number>>
    /** Connections that have ended, by the two letters that tell how. */
    readonly ended: Readonly<Record<string, number>>
  }
  readonly tls: {
    /** The certificate shown to clients; null when they speak plain TCP. */
    readonly certificate: CertificateFacts | null
    /** `verified` or `insecure` (`--target-tls-insecure`); null when the target is spoken to in plain TCP. */
    readonly target: 'verified' | 'insecure' | null
  }
  /** The processes behind these figures, which are sums over all of them; null = this one alone. */
  readonly workers: {
    /** As many as should serve, this one among them. */
    readonly wanted: number
    /** Workers that ended without being told to, or were ended because they hung. */
    readonly lost: number
    readonly processes: readonly WorkerFacts[]
  } | null
  /**
   * How bytes are moved: `bare` by the system's handles, `stream` by Node's sockets at twice the processor time; with the reason where it is
   * not the usual way. Undefined = a forwarder of an earlier version.
   */
  readonly relay?: { readonly kind: 'bare' | 'stream'; readonly reason: string | null }
  /** What a person should know although everything works, in words. */
  readonly warnings: readonly string[]
  readonly bytes: { readonly fromClients: number; readonly fromTarget: number }
}
