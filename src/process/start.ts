/**
 * process/: what the program knows of processes: how one is started until it is ready (this file), which one it is (identity.ts), what
 * belongs to it (tree.ts), how it ends (ending.ts), who holds a port (port-holder.ts), and which of them are ours (own-processes.ts).
 * Others hear of a process as a `ProcessSummary` (summary.ts). What the system itself tells comes from `os/`.
 *
 * A forwarder, a worker and a successor are started here. To start another kind of process, make a `ProcessPlan` for it.
 */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { errorCode, errorText } from '../os/failure.ts'
import { openPipes } from '../os/pipes.ts'
import { type Shortage, shortageAtStart, shortageOf } from '../os/shortage.ts'
import { timeLimit } from '../os/time-limit.ts'
import { identityOf, type ProcessIdentity, signalProcess, unprovenIdentity } from './identity.ts'
import { readStartReport, type StartReport } from './start-report.ts'
import type { ProcessSummary } from './summary.ts'

/** How to start a process, and when it counts as started. */
export interface ProcessPlan {
  readonly program: string
  readonly words: readonly string[]
  readonly environment: NodeJS.ProcessEnv
  /** Undefined = that of this process. */
  readonly cwd?: string
  /** Where stdout and stderr go: a descriptor, or one for each, where those of this process go, pipes that are read here, or nowhere. */
  readonly output: number | readonly [number, number] | 'inherit' | 'pipe' | 'ignore'
  /** What pipes are read to; see `openPipes`. */
  readonly readInto?: Buffer | undefined
  /** Whose pipes are; missing = this user's. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined
  /** Stdin is a pipe of `child`, or this descriptor; missing = /dev/null. */
  readonly takesInput?: boolean | number
  /** Node's channel for messages, as descriptor 3. */
  readonly hasMessages?: boolean
  /** Descriptors of this process that the new one gets as {@link firstPassedDescriptor} and the ones after it. */
  readonly descriptors?: readonly number[]
  /** Descriptors that the new process gets as 3 and the ones after it; then it gets no others, and has no messages and no report. */
  readonly sockets?: readonly number[]
  /**
   * What tells that it is ready.
   * - `report`: it writes a start report to descriptor 3; `--report-fd 3` is added to its words.
   * - a probe: asks from outside, and says so in the form of a start report. Undefined = it has ended, or is about to.
   */
  readonly ready: 'report' | ReadyProbe
  /** ms in which it must be ready, else it is killed. Undefined = no limit: the caller ends the start with {@link ProcessStart.abandon}. */
  readonly withinMs?: number
}

/** @param signal aborted when the answer is not wanted any more. */
export type ReadyProbe<Started = SpawnedProcess> = (
  process: Started,
  signal: AbortSignal,
) => Promise<StartReport | undefined>

/** A process that was started here through Node's own means. */
export interface SpawnedProcess extends StartedProcess {
  readonly child: ChildProcess
}

/** A process that was started here: it runs, or has run. */
export interface StartedProcess {
  /** What it writes to, where its `output` is `pipe`; null elsewhere. */
  readonly stdout: Readable | null
  readonly stderr: Readable | null
  readonly pid: number
  /** Its start time is `unknown` for as long as the system cannot be asked, for want of descriptors for example. */
  readonly identity: ProcessIdentity
  readonly ended: Promise<ProcessEnd>
}

/** How a process has ended. */
export type ProcessEnd =
  | { readonly kind: 'exited'; readonly code: number }
  | { readonly kind: 'killed'; readonly signal: NodeJS.Signals }

export type ProcessStartOutcome =
  | { readonly ok: true; readonly identity: ProcessIdentity }
  | { readonly ok: false; readonly failure: StartFailure }

/** Why a process did not become ready. `shortage`: what this machine lacks for it, when that is why. */
export type StartFailure =
  /** There is no process. `system`: the error code, such as `EMFILE`. */
  | {
      readonly code: 'not-run'
      readonly message: string
      readonly system: string | undefined
      readonly shortage: Shortage | undefined
    }
  /** It said itself why it cannot. */
  | {
      readonly code: 'refused'
      readonly message: string
      readonly exitCode: number
      readonly shortage: Shortage | undefined
      /** Who holds the port that it was to listen on; `message` does not name it. */
      readonly holder?: ProcessSummary | undefined
    }
  | { readonly code: 'ended'; readonly end: ProcessEnd; readonly shortage?: undefined }
  | { readonly code: 'late'; readonly withinMs: number; readonly shortage?: undefined }

/** A start that is under way, or over. */
export interface ProcessStart<Started extends StartedProcess = SpawnedProcess> {
  /** Undefined when it could not be run at all. */
  readonly process: Started | undefined
  readonly outcome: Promise<ProcessStartOutcome>
  /** Kills it, with all that it has started, if it has not become ready. */
  abandon(): void
}

/** Descriptor 3 is for the start report or messages, after stdin, stdout and stderr. */
const channelDescriptor = 3

export const firstPassedDescriptor = channelDescriptor + 1

/** Starts a process in a session of its own: it outlives this process, its terminal and its signals. Never throws. */
export function startProcess(plan: ProcessPlan): ProcessStart {
  const { program, words, output, ready, takesInput = false, hasMessages = false, descriptors = [] } = plan
  const reportWords = ready === 'report' ? ['--report-fd', String(channelDescriptor)] : []
  const channel = hasMessages ? 'ipc' : ready === 'report' ? 'pipe' : 'ignore'
  const pipes = output === 'pipe' ? openPipes(2, plan.readInto, plan.owner) : undefined
  const [out, err] = pipes?.write ?? (typeof output === 'object' ? output : [output, output])
  const input = typeof takesInput === 'number' ? takesInput : takesInput ? 'pipe' : 'ignore'
  const further = plan.sockets ?? ([channel, ...descriptors] as const)
  const stdio: StdioOptions = [input, out, err, ...further]
  let child: ChildProcess
  try {
    const cwd = plan.cwd === undefined ? {} : { cwd: plan.cwd }
    child = spawn(program, [...words, ...reportWords], {
      detached: true,
      stdio,
      env: plan.environment,
      ...cwd,
    })
  } catch (error) {
    pipes?.unread()
    return neverRan(Promise.resolve(error))
  } finally {
    pipes?.passedOn()
  }
  // A signal or a message that cannot be sent is an error event, too.
  const failed = new Promise<unknown>((resolve) => child.on('error', resolve))
  const { pid } = child
  // It has no pipes either where descriptors were short (EMFILE).
  if (pid === undefined) {
    pipes?.unread()
    return neverRan(failed)
  }
  const ended = new Promise<ProcessEnd>((resolve) => {
    child.once('exit', (code, signal) =>
      resolve(signal === null ? { kind: 'exited', code: code ?? 0 } : { kind: 'killed', signal }),
    )
  })
  // Taken before anything else happens: a child that ends is a zombie until the event loop turns, so the PID is still its own.
  let identity = identityOf(pid)
  const [stdout = child.stdout, stderr = child.stderr] = pipes?.read ?? []
  const running: SpawnedProcess = {
    child,
    pid,
    stdout,
    stderr,
    ended,
    get identity() {
      const isThere = child.exitCode === null && child.signalCode === null
      if (isThere) identity ??= identityOf(pid)
      return identity ?? unprovenIdentity(pid)
    },
  }
  const probe = ready === 'report' ? undefined : ready
  const ask = (signal: AbortSignal) =>
    probe === undefined ? readReport(running) : probed(running, probe, signal)
  return followStart(running, ask, plan.withinMs, () => child.kill('SIGKILL'))
}

/**
 * A process that has just been made, as a start that is under way.
 * @param ask as {@link ProcessPlan.ready}.
 * @param kill where its group cannot be signalled.
 */
export function followStart<Started extends StartedProcess>(
  running: Started,
  ask: (signal: AbortSignal) => Promise<StartReport | undefined>,
  withinMs: number | undefined,
  kill: () => void,
): ProcessStart<Started> {
  let isOver = false
  const abandon = () => {
    if (isOver) return
    // With all that it has started: it leads its group, and nobody else could have its PID while it is our child.
    if (!signalProcess(running.identity, 'SIGKILL', true)) kill()
  }
  const outcome = outcomeOf(running, ask, withinMs, abandon).finally(() => {
    isOver = true
  })
  return { process: running, outcome, abandon }
}

/** There is no process: `error` resolves with the reason. */
function neverRan(error: Promise<unknown>): ProcessStart {
  const outcome = error.then((cause): ProcessStartOutcome => {
    const system = errorCode(cause)
    const shortage = shortageAtStart(system)
    return { ok: false, failure: { code: 'not-run', message: errorText(cause), system, shortage } }
  })
  return { process: undefined, outcome, abandon: () => {} }
}

async function outcomeOf(
  running: StartedProcess,
  ask: (signal: AbortSignal) => Promise<StartReport | undefined>,
  withinMs: number | undefined,
  abandon: () => void,
): Promise<ProcessStartOutcome> {
  const over = new AbortController()
  let isLate = false
  const cancelLimit =
    withinMs === undefined
      ? () => {}
      : timeLimit(withinMs, () => {
          isLate = true
          abandon()
        })
  try {
    const report = await ask(over.signal)
    if (!isLate && report?.ready === true) return { ok: true, identity: running.identity }
    if (!isLate && report?.ready === false) {
      const { message, exitCode, code, holder } = report
      return {
        ok: false,
        failure: { code: 'refused', message, exitCode, shortage: shortageOf(code), holder },
      }
    }
    const end = await running.ended
    if (isLate && withinMs !== undefined) return { ok: false, failure: { code: 'late', withinMs } }
    return { ok: false, failure: { code: 'ended', end } }
  } finally {
    cancelLimit()
    over.abort()
  }
}

function readReport({ child }: SpawnedProcess): Promise<StartReport | undefined> {
  return readStartReport(child.stdio[channelDescriptor] as Readable)
}

/** A probe that fails tells nothing; one that waits for what has ended is not waited for. */
export function probed<Started extends StartedProcess>(
  running: Started,
  probe: ReadyProbe<Started>,
  signal: AbortSignal,
): Promise<StartReport | undefined> {
  const ended = running.ended.then(() => undefined)
  return Promise.race([ended, probe(running, signal).catch(() => ended)])
}

/** The end of a process in words: `was killed by SIGKILL`, `ended with exit code 1`. */
export function describeEnd(end: ProcessEnd): string {
  return end.kind === 'killed' ? `was killed by ${end.signal}` : `ended with exit code ${end.code}`
}

/** A failed start in words that stand alone: what the process itself has said, or `it ended with exit code 1 before it was ready`. */
export function startFailureInWords(failure: StartFailure): string {
  return failure.code === 'refused' ? failure.message : `it ${describeStartFailure(failure)}`
}

/** A failed start in words, after the name of what was to be started: `could not be run: spawn EMFILE`. */
export function describeStartFailure(failure: StartFailure): string {
  switch (failure.code) {
    case 'not-run':
      return `could not be run: ${failure.message}${failure.shortage ? `; ${failure.shortage.words}` : ''}`
    case 'refused':
      return `could not start: ${failure.message}`
    case 'ended':
      return `${describeEnd(failure.end)} before it was ready`
    case 'late':
      return `was not ready within ${failure.withinMs / 1000} s`
  }
}
