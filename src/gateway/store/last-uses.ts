import { errorText } from '../../os/failure.ts'
import { within } from '../../os/time-limit.ts'
import type { Store } from './store.ts'

/** ms that the last writing may take while the gateway ends. */
const endMs = 2000

/** When keys were last used: gathered, and written all at once. What could not be written is with the next. */
export class LastUses {
  readonly #store: Store
  readonly #everyMs: number
  readonly #warn: (message: string) => void
  #times = new Map<string, number>()
  #writing: NodeJS.Timeout | undefined
  /** Said once, until it works again. */
  #problem: string | undefined

  /** @param everyMs between two writings; 0 = that is not kept. */
  constructor(store: Store, everyMs: number, warn: (message: string) => void) {
    this.#store = store
    this.#everyMs = everyMs
    this.#warn = warn
  }

  used(id: string): void {
    if (this.#everyMs === 0) return
    this.#times.set(id, Date.now())
    this.#writing ??= setTimeout(() => void this.#write(), this.#everyMs).unref()
  }

  async #write(): Promise<void> {
    this.#writing = undefined
    const times = this.#times
    if (times.size === 0) return
    this.#times = new Map()
    try {
      await this.#store.touch(times)
      this.#problem = undefined
    } catch (error) {
      this.#times = new Map([...times, ...this.#times])
      this.#writing ??= setTimeout(() => void this.#write(), this.#everyMs).unref()
      const problem = errorText(error)
      if (problem !== this.#problem) this.#warn(`When keys were last used could not be written: ${problem}`)
      this.#problem = problem
    }
  }

  /** Writes what is left. Takes two seconds at most. */
  async close(): Promise<void> {
    clearTimeout(this.#writing)
    await within(this.#write(), endMs)
    clearTimeout(this.#writing)
  }
}
