import { monotonicMs } from '../os/clock.ts'
import { sourceNetwork } from '../os/interfaces.ts'

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

/** Lines of the log a second over all sources; each source has one at most. */
const mostLinesASecond = 5

const minutes = 60

interface Source {
  failures: number
  blockedUntil: number
  lastAt: number
  /** It has given the right token before. */
  isKnown: boolean
  /** When a line about it was last logged, and its failures since then. */
  reportedAt: number
  suppressed: number
}

/** Wrong tokens of late. */
export interface FailureCount {
  readonly lastHour: number
  readonly lastTenMinutes: number
  /** Undefined = there was none. */
  readonly last: { readonly source: string; readonly ageMs: number } | undefined
}

/** Limits how fast tokens can be guessed, by source and in total, with a bounded memory, and counts. */
export class Attempts {
  readonly #sources = new Map<string, Source>()
  readonly #now: () => number
  #minute = { startedAt: 0, failures: 0 }
  #isLockOutReported = false
  /** Failures by minute, in a ring; `at` counts minutes. */
  readonly #ring = Array.from({ length: minutes }, () => ({ at: -1, failures: 0 }))
  #last: { source: string; at: number } | undefined
  #lines = { startedAt: Number.NEGATIVE_INFINITY, reported: 0, suppressed: 0 }

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

  /**
   * @returns how many failures got no line in the log before this one, when it is to get one; undefined when it is not: each source has a
   *   line a second, and all of them together a few.
   */
  failed(address: string): number | undefined {
    const now = this.#now()
    const source = this.#remember(address, now)
    source.failures++
    const beyond = source.failures - freeFailures
    if (beyond >= 0)
      source.blockedUntil = now + Math.min(firstWaitMs * 2 ** Math.min(beyond, 10), longestWaitMs)
    if (now - this.#minute.startedAt >= 60_000) {
      this.#minute = { startedAt: now, failures: 0 }
      this.#isLockOutReported = false
    }
    this.#minute.failures++
    return this.count(address, source)
  }

  /** As `failed`, for a source that must wait: its token was not judged, and the wait does not grow. */
  count(address: string, source = this.#remember(address, this.#now())): number | undefined {
    const now = this.#now()
    this.#last = { source: address, at: now }
    const minute = Math.floor(now / 60_000)
    const slot = this.#ring[minute % minutes]
    if (slot !== undefined) {
      if (slot.at !== minute) slot.failures = 0
      slot.at = minute
      slot.failures++
    }
    return this.#line(source, now)
  }

  /** True once each time the limit over all sources begins to keep new ones out. */
  isLockOutNews(): boolean {
    if (this.#isLockOutReported || this.#totalWaitMs(this.#now()) === 0) return false
    this.#isLockOutReported = true
    return true
  }

  /** ms until new sources may try again; 0 = they may. */
  get totalWaitMs(): number {
    return this.#totalWaitMs(this.#now())
  }

  succeeded(address: string): void {
    const source = this.#remember(address, this.#now())
    source.failures = 0
    source.blockedUntil = 0
    source.isKnown = true
  }

  counts(): FailureCount {
    const now = this.#now()
    const minute = Math.floor(now / 60_000)
    const within = (span: number) =>
      this.#ring.reduce(
        (sum, { at, failures }) => sum + (at > minute - span && at <= minute ? failures : 0),
        0,
      )
    const last = this.#last && { source: this.#last.source, ageMs: now - this.#last.at }
    return { lastHour: within(minutes), lastTenMinutes: within(10), last }
  }

  #line(source: Source, now: number): number | undefined {
    const isQuiet = now - source.reportedAt < 1_000
    if (now - this.#lines.startedAt >= 1_000) this.#lines = { ...this.#lines, startedAt: now, reported: 0 }
    if (isQuiet || this.#lines.reported >= mostLinesASecond) {
      if (isQuiet) source.suppressed++
      else this.#lines.suppressed++
      return undefined
    }
    const suppressed = source.suppressed + this.#lines.suppressed
    source.suppressed = 0
    source.reportedAt = now
    this.#lines.suppressed = 0
    this.#lines.reported++
    return suppressed
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
    const never = Number.NEGATIVE_INFINITY
    const fresh = {
      failures: 0,
      blockedUntil: 0,
      lastAt: now,
      isKnown: false,
      reportedAt: never,
      suppressed: 0,
    }
    const source = found ?? fresh
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
