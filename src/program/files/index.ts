/**
 * files/: the files that a program is made of (`watch` of its configuration): tells when they change. Loaded only where a program watches some.
 *
 *   globs -> `FileRules` (rules.ts: which files count, which folders to look at) -> `FolderWatches` (folders.ts: what the system tells of
 *   them) -> a folder is read again and compared with what was there -> `FileWatch`: changes that come together are one
 *
 * What the system says is taken only as a reason to look: it is told twice, too early, or with the name of an editor's temporary file. A file that
 * never counts is a line of rules.ts.
 */
import { isDeepStrictEqual } from 'node:util'
import type { WatchRules } from '../../config/program-configuration.ts'
import { oneLine } from '../../os/printable.ts'
import { FolderWatches } from './folders.ts'
import { FileRules } from './rules.ts'

/** What a watch of files needs of the world around it. */
export interface FileWatchSurroundings {
  /** Folders that never count. */
  readonly apart: readonly string[]
  /** Files have changed, and no more since. @param what in words: `src/app.js has changed`. */
  readonly changed: (what: string) => void
  /** Something keeps it from hearing of changes, or from looking: told once. @param problem in words, with what to do about it. */
  readonly cannotSee: (problem: string) => void
}

/** Watches the files of one program until it is ended. */
export class FileWatch {
  readonly #rules: WatchRules
  readonly #cwd: string
  readonly #around: FileWatchSurroundings
  readonly #folders: FolderWatches
  readonly #changed = new Set<string>()
  #timer: NodeJS.Timeout | undefined

  constructor(rules: WatchRules, cwd: string, around: FileWatchSurroundings) {
    this.#rules = rules
    this.#cwd = cwd
    this.#around = around
    const files = new FileRules(rules, cwd, around.apart)
    this.#folders = new FolderWatches(files, rules.pollMs, {
      changed: (file) => this.#note(oneLine(files.nameOf(file))),
      cannotSee: around.cannotSee,
    })
  }

  /** Settles when it sees every change. */
  get known(): Promise<void> {
    return this.#folders.known
  }

  /** Whether it is the watch for these rules. */
  serves(rules: WatchRules, cwd: string): boolean {
    return this.#cwd === cwd && isDeepStrictEqual(this.#rules, rules)
  }

  end(): void {
    clearTimeout(this.#timer)
    this.#folders.end()
  }

  /** Every further change makes it wait anew, so that a build or a change of branches counts once. */
  #note(name: string): void {
    this.#changed.add(name)
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#tell(), this.#rules.debounceMs)
  }

  #tell(): void {
    // More may have changed, and is being looked at.
    if (this.#folders.isReading) {
      this.#timer = setTimeout(() => this.#tell(), this.#rules.debounceMs)
      return
    }
    const [first = '', ...others] = this.#changed
    this.#changed.clear()
    const more = others.length
    const what = more === 0 ? `${first} has` : `${first} and ${more} ${more === 1 ? 'other' : 'others'} have`
    this.#around.changed(`${what} changed`)
  }
}
