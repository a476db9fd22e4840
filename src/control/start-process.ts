import { type ChildProcess, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { errorCode, errorText } from '../os/failure.ts'
import { identityOf, type ProcessIdentity, unprovenIdentity } from '../os/process-identity.ts'
import { readStartReport, type StartReport } from './start-report.ts'

/** How to start one of this package's programs. */
export interface ProcessPlan {
  readonly program: string
  readonly words: readonly string[]
  readonly environment: NodeJS.ProcessEnv
  /** Where stdout and stderr go: a descriptor, or where those of this process go. */
  readonly output: number | 'inherit'
  /** What descriptor 3 of the new process is: the pipe for its start report (`--report-fd 3` is added to its words), or Node's channel. */
  readonly channel: 'report' | 'ipc'
  /** Descriptors of this process that the new one gets as {@link firstPassedDescriptor} and the ones after it. */
  readonly sockets: readonly number[]
}

/** A process that runs, or has run. */
export interface StartedProcess {
  readonly child: ChildProcess
  /** Its start time is `unknown` for as long as the system cannot be asked, for want of descriptors or of /proc. */
  readonly identity: ProcessIdentity
  /** Resolves with its start report; undefined when it ended without one. With `channel: 'ipc'` undefined at once. */
  readonly report: Promise<StartReport | undefined>
  /** Resolves when it has ended, with how: `was killed by SIGKILL`, `ended with exit code 1`. */
  readonly exited: Promise<string>
}

/** Why there is no process. */
export interface NotRun {
  /** `could not be run: spawn EMFILE` */
  readonly how: string
  /** The system's error code. */
  readonly code: string | undefined
}

function notRun(error: unknown): NotRun {
  return { how: `could not be run: ${errorText(error)}`, code: errorCode(error) }
}

/** Descriptor 3 is the channel, after stdin, stdout and stderr. */
const channelDescriptor = 3

export const firstPassedDescriptor = channelDescriptor + 1

/**
 * Starts a process in a session of its own: it outlives this process, its terminal and its signals. Never throws.
 * @returns `notRun` when there is no process: resolves with the reason, such as `could not be run: spawn EMFILE`.
 */
export function startProcess(plan: ProcessPlan): StartedProcess | { readonly notRun: Promise<NotRun> } {
  const { program, words, channel, output } = plan
  const reportWords = channel === 'report' ? ['--report-fd', String(channelDescriptor)] : []
  let child: ChildProcess
  try {
    child = spawn(program, [...words, ...reportWords], {
      detached: true,
      stdio: ['ignore', output, output, channel === 'ipc' ? 'ipc' : 'pipe', ...plan.sockets],
      env: plan.environment,
    })
  } catch (error) {
    return { notRun: Promise.resolve(notRun(error)) }
  }
  const failed = new Promise<NotRun>((resolve) => child.once('error', (error) => resolve(notRun(error))))
  const exited = new Promise<string>((resolve) => {
    void failed.then(({ how }) => resolve(how))
    child.once('exit', (code, signal) =>
      resolve(signal === null ? `ended with exit code ${code}` : `was killed by ${signal}`),
    )
  })
  const { pid } = child
  // It has no pipes either where descriptors were short (EMFILE).
  if (pid === undefined) return { notRun: failed }
  // Taken before anything else happens: a child that ends is a zombie until the event loop turns, so the PID is still its own.
  let identity = identityOf(pid)
  const report =
    channel === 'ipc'
      ? Promise.resolve(undefined)
      : readStartReport(child.stdio[channelDescriptor] as Readable)
  return {
    child,
    report,
    exited,
    get identity() {
      const isThere = child.exitCode === null && child.signalCode === null
      if (isThere) identity ??= identityOf(pid)
      return identity ?? unprovenIdentity(pid)
    },
  }
}
