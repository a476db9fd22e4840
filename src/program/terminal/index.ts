/**
 * terminal/: the terminal of a program (`pty` of its configuration), over all its starts: what it shows, and its size.
 *
 *   process on a terminal -> `ProgramTerminal` -> whoever is attached, as the program prints it; the same bytes go to `ProgramOutput` as lines
 *   keys -> `ProgramInput`, with the rules of `input`
 */

import { Writable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import type { TerminalProcess, TerminalSize } from '../../process/pseudo-terminal.ts'

/** Bytes of what was shown last, for whoever attaches. */
const mostRecent = 8 * 1024

/** The terminal of one program. */
export class ProgramTerminal {
  #process: TerminalProcess | undefined
  /** As somebody has set it; undefined = nobody has. */
  #size: TerminalSize | undefined
  #recent = Buffer.alloc(0)
  readonly #followers = new Set<(text: string) => void>()

  /** The size of the next terminal. */
  sizeOr(configured: TerminalSize): TerminalSize {
    return this.#size ?? configured
  }

  /** Takes the terminal of a process that was started. @returns what is written to it: the stdin of the program. */
  attach(process: TerminalProcess): Writable {
    this.#process = process
    const decoder = new StringDecoder('utf8')
    process.stdout?.on('data', (chunk: Buffer) => {
      this.#recent = Buffer.concat([this.#recent, chunk]).subarray(-mostRecent)
      const text = decoder.write(chunk)
      if (text !== '') for (const seen of this.#followers) seen(text)
    })
    const stdin = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        process.write(chunk)
        done()
      },
    })
    void process.ended.then(() => {
      stdin.destroy()
      if (this.#process === process) this.#process = undefined
    })
    return stdin
  }

  /** What it shows from now on, in pieces. @returns what ends that. */
  follow(seen: (text: string) => void): () => void {
    this.#followers.add(seen)
    return () => void this.#followers.delete(seen)
  }

  /** What was shown last. */
  get recent(): string {
    return this.#recent.toString('utf8')
  }

  resize(size: TerminalSize): void {
    this.#size = size
    this.#process?.resize(size)
  }
}
