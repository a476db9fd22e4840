import { type FSWatcher, type Stats, watch } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { errorCode, errorText } from '../../os/failure.ts'
import type { FileRules } from './rules.ts'

/** One folder that is looked at. */
interface Folder {
  /** Undefined = the system tells nothing of it. */
  watcher: FSWatcher | undefined
  /** Which folder it was: another one may have its name by now. */
  inode: number
  /** The files that count, by name, each with what changes when it does. */
  files: Map<string, string>
  folders: Set<string>
}

/** What the watch of folders tells. */
export interface FolderNews {
  /** A file that counts has come, changed or gone. @param file absolute. */
  readonly changed: (file: string) => void
  /** Told once. */
  readonly cannotSee: (problem: string) => void
}

/** ms between two looks at folders of which the system tells nothing. */
const lookAgainMs = 2000

/** ms from a sign of a change to the look. */
const gatherMs = 20

/**
 * The folders in which files that count may be. Each is watched by itself: node_modules costs nothing, and a file is not watched at all, so that
 * one that an editor replaces is none the less seen. One that vanishes is looked for from the nearest folder above that is there.
 */
export class FolderWatches {
  /** Settles when everything was looked at once: from then on it sees every change. */
  readonly known: Promise<void>
  readonly #rules: FileRules
  readonly #news: FolderNews
  readonly #folders = new Map<string, Folder>()
  readonly #dirty = new Set<string>()
  readonly #poll: NodeJS.Timeout
  readonly #pollsAll: boolean
  #isReading = true
  /** False until the first look at everything is over: what was there before is no change. */
  #knows = false
  #isTold = false
  #isEnded = false

  /** @param pollMs ms between two looks at all folders; 0 = at those of which the system tells nothing. */
  constructor(rules: FileRules, pollMs: number, news: FolderNews) {
    this.#rules = rules
    this.#news = news
    this.#pollsAll = pollMs > 0
    this.#poll = setInterval(() => this.#lookAtUnwatched(), pollMs || lookAgainMs)
    this.#poll.unref()
    for (const base of rules.bases) this.#dirty.add(base)
    this.known = this.#read()
  }

  /** Whether there were signs of a change that it is still looking at. */
  get isReading(): boolean {
    return this.#isReading
  }

  end(): void {
    this.#isEnded = true
    clearInterval(this.#poll)
    for (const { watcher } of this.#folders.values()) watcher?.close()
    this.#folders.clear()
  }

  #lookAtUnwatched(): void {
    for (const [name, { watcher }] of this.#folders) if (watcher === undefined) this.#look(name)
  }

  /** Has a folder read again, soon. */
  #look(folder: string): void {
    this.#dirty.add(folder)
    if (this.#isReading || this.#isEnded) return
    this.#isReading = true
    // What comes at once is read once.
    setTimeout(() => void this.#read(), gatherMs)
  }

  /** One folder after the other. */
  async #read(): Promise<void> {
    for (const folder of this.#dirty) {
      this.#dirty.delete(folder)
      try {
        await this.#readFolder(folder)
      } catch (error) {
        this.#tell(`${folder} cannot be read: ${errorText(error)}; changes in it are not seen`)
      }
      if (this.#isEnded) return
    }
    this.#isReading = false
    this.#knows = true
  }

  async #readFolder(name: string): Promise<void> {
    const facts = await factsOf(name)
    if (this.#isEnded) return
    if (facts?.isDirectory() !== true) return this.#lose(name)
    // Before it is read, so that nothing falls between.
    const folder = this.#watched(name, facts.ino)
    const entries = await readdir(name, { withFileTypes: true })
    const files = new Map<string, string>()
    const folders = new Set<string>()
    for (const entry of entries) {
      const full = path.join(name, entry.name)
      if (entry.isDirectory()) {
        if (this.#rules.leadsToWanted(full)) folders.add(full)
      } else if (this.#rules.isWanted(full)) {
        const found = await factsOf(full)
        if (found?.isFile() === true) files.set(full, stampOf(found))
      }
    }
    if (this.#isEnded || this.#folders.get(name) !== folder) return
    const before = folder
    const gone = [...before.folders].filter((one) => !folders.has(one))
    const come = [...folders].filter((one) => !this.#folders.has(one))
    this.#compare(before.files, files)
    folder.files = files
    folder.folders = folders
    for (const one of gone) this.#forget(one)
    for (const one of come) this.#dirty.add(one)
  }

  #compare(before: ReadonlyMap<string, string>, now: ReadonlyMap<string, string>): void {
    if (!this.#knows) return
    for (const [file, stamp] of now) if (before.get(file) !== stamp) this.#news.changed(file)
    for (const file of before.keys()) if (!now.has(file)) this.#news.changed(file)
  }

  /** The record of a folder, with a watcher that is for it and not for one that had its name before. */
  #watched(name: string, inode: number): Folder {
    const known = this.#folders.get(name)
    if (known?.inode === inode && known.watcher !== undefined) return known
    known?.watcher?.close()
    const folder: Folder = known ?? { watcher: undefined, inode, files: new Map(), folders: new Set() }
    folder.inode = inode
    folder.watcher = this.#pollsAll ? undefined : this.#watch(name)
    this.#folders.set(name, folder)
    return folder
  }

  #watch(name: string): FSWatcher | undefined {
    try {
      const watcher = watch(name, { persistent: false }, (kind, changed) => {
        // A log beside the files, say.
        const isKept = kind === 'change' && changed !== null
        if (isKept && !this.#rules.isWanted(path.join(name, changed))) return
        // It may be the folder itself that is gone, and another one have its name, and even its number.
        if (kind === 'rename' && changed === path.basename(name)) this.#unwatch(name, watcher)
        this.#look(name)
      })
      watcher.on('error', () => {
        this.#unwatch(name, watcher)
        this.#look(name)
      })
      return watcher
    } catch (error) {
      const code = errorCode(error)
      // It is gone again, which the look at it tells.
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
      this.#tell(`${whyUnwatched(code, error)}; it looks at them every ${lookAgainMs / 1000} s instead`)
      return undefined
    }
  }

  #unwatch(name: string, watcher: FSWatcher): void {
    watcher.close()
    const folder = this.#folders.get(name)
    if (folder?.watcher !== watcher) return
    folder.watcher = undefined
    folder.inode = -1
    folder.watcher = this.#watch(name)
  }

  /** A folder is not there. Where globs begin in it, or below, it may come. */
  #lose(name: string): void {
    this.#forget(name)
    const isLookedFor = this.#rules.bases.some((base) => base === name || base.startsWith(name + path.sep))
    const above = path.dirname(name)
    if (isLookedFor && above !== name) this.#dirty.add(above)
  }

  #forget(name: string): void {
    const folder = this.#folders.get(name)
    if (folder === undefined) return
    folder.watcher?.close()
    this.#folders.delete(name)
    this.#compare(folder.files, new Map())
    for (const below of folder.folders) this.#forget(below)
  }

  #tell(problem: string): void {
    if (this.#isTold) return
    this.#isTold = true
    this.#news.cannotSee(problem)
  }
}

/** Another file, other content, or both. */
function stampOf({ ino, size, mtimeMs }: Stats): string {
  return `${ino} ${size} ${mtimeMs}`
}

/** Undefined = it is not there. */
async function factsOf(file: string): Promise<Stats | undefined> {
  try {
    return await stat(file)
  } catch (error) {
    const code = errorCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP') return undefined
    throw error
  }
}

function whyUnwatched(code: string | undefined, error: unknown): string {
  switch (code) {
    case 'ENOSPC':
      return 'this user may watch no more folders; raise fs.inotify.max_user_watches (sysctl) or name fewer folders in watch'
    case 'EMFILE':
      return 'this user may watch files in no more programs; raise fs.inotify.max_user_instances (sysctl)'
    default:
      return `the system tells of no changes in the folders of watch: ${errorText(error)}`
  }
}
