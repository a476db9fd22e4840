import { wallTime } from '../../os/clock.ts'

/** Failed calls in a row after which a server does not count as healthy, although it runs. */
const unwellAfter = 5

/** How the calls of clients to one server went last: one that runs and fails every call is not well. */
export class CallHealth {
  #failuresInRow = 0
  #lastSuccessAt: string | null = null

  succeeded(): void {
    this.#failuresInRow = 0
    this.#lastSuccessAt = wallTime()
  }

  failed(): void {
    this.#failuresInRow++
  }

  get failuresInRow(): number {
    return this.#failuresInRow
  }

  /** Wall time, ISO 8601; null = none has succeeded yet. */
  get lastSuccessAt(): string | null {
    return this.#lastSuccessAt
  }

  get isWell(): boolean {
    return this.#failuresInRow < unwellAfter
  }
}
