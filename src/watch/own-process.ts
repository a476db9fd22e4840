import { closeSync } from 'node:fs'
import { errorCode, errorText, exitCode } from '../os/failure.ts'
import { openForAppending } from '../os/regular-file.ts'
import { shortageOf } from '../os/shortage.ts'
import { type ProcessPlan, type StartFailure, startFailureInWords, startProcess } from '../process/start.ts'
import type { Start, StartOutcome } from './unit.ts'

// What units share whose process is one of this package's own: it reports when it is ready, holds a control socket and writes a PID file.

/** What can be wrong with such a process. */
export type ProcessFault =
  /** It is dead, or does not do its work. */
  | { readonly code: 'not-running' | 'zombie' }
  | { readonly code: 'stopped' | 'control-silent' | 'control-absent'; readonly pid: number }
  /** Its PID file, which counts for nothing. */
  | { readonly code: 'pid-file-invalid'; readonly why: string }
  | { readonly code: 'pid-gone' | 'pid-zombie' | 'pid-reused'; readonly pid: number }
  /** Something that nobody can name holds its control socket. */
  | { readonly code: 'silent-and-unnamed' }
  /** A start that came to nothing. */
  | { readonly code: 'start-failed'; readonly failure: StartFailure }

export function processFaultInWords(fault: ProcessFault): string {
  switch (fault.code) {
    case 'not-running':
      return 'is not running'
    case 'zombie':
      return 'has ended and waits for its parent (zombie)'
    case 'stopped':
      return `is stopped (SIGSTOP) as PID ${fault.pid}`
    case 'control-silent':
      return `hangs: PID ${fault.pid} does not answer`
    case 'control-absent':
      return `cannot be asked: PID ${fault.pid} has lost its control socket`
    case 'pid-file-invalid':
      return fault.why
    case 'pid-gone':
      return `PID ${fault.pid} is gone`
    case 'pid-zombie':
      return `PID ${fault.pid} is a zombie`
    case 'pid-reused':
      return `PID ${fault.pid} is another process now`
    case 'silent-and-unnamed':
      return 'its control socket is held but does not answer, and there is no PID file to say which process holds it'
    case 'start-failed':
      return startFailureInWords(fault.failure)
  }
}

/** How such a process is started, and what a start that came to nothing means for the unit. */
export interface OwnProcess {
  readonly plan: Omit<ProcessPlan, 'output' | 'ready'>
  /** Where what it prints goes. */
  readonly logFile: string
  /** Makes the state directory when it is gone: without it nothing could be started. */
  readonly prepare: () => void
  /** Missing = `failedStart`. */
  readonly failed?: (failure: StartFailure) => FailedStart
}

type FailedStart = Extract<StartOutcome, { readonly ok: false }>

/** What a start that came to nothing means. A process that refuses because something is not available is not started again until it is. */
export function failedStart(failure: StartFailure): FailedStart {
  const isBlocked = failure.code === 'refused' && failure.exitCode === exitCode.unavailable
  const fault: ProcessFault = { code: 'start-failed', failure }
  return { ok: false, fault, isBlocked, shortage: failure.shortage }
}

/**
 * Starts it in a session of its own: it outlives the monitor, its terminal and its signals. Never throws: what prevents the start is its
 * outcome.
 */
export function startOwnProcess({ plan, logFile, prepare, failed = failedStart }: OwnProcess): Start {
  try {
    prepare()
    const log = openForAppending(logFile)
    const { process: running, ...start } = startProcess({ ...plan, output: log, ready: 'report' })
    closeSync(log)
    running?.child.unref()
    return {
      get identity() {
        return running?.identity
      },
      outcome: start.outcome.then((outcome) => (outcome.ok ? outcome : failed(outcome.failure))),
      exited: running?.ended ?? Promise.resolve(undefined),
      abandon: () => start.abandon(),
    }
  } catch (error) {
    const system = errorCode(error)
    const failure = {
      code: 'not-run',
      message: errorText(error),
      system,
      shortage: shortageOf(system),
    } as const
    return {
      identity: undefined,
      outcome: Promise.resolve(failed(failure)),
      exited: Promise.resolve(undefined),
      abandon: () => {},
    }
  }
}
