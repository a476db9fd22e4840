import type { Log } from '../log/index.ts'
import { monotonicMs } from '../os/clock.ts'

/** Lines a second about single requests, and how many at once: above that they would take more time than the requests. */
const linesPerSecond = 20
const burst = 200

/** Lines about single requests. Above a rate it writes no line for each, but one with their number. */
export class RequestLog {
  readonly #log: Log
  #credit = burst
  #countedAt = monotonicMs()
  #left = 0

  constructor(log: Log) {
    this.#log = log
  }

  /** @param text makes the line, when it is written. */
  say(text: () => string): void {
    const now = monotonicMs()
    this.#credit = Math.min(burst, this.#credit + ((now - this.#countedAt) / 1000) * linesPerSecond)
    this.#countedAt = now
    if (this.#credit < 1) {
      this.#left++
      return
    }
    this.#credit--
    if (this.#left > 0) this.#log.info(`${this.#left} lines about requests were left out`)
    this.#left = 0
    this.#log.info(text())
  }
}
