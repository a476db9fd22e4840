import { lineFlags } from './classifier.ts'
import type { ClassCount, OutputLine } from './line.ts'

/** Seconds that a window may reach back. */
const mostSeconds = 600

/** Counts lines by class, altogether and within the last seconds, with the first and the last of each class. */
export class ClassCounts {
  /** Place 0: lines without a class. */
  #total = new Float64Array(32)
  readonly #first = new Map<number, OutputLine>()
  readonly #last = new Map<number, OutputLine>()
  /** For each second, lines of each class. */
  readonly #seconds = new Map<number, Uint32Array>()
  /** The same of what they tell: a stack trace is one. */
  #heads = new Float64Array(32)
  readonly #headSeconds = new Map<number, Uint32Array>()
  #since: number | undefined
  #lines = 0
  /** Of one chunk. */
  readonly #counts = new Uint32Array(32)
  readonly #headCounts = new Uint32Array(32)
  readonly #firstPlaces = new Int32Array(32)
  readonly #lastPlaces = new Int32Array(32)

  get since(): number | null {
    return this.#since ?? null
  }

  get lines(): number {
    return this.#lines
  }

  /**
   * Adds the lines of a chunk.
   * @param lineAt gives a line of the chunk, for a sample.
   */
  add(marks: Uint8Array, count: number, at: number, lineAt: (index: number) => OutputLine): void {
    if (count === 0) return
    this.#since ??= at
    this.#lines += count
    const counts = this.#counts.fill(0)
    const heads = this.#headCounts.fill(0)
    const first = this.#firstPlaces.fill(-1)
    const last = this.#lastPlaces.fill(-1)
    for (let index = 0; index < count; index++) {
      const mark = marks[index] as number
      const number = mark & lineFlags.class
      counts[number] = (counts[number] as number) + 1
      if (number === 0 || (mark & lineFlags.continues) !== 0) continue
      if ((mark & lineFlags.again) === 0) heads[number] = (heads[number] as number) + 1
      if ((first[number] as number) < 0) first[number] = index
      last[number] = index
    }
    const seconds = secondOf(this.#seconds, at)
    const headSeconds = heads.some((count) => count > 0) ? secondOf(this.#headSeconds, at) : undefined
    for (let number = 0; number < 32; number++) {
      const more = counts[number] as number
      if (more === 0) continue
      this.#total[number] = (this.#total[number] as number) + more
      seconds[number] = (seconds[number] as number) + more
      const told = heads[number] as number
      this.#heads[number] = (this.#heads[number] as number) + told
      if (headSeconds !== undefined) headSeconds[number] = (headSeconds[number] as number) + told
      if ((last[number] as number) < 0) continue
      if (!this.#first.has(number)) this.#first.set(number, lineAt(first[number] as number))
      this.#last.set(number, lineAt(last[number] as number))
    }
  }

  /** What was kept before this process began. */
  addKept(counts: Float64Array, since: number): void {
    this.#since = Math.min(this.#since ?? since, since)
    for (let number = 0; number < 32; number++) {
      const more = counts[number] as number
      this.#lines += more
      this.#total[number] = (this.#total[number] as number) + more
    }
  }

  of(classes: readonly string[], windowMs: number, now: number): readonly ClassCount[] {
    const recent = within(this.#seconds, windowMs, now)
    return classes.flatMap((name, index) => {
      const number = index + 1
      const count = this.#total[number] as number
      if (count === 0) return []
      return {
        class: name,
        count,
        recent: recent[number] as number,
        first: this.#first.get(number) ?? null,
        last: this.#last.get(number) ?? null,
      }
    })
  }

  /**
   * How often something of a class was told, each stack trace once.
   * @param number of the class, from 1.
   */
  told(number: number, windowMs: number, now: number): { readonly total: number; readonly recent: number } {
    return {
      total: this.#heads[number] ?? 0,
      recent: within(this.#headSeconds, windowMs, now)[number] ?? 0,
    }
  }

  /** The classes mean something else from now on. */
  clear(): void {
    this.#total = new Float64Array(32)
    this.#heads = new Float64Array(32)
    this.#first.clear()
    this.#last.clear()
    this.#seconds.clear()
    this.#headSeconds.clear()
    this.#since = undefined
    this.#lines = 0
  }
}

/** The counts of the second of this time; old seconds are dropped. */
function secondOf(seconds: Map<number, Uint32Array>, at: number): Uint32Array {
  const second = Math.floor(at / 1000)
  let counts = seconds.get(second)
  if (counts === undefined) {
    counts = new Uint32Array(32)
    seconds.set(second, counts)
    for (const old of seconds.keys()) {
      if (seconds.size <= mostSeconds) break
      seconds.delete(old)
    }
  }
  return counts
}

/** The sum of the seconds of a window. */
function within(seconds: ReadonlyMap<number, Uint32Array>, windowMs: number, now: number): Float64Array {
  const sum = new Float64Array(32)
  const from = (now - windowMs) / 1000
  for (const [second, counts] of seconds) {
    if (second + 1 <= from) continue
    for (let number = 0; number < 32; number++)
      sum[number] = (sum[number] as number) + (counts[number] as number)
  }
  return sum
}
