import { hasDescriptorsLeft } from '../../os/descriptor-limit.ts'
import { connectionBudget } from './descriptor-budget.ts'

export type FullReason = 'max-connections' | 'descriptors'

export type CapacityEvent =
  /** Connections are turned away from now on. Told once, however many come. */
  | { readonly kind: 'full'; readonly reason: FullReason; readonly open: number }
  | { readonly kind: 'room'; readonly open: number }

/** At or below this part of the limit there is room again: a forwarder at its limit does not say so a thousand times. */
const roomShare = 0.9

/** While descriptors are out, they are looked for no more often than this, in ms. */
const recheckMs = 100

/**
 * How many connections there may be at once. Above that they are accepted and reset at once: the client hears of it, the
 * monitor's probe is still answered, and a listener that were closed instead might not come back.
 */
export class Capacity {
  readonly limit: number
  readonly #report: (event: CapacityEvent) => void
  #full: FullReason | undefined
  #checkedAt = Number.NEGATIVE_INFINITY

  /** @param asked connections that the user wants at most. 0 = as many as the descriptor limit carries. */
  constructor(asked: number, report: (event: CapacityEvent) => void) {
    this.limit = connectionBudget(asked)
    this.#report = report
  }

  get full(): FullReason | undefined {
    return this.#full
  }

  /** Why there is no room for one more beside those that are open. */
  refusal(open: number): FullReason | undefined {
    if (open >= this.limit) {
      this.#enter('max-connections', open)
      return 'max-connections'
    }
    if (this.#full === 'descriptors') this.checkDescriptors(open)
    return this.#full === 'descriptors' ? 'descriptors' : undefined
  }

  /** Tells itself whether descriptors are out; for when a dial said so, and now and then. */
  checkDescriptors(open: number): void {
    const now = performance.now()
    if (now - this.#checkedAt < recheckMs) return
    this.#checkedAt = now
    if (!hasDescriptorsLeft()) this.#enter('descriptors', open)
    else if (this.#full === 'descriptors') this.#leave(open)
  }

  /** A connection ended and left so many. */
  ended(open: number): void {
    if (this.#full === 'max-connections' && open <= this.limit * roomShare) this.#leave(open)
  }

  #enter(reason: FullReason, open: number): void {
    if (this.#full !== undefined) return
    this.#full = reason
    this.#report({ kind: 'full', reason, open })
  }

  #leave(open: number): void {
    this.#full = undefined
    this.#report({ kind: 'room', open })
  }
}
