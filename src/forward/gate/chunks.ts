/** Takes a chunked body apart (RFC 9112 section 7.1), strictly. Extensions and trailers are dropped. */
import { longestAnswerHead, MalformedAnswer } from './answer-head.ts'

/** The longest line with a chunk's size, extensions included, in bytes. */
const longestSizeLine = 1024

type Part = 'size' | 'data' | 'data-end' | 'trailer' | 'over'

export class Chunks {
  #part: Part = 'size'
  /** What has come of a line. */
  #line = ''
  /** Bytes that are left of the present chunk. */
  #left = 0
  #trailerBytes = 0

  get isOver(): boolean {
    return this.#part === 'over'
  }

  /**
   * @param tell called with each piece of the body.
   * @returns how many of the bytes belong to the body; fewer than all when it is over.
   * @throws MalformedAnswer
   */
  read(bytes: Buffer, tell: (piece: Buffer) => void): number {
    let at = 0
    while (at < bytes.length && this.#part !== 'over') {
      if (this.#part === 'data') {
        const end = Math.min(bytes.length, at + this.#left)
        this.#left -= end - at
        if (this.#left === 0) this.#part = 'data-end'
        tell(bytes.subarray(at, end))
        at = end
      } else at = this.#readLine(bytes, at)
    }
    return at
  }

  #readLine(bytes: Buffer, at: number): number {
    const newline = bytes.indexOf(10, at)
    const end = newline < 0 ? bytes.length : newline + 1
    const most = this.#part === 'data-end' ? 2 : this.#part === 'size' ? longestSizeLine : longestAnswerHead
    if (this.#line.length + end - at > most) throw new MalformedAnswer('a chunk of its body is invalid')
    this.#line += bytes.toString('latin1', at, end)
    if (newline >= 0) {
      const line = this.#line
      this.#line = ''
      if (!line.endsWith('\r\n')) throw new MalformedAnswer('a chunk of its body ends without CR')
      this.#takeLine(line.slice(0, -2))
    }
    return end
  }

  #takeLine(line: string): void {
    if (/[^\t\x20-\x7e\x80-\xff]/.test(line)) throw new MalformedAnswer('a chunk of its body is invalid')
    if (this.#part === 'data-end') {
      if (line !== '') throw new MalformedAnswer('a chunk of its body is longer than it says')
      this.#part = 'size'
    } else if (this.#part === 'size') {
      const size = /^([0-9a-f]{1,12})[ \t]*(;.*)?$/i.exec(line)?.[1]
      if (size === undefined) throw new MalformedAnswer('the size of a chunk is invalid')
      this.#left = Number.parseInt(size, 16)
      this.#part = this.#left === 0 ? 'trailer' : 'data'
    } else if (line === '') this.#part = 'over'
    else {
      this.#trailerBytes += line.length + 2
      if (this.#trailerBytes > longestAnswerHead) throw new MalformedAnswer('its trailers are too long')
    }
  }
}
