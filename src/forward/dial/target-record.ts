import type { TargetFacts, TargetState } from '../../record/forwarder-health.ts'

/** Remembers how the target answered; every dial, a client's or a check's, is told to it. */
export class TargetRecord {
  #answeredAt: number | undefined
  #address: string | null = null
  #failedAt: number | undefined
  /** The first of the failures in a row. */
  #failingSince: number | undefined
  #lastError: string | null = null

  answered(address: string): void {
    this.#answeredAt = performance.now()
    this.#address = address
    this.#failingSince = undefined
  }

  failed(message: string): void {
    this.#failedAt = performance.now()
    this.#failingSince ??= this.#failedAt
    this.#lastError = message
  }

  get state(): TargetState {
    if (this.#answeredAt === undefined) return this.#failedAt === undefined ? 'unknown' : 'waiting'
    return (this.#failedAt ?? 0) > this.#answeredAt ? 'unreachable' : 'reachable'
  }

  /** ms since the last dial, whatever came of it; Infinity before the first. */
  get ageMs(): number {
    return performance.now() - Math.max(this.#answeredAt ?? -Infinity, this.#failedAt ?? -Infinity)
  }

  /** ms since the last failure; Infinity before the first. */
  get failedAgeMs(): number {
    return performance.now() - (this.#failedAt ?? -Infinity)
  }

  /** ms since the first failure of those in a row; 0 when the last dial succeeded. */
  get failingForMs(): number {
    return this.#failingSince === undefined ? 0 : performance.now() - this.#failingSince
  }

  facts(): Omit<TargetFacts, 'host' | 'port'> {
    const age = (at: number | undefined) => (at === undefined ? null : Math.round(performance.now() - at))
    return {
      state: this.state,
      address: this.#address,
      answeredAgeMs: age(this.#answeredAt),
      lastError: this.#lastError,
      lastErrorAgeMs: age(this.#failedAt),
    }
  }
}
