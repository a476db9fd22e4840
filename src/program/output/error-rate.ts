import type { ErrorRate } from '../../config/program-configuration.ts'

/** Of errors that were printed: lines of the class `error`, each with its stack trace. */
export interface ErrorCounts {
  /** All that were counted. */
  readonly total: number
  /** Those of the window, to the second. */
  readonly recent: number
}

/** Looks within one window. */
const looks = 20
const shortestLookMs = 250
const longestLookMs = 3000

/** Looks again and again whether one process of a program prints more errors than it may. What the process before printed does not count. */
export class ErrorRateWatch {
  readonly rate: ErrorRate
  readonly #counts: (windowMs: number) => ErrorCounts
  readonly #exceeded: () => void
  readonly #before: number
  readonly #timer: NodeJS.Timeout
  #errors = 0

  /** @param exceeded called when there are more than there may be, and before there were not. */
  constructor(rate: ErrorRate, counts: (windowMs: number) => ErrorCounts, exceeded: () => void) {
    this.rate = rate
    this.#counts = counts
    this.#exceeded = exceeded
    this.#before = counts(rate.withinMs).total
    const everyMs = Math.min(longestLookMs, Math.max(shortestLookMs, rate.withinMs / looks))
    this.#timer = setInterval(() => this.#look(), everyMs)
    this.#timer.unref()
  }

  /** Errors within the window, at the last look. */
  get errors(): number {
    return this.#errors
  }

  get isExceeded(): boolean {
    return this.#errors > this.rate.above
  }

  end(): void {
    clearInterval(this.#timer)
  }

  #look(): void {
    const wasExceeded = this.isExceeded
    const { total, recent } = this.#counts(this.rate.withinMs)
    // Patterns that were changed begin to count anew.
    this.#errors = Math.max(0, Math.min(recent, total - this.#before))
    if (this.isExceeded && !wasExceeded) this.#exceeded()
  }
}
