import { existsSync, renameSync } from 'node:fs'
import path from 'node:path'
import type { Log } from '../log/index.ts'
import { writeFileAtomically } from '../os/atomic-file.ts'
import { errorText } from '../os/failure.ts'
import { readRegularFile } from '../os/regular-file.ts'
import type { Shape } from '../record/shapes/index.ts'
import { demandOwnDirectory } from '../record/state-directory.ts'

/**
 * Writes the room's files. A full or read-only disk stops nothing: what is queued stays in memory, the trouble is said once, and what could
 * not be written is written when it can be.
 */
export class AlertFiles {
  readonly #log: Log
  readonly #unwritten = new Map<string, () => object>()
  /** Everything that was ever to be written, by file. */
  readonly #contents = new Map<string, () => object>()
  #isFailing = false

  constructor(log: Log) {
    this.#log = log
  }

  /** @param content gives what is to be written, now and at every further try. */
  write(file: string, content: () => object): void {
    this.#contents.set(file, content)
    try {
      demandOwnDirectory(path.dirname(file))
      writeFileAtomically(file, `${JSON.stringify(content())}\n`)
      this.#unwritten.delete(file)
    } catch (error) {
      this.#unwritten.set(file, content)
      if (!this.#isFailing) {
        this.#log.error(`Alerts cannot be saved: ${errorText(error)}; they are kept in memory`)
      }
      this.#isFailing = true
      return
    }
    if (this.#isFailing && this.#unwritten.size === 0) {
      this.#isFailing = false
      this.#log.info({ good: true }, 'Alerts can be saved again')
    }
  }

  /** Tries again what could not be written, and writes again what somebody has removed. */
  retry(): void {
    for (const [file, content] of [...this.#contents]) {
      if (this.#unwritten.has(file) || !existsSync(file)) this.write(file, content)
    }
  }

  /** This file is wanted no more. */
  forget(file: string): void {
    this.#contents.delete(file)
    this.#unwritten.delete(file)
  }

  /** What a monitor before has left, or undefined. What cannot be used is moved aside, and told. */
  takeOver<T>(file: string, shape: Shape<T>): T | undefined {
    const found = readRecord(file, shape)
    if (found !== 'unusable') return found
    const aside = `${file}.corrupt`
    try {
      renameSync(file, aside)
      this.#log.warn(`${file} cannot be used and is kept as ${aside}`)
    } catch (error) {
      this.#log.warn(`${file} cannot be used, nor moved aside: ${errorText(error)}`)
    }
    return undefined
  }
}

/** Reads one file; undefined = it is not there. */
export function readRecord<T>(file: string, shape: Shape<T>): T | 'unusable' | undefined {
  let text: string
  try {
    text = readRegularFile(file)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : 'unusable'
  }
  try {
    return shape.read(JSON.parse(text)) ?? 'unusable'
  } catch {
    return 'unusable'
  }
}
