/**
 * Things of one kind that are costly to make, lent and given back. Those given back beyond `keep` are left to the garbage collector, so
 * that a burst does not stay in memory for ever; with a `limit`, no more than that many are out at a time.
 */
export class BufferPool<T> {
  readonly #make: () => T
  readonly #keep: number
  readonly #limit: number
  readonly #free: T[] = []
  #lent = 0

  constructor(options: { make: () => T; keep: number; limit?: number }) {
    this.#make = options.make
    this.#keep = options.keep
    this.#limit = options.limit ?? Number.POSITIVE_INFINITY
  }

  /** Undefined when the limit is reached. The contents are whatever the last user left. */
  lend(): T | undefined {
    if (this.#lent >= this.#limit) return undefined
    this.#lent += 1
    return this.#free.pop() ?? this.#make()
  }

  giveBack(one: T): void {
    this.#lent -= 1
    if (this.#free.length < this.#keep) this.#free.push(one)
  }
}
