import type { Writable } from 'node:stream'

/** Lines, and characters of them, that wait for a slow reader; more are lost, and counted. */
const waitingLines = 10_000
const waitingCharacters = 1024 * 1024

/**
 * Lines on a stdout that is no log of ours: a terminal, or a pipe or a socket that several processes of a forward share. Each line is a
 * write of its own, because Node gathers what it could not write and writes it together: the system takes only a part of so much, and the
 * line of another process gets into the middle of ours. pipe(7): up to PIPE_BUF bytes (4096) are written whole or not at all. A reader
 * that is slow or stands still costs lines, never memory without end; the next line that can be written says how many were lost.
 */
export class LineOutput {
  readonly #stream: Writable
  #waiting: string[] = []
  /** Of those that waited, so many are written. */
  #written = 0
  #characters = 0
  #lost = 0
  #isBusy = false

  constructor(stream: Writable) {
    this.#stream = stream
  }

  write(line: string): void {
    if (!this.#isBusy) return this.#put(line)
    const count = this.#waiting.length - this.#written
    if (count >= waitingLines || this.#characters + line.length > waitingCharacters) {
      this.#lost++
      return
    }
    this.#waiting.push(line)
    this.#characters += line.length
  }

  #put(line: string): void {
    this.#stream.write(`${line}\n`, () => this.#next())
    // The stream does not count what it has written at once.
    this.#isBusy = this.#stream.writableLength > 0
  }

  /** Errors are the stream's to tell; it fails from then on. */
  #next(): void {
    if (!this.#isBusy || this.#stream.writableLength > 0) return
    this.#isBusy = false
    while (!this.#isBusy && this.#written < this.#waiting.length) {
      const line = this.#waiting[this.#written++] ?? ''
      this.#characters -= line.length
      this.#put(line)
    }
    if (this.#written < this.#waiting.length) return
    this.#waiting = []
    this.#written = 0
    if (this.#isBusy || this.#lost === 0) return
    const lost = this.#lost
    this.#lost = 0
    this.#put(`(${lost} lines lost: the reader is too slow)`)
  }
}
