/** One line a reason within so many ms: a flood of clients must not become a flood of lines. Every refusal is counted all the same. */
const quietMs = 1_000

interface Told {
  /** `performance.now()` of the last line. */
  at: number
  /** Refusals since then that got no line. */
  untold: number
}

/** Decides which refusals get a line in the log. */
export class RefusalReport {
  readonly #told = new Map<string, Told>()

  /** @returns how many of this reason went untold before this one, when it is to be told; undefined when it is not. */
  next(reason: string): number | undefined {
    const now = performance.now()
    const last = this.#told.get(reason)
    if (last !== undefined && now - last.at < quietMs) {
      last.untold++
      return undefined
    }
    this.#told.set(reason, { at: now, untold: 0 })
    return last?.untold ?? 0
  }
}
