const lineFeed = 10

/** Cuts a stream of bytes into lines; a line that comes in many pieces is put together once. */
export class LineReader {
  readonly #longest: number
  readonly #line: (text: string) => void
  #pieces: Buffer[] = []
  #bytes = 0

  /** @param longest bytes of a line. */
  constructor(longest: number, line: (text: string) => void) {
    this.#longest = longest
    this.#line = line
  }

  /** @returns false when a line has grown longer than it may: nothing more should be read. */
  feed(chunk: Buffer): boolean {
    let from = 0
    for (let end = chunk.indexOf(lineFeed); end >= 0; end = chunk.indexOf(lineFeed, from)) {
      const text = this.#take(chunk, from, end)
      from = end + 1
      if (text === undefined) return false
      if (text !== '') this.#line(text)
    }
    if (from === chunk.length) return true
    this.#pieces.push(from === 0 ? chunk : chunk.subarray(from))
    this.#bytes += chunk.length - from
    return this.#bytes <= this.#longest
  }

  #take(chunk: Buffer, from: number, end: number): string | undefined {
    const isReturn = end > from && chunk[end - 1] === 13
    const to = isReturn ? end - 1 : end
    if (this.#bytes + to - from > this.#longest) return undefined
    if (this.#pieces.length === 0) return chunk.toString('utf8', from, to)
    const whole = Buffer.concat([...this.#pieces, chunk.subarray(from, to)]).toString('utf8')
    this.#pieces = []
    this.#bytes = 0
    return whole.endsWith('\r') ? whole.slice(0, -1) : whole
  }
}
