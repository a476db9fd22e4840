import type { ProcessIdentity } from '../../process/identity.ts'
import { shapeOf } from './index.ts'
import {
  exactly,
  fieldsOf,
  flag,
  list,
  nullable,
  number,
  object,
  oneOf,
  optional,
  or,
  orNull,
  text,
} from './kinds.ts'
import { processIdentity } from './process-identity.ts'

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
  /** No process of the program that it leads to is ready. */
  | 'target-not-ready'
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

/** A process of a program that takes connections: its unit, and its port on this machine's loopback. */
export interface Instance {
  readonly name: string
  readonly port: number
}

export function sameInstance(one: Instance, other: Instance | undefined): boolean {
  return one.name === other?.name && one.port === other.port
}

interface CountedInstance extends Instance {
  /** Connections that lead to it, those that are being made among them. */
  readonly open: number
}

/** A program that a forward leads to. */
export interface ProgramFacts {
  readonly name: string
  /** Whether a monitor has said which processes are ready. */
  readonly isTold: boolean
  /** Those that get new connections. */
  readonly ready: readonly CountedInstance[]
  /** Those that get none any more, and still have some. */
  readonly leaving: readonly CountedInstance[]
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
  /** True while it drains after a signal: its port and its files are free for the next forwarder. Missing = false. */
  readonly endedBySignal?: boolean
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
  /** The program that it leads to, whose processes its targets are; missing = none. */
  readonly program?: ProgramFacts
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

export const workers = object({
  wanted: number,
  lost: number,
  processes: list(
    object({
      number: number,
      identity: processIdentity,
      state: oneOf(['starting', 'serving', 'leaving'], 'serving'),
      open: number,
      total: number,
    }),
  ),
})

export const relay = object({ kind: oneOf(['bare', 'stream'], 'stream'), reason: nullable(text) })

export const targetFacts = shapeOf<TargetFacts>()(
  object({
    host: text,
    port: number,
    state: oneOf(['unknown', 'waiting', 'reachable', 'unreachable'], 'unknown'),
    address: nullable(text),
    knownBy: orNull(oneOf(['listener-table', 'traffic', 'knock'], null)),
    knownAgeMs: orNull(number),
    stateForMs: or(number, () => 0),
    answeredAgeMs: nullable(number),
    lastError: nullable(text),
    lastErrorAgeMs: nullable(number),
  }),
)

const inspector = object({
  generation: exactly(1, 2),
  part: exactly('page', 'proxy'),
  version: nullable(text),
  isHttps: flag,
  token: exactly('handed-out', 'not-asked-for', 'kept'),
  origins: list(object({ origin: text, allowed: nullable(flag) })),
})

const count = or(number, () => 0)

const instance = object({ name: text, port: number })
const counted = object({ name: text, port: number, open: number })
const programFacts = object({ name: text, isTold: flag, ready: list(counted), leaving: list(counted) })

/** What a monitor says to a forwarder by `set-targets`. */
export const instances = shapeOf<readonly Instance[]>()(list(instance))

/** Every reason, also one that the forwarder's version does not know; one that this version does not know is left out. */
export const refused = object({
  admission: count,
  'max-connections': count,
  'max-connections-per-source': count,
  'max-rate-per-source': count,
  descriptors: count,
  'source-ports': count,
  memory: count,
  resolver: count,
  'no-route': count,
  'target-not-ready': count,
  'target-refused': count,
  'target-timeout': count,
  'target-error': count,
  'self-dial': count,
  'not-a-proxy': count,
})

export const forwarderHealth = shapeOf<ForwarderHealth>()(
  object({
    schemaVersion: exactly(1),
    identity: processIdentity,
    version: text,
    startedAt: text,
    uptimeMs: number,
    draining: flag,
    endedBySignal: optional(flag),
    supervisor: orNull(exactly('systemd')),
    first: optional(processIdentity),
    predecessors: or(list(processIdentity), () => []),
    listen: object({
      port: number,
      rule: oneOf(['all', 'addresses', 'same-port', 'inherited'], 'addresses'),
      addresses: list(
        object({
          address: text,
          port: number,
          origin: or(oneOf(['bound', 'activation', 'handover'], 'bound'), () => 'bound' as const),
        }),
      ),
      paths: or(list(text), () => []),
      failed: list(object({ address: text, port: number, error: text })),
    }),
    target: targetFacts,
    targets: or(list(targetFacts), () => []),
    program: optional(programFacts),
    shortage: orNull(
      object({
        reason: oneOf(['descriptors', 'source-ports', 'memory', 'resolver'], 'descriptors'),
        message: text,
        ageMs: number,
      }),
    ),
    inspector: optional(nullable(inspector)),
    admission: text,
    gate: orNull(
      object({
        kind: exactly('token'),
        tokenPlace: text,
        logins: number,
        failedAttempts: number,
        wrongTokens: optional(
          object({
            lastHour: number,
            lastTenMinutes: number,
            lastFrom: nullable(text),
            lastAgeMs: nullable(number),
          }),
        ),
        targetProblem: optional(nullable(text)),
      }),
    ),
    connections: object({
      open: number,
      total: number,
      limit: number,
      full: orNull(oneOf(['max-connections', 'descriptors'], null)),
      refused,
      ended: or(fieldsOf(number), () => ({})),
    }),
    tls: or(
      object({
        certificate: nullable(
          object({
            subject: text,
            names: text,
            validFrom: text,
            validTo: text,
            fingerprint: text,
          }),
        ),
        target: nullable(oneOf(['verified', 'insecure'], 'insecure')),
      }),
      () => ({ certificate: null, target: null }),
    ),
    workers: orNull(workers),
    relay: optional(relay),
    warnings: or(list(text), () => []),
    bytes: object({ fromClients: number, fromTarget: number }),
  }),
)
