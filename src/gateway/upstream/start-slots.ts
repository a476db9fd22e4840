import { availableParallelism } from 'node:os'

/** Lets so many start at once as the machine has cores: a hundred at once would all be late. */
export class StartSlots {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(count = Math.max(2, availableParallelism())) {
    this.#free = count
  }

  /** Runs a start when its turn has come. @throws what the start throws, or the reason of the signal. */
  async run<T>(start: () => Promise<T>, signal: AbortSignal): Promise<T> {
    await this.#turn(signal)
    try {
      return await start()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free++
      else next()
    }
  }

  async #turn(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#free > 0) {
      this.#free--
      return
    }
    await new Promise<void>((resolve, reject) => {
      const turn = () => {
        signal.removeEventListener('abort', left)
        resolve()
      }
      const left = () => {
        this.#waiting.splice(this.#waiting.indexOf(turn), 1)
        reject(signal.reason)
      }
      this.#waiting.push(turn)
      signal.addEventListener('abort', left, { once: true })
    })
  }
}
