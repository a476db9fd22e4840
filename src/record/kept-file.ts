import { statSync } from 'node:fs'
import path from 'node:path'
import { createFileAtomically } from '../os/atomic-file.ts'
import { readRegularFile } from '../os/regular-file.ts'
import { demandOwnDirectory } from './state-directory.ts'

/** Bytes that are worth keeping in memory; what is kept is a token, a key, a certificate, a few names. */
const longestContent = 64 * 1024

/** Characters of a content that is taken out of a text. */
const shortestSecret = 16

/** A small file whose content a process remembers, so that it can be written again when somebody removes it. */
export class KeptFile {
  readonly #file: string
  readonly #follows: boolean
  #content: string | undefined
  #version: string | undefined

  /**
   * @param follows true = what others write to it meanwhile is remembered instead; false = what it held at first, because this process
   *   works with that.
   */
  constructor(file: string, follows: boolean) {
    this.#file = file
    this.#follows = follows
    this.#read()
  }

  /**
   * Writes it again when it is gone.
   * @returns true when it was written.
   * @throws the system's error when it cannot be.
   */
  keep(): boolean {
    if (statSync(this.#file, { throwIfNoEntry: false }) === undefined) {
      demandOwnDirectory(path.dirname(this.#file))
      return this.#content !== undefined && createFileAtomically(this.#file, this.#content)
    }
    if (this.#follows || this.#content === undefined) this.#read()
    return false
  }

  /** Takes what the file holds out of a text, for a log: what is kept is a secret, or nothing that a log would say. */
  redact(text: string): string {
    const content = this.#content?.trim() ?? ''
    return content.length < shortestSecret ? text : text.replaceAll(content, '[redacted]')
  }

  #read(): void {
    try {
      const { ino, size, mtimeMs } = statSync(this.#file)
      const version = `${ino} ${size} ${mtimeMs}`
      if (version === this.#version || size > longestContent) return
      this.#content = readRegularFile(this.#file)
      this.#version = version
    } catch {
      // Not there yet, or not to be read: what was remembered before stays.
    }
  }
}
