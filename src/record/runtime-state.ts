import { renameSync } from 'node:fs'
import type { ProcessIdentity } from '../os/process-identity.ts'
import { readRegularFile } from '../os/regular-file.ts'
import { writeFileAtomically } from './atomic-file.ts'
import type { ForwarderHealth } from './forwarder-health.ts'

/** The version of the file's shape. A reader that meets a higher one says so and believes nothing. */
export const stateSchemaVersion = 1

/** ms between two heartbeats of the monitor. */
export const heartbeatIntervalMs = 5000

/** What the processes of a forward, its workers included, used within one round. */
export interface ResourceUsage {
  readonly pid: number
  /** How many there are. */
  readonly processes: number
  /** PSS, in bytes; see `os/process-memory`. */
  readonly memoryBytes: number
  /** CPU time in per cent of one core. */
  readonly cpuPercent: number
}

/** Samples in a row, of one limit. */
export interface LimitStreak {
  readonly over: number
  readonly below: number
  /** Monotonic time since when it counts as exceeded; null while it does not. */
  readonly exceededSince: number | null
}

/** What is remembered of a forward's limits. Monotonic times. */
export interface LimitsMemory {
  /** The process of the last sample; null before the first. */
  readonly pid: number | null
  readonly memory: LimitStreak
  readonly cpu: LimitStreak
  /** Restarts because of a limit that doubled the wait: 0 = the next one does not wait. */
  readonly backoffLevel: number
  /** The restarts because of a limit within the flapping window. */
  readonly restartedAt: readonly number[]
  readonly restartNotBefore: number | null
}

/** One limit, and how a forward keeps it. */
export interface LimitRecord {
  /** Bytes, or per cent of one core; 0 = none. */
  readonly limit: number
  /** Monotonic time since when more is used; null while it is kept. */
  readonly exceededSince: number | null
}

/** What the monitor writes down about one forward at every heartbeat. Times of the monotonic clock are in ms since boot. */
export interface ForwardRecord {
  readonly name: string
  readonly port: number
  /** `HOST:PORT`. */
  readonly target: string
  readonly phase:
    | 'unknown'
    | 'starting'
    | 'running'
    | 'stopping'
    | 'backoff'
    | 'flapping'
    | 'awaiting'
    | 'blocked'
    | 'down'
  /** Why it is not running, in words; null while it is. */
  readonly reason: string | null
  /** Monotonic time of the next try; null when none is planned because none is needed. */
  readonly nextTryAt: number | null
  readonly identity: ProcessIdentity | null
  readonly runningSince: number | null
  readonly lastCheckAt: number | null
  /** Restarts after a failure; those that were planned do not count. */
  readonly restarts: number
  /** Monotonic time of the last of them; null or missing = none in this boot. */
  readonly lastRestartAt?: number | null
  /** Restarts by an order, a signal, other options or a limit; missing in the records of an older monitor. */
  readonly plannedRestarts?: number
  /** What this machine lacks to start it, and the monotonic time since when; null or missing = nothing. */
  readonly shortage?: { readonly kind: string; readonly reason: string; readonly since: number } | null
  readonly failures: number
  readonly failingSince: number | null
  readonly targetMemory: {
    readonly everAnswered: boolean
    readonly failures: number
    readonly failingSince: number | null
  }
  /** What `decide` must not forget when the monitor is replaced. */
  readonly memory: {
    readonly generation: number
    readonly recentRestarts: readonly number[]
    readonly backoffLevel: number
    readonly healthySince: number | null
    /** Who starts its process; missing or null = the monitor. */
    readonly supervisor?: 'systemd' | null
    /** How its limits were kept; missing in the records of an older monitor. */
    readonly limits?: LimitsMemory
  }
  /** The last sample; null when none was taken, missing in the records of an older monitor. */
  readonly usage?: ResourceUsage | null
  /** Missing or null = no limits. */
  readonly limits?: {
    readonly memory: LimitRecord
    readonly cpu: LimitRecord
    readonly action: 'alert' | 'restart'
    /** Monotonic time before which it is not restarted again because of them; null when nothing holds it back. */
    readonly restartNotBefore: number | null
  } | null
  /** Who listens on the port of one that was ended, in words; missing or null = nobody. */
  readonly heldBy?: string | null
  /** The forwarder's last answer; null while there is none. */
  readonly health: ForwarderHealth | null
}

export interface RuntimeState {
  readonly schemaVersion: number
  readonly writer: {
    readonly identity: ProcessIdentity
    readonly version: string
    /** Wall time, ISO 8601. */
    readonly startedAt: string
    readonly startedAtMonotonicMs: number
    readonly configuration: string | null
    /** `--gate`, the login in front of the forwards that hold without a file; empty or missing = none. */
    readonly gate?: string
    readonly serviceManager: 'systemd' | null
  }
  /** Rises by one with every write. */
  readonly sequence: number
  readonly writtenAt: string
  readonly writtenAtMonotonicMs: number
  readonly intervalMs: number
  /** Monotonic time at which the last round of checks was finished; null before the first. */
  readonly lastRoundAt: number | null
  /** How long that round took, and how many forwards were in it; null before the first. */
  readonly lastRound: { readonly ms: number; readonly forwards: number } | null
  /** Set by a monitor that ended in order. */
  readonly stopped: { readonly at: string; readonly reason: string } | null
  /** Why the records cannot be written, and since when (ISO 8601); null while they can. A file that says so is the last one that could. */
  readonly recordsProblem: { readonly since: string; readonly reason: string } | null
  /** Why the configuration file that is there now is not used, and since when; null while it is, or there is none. */
  readonly configurationProblem: { readonly since: string; readonly reason: string } | null
  readonly forwards: readonly ForwardRecord[]
}

/** What reading the file gave. */
export type StateReading =
  | { readonly kind: 'missing' }
  | { readonly kind: 'unreadable'; readonly why: string }
  | { readonly kind: 'corrupt'; readonly why: string }
  | { readonly kind: 'newer'; readonly schemaVersion: number }
  | { readonly kind: 'read'; readonly state: RuntimeState }

/** Reads the state that a monitor left. Never changes anything. */
export function readRuntimeState(file: string): StateReading {
  let text: string
  try {
    text = readRegularFile(file)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    return code === 'ENOENT' ? { kind: 'missing' } : { kind: 'unreadable', why: message }
  }
  return parseRuntimeState(text)
}

/** The pure part of `readRuntimeState`. */
export function parseRuntimeState(text: string): StateReading {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { kind: 'corrupt', why: text.trim() === '' ? 'it is empty' : 'it is not JSON' }
  }
  if (typeof value !== 'object' || value === null) return { kind: 'corrupt', why: 'it is no JSON object' }
  const state = value as Partial<RuntimeState>
  if (typeof state.schemaVersion !== 'number') return { kind: 'corrupt', why: 'it has no schemaVersion' }
  if (state.schemaVersion > stateSchemaVersion) return { kind: 'newer', schemaVersion: state.schemaVersion }
  const isWhole =
    isWriter(state.writer) &&
    typeof state.writtenAt === 'string' &&
    typeof state.writtenAtMonotonicMs === 'number' &&
    typeof state.intervalMs === 'number' &&
    Array.isArray(state.forwards) &&
    state.forwards.every(isForwardRecord)
  if (!isWhole) return { kind: 'corrupt', why: 'parts of it are missing' }
  return {
    kind: 'read',
    state: {
      ...(state as RuntimeState),
      lastRound: state.lastRound ?? null,
      stopped: state.stopped ?? null,
      recordsProblem: state.recordsProblem ?? null,
      configurationProblem: state.configurationProblem ?? null,
    },
  }
}

function isWriter(writer: Partial<RuntimeState['writer']> | undefined): boolean {
  return (
    typeof writer?.identity?.pid === 'number' &&
    typeof writer.identity.startTime === 'string' &&
    typeof writer.identity.bootId === 'string' &&
    typeof writer.startedAtMonotonicMs === 'number'
  )
}

function isForwardRecord(record: Partial<ForwardRecord> | null): boolean {
  return (
    typeof record?.name === 'string' &&
    typeof record.port === 'number' &&
    typeof record.phase === 'string' &&
    typeof record.failures === 'number' &&
    typeof record.targetMemory === 'object' &&
    record.targetMemory !== null &&
    typeof record.memory === 'object' &&
    record.memory !== null &&
    Array.isArray(record.memory.recentRestarts)
  )
}

/** Writes the state; whoever reads sees the one before or this one, whole. */
export function writeRuntimeState(file: string, state: RuntimeState, durable: boolean): void {
  writeFileAtomically(file, `${JSON.stringify(state, null, 1)}\n`, durable)
}

/** What a monitor that begins has found of the one before. */
export interface TakenOver {
  /** What it goes on from: the file, or the one kept before it where that is corrupt. */
  readonly reading: StateReading
  /** Where a corrupt file is kept now, to be looked at; undefined when it was not corrupt, or could not be moved. */
  readonly quarantined: string | undefined
  /** Why the file could not be used, in words; undefined when it could. */
  readonly problem: string | undefined
}

/**
 * For a monitor that begins: reads what the one before left, keeps a copy of it as `.previous`, and moves a corrupt file aside. A disk that
 * is full or read-only does not stop it.
 */
export function takeOverRuntimeState(file: string): TakenOver {
  const reading = readRuntimeState(file)
  switch (reading.kind) {
    case 'missing':
    case 'newer':
      return { reading, quarantined: undefined, problem: undefined }
    case 'unreadable':
      return { reading: previousOr(file, reading), quarantined: undefined, problem: reading.why }
    case 'corrupt': {
      const quarantined = tryQuietly(() => renameSync(file, `${file}.corrupt`))
        ? `${file}.corrupt`
        : undefined
      return { reading: previousOr(file, reading), quarantined, problem: reading.why }
    }
    case 'read':
      tryQuietly(() => writeRuntimeState(`${file}.previous`, reading.state, true))
      return { reading, quarantined: undefined, problem: undefined }
  }
}

function previousOr(file: string, reading: StateReading): StateReading {
  const previous = readRuntimeState(`${file}.previous`)
  return previous.kind === 'read' ? previous : reading
}

function tryQuietly(what: () => void): boolean {
  try {
    what()
    return true
  } catch {
    return false
  }
}
