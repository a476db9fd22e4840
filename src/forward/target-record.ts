import type { ForwarderHealth, TargetState } from '../control/forwarder-health.ts'
import { monotonicMs } from '../os/clock.ts'

/** Remembers how the target answered; every dial, a client's or a check's, is told to it. */
export class TargetRecord {
  #answeredAt: number | undefined
  #address: string | null = null
  #failedAt: number | undefined
  #lastError: string | null = null

  answered(address: string): void {
    this.#answeredAt = monotonicMs()
    this.#address = address
  }

  failed(message: string): void {
    this.#failedAt = monotonicMs()
    this.#lastError = message
  }

  get state(): TargetState {
    if (this.#answeredAt === undefined) return this.#failedAt === undefined ? 'unknown' : 'waiting'
    return (this.#failedAt ?? 0) > this.#answeredAt ? 'unreachable' : 'reachable'
  }

  /** ms since the last dial, whatever came of it; Infinity before the first. */
  get ageMs(): number {
    return monotonicMs() - Math.max(this.#answeredAt ?? -Infinity, this.#failedAt ?? -Infinity)
  }

  facts(): Omit<ForwarderHealth['target'], 'host' | 'port'> {
    const age = (at: number | undefined) => (at === undefined ? null : Math.round(monotonicMs() - at))
    return {
      state: this.state,
      address: this.#address,
      answeredAgeMs: age(this.#answeredAt),
      lastError: this.#lastError,
      lastErrorAgeMs: age(this.#failedAt),
    }
  }
}
