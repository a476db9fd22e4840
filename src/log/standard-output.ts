import { closeSync, fstatSync } from 'node:fs'
import { openForAppending } from '../os/regular-file.ts'
import { isSameFile } from './line-log.ts'

/**
 * stdout and stderr of a process that was started with its log as both. They follow the log's name when the file gets another one, or is
 * removed: what Node says at a crash goes to the log that people read, and no deleted file stays open.
 */
export class StandardOutput {
  readonly #file: string
  readonly #following: Set<number>

  /** @param file the log; what stdout and stderr lead to now, unless it is this file, stays as it is. */
  constructor(file: string) {
    this.#file = file
    this.#following = new Set([1, 2].filter((descriptor) => isSameFile(descriptor, file)))
  }

  /** Never fails: what cannot be opened now is tried at the next call. */
  follow(): void {
    for (const descriptor of this.#following) {
      if (!isSameFile(descriptor, this.#file)) this.#move(descriptor)
    }
  }

  /** Node has no dup2(2), but open(2) gives the lowest number that is free. */
  #move(descriptor: number): void {
    let spare: number
    try {
      spare = openForAppending(this.#file)
    } catch {
      return
    }
    try {
      if (!fstatSync(descriptor).isFile()) throw new Error('it is another thread’s')
      closeSync(descriptor)
      const opened = openForAppending(this.#file)
      if (opened !== descriptor) closeSync(opened)
      // Another thread took the number between the two calls: it is that one's from now on.
      if (opened !== descriptor) this.#following.delete(descriptor)
    } catch {
      this.#following.delete(descriptor)
    } finally {
      closeSync(spare)
    }
  }
}
