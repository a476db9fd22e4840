import { ControlSocketHeld } from '../control/server.ts'
import { errorText } from '../os/failure.ts'
import type { ForwarderIdentity } from '../record/forwarder-health.ts'
import { keepStateDirectory } from '../record/state-directory.ts'
import type { Log } from './process-logs.ts'

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
  #problem: string | undefined

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
    let problem: string | undefined
    try {
      problem = keepStateDirectory(stateDirectory)
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
      problem = problemInWords(error)
    }
    if (restored.length > 0) log('warn', `Restored missing files: ${restored.join(', ')}`)
    if (problem !== undefined && problem !== this.#problem) log('warn', problem)
    if (problem === undefined && this.#problem !== undefined)
      log('info', 'All files of this forwarder are in place again', true)
    this.#problem = problem
  }
}

function problemInWords(error: unknown): string {
  if (!(error instanceof ControlSocketHeld))
    return `This forwarder keeps running without its files: ${errorText(error)}`
  const holder = error.holder as Partial<ForwarderIdentity> | undefined
  const who = holder?.identity === undefined ? 'Another process' : `PID ${holder.identity.pid}`
  return `${who} holds the control socket now: proxy-status and the monitor find that one, and this forwarder keeps running without it`
}
