/** How many lengths are remembered; a power of two. */
const SLOTS = 64

/**
 * The beginnings of one buffer, as views. To make a view costs more than to read a small message into it, and most streams send the same
 * few lengths over and over, so the last ones are kept: a slot for all lengths that are equal modulo {@link SLOTS}.
 */
export class Prefixes {
  #buffer: Buffer
  readonly #views: Buffer[]

  constructor(buffer: Buffer) {
    this.#buffer = buffer
    this.#views = new Array<Buffer>(SLOTS).fill(buffer)
  }

  /** From now on of this one. */
  moveTo(buffer: Buffer): void {
    this.#buffer = buffer
    this.#views.fill(buffer)
  }

  /** The first `length` bytes, between 0 and all. */
  of(length: number): Buffer {
    const slot = length & (SLOTS - 1)
    const kept = this.#views[slot]
    if (kept?.length === length) return kept
    const view = this.#buffer.subarray(0, length)
    this.#views[slot] = view
    return view
  }
}
