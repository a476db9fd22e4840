/**
 * input/: what people and agents write to a program's stdin, where its configuration allows that.
 *
 *   order `send` -> `refusalOf` (policy.ts: what must not be sent) -> `ProgramInput` (bounded queue) -> stdin of the process
 *
 * A new rule of what is refused is a code of `InputRefusal` and a line of `refusalOf`; a usual danger is a line of `usualDenials`.
 */
import type { Writable } from 'node:stream'
import { type InputPolicy, type InputRefusal, refusalOf } from './policy.ts'

export { compileInput, type InputPolicy, type InputRefusal } from './policy.ts'

/** Bytes that may wait until a program reads them. */
const mostQueuedBytes = 64 * 1024

/** The stdin of one program, over all its starts. */
export class ProgramInput {
  #policy: InputPolicy | undefined
  #stdin: Writable | undefined
  /** What was sent since the last line end: the program reads it and what comes next as one line. */
  #begun = ''

  /** @param policy undefined = the program takes no input. */
  constructor(policy: InputPolicy | undefined) {
    this.#policy = policy
  }

  reconfigure(policy: InputPolicy | undefined): void {
    this.#policy = policy
  }

  /** Takes the stdin of a process that was started. What waited for the one before is gone with it. */
  attach(stdin: Writable): void {
    this.#stdin = stdin
    this.#begun = ''
    // A process that ends, or closes its stdin, is no fault.
    stdin.on('error', () => {})
    stdin.once('close', () => {
      if (this.#stdin === stdin) this.#stdin = undefined
    })
  }

  /** Bytes that wait until the program reads them. */
  get waiting(): number {
    return this.#stdin?.writableLength ?? 0
  }

  /** Lets go of the stdin; what waits is lost. */
  close(): void {
    this.#stdin?.destroy()
  }

  /**
   * Puts a text into the queue; the program gets it when it reads.
   * @param isRaw control characters are allowed.
   * @returns why it was refused; undefined = it was taken.
   */
  send(text: string, isRaw: boolean): InputRefusal | undefined {
    if (this.#policy === undefined) return { code: 'input-off' }
    const refusal = refusalOf(text, this.#policy, isRaw, this.#begun)
    if (refusal !== undefined) return refusal
    const stdin = this.#stdin
    if (stdin === undefined || !stdin.writable) return { code: 'no-stdin' }
    const bytes = Buffer.byteLength(text)
    if (stdin.writableLength + bytes > mostQueuedBytes)
      return { code: 'queue-full', bytes: stdin.writableLength }
    stdin.write(text)
    this.#begun = lastLineOf(this.#begun + text)
    return undefined
  }
}

/** Characters of a line that was begun. A key press needs no line end, so that it may go on for ever. */
const mostBegun = 16 * 1024

function lastLineOf(text: string): string {
  return (text.split(/[\r\n]/).at(-1) ?? '').slice(-mostBegun)
}
