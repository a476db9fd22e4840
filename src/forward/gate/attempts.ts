import { monotonicMs } from '../../os/clock.ts'
import { sourceNetwork } from './session.ts'

/** Wrong tokens of one source that are free of charge: people mistype. */
const freeFailures = 5

/** ms of the first wait, doubled at each further failure. */
const firstWaitMs = 1_000
const longestWaitMs = 60_000

/** ms without a failure after which a source begins anew. */
const forgetAfterMs = 15 * 60_000

/** Wrong tokens a minute, over all sources, after which only sources that have logged in before may try. */
const mostFailuresAMinute = 60

/** Sources remembered. Beyond that the one that was quiet the longest is forgotten; the limit over all still holds. */
const mostSources = 4_096

interface Source {
  failures: number
  blockedUntil: number
  lastAt: number
  /** It has given the right token before. */
  isKnown: boolean
}

/** Limits how fast tokens can be guessed, by source and in total, with a bounded memory. */
export class Attempts {
  readonly #sources = new Map<string, Source>()
  readonly #now: () => number
  #minute = { startedAt: 0, failures: 0 }

  /** @param now ms on a clock that never jumps. */
  constructor(now: () => number = monotonicMs) {
    this.#now = now
  }

  /** ms until this source may try again; 0 = now. */
  waitMs(address: string): number {
    const now = this.#now()
    const source = this.#sources.get(sourceNetwork(address))
    const own = Math.max(0, (source?.blockedUntil ?? 0) - now)
    return source?.isKnown === true ? own : Math.max(own, this.#totalWaitMs(now))
  }

  failed(address: string): void {
    const now = this.#now()
    const source = this.#remember(address, now)
    source.failures++
    const beyond = source.failures - freeFailures
    if (beyond >= 0)
      source.blockedUntil = now + Math.min(firstWaitMs * 2 ** Math.min(beyond, 10), longestWaitMs)
    if (now - this.#minute.startedAt >= 60_000) this.#minute = { startedAt: now, failures: 0 }
    this.#minute.failures++
  }

  succeeded(address: string): void {
    const source = this.#remember(address, this.#now())
    source.failures = 0
    source.blockedUntil = 0
    source.isKnown = true
  }

  #totalWaitMs(now: number): number {
    const { startedAt, failures } = this.#minute
    return failures < mostFailuresAMinute ? 0 : Math.max(0, startedAt + 60_000 - now)
  }

  /** Moves the source to the end of the table: the map's order is the order of last use. */
  #remember(address: string, now: number): Source {
    const key = sourceNetwork(address)
    const found = this.#sources.get(key)
    this.#sources.delete(key)
    const source = found ?? { failures: 0, blockedUntil: 0, lastAt: now, isKnown: false }
    if (now - source.lastAt >= forgetAfterMs) source.failures = 0
    source.lastAt = now
    this.#sources.set(key, source)
    if (this.#sources.size > mostSources) {
      const [oldest] = this.#sources.keys()
      if (oldest !== undefined) this.#sources.delete(oldest)
    }
    return source
  }
}
