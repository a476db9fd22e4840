import { redactPatterns } from '../../log/redaction.ts'
import { printable } from '../../os/printable.ts'

/** Bytes that are kept of what one server writes to stderr. */
const mostBytes = 1024 * 1024

/** Lines that were dropped and still take room: fewer are not worth a copy of the others. */
const mostDropped = 1000

/** The newest lines of a stream of text. A server that floods it costs no more than its bytes. */
export class LastLines {
  #lines: string[] = []
  /** Lines before this one are dropped. */
  #first = 0
  #bytes = 0
  #rest = ''
  readonly #redact: (text: string) => string

  /** @param redact takes out what only its owner may know. */
  constructor(redact: (text: string) => string) {
    this.#redact = redact
  }

  add(chunk: Buffer): void {
    const lines = (this.#rest + chunk.toString('utf8')).split('\n')
    this.#rest = (lines.pop() ?? '').slice(-mostBytes)
    for (const line of lines) this.#keep(line)
  }

  #keep(line: string): void {
    this.#lines.push(line)
    this.#bytes += line.length + 1
    while (this.#bytes > mostBytes && this.#first < this.#lines.length) {
      this.#bytes -= (this.#lines[this.#first]?.length ?? 0) + 1
      this.#first++
    }
    if (this.#first < mostDropped || this.#first * 2 < this.#lines.length) return
    this.#lines = this.#lines.slice(this.#first)
    this.#first = 0
  }

  /** The last `count` lines that say something, oldest first, safe for a terminal and without secrets. */
  last(count: number): readonly string[] {
    const kept = this.#lines.slice(Math.max(this.#first, this.#lines.length - count * 4))
    const all = this.#rest === '' ? kept : [...kept, this.#rest]
    const said = all.filter((line) => line.trim() !== '')
    return said.slice(-count).map((line) => printable(redactPatterns(this.#redact(line))).slice(0, 500))
  }
}
