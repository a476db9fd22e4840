import { sourceNetwork } from '../../os/interfaces.ts'

export interface SourceLimitOptions {
  /** Connections open at once from one source. 0 = no limit. */
  readonly maxConnectionsPerSource: number
  /** New connections a second from one source. 0 = no limit. */
  readonly maxRatePerSource: number
}

export type SourceRefusal = 'max-connections-per-source' | 'max-rate-per-source'

/** Sources remembered at once; of those without a connection the one seen longest ago is forgotten first. */
const longestTable = 10_000

interface SourceEntry {
  open: number
  /** Tokens of the bucket: connections that may come now. */
  tokens: number
  /** `performance.now()` of the last refill. */
  filledAt: number
}

/** Counts connections by source. With both limits off it keeps no table and costs nothing. */
export class SourceLimits {
  readonly #options: SourceLimitOptions
  readonly #isOff: boolean
  readonly #sources = new Map<string, SourceEntry>()

  constructor(options: SourceLimitOptions) {
    this.#options = options
    this.#isOff = options.maxConnectionsPerSource === 0 && options.maxRatePerSource === 0
  }

  get size(): number {
    return this.#sources.size
  }

  /** Counts a new connection, or says which limit forbids it. What was admitted must be released at its end. */
  admit(address: string): SourceRefusal | undefined {
    if (this.#isOff) return undefined
    const { maxConnectionsPerSource, maxRatePerSource } = this.#options
    const entry = this.#entry(sourceNetwork(address))
    if (maxConnectionsPerSource > 0 && entry.open >= maxConnectionsPerSource)
      return 'max-connections-per-source'
    if (maxRatePerSource > 0) {
      refill(entry, maxRatePerSource)
      if (entry.tokens < 1) return 'max-rate-per-source'
      entry.tokens--
    }
    entry.open++
    return undefined
  }

  release(address: string): void {
    if (this.#isOff) return
    const key = sourceNetwork(address)
    const entry = this.#sources.get(key)
    if (entry === undefined) return
    entry.open--
    if (entry.open === 0 && this.#options.maxRatePerSource === 0) this.#sources.delete(key)
  }

  #entry(key: string): SourceEntry {
    const known = this.#sources.get(key)
    const { maxRatePerSource } = this.#options
    const entry = known ?? { open: 0, tokens: maxRatePerSource, filledAt: performance.now() }
    // A Map keeps the order of insertion: whoever was seen last stands last.
    if (known !== undefined) this.#sources.delete(key)
    this.#sources.set(key, entry)
    if (this.#sources.size > longestTable) this.#forgetOne()
    return entry
  }

  /** Whoever has a connection open is kept, and there are never more of those than the forwarder has connections. */
  #forgetOne(): void {
    for (const [key, { open }] of this.#sources) {
      if (open > 0) continue
      this.#sources.delete(key)
      return
    }
  }
}

function refill(entry: SourceEntry, perSecond: number): void {
  const now = performance.now()
  entry.tokens = Math.min(perSecond, entry.tokens + ((now - entry.filledAt) / 1000) * perSecond)
  entry.filledAt = now
}

/** Why a source is turned away, in words. */
export function limitWords(limit: SourceRefusal, options: SourceLimitOptions): string {
  switch (limit) {
    case 'max-connections-per-source':
      return `it has ${options.maxConnectionsPerSource} connections open, the limit of one source`
    case 'max-rate-per-source':
      return `it opens more than ${options.maxRatePerSource} connections a second, the limit of one source`
  }
}
