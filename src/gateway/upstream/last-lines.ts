import { redactPatterns } from '../../log/redaction.ts'
import { printable } from '../../os/printable.ts'

/** Bytes that are kept of what one server writes to stderr. */
const mostBytes = 1024 * 1024

/** The newest lines of a stream of text. */
export class LastLines {
  #lines: string[] = []
  #bytes = 0
  #rest = ''

  add(chunk: Buffer): void {
    const lines = (this.#rest + chunk.toString('utf8')).split('\n')
    this.#rest = (lines.pop() ?? '').slice(-mostBytes)
    for (const line of lines) this.#keep(line)
  }

  #keep(line: string): void {
    this.#lines.push(line)
    this.#bytes += line.length + 1
    let dropped = 0
    while (this.#bytes > mostBytes && dropped < this.#lines.length) {
      this.#bytes -= (this.#lines[dropped]?.length ?? 0) + 1
      dropped++
    }
    if (dropped > 0) this.#lines = this.#lines.slice(dropped)
  }

  /** The last `count` lines that say something, oldest first, safe for a terminal and without secrets. */
  last(count: number): readonly string[] {
    const all = this.#rest === '' ? this.#lines : [...this.#lines, this.#rest]
    const said = all.slice(-count * 4).filter((line) => line.trim() !== '')
    return said.slice(-count).map((line) => printable(redactPatterns(line)).slice(0, 500))
  }
}
