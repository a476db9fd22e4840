import { type FSWatcher, watch } from 'node:fs'
import path from 'node:path'
import { errorText } from '../os/failure.ts'
import { readRegularFile } from '../os/regular-file.ts'
import type { Configuration } from './configuration.ts'
import { type ConfigurationSource, readConfiguration, readConfigurationText } from './load.ts'
import type { SetAside } from './ordered-changes.ts'

/** Why a configuration came into force. */
export interface ChangeCause {
  /** `start` of the monitor; `reload`: its file was changed, or SIGHUP was sent; `order`: somebody asked for it. */
  readonly why: 'start' | 'reload' | 'order'
  /** The name of the order; null = it was none. */
  readonly order: string | null
  /** Whose order it was, in words; null = nobody's. */
  readonly by: string | null
}

/** What was found to be in force from now on. */
export interface NewConfiguration {
  readonly configuration: Configuration
  readonly source: ConfigurationSource
  /** Changes of orders that do not hold. */
  readonly setAside: readonly SetAside[]
  readonly cause: ChangeCause
  /** It was read because of `reload`, changed or not. */
  readonly isAsked: boolean
}

const byItself: ChangeCause = { why: 'reload', order: null, by: null }

export interface ConfigurationEvents {
  /** The file holds a valid configuration. */
  readonly changed: (found: NewConfiguration) => void
  /** The file cannot be used; the previous configuration stays. Called once for each different problem, and at every `reload`. */
  readonly refused: (problem: string) => void
  /** The file is valid again, and says what is in force already. */
  readonly settled: () => void
}

/** What came of reading the file again. */
export type Reloaded = { readonly ok: true } | { readonly ok: false; readonly problem: string }

/**
 * ms for which a changed file must stay unchanged before it takes effect: a program that writes it in place may take a while, and half a
 * configuration can be valid.
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
  readonly #beside: (source: ConfigurationSource) => ConfigurationSource
  #text: string | undefined
  #problem: string | undefined
  #watcher: FSWatcher | undefined
  #settling: NodeJS.Timeout | undefined
  #polling: NodeJS.Timeout | undefined
  #loading: Promise<unknown> = Promise.resolve()

  /** @param beside adds what orders have changed. */
  constructor(
    file: string,
    events: ConfigurationEvents,
    beside: (source: ConfigurationSource) => ConfigurationSource = (source) => source,
  ) {
    this.file = file
    this.#events = events
    this.#beside = beside
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
   * @param isAsked the caller expects an answer even when nothing has changed.
   * @param cause why it is read.
   */
  reload(isAsked = false, cause = byItself): Promise<Reloaded> {
    const reloaded = this.#loading.then(() => this.#load(isAsked, cause))
    this.#loading = reloaded
    return reloaded
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

  async #load(isAsked: boolean, cause: ChangeCause): Promise<Reloaded> {
    const text = this.#read()
    try {
      const source = this.#beside({ file: this.file, text: readConfigurationText(this.file) })
      const { configuration, setAside } = await readConfiguration(source)
      const wasRefused = this.#problem !== undefined
      this.#problem = undefined
      this.#text = text
      this.#events.changed({ configuration, source, setAside, cause, isAsked })
      if (wasRefused) this.#events.settled()
      return { ok: true }
    } catch (error) {
      this.#text = text
      const problem = errorText(error)
      if (problem !== this.#problem || isAsked) this.#events.refused(problem)
      this.#problem = problem
      return { ok: false, problem }
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
