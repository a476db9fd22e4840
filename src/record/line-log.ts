import { closeSync, fstatSync, openSync, renameSync } from 'node:fs'
import { writeAll } from './atomic-file.ts'

export interface LogLimits {
  /** Bytes after which a new file is begun. 0 = never. */
  readonly maxBytes: number
  /** How many full files are kept beside the current one, as NAME.1 (newest), NAME.2, … 0 = none. */
  readonly keep: number
}

export const defaultLogLimits: LogLimits = { maxBytes: 5 * 1024 * 1024, keep: 5 }

/**
 * A log file that is appended to line by line. Each line is written by one write(2) to a descriptor opened for appending
 * before `write` returns, so the last line before a crash is there and lines of several writers never mix. Rotation renames
 * and begins anew: no line is lost or cut. A full or read-only disk never stops the caller: lines are counted as lost and
 * the loss is told by the first line that can be written again.
 */
export class LineLog {
  readonly #file: string
  readonly #limits: LogLimits
  #descriptor: number | undefined
  #bytes = 0
  #lost = 0

  constructor(file: string, limits: LogLimits = defaultLogLimits) {
    this.#file = file
    this.#limits = limits
  }

  /** @returns true when the line is written. */
  write(line: string): boolean {
    try {
      if (this.#lost > 0) this.#append(`(${this.#lost} lines lost: the log could not be written)`)
      this.#lost = 0
      this.#append(line)
      return true
    } catch {
      this.#lost++
      this.close()
      return false
    }
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
  }

  #append(line: string): void {
    const bytes = Buffer.from(`${line}\n`)
    if (this.#descriptor === undefined) this.#open()
    if (this.#limits.maxBytes > 0 && this.#bytes > 0 && this.#bytes + bytes.length > this.#limits.maxBytes) {
      this.close()
      rotate(this.#file, this.#limits.keep)
      this.#open()
    }
    if (this.#descriptor !== undefined) writeAll(this.#descriptor, bytes)
    this.#bytes += bytes.length
  }

  #open(): void {
    this.#descriptor = openSync(this.#file, 'a', 0o600)
    this.#bytes = fstatSync(this.#descriptor).size
  }
}

function rotate(file: string, keep: number): void {
  for (let number = keep; number >= 1; number--) {
    const older = number === 1 ? file : `${file}.${number - 1}`
    try {
      renameSync(older, `${file}.${number}`)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
  if (keep === 0) closeSync(openSync(file, 'w', 0o600))
}
