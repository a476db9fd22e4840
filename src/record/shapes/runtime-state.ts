import type { ProcessIdentity } from '../../process/identity.ts'
import type { RecordedProcess } from '../../process/summary.ts'
import { type ForwarderHealth, forwarderHealth } from './forwarder-health.ts'
import { shapeOf } from './index.ts'
import {
  exactly,
  flag,
  lenient,
  list,
  nullable,
  number,
  object,
  oneOf,
  optional,
  orNull,
  text,
} from './kinds.ts'
import { processIdentity } from './process-identity.ts'

/** The id of the forward that listens on a port: another name leaves it what it is, another port makes it another forward. */
export function forwardId(port: number): string {
  return `forward-${port}`
}

/** The id of the program of a name. Another name is another program. */
export function programId(name: string): string {
  return `program-${name}`
}

/** The id of the MCP gateway. */
export const gatewayId = 'gateway'

/** The version of the file's shape. A reader that meets a higher one says so and believes nothing. */
export const stateSchemaVersion = 1

/** What the processes of a forward, its workers included, used within one round. */
export interface ResourceUsage {
  readonly pid: number
  /** How many there are. */
  readonly processes: number
  /** PSS, in bytes; see `os/process-memory`. */
  readonly memoryBytes: number
  /** CPU time in per cent of one core. */
  readonly cpuPercent: number
  /** Files, sockets and pipes that they have open; missing = not counted. */
  readonly openFiles?: number
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
  /** Missing = there was no such limit. */
  readonly openFiles?: LimitStreak
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

/** Where a unit stands. */
export const phases = [
  'unknown',
  'starting',
  'running',
  'stopping',
  'backoff',
  'flapping',
  'awaiting',
  'blocked',
  'detached',
  'down',
] as const

/** What the monitor writes down about one unit at every heartbeat. Times of the monotonic clock are in ms since boot. */
export interface UnitRecord {
  /** Its id, which names its records: another name leaves it what it is. Missing in the records of an older monitor. */
  readonly unit?: string
  readonly name: string
  readonly phase: (typeof phases)[number]
  /** Why it is not running, in words; null while it is. */
  readonly reason: string | null
  /** The same as data; null or missing = nothing is wrong, or an older monitor has written it. */
  readonly cause?: {
    /** In kebab-case, as `Reason` in `watch/decide/cause.ts` has it. */
    readonly code: string
    /** What it printed tells more. */
    readonly isInOutput: boolean
    /** The units that must be ready first, by their names; missing = it waits for none. */
    readonly waitsFor?: readonly string[]
  } | null
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
  /** What is remembered of what it depends on. */
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
    /** Missing = none. */
    readonly openFiles?: LimitRecord
    readonly action: 'alert' | 'restart'
    /** Monotonic time before which it is not restarted again because of them; null when nothing holds it back. */
    readonly restartNotBefore: number | null
  } | null
  /** What its process, which is gone, has left behind; nothing is started beside them. Missing = it is not detached. */
  readonly leftBehind?: readonly RecordedProcess[]
  /** It runs once, and has done its work; missing = no. */
  readonly completed?: boolean
  /** Who holds what one that was ended needs to itself; missing or null = nobody. */
  readonly heldBy?: RecordedProcess | null
}

/** The same for a forward. */
export interface ForwardRecord extends UnitRecord {
  readonly port: number
  /** `HOST:PORT`. */
  readonly target: string
  /** The forwarder's last answer; null while there is none. */
  readonly health: ForwarderHealth | null
}

/** What is known of the process of a program. */
export interface ProgramHealth {
  readonly identity: ProcessIdentity
  readonly uptimeMs: number
}

/** The same for a program. */
export interface ProgramRecord extends UnitRecord {
  /** Program and arguments, on one line. */
  readonly command: string
  /** The TCP port that makes it ready; null = none. */
  readonly readyPort: number | null
  /** False = it waits for an order to start. */
  readonly autostart: boolean
  /** Its `health` fails, and that is only alerted; null or missing = it is well, or nobody asks. */
  readonly unwell?: { readonly problem: string; readonly failures: number } | null
  /** It goes on when the monitor ends; missing = it does not. */
  readonly keep?: boolean
  /** The keys of its configuration that orders have set; missing = none. */
  readonly ordered?: readonly string[]
  /** The program that it is a copy of; missing = none. */
  readonly group?: string
  /** Null while it does not run. */
  readonly health: ProgramHealth | null
  /** Missing = a program that the configuration describes. */
  readonly kind?: 'gateway'
}

/** The same for the MCP gateway: to a reader it is a program of this package. */
export interface GatewayRecord extends ProgramRecord {
  readonly kind: 'gateway'
}

/** The programs of a state, and the gateway. */
export function programsIn({
  programs = [],
  gateway,
}: Pick<RuntimeState, 'programs' | 'gateway'>): readonly ProgramRecord[] {
  return gateway === undefined ? programs : [...programs, gateway]
}

/** Whether a record is a program's, or the gateway's. */
export function isProgramRecord(record: ForwardRecord | ProgramRecord): record is ProgramRecord {
  return 'command' in record
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
  /** Missing = none. */
  readonly programs?: readonly ProgramRecord[]
  /** Missing = the configuration has none. */
  readonly gateway?: GatewayRecord
  /** Units of other kinds; missing = none. */
  readonly units?: readonly UnitRecord[]
}

const problem = object({ since: text, reason: text })

export const phase = oneOf(phases, 'unknown')

const streak = object({ over: number, below: number, exceededSince: nullable(number) })
const limitsMemory = object({
  pid: nullable(number),
  memory: streak,
  cpu: streak,
  openFiles: optional(streak),
  backoffLevel: number,
  restartedAt: list(number),
  restartNotBefore: nullable(number),
})

const limit = object({ limit: number, exceededSince: nullable(number) })
const limits = object({
  memory: limit,
  cpu: limit,
  openFiles: optional(limit),
  action: oneOf(['alert', 'restart'], 'alert'),
  restartNotBefore: nullable(number),
})

const ofUnit = {
  unit: optional(text),
  name: text,
  phase,
  reason: nullable(text),
  cause: optional(lenient(object({ code: text, isInOutput: flag, waitsFor: optional(list(text)) }))),
  nextTryAt: nullable(number),
  identity: nullable(processIdentity),
  runningSince: nullable(number),
  lastCheckAt: nullable(number),
  restarts: number,
  lastRestartAt: optional(nullable(number)),
  plannedRestarts: optional(number),
  shortage: optional(nullable(object({ kind: text, reason: text, since: number }))),
  failures: number,
  failingSince: nullable(number),
  targetMemory: object({
    everAnswered: flag,
    failures: number,
    failingSince: nullable(number),
  }),
  memory: object({
    generation: number,
    recentRestarts: list(number),
    backoffLevel: number,
    healthySince: nullable(number),
    supervisor: optional(nullable(exactly('systemd'))),
    limits: optional(limitsMemory),
  }),
  usage: optional(
    nullable(
      object({
        pid: number,
        processes: number,
        memoryBytes: number,
        cpuPercent: number,
        openFiles: optional(number),
      }),
    ),
  ),
  limits: optional(nullable(limits)),
  leftBehind: optional(list(object({ pid: nullable(number), command: nullable(text) }))),
  completed: optional(flag),
  // An older monitor has written it in words.
  heldBy: optional(lenient(object({ pid: nullable(number), command: nullable(text) }))),
}

const forwardRecord = object({
  ...ofUnit,
  port: number,
  target: text,
  // What cannot be understood of it is asked for again in the next round.
  health: lenient(forwarderHealth),
})

const ofProgram = {
  ...ofUnit,
  command: text,
  readyPort: nullable(number),
  autostart: flag,
  unwell: optional(lenient(object({ problem: text, failures: number }))),
  keep: optional(flag),
  ordered: optional(list(text)),
  group: optional(text),
  health: lenient(object({ identity: processIdentity, uptimeMs: number })),
}

const programRecord = object({ ...ofProgram, kind: optional(exactly('gateway')) })

export const runtimeState = shapeOf<RuntimeState>()(
  object({
    schemaVersion: number,
    writer: object({
      identity: processIdentity,
      version: text,
      startedAt: text,
      startedAtMonotonicMs: number,
      configuration: nullable(text),
      gate: optional(text),
      serviceManager: nullable(exactly('systemd')),
    }),
    sequence: number,
    writtenAt: text,
    writtenAtMonotonicMs: number,
    intervalMs: number,
    lastRoundAt: nullable(number),
    lastRound: orNull(object({ ms: number, forwards: number })),
    stopped: orNull(object({ at: text, reason: text })),
    recordsProblem: orNull(problem),
    configurationProblem: orNull(problem),
    forwards: list(forwardRecord),
    programs: optional(list(programRecord)),
    gateway: optional(object({ ...ofProgram, kind: exactly('gateway') })),
    units: optional(list(object(ofUnit))),
  }),
)
