import { monotonicMs } from '../os/clock.ts'
import { sourceNetwork } from '../os/interfaces.ts'

/** Sources remembered; beyond that, one that was not seen for long is forgotten. */
const mostSources = 4096

interface Bucket {
  left: number
  filledAt: number
}

/** Requests a second that a source may make: as many at once as `burst`, refilled evenly. */
export class RequestRate {
  readonly #perSecond: number
  readonly #burst: number
  readonly #now: () => number
  readonly #buckets = new Map<string, Bucket>()

  /** @param now ms on a clock that never jumps. */
  constructor(perSecond: number, burst: number, now: () => number = monotonicMs) {
    this.#perSecond = perSecond
    this.#burst = burst
    this.#now = now
  }

  /** @returns false when this source has used up what it may; then nothing is counted. */
  take(address: string): boolean {
    const key = sourceNetwork(address)
    const now = this.#now()
    const bucket = this.#buckets.get(key) ?? this.#add(key, now)
    bucket.left = Math.min(this.#burst, bucket.left + ((now - bucket.filledAt) / 1000) * this.#perSecond)
    bucket.filledAt = now
    if (bucket.left < 1) return false
    bucket.left--
    return true
  }

  #add(key: string, now: number): Bucket {
    const [oldest] = this.#buckets.keys()
    if (this.#buckets.size >= mostSources && oldest !== undefined) this.#buckets.delete(oldest)
    const bucket = { left: this.#burst, filledAt: now }
    this.#buckets.set(key, bucket)
    return bucket
  }
}
