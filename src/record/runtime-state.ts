import { copyFileSync, readFileSync, renameSync } from 'node:fs'
import type { ForwarderHealth } from '../control/forwarder-health.ts'
import type { ProcessIdentity } from '../os/process-identity.ts'
import { writeFileAtomically } from './atomic-file.ts'

/** The version of the file's shape. A reader that meets a higher one says so and believes nothing. */
export const stateSchemaVersion = 1

/** ms between two heartbeats of the monitor. */
export const heartbeatIntervalMs = 5000

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
    | 'blocked'
    | 'down'
  /** Why it is not running, in words; null while it is. */
  readonly reason: string | null
  /** Monotonic time of the next try; null when none is planned because none is needed. */
  readonly nextTryAt: number | null
  readonly identity: ProcessIdentity | null
  readonly runningSince: number | null
  readonly lastCheckAt: number | null
  readonly restarts: number
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
  }
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
    readonly serviceManager: 'systemd' | null
  }
  /** Rises by one with every write. */
  readonly sequence: number
  readonly writtenAt: string
  readonly writtenAtMonotonicMs: number
  readonly intervalMs: number
  /** Monotonic time at which the last round of checks was finished; null before the first. */
  readonly lastRoundAt: number | null
  /** Set by a monitor that ended in order. */
  readonly stopped: { readonly at: string; readonly reason: string } | null
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
    text = readFileSync(file, 'utf8')
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
    typeof state.writer?.identity?.pid === 'number' &&
    typeof state.writtenAtMonotonicMs === 'number' &&
    Array.isArray(state.forwards)
  return isWhole
    ? { kind: 'read', state: state as RuntimeState }
    : { kind: 'corrupt', why: 'parts of it are missing' }
}

/** Writes the state; whoever reads sees the one before or this one, whole. */
export function writeRuntimeState(file: string, state: RuntimeState, durable: boolean): void {
  writeFileAtomically(file, `${JSON.stringify(state, null, 1)}\n`, durable)
}

/**
 * For a monitor that begins: reads what the one before left, keeps a copy of it as `.previous`, and moves a corrupt file aside so that
 * it can be looked at.
 * @returns the reading, and where a corrupt file is now.
 */
export function takeOverRuntimeState(file: string): {
  reading: StateReading
  quarantined: string | undefined
} {
  const reading = readRuntimeState(file)
  if (reading.kind === 'read') copyFileSync(file, `${file}.previous`)
  if (reading.kind !== 'corrupt') return { reading, quarantined: undefined }
  const quarantined = `${file}.corrupt`
  renameSync(file, quarantined)
  const previous = readRuntimeState(`${file}.previous`)
  return { reading: previous.kind === 'read' ? previous : reading, quarantined }
}
