import type { RequestLimits } from '../../config/access-configuration.ts'
import { sourceNetwork } from '../../os/interfaces.ts'
import { RequestRate } from '../../web/request-rate.ts'
import type { RequestFigures } from '../figures.ts'

/** Why a request must wait: of everybody's (503), or of its own key or source (429). */
export interface Full {
  readonly status: 429 | 503
  readonly message: string
}

/** How many requests are taken at once and a second, by key and by source, so that one client cannot keep the others out. */
export class Limits {
  readonly #limits: RequestLimits
  readonly #keys = new Places()
  readonly #sources = new Places()
  readonly #keyRate: RequestRate | undefined
  readonly #sourceRate: RequestRate | undefined
  #inFlight = 0

  constructor(limits: RequestLimits) {
    this.#limits = limits
    const { ratePerKey, ratePerSource } = limits
    this.#keyRate = ratePerKey === 0 ? undefined : new RequestRate(ratePerKey, ratePerKey)
    this.#sourceRate = ratePerSource === 0 ? undefined : new RequestRate(ratePerSource, ratePerSource)
  }

  /** Requests under way, and how many may be; 0 = any number. */
  get figures(): RequestFigures {
    return { inFlight: this.#inFlight, inFlightLimit: this.#limits.inFlight }
  }

  /** Before a key is looked at. Undefined = it may go on. */
  ofSource(from: string): Full | undefined {
    if (this.#sourceRate?.take(from) !== false) return undefined
    return { status: 429, message: 'too many requests a second from this address' }
  }

  /** @returns why it must wait, or what is to be called at the end of the request. */
  enter(key: string, from: string): Full | (() => void) {
    const { inFlight, inFlightPerKey, inFlightPerSource } = this.#limits
    const source = sourceNetwork(from)
    if (isFull(this.#inFlight, inFlight)) return { status: 503, message: 'too many requests are under way' }
    if (isFull(this.#keys.count(key), inFlightPerKey))
      return { status: 429, message: 'too many requests of this key are under way' }
    if (isFull(this.#sources.count(source), inFlightPerSource))
      return { status: 429, message: 'too many requests from this address are under way' }
    if (this.#keyRate?.take(key) === false)
      return { status: 429, message: 'too many requests a second of this key' }
    this.#inFlight++
    this.#keys.add(key, 1)
    this.#sources.add(source, 1)
    return () => {
      this.#inFlight--
      this.#keys.add(key, -1)
      this.#sources.add(source, -1)
    }
  }
}

function isFull(count: number, limit: number): boolean {
  return limit > 0 && count >= limit
}

/** How many requests each has under way; who has none is forgotten. */
class Places {
  readonly #counts = new Map<string, number>()

  count(who: string): number {
    return this.#counts.get(who) ?? 0
  }

  add(who: string, change: 1 | -1): void {
    const count = this.count(who) + change
    if (count === 0) this.#counts.delete(who)
    else this.#counts.set(who, count)
  }
}
