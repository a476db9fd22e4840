import type { Shortage } from '../../record/forwarder-health.ts'
import { type DialFailure, isShortage } from './dial.ts'

/** A shortage that nobody has met for so long is over, in ms. */
const rememberedMs = 15_000

/** Remembers what this machine lacked when it last tried to dial a target. */
export class Shortages {
  #last: { readonly reason: Shortage['reason']; readonly message: string; readonly at: number } | undefined

  noteFailure({ reason, message }: DialFailure): void {
    if (isShortage(reason)) this.#last = { reason, message, at: performance.now() }
  }

  /** A dial succeeded. */
  over(): void {
    this.#last = undefined
  }

  current(): Shortage | null {
    if (this.#last === undefined) return null
    const { reason, message, at } = this.#last
    const ageMs = Math.round(performance.now() - at)
    return ageMs > rememberedMs ? null : { reason, message, ageMs }
  }
}
