import { type FSWatcher, watch } from 'node:fs'
import path from 'node:path'
import { errorText } from '../os/failure.ts'
import { readRegularFile } from '../os/regular-file.ts'
import type { Configuration } from './configuration.ts'
import { loadConfiguration } from './load.ts'

export interface ConfigurationEvents {
  /** The file holds a valid configuration. `isAsked`: somebody asked for it to be read, changed or not. */
  readonly changed: (configuration: Configuration, isAsked: boolean) => void
  /** The file cannot be used; the configuration before goes on. Told once for each different problem, and whenever somebody asks. */
  readonly refused: (problem: string) => void
  /** The file is valid again, and says what is in force already. */
  readonly settled: () => void
}

/**
 * ms for which a changed file must have stayed as it is before it takes effect: whoever writes it in place may take a while, and the first
 * half of a configuration may be valid.
 */
const settleMs = 1000

/** ms between two looks that need no event: a network file system has none, a replaced folder loses its watch. */
const lookEveryMs = 10_000

/**
 * Follows a configuration file: a change of its content that has lasted for a second, or `reload`, makes it be read and checked anew. What
 * cannot be read or is not valid never takes effect.
 */
export class ConfigurationFile {
  readonly file: string
  readonly #events: ConfigurationEvents
  #text: string | undefined
  #problem: string | undefined
  #watcher: FSWatcher | undefined
  #settling: NodeJS.Timeout | undefined
  #polling: NodeJS.Timeout | undefined
  #loading: Promise<void> = Promise.resolve()

  constructor(file: string, events: ConfigurationEvents) {
    this.file = file
    this.#events = events
    this.#text = this.#read()
  }

  /** Begins to follow the file. Its folder is watched, because editors replace files rather than write them. */
  follow(): void {
    try {
      this.#watcher = watch(path.dirname(this.file), { persistent: false }, (_event, name) => {
        if (name === null || name === path.basename(this.file)) this.#soon()
      })
      this.#watcher.on('error', () => this.#watcher?.close())
    } catch {
      // Looked at every now and then all the same.
    }
    this.#polling = setInterval(() => {
      if (this.#read() !== this.#text) this.#soon()
    }, lookEveryMs)
    this.#polling.unref()
  }

  /**
   * Reads the file now, changed or not. Resolves when it has taken effect or was refused.
   * @param isAsked somebody asked for it and waits for an answer.
   */
  reload(isAsked = false): Promise<void> {
    this.#loading = this.#loading.then(() => this.#load(isAsked))
    return this.#loading
  }

  close(): void {
    this.#watcher?.close()
    clearTimeout(this.#settling)
    clearInterval(this.#polling)
  }

  #soon(): void {
    clearTimeout(this.#settling)
    const seen = this.#read()
    this.#settling = setTimeout(() => this.#ifSettled(seen), settleMs)
    this.#settling.unref()
  }

  #ifSettled(seen: string | undefined): void {
    const now = this.#read()
    if (now === this.#text) return
    if (now === seen) void this.reload()
    else this.#soon()
  }

  async #load(isAsked: boolean): Promise<void> {
    const text = this.#read()
    try {
      const configuration = await loadConfiguration(this.file)
      const wasRefused = this.#problem !== undefined
      this.#problem = undefined
      this.#text = text
      this.#events.changed(configuration, isAsked)
      if (wasRefused) this.#events.settled()
    } catch (error) {
      this.#text = text
      const problem = errorText(error)
      if (problem !== this.#problem || isAsked) this.#events.refused(problem)
      this.#problem = problem
    }
  }

  #read(): string | undefined {
    try {
      return readRegularFile(this.file, { follow: true })
    } catch {
      return undefined
    }
  }
}
