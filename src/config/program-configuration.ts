import type { PatternRules } from './log-patterns.ts'
import type { ResourceLimits } from './resource-limits.ts'
import { type RestartPolicy, restartDefaults } from './restart-policy.ts'

/** Signals by which a program may be asked to end. */
export const stopSignals = [
  'SIGTERM',
  'SIGINT',
  'SIGQUIT',
  'SIGHUP',
  'SIGABRT',
  'SIGUSR1',
  'SIGUSR2',
  'SIGKILL',
] as const

export type StopSignal = (typeof stopSignals)[number]

/** How a program is ended: the signal goes to its whole session, which is killed when it has not ended in time. */
export interface StopPolicy {
  readonly signal: StopSignal
  /** ms from the signal to SIGKILL. */
  readonly graceMs: number
}

/** What is asked of a program from outside. */
export type Probe =
  /** A process of its session listens on this TCP port. */
  | { readonly kind: 'port'; readonly port: number }
  /** A GET of this URL is answered with a status below 400. */
  | { readonly kind: 'http'; readonly url: string }
  /** A command ends with 0, run in the program's folder with its variables. */
  | { readonly kind: 'command'; readonly command: readonly [string, ...string[]] }

/** What tells that a program has started. */
export interface ReadyCondition {
  /** `log`: it prints a line in which this RE2 expression is found; colours are taken out first. */
  readonly probe: Probe | { readonly kind: 'log'; readonly pattern: string }
  /** ms between two tries. */
  readonly intervalMs: number
}

/** What is asked of a program while it runs. */
export interface HealthCondition {
  readonly probe: Probe
  /** ms from one answer to the next question. */
  readonly intervalMs: number
  /** ms that an answer may take. */
  readonly timeoutMs: number
  /** Failures in a row after which the action follows. At least 1. */
  readonly failureThreshold: number
  /** `restart`: it counts as a failure of the program. `alert`: an incident of its own. */
  readonly action: 'restart' | 'alert'
}

/** How many errors a program may print. */
export interface ErrorRate {
  /** Errors (lines of the class `error`, each with its stack trace) within the window; one more is too many. */
  readonly above: number
  readonly withinMs: number
  /** `restart`: it counts as a failure of the program. `alert`: an incident of its own. */
  readonly action: 'restart' | 'alert'
}

/** What becomes of what a program prints. */
export interface OutputConfiguration {
  /** Bytes on disk. */
  readonly maxBytes: number
  /** Lines that are kept. */
  readonly maxLines: number
  /** A person's own, beside the usual ones. */
  readonly patterns: PatternRules
  /** Missing = it may print as many errors as it does. */
  readonly errorRate?: ErrorRate
}

/** What may be sent to a program's stdin; expressions in RE2 syntax, each for a whole line. */
export interface InputRules {
  readonly allow: readonly string[]
  readonly deny: readonly string[]
}

/** Where a program is listened for: an IP address of this machine, and a TCP port. */
export interface ListenAddress {
  readonly host: string
  readonly port: number
}

/** The files of a program: when one changes, it is started anew. */
export interface WatchRules {
  /** Globs, files or folders; relative ones begin in the folder of the program. */
  readonly files: readonly string[]
  /** Globs of what does not count; one without a slash is for names in any folder. */
  readonly ignore: readonly string[]
  /** ms without a further change after which a change counts. */
  readonly debounceMs: number
  /** ms between two looks at all folders; 0 = only where the system tells of no changes. */
  readonly pollMs: number
}

/** What may be given to an action. */
export interface ActionArgument {
  readonly type: 'text' | 'path' | 'integer' | 'choice' | 'flag'
  readonly summary: string | null
  readonly required: boolean
  readonly default?: string | number | boolean | undefined
  readonly choices?: readonly string[] | undefined
  readonly min?: number | undefined
  readonly max?: number | undefined
  /** The word for a flag that is set; undefined = `--NAME`. */
  readonly word?: string | undefined
}

/** A command beside a program that people and agents may run by its name. */
export interface ActionConfiguration {
  readonly summary: string | null
  /** `{NAME}` stands for an argument. */
  readonly command: readonly string[]
  readonly arguments: Readonly<Record<string, ActionArgument>>
  readonly timeoutMs: number
}

/** How many copies of a program run. */
export interface InstanceCounts {
  /** From 1; until an order asks for another number. */
  readonly count: number
  /** What an order may ask for at most. */
  readonly most: number
}

/** One program as the monitor keeps it alive. */
export interface ProgramConfiguration {
  /** Unique over forwards and programs; letters, digits, `.`, `_` and `-`. */
  readonly name: string
  /** The program and its arguments. No shell reads them. */
  readonly command: readonly [string, ...string[]]
  /** Absolute. */
  readonly cwd: string
  /** The user and group that it runs as, by name or number; missing = those of the monitor. Needs a monitor that runs as root. */
  readonly user?: string
  /** Its first group instead of the user's own; missing = that. */
  readonly group?: string
  /** Variables that it gets beside those of every child; see `os/child-environment.ts`. */
  readonly env: Readonly<Record<string, string>>
  /** Files of variables, absolute: read at every start, the last one wins, and `env` over all of them. */
  readonly envFile: readonly string[]
  /** The names of variables that it gets from the monitor besides. */
  readonly passEnv: readonly string[]
  /** Undefined = it is ready when it has run for a second. */
  readonly ready: ReadyCondition | undefined
  /** Undefined = nothing is asked while it runs. */
  readonly health: HealthCondition | undefined
  /** Its `startTimeoutMs` is the time in which the program must be ready, its `killAfterMs` the grace of `stop`. */
  readonly restart: RestartPolicy
  readonly limits: ResourceLimits
  readonly stop: StopPolicy
  readonly output: OutputConfiguration
  /** Undefined = nothing may be sent to it. */
  readonly input: InputRules | undefined
  readonly actions: Readonly<Record<string, ActionConfiguration>>
  /** Sockets that the monitor holds for it; its process gets them as descriptors 3 and on. */
  readonly sockets: readonly ListenAddress[]
  /** The size of its terminal; undefined = it has none. */
  readonly pty: { readonly columns: number; readonly rows: number } | undefined
  /** Undefined = it is not started anew when files change. */
  readonly watch: WatchRules | undefined
  /** False = it waits for an order to start. */
  readonly autostart: boolean
  /** What becomes of processes of its session that outlive its first one: ended, adopted, or left until somebody orders one of both. */
  readonly onDetached: 'end' | 'adopt' | 'wait'
  /** It goes on when the monitor ends, and the next one takes it over. */
  readonly keep: boolean
  /** It runs once: an end with exit code 0 is no death. */
  readonly oneshot: boolean
  /** The names of units that must be ready before it is started; one that is `oneshot` must have ended with 0. */
  readonly dependsOn: readonly string[]
  /** What the file describes stands for so many copies, which `instances.ts` makes of it; missing = it is one program, under its own name. */
  readonly instances?: InstanceCounts
  /** Which copy of which program this is, from 1; missing = it is none. */
  readonly instanceOf?: { readonly program: string; readonly number: number }
  /** The keys that orders have set, as a file names them; missing = none. */
  readonly ordered?: readonly string[]
}

/** The port on this machine that a probe is about; undefined = none. */
export function portOf(probe: Probe | ReadyCondition['probe'] | undefined): number | undefined {
  switch (probe?.kind) {
    case 'port':
      return probe.port
    case 'http': {
      const { hostname, port, protocol } = new URL(probe.url)
      const isHere = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(hostname)
      return isHere ? Number(port) || (protocol === 'https:' ? 443 : 80) : undefined
    }
    default:
      return undefined
  }
}

/** What holds for a program when its configuration does not say. */
export const programDefaults = {
  readyWithinMs: 30_000,
  readyIntervalMs: 250,
  health: { intervalMs: 10_000, timeoutMs: 5_000, failureThreshold: 3, action: 'restart' },
  stop: { signal: 'SIGTERM', graceMs: 10_000 },
  restart: restartDefaults,
  actionTimeoutMs: 300_000,
  pty: { columns: 80, rows: 24 },
  watch: { debounceMs: 300, pollMs: 0 },
  autostart: true,
} as const satisfies {
  readonly readyWithinMs: number
  readonly readyIntervalMs: number
  readonly health: Omit<HealthCondition, 'probe'>
  readonly stop: StopPolicy
  readonly restart: RestartPolicy
  readonly actionTimeoutMs: number
  readonly pty: { readonly columns: number; readonly rows: number }
  readonly watch: Pick<WatchRules, 'debounceMs' | 'pollMs'>
  readonly autostart: boolean
}
