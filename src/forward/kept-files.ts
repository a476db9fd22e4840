import { ControlSocketHeld } from '../control/server.ts'
import type { Log } from '../log/index.ts'
import { errorCode, errorText } from '../os/failure.ts'
import type { ForwarderIdentity } from '../record/shapes/control.ts'
import { keepStateDirectory, openToOthersInWords } from '../record/state-directory.ts'

/** ms between two looks at the files of a running forwarder. */
const lookMs = 2000

/** A file that a running forwarder has in its state directory. */
export interface OwnFile {
  /** What people call it. */
  readonly what: string
  /** Writes it again when it is gone; true when it was. Throws the system's error when it cannot be written. */
  readonly keep: () => boolean
}

export interface KeptFilesOptions {
  readonly stateDirectory: string
  readonly log: Log
  readonly logs: { look(): readonly string[] }
  readonly control: { isHeld(): boolean; holdAgain(): Promise<void> }
  /** False once another forwarder has taken over, or is about to: the names are its own then. */
  readonly isKeeper: () => boolean
  readonly files: readonly OwnFile[]
}

/**
 * Whoever removes or renames the files of a running forwarder, or its whole state directory, finds it again at the same names after a
 * moment: the forwarder looks at them every 2 s, at every question for its health, and at SIGHUP. What another process holds by then is
 * left to it.
 */
export class KeptFiles {
  readonly #options: KeptFilesOptions
  readonly #timer: NodeJS.Timeout
  #looking: Promise<void> | undefined
  #isClosed = false
  #problem: Problem | undefined

  constructor(options: KeptFilesOptions) {
    this.#options = options
    this.#timer = setInterval(() => void this.look(), lookMs)
    this.#timer.unref()
  }

  /** Never fails. A look that is still under way is joined. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  close(): void {
    this.#isClosed = true
    clearInterval(this.#timer)
  }

  async #look(): Promise<void> {
    const { stateDirectory, log, logs, control, files, isKeeper } = this.#options
    if (this.#isClosed) return
    if (!isKeeper()) {
      logs.look()
      return
    }
    const restored: string[] = []
    let problem: Problem | undefined
    try {
      if (keepStateDirectory(stateDirectory)) problem = { code: 'open-to-others' }
      restored.push(...logs.look())
      if (!control.isHeld()) {
        await control.holdAgain()
        restored.push('control socket')
      }
      // While it waited, this process may have ended, or somebody else taken over.
      if (this.#isClosed || !isKeeper()) return
      restored.push(...files.filter(({ keep }) => keep()).map(({ what }) => what))
    } catch (error) {
      logs.look()
      problem = problemOf(error)
    }
    if (restored.length > 0) log.warn(`Restored missing files: ${restored.join(', ')}`)
    if (problem !== undefined && !isSame(problem, this.#problem)) log.warn(inWords(problem, stateDirectory))
    if (problem === undefined && this.#problem !== undefined)
      log.info({ good: true }, 'All files of this forwarder are in place again')
    this.#problem = problem
  }
}

/** Why a forwarder is not as it should be. The log tells each reason once for as long as it lasts. */
type Problem =
  | { readonly code: 'open-to-others' }
  /** `pid` undefined = the holder does not say. */
  | { readonly code: 'held'; readonly pid: number | undefined }
  /** `system`: the error's code, or its name where the system has none for it. */
  | { readonly code: 'failed'; readonly system: string; readonly why: string }

function problemOf(error: unknown): Problem {
  if (error instanceof ControlSocketHeld) {
    const holder = error.holder as Partial<ForwarderIdentity> | undefined
    return { code: 'held', pid: holder?.identity?.pid }
  }
  const system = errorCode(error) ?? (error instanceof Error ? error.name : 'unknown')
  return { code: 'failed', system, why: errorText(error) }
}

function isSame(one: Problem, other: Problem | undefined): boolean {
  if (one.code === 'held') return other?.code === 'held' && one.pid === other.pid
  if (one.code === 'failed') return other?.code === 'failed' && one.system === other.system
  return one.code === other?.code
}

function inWords(problem: Problem, stateDirectory: string): string {
  switch (problem.code) {
    case 'open-to-others':
      return openToOthersInWords(stateDirectory)
    case 'held': {
      const who = problem.pid === undefined ? 'Another process' : `PID ${problem.pid}`
      return `${who} holds the control socket now: proxy-status and the monitor find that one, and this forwarder keeps running without it`
    }
    case 'failed':
      return `This forwarder keeps running without its files: ${problem.why}`
  }
}
