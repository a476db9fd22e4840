/**
 * Takes items one at a time, in the order in which they came: what comes while one is being taken waits. A fault of this program in one
 * step is reported, and keeps neither the other steps nor the next items from being taken.
 */
export class Mailbox<Item> {
  readonly #name: (item: Item) => string
  readonly #take: (item: Item) => void
  readonly #report: (fault: string) => void
  readonly #waiting: Item[] = []
  #isTaking = false

  /**
   * @param name what taking an item is, in words: `judging …`.
   * @param report gets the sentence of a fault, with its stack trace. It may throw.
   */
  constructor(name: (item: Item) => string, take: (item: Item) => void, report: (fault: string) => void) {
    this.#name = name
    this.#take = take
    this.#report = report
  }

  post(item: Item): void {
    this.#waiting.push(item)
    if (this.#isTaking) return
    this.#isTaking = true
    try {
      for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
        const item = next
        this.attempt(this.#name(item), () => this.#take(item))
      }
    } finally {
      this.#isTaking = false
    }
  }

  /** Takes one step of many. Never throws. */
  attempt(step: string, take: () => void): void {
    try {
      take()
    } catch (error) {
      try {
        const where = error instanceof Error ? (error.stack ?? error.message) : String(error)
        this.#report(`a fault in port-watchdog while ${step}: ${where}`)
      } catch {
        // The log itself may be what fails.
      }
    }
  }
}
