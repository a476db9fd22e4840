import { monotonicMs, wallTime } from '../../os/clock.ts'
import { errorText } from '../../os/failure.ts'
import { type ApiKey, hasExpired } from '../../record/api-keys.ts'
import { type Store, StoreUnavailable } from './store.ts'

/** ms that an answer of the store holds, unless the store tells of a change before. */
const keptMs = 60_000

/** ms between two looks for answers that nobody needs any more. */
const sweepMs = 5 * 60_000

/** Answers kept at most: keys, and ids that are none. Each has a part of its own, so that guessed ids drive out no key. */
const mostKept = 10_000

/** What the gateway should say, or count. */
export type StoreNews =
  | { readonly kind: 'lost'; readonly problem: string }
  | { readonly kind: 'back'; readonly afterMs: number }
  /** It has been away for so long that keys are no longer taken. */
  | { readonly kind: 'exhausted' }

export interface KnownKeysOptions {
  readonly store: Store
  /** ms that known keys are taken while the store cannot be read. */
  readonly outageMs: number
  readonly counted: (isHit: boolean) => void
  readonly told: (news: StoreNews) => void
  /** ms on a clock that never jumps. */
  readonly now?: () => number
}

interface Known {
  readonly key: ApiKey | undefined
  /** When the store was asked. */
  readonly at: number
  /** Until when it was certain: the store would have told of a change. Undefined = it still is. */
  certainUntil: number | undefined
}

/** How the store is, for status and probes. */
export interface StoreHealth {
  readonly state: 'up' | 'down'
  /** Since when it is down, wall time; null = it is up. */
  readonly since: string | null
  readonly problem: string | null
  /** Keys that are known are taken. */
  readonly serves: boolean
}

/**
 * What is known of keys, so that a warm gateway reads nothing for a request. While the store cannot be read, what was certain when it was lost
 * goes on to hold for `outageMs`.
 */
export class KnownKeys {
  readonly #options: KnownKeysOptions
  readonly #now: () => number
  readonly #keys = new Map<string, Known>()
  readonly #strangers = new Map<string, Known>()
  readonly #asked = new Map<string, Promise<ApiKey | undefined>>()
  #lost: { readonly at: number; readonly since: string; readonly problem: string } | undefined
  #exhausting: NodeJS.Timeout | undefined
  readonly #sweeping: NodeJS.Timeout

  constructor(options: KnownKeysOptions) {
    this.#options = options
    this.#now = options.now ?? monotonicMs
    this.#sweeping = setInterval(() => this.sweep(), sweepMs).unref()
  }

  /** Begins to hear of changes. @throws as `watch` of the store. */
  begin(): Promise<void> {
    return this.#options.store.watch({
      changed: (id) => (id === undefined ? this.doubt() : this.#forget(id)),
      lost: (problem) => this.#hasLost(problem),
      back: () => this.#isBack(),
    })
  }

  /** The key of a public id; at once when it is known. @throws StoreUnavailable, or rejects with it. */
  find(id: string): ApiKey | undefined | Promise<ApiKey | undefined> {
    this.#options.store.peek()
    const known = this.#keys.get(id) ?? this.#strangers.get(id)
    const isLost = this.#lost !== undefined
    const holds = known !== undefined && (isLost || this.#holds(known))
    this.#options.counted(holds)
    if (isLost) return this.#asItWas(id)
    return holds ? known.key : this.#ask(id)
  }

  /**
   * Whether who was let in with this key may go on. Where that is to be asked, what was known holds until the answer comes.
   * @param graceMs that he may go on beyond the time for which known keys are taken.
   */
  admits(id: string, graceMs: number): boolean {
    this.#options.store.peek()
    if (this.#lost === undefined && !this.#holds(this.#keys.get(id) ?? this.#strangers.get(id))) {
      try {
        const asked = this.#ask(id)
        if (asked instanceof Promise) asked.catch(() => {})
      } catch {
        // It is lost now.
      }
    }
    const key = this.#keys.get(id)
    if (this.#lost === undefined && key === undefined) return !this.#strangers.has(id)
    if (key?.key === undefined || hasExpired(key.key)) return false
    return this.#lost === undefined || this.#isTaken(key, graceMs)
  }

  /** What is known holds no longer than until the store is asked again. */
  doubt(): void {
    const now = this.#now()
    for (const known of this.#keys.values()) known.certainUntil ??= now
    this.#strangers.clear()
    this.#asked.clear()
  }

  health(): StoreHealth {
    const { at, since, problem } = this.#lost ?? { at: 0, since: null, problem: null }
    const isUp = this.#lost === undefined
    const serves = isUp || (this.#keys.size > 0 && this.#now() - at < this.#options.outageMs)
    return { state: isUp ? 'up' : 'down', since, problem, serves }
  }

  /** Forgets what is too old to be of use. Runs by itself. */
  sweep(): void {
    const now = this.#now()
    const longest = Math.max(keptMs, this.#options.outageMs)
    for (const [id, { at }] of this.#strangers) if (now - at >= keptMs) this.#strangers.delete(id)
    if (this.#lost !== undefined) return
    for (const [id, { at }] of this.#keys) if (now - at >= longest) this.#keys.delete(id)
  }

  /** What is kept now, for tests of its bounds. */
  get size(): number {
    return this.#keys.size + this.#strangers.size
  }

  close(): void {
    clearInterval(this.#sweeping)
    clearTimeout(this.#exhausting)
  }

  #ask(id: string): ApiKey | undefined | Promise<ApiKey | undefined> {
    const asked = this.#asked.get(id)
    if (asked !== undefined) return asked
    const at = this.#now()
    let found: ReturnType<Store['find']>
    try {
      found = this.#options.store.find(id)
    } catch (error) {
      this.#hasLost(errorText(error))
      return this.#asItWas(id)
    }
    if (!(found instanceof Promise)) return this.#remember(id, found, at)
    const asking: Promise<ApiKey | undefined> = found.then(
      (key) => {
        // A change that was told meanwhile may be newer than this answer.
        if (this.#asked.get(id) === asking) {
          this.#asked.delete(id)
          this.#remember(id, key, at)
        }
        return key
      },
      (error) => {
        if (this.#asked.get(id) === asking) this.#asked.delete(id)
        this.#hasLost(errorText(error))
        return this.#asItWas(id)
      },
    )
    this.#asked.set(id, asking)
    return asking
  }

  #remember(id: string, key: ApiKey | undefined, at: number): ApiKey | undefined {
    const [kept, other] = key === undefined ? [this.#strangers, this.#keys] : [this.#keys, this.#strangers]
    other.delete(id)
    // What was asked for last is at the end of the map.
    kept.delete(id)
    const [oldest] = kept.keys()
    if (kept.size >= mostKept && oldest !== undefined) kept.delete(oldest)
    kept.set(id, { key, at, certainUntil: undefined })
    return key
  }

  #forget(id: string): void {
    this.#keys.delete(id)
    this.#strangers.delete(id)
    this.#asked.delete(id)
  }

  #holds(known: Known | undefined): boolean {
    return known !== undefined && known.certainUntil === undefined && this.#now() - known.at < keptMs
  }

  /** While the store cannot be read. @throws StoreUnavailable */
  #asItWas(id: string): ApiKey {
    const known = this.#keys.get(id)
    if (known?.key !== undefined && this.#isTaken(known, 0)) return known.key
    throw new StoreUnavailable(this.#lost?.problem ?? 'the store cannot be read')
  }

  #isTaken({ certainUntil = this.#now() }: Known, graceMs: number): boolean {
    return this.#now() - certainUntil < this.#options.outageMs + graceMs
  }

  #hasLost(problem: string): void {
    const before = this.#lost
    const now = this.#now()
    for (const known of this.#keys.values()) known.certainUntil ??= now
    if (before !== undefined) {
      this.#lost = { ...before, problem }
      return
    }
    this.#lost = { at: now, since: wallTime(), problem }
    this.#options.told({ kind: 'lost', problem })
    this.#exhausting = setTimeout(
      () => this.#options.told({ kind: 'exhausted' }),
      this.#options.outageMs,
    ).unref()
  }

  #isBack(): void {
    const lost = this.#lost
    if (lost === undefined) return
    this.#lost = undefined
    clearTimeout(this.#exhausting)
    // Nobody told of changes meanwhile.
    this.doubt()
    this.#options.told({ kind: 'back', afterMs: this.#now() - lost.at })
  }
}
