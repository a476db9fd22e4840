/**
 * Buffers of one size, lent and given back. Those given back beyond `keep` are left to the garbage collector, so that
 * a burst does not stay in memory for ever; with a `limit`, no more than that many are out at a time.
 */
export class BufferPool {
  readonly #size: number
  readonly #keep: number
  readonly #limit: number
  readonly #free: Buffer[] = []
  #lent = 0

  constructor(options: { size: number; keep: number; limit?: number }) {
    this.#size = options.size
    this.#keep = options.keep
    this.#limit = options.limit ?? Number.POSITIVE_INFINITY
  }

  /** Undefined when the limit is reached. The contents are whatever the last user left. */
  lend(): Buffer | undefined {
    if (this.#lent >= this.#limit) return undefined
    this.#lent += 1
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#size)
  }

  giveBack(buffer: Buffer): void {
    this.#lent -= 1
    if (this.#free.length < this.#keep) this.#free.push(buffer)
  }
}
