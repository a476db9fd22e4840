import type { RestartPolicy } from '../../config/restart-policy.ts'
import { monotonicMs, wallTime } from '../../os/clock.ts'
import { isSteady, nextRestart, type RestartMemory } from '../../watch/decide/pace.ts'

/** Why a server was not there, the last time that it was not. */
export interface LastError {
  /** Wall time, ISO 8601. */
  readonly at: string
  readonly message: string
  /** The last lines that it wrote to stderr, oldest first. */
  readonly stderr: readonly string[]
}

const fresh: RestartMemory = { recentRestarts: [], backoffLevel: 0 }

/** The failures and restarts of one server, by the rules that the watchdog has for its units. */
export class Restarts {
  #memory = fresh
  #healthySince: number | undefined
  /** A start that comes now is a restart after a failure. */
  #isDue = false
  #notBefore = 0
  #isPaused = false
  #count = 0
  #failures = 0
  #lastError: LastError | undefined

  /** Restarts after failures. */
  get count(): number {
    return this.#count
  }

  /** In a row: 0 = the last start succeeded. */
  get failures(): number {
    return this.#failures
  }

  get lastError(): LastError | undefined {
    return this.#lastError
  }

  /** ms until the next start may be; 0 = now. */
  get waitMs(): number {
    return Math.max(0, this.#notBefore - monotonicMs())
  }

  /** It has failed so often that restarts pause. */
  get isPaused(): boolean {
    return this.#isPaused && this.waitMs > 0
  }

  /** It has died, or could not be started. @returns ms until its next start. */
  failed(policy: RestartPolicy, message: string, stderr: readonly string[]): number {
    const now = monotonicMs()
    if (this.#healthySince !== undefined && isSteady(this.#healthySince, { policy, now }))
      this.#memory = { ...this.#memory, backoffLevel: 0 }
    this.#healthySince = undefined
    this.#lastError = { at: wallTime(), message, stderr }
    this.#failures++
    const next = nextRestart(this.#memory, { policy, now, random: Math.random() })
    this.#memory = next.memory
    this.#isPaused = next.kind === 'paused'
    this.#isDue = true
    const delayMs = next.kind === 'at-once' ? 0 : next.kind === 'later' ? next.delayMs : next.pauseMs
    this.#notBefore = now + delayMs
    return delayMs
  }

  /** A start begins. */
  begins(): void {
    if (!this.#isDue) return
    this.#isDue = false
    this.#count++
    this.#memory = { ...this.#memory, recentRestarts: [...this.#memory.recentRestarts, monotonicMs()] }
  }

  /** It works. */
  succeeded(): void {
    this.#healthySince ??= monotonicMs()
    this.#failures = 0
  }

  /** It was ended because nobody needs it. */
  rests(): void {
    this.#healthySince = undefined
  }

  /** Somebody has removed the cause: earlier failures no longer count, and no wait is left. */
  retry(): void {
    this.#memory = fresh
    this.#notBefore = 0
    this.#isPaused = false
  }
}
