import type { HealthCondition } from '../../config/program-configuration.ts'
import { timeLimit } from '../../os/time-limit.ts'
import type { ProcessIdentity } from '../../process/identity.ts'
import { type Asked, ask } from './index.ts'

/** What is known of the health of a program. */
export interface HealthFacts {
  /** Questions in a row that were not answered well. */
  readonly failures: number
  /** What was wrong the last time; undefined = nothing. */
  readonly problem: string | undefined
}

/** Asks one process of a program again and again how it is. */
export class HealthWatch {
  readonly condition: HealthCondition
  readonly #identity: ProcessIdentity
  readonly #asked: Asked
  readonly #failed: () => void
  readonly #over = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #facts: HealthFacts = { failures: 0, problem: undefined }

  /** @param failed called when so many failures in a row have come that the condition's action follows. */
  constructor(condition: HealthCondition, identity: ProcessIdentity, asked: Asked, failed: () => void) {
    this.condition = condition
    this.#identity = identity
    this.#asked = asked
    this.#failed = failed
    this.#plan()
  }

  get facts(): HealthFacts {
    return this.#facts
  }

  /** Whether so many failures in a row have come that the action follows. */
  get hasFailed(): boolean {
    return this.#facts.failures >= this.condition.failureThreshold
  }

  end(): void {
    clearTimeout(this.#timer)
    this.#over.abort()
  }

  #plan(): void {
    this.#timer = setTimeout(() => void this.#ask(), this.condition.intervalMs)
    this.#timer.unref()
  }

  async #ask(): Promise<void> {
    const { probe, timeoutMs, failureThreshold } = this.condition
    const late = new AbortController()
    const inTime = timeLimit(timeoutMs, () => late.abort())
    const signal = AbortSignal.any([late.signal, this.#over.signal])
    const problem = await ask(probe, this.#identity, this.#asked, signal)
    inTime()
    if (this.#over.signal.aborted) return
    this.#facts = { failures: problem === undefined ? 0 : this.#facts.failures + 1, problem }
    if (this.#facts.failures === failureThreshold) this.#failed()
    this.#plan()
  }
}
