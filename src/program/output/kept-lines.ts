import { existsSync, readdirSync, renameSync } from 'node:fs'
import path from 'node:path'
import { isSameFile } from '../../log/line-log.ts'
import { errorText } from '../../os/failure.ts'
import { demandOwnDirectory, fileNames } from '../../record/state-directory.ts'
import { streams } from './line.ts'
import { type Batch, linesOf, Segment, type SegmentFiles } from './segment.ts'

export interface KeptLimits {
  /** Bytes of text and index that are kept. */
  readonly maxBytes: number
  /** Lines that are kept. */
  readonly maxLines: number
}

/** Into how many segments the room is divided: when it is full, so much of it is freed at once. */
const parts = 8

/** ms between two looks at whether the files are still there and as they were written, and between two tries of a disk that is full. */
const lookAgainMs = 1000
const tryAgainMs = 100

/**
 * The lines of one program on disk, bounded. `program_NAME.log` has the newest as a person reads them; when it is full it is renamed to
 * `program_NAME.log.N`, N being the number of its first line, and begun anew. Each has an index (`segment.ts`) beside it.
 *
 * A write never waits and never fails: what a full or lost disk does not take is counted.
 */
export class KeptLines {
  readonly #directory: string
  readonly #name: string
  #limits: KeptLimits
  #classes: readonly string[]
  #closed: Segment[] = []
  #current: Segment | undefined
  #next = 1
  #lost = { lines: 0, bytes: 0 }
  #rotated = 0
  #problem: string | undefined
  #lookedAt = 0
  #failedAt = Number.NEGATIVE_INFINITY
  /** Whether what was kept before is known: until then nothing may be put in its place. */
  #isKnown = false
  #isClosed = false

  /** @param classes of the lines to come, in the order of their numbers. */
  constructor(directory: string, name: string, limits: KeptLimits, classes: readonly string[]) {
    this.#directory = directory
    this.#name = name
    this.#limits = limits
    this.#classes = classes
    this.#begin()
  }

  /** The number that the next line gets. */
  get next(): number {
    return this.#next
  }

  /** Oldest first. */
  get segments(): readonly Segment[] {
    return this.#current === undefined ? this.#closed : [...this.#closed, this.#current]
  }

  /** What could not be kept, and why it cannot be at present. */
  get lost(): { readonly lines: number; readonly bytes: number } {
    return this.#lost
  }

  get problem(): string | undefined {
    return this.#problem
  }

  /** Lines that made room for newer ones. */
  get rotated(): number {
    return this.#rotated
  }

  /**
   * Gives lines their numbers and keeps them.
   * @returns false when they could not be kept. They have their numbers all the same: the gap shows.
   */
  append(lines: Omit<Batch, 'seq'>): boolean {
    const now = performance.now()
    const isTried = now - this.#failedAt >= tryAgainMs && !this.#isClosed
    if (isTried && !this.#isKnown) this.#begin()
    const seq = this.#next
    this.#next += lines.count
    if (!isTried || !this.#isKnown) return this.#lose(lines)
    try {
      this.#writable(now, lines.bytes.length, lines.count, seq).append({ ...lines, seq })
      this.#problem = undefined
      return true
    } catch (error) {
      this.#failedAt = now
      this.#problem = errorText(error)
      return this.#lose(lines)
    }
  }

  /** The next line gets this number at least. */
  continueAt(next: number): void {
    this.#next = Math.max(this.#next, next)
  }

  /** Lines of the program with this number or a later one. */
  printedSince(seq: number): number {
    let count = 0
    for (const segment of this.segments) {
      const late = segment.blocks.filter(({ next }) => next > seq)
      for (const { text, records } of segment.read(late)) {
        for (const line of linesOf(text, records))
          if (line.seq >= seq && streams[line.stream] !== 'watchdog') count++
      }
    }
    return count
  }

  reconfigure(limits: KeptLimits, classes: readonly string[]): void {
    this.#limits = limits
    this.#classes = classes
    this.#makeRoom()
  }

  close(): void {
    this.#isClosed = true
    this.#current?.close()
  }

  /** Finds what was kept before. */
  #begin(): void {
    try {
      finishRotation(this.#directory, this.#name)
      this.#closed = closedSegments(this.#directory, this.#name)
      const files = currentFiles(this.#directory, this.#name)
      const first = Math.max(1, ...this.#closed.map(({ next }) => next))
      this.#current =
        Segment.open(files, true) ?? Segment.recover(files, { format: 1, first, classes: this.#classes })
      this.#isKnown = true
      this.#problem = undefined
    } catch (error) {
      this.#failedAt = performance.now()
      this.#problem = errorText(error)
    }
    this.#next = Math.max(this.#next, ...this.segments.map(({ next }) => next))
  }

  #lose({ count, bytes }: { readonly count: number; readonly bytes: Buffer }): false {
    this.#lost = { lines: this.#lost.lines + count, bytes: this.#lost.bytes + bytes.length }
    return false
  }

  /** The segment that takes these lines. @throws the system's error. */
  #writable(now: number, bytes: number, count: number, seq: number): Segment {
    let current = this.#current
    if (current !== undefined && now - this.#lookedAt >= lookAgainMs) {
      this.#lookedAt = now
      if (!current.isWhole(isSameFile)) {
        // Removed or cut by hand: its lines are gone.
        this.#rotated += current.lines
        current.close()
        current = undefined
      }
    }
    if (current !== undefined) {
      const { maxBytes, maxLines } = this.#limits
      const isFull =
        current.lines > 0 &&
        (current.bytes + bytes > maxBytes / parts || current.lines + count > maxLines / parts)
      const isOther = current.header.classes.join('\n') !== this.#classes.join('\n')
      if (!isFull && !isOther) return current
      if (current.lines > 0) this.#rotate(current)
      current.close()
    }
    this.#current = undefined
    demandOwnDirectory(this.#directory)
    const header = { format: 1, first: seq, classes: this.#classes } as const
    this.#current = Segment.begin(currentFiles(this.#directory, this.#name), header)
    this.#lookedAt = now
    return this.#current
  }

  #rotate(full: Segment): void {
    full.rename(closedFiles(this.#directory, this.#name, full.header.first))
    full.close()
    this.#current = undefined
    this.#closed.push(full)
    this.#makeRoom()
  }

  /** Removes the oldest until a new segment has room. */
  #makeRoom(): void {
    const { maxBytes, maxLines } = this.#limits
    const sum = (of: 'bytes' | 'lines') => this.segments.reduce((all, segment) => all + segment[of], 0)
    const room = 1 - 1 / parts
    while (this.#closed.length > 0 && (sum('bytes') > maxBytes * room || sum('lines') > maxLines * room)) {
      const oldest = this.#closed.shift()
      this.#rotated += oldest?.lines ?? 0
      oldest?.remove()
    }
  }
}

/** The segments of a program whose monitor writes them, or is gone; oldest first. Only read. */
export function keptSegments(directory: string, name: string): readonly Segment[] {
  const current = openQuietly(currentFiles(directory, name))
  // Between two looks it may have been renamed.
  const closed = closedSegments(directory, name).filter(({ next }) => next <= (current?.header.first ?? next))
  return current === undefined ? closed : [...closed, current]
}

/** Programs that have lines in a state directory. */
export function keptPrograms(directory: string): readonly string[] {
  const suffix = path.extname(fileNames.programIndex(''))
  const prefix = fileNames.programIndex('').slice(0, -suffix.length)
  return namesIn(directory)
    .filter((name) => name.startsWith(prefix) && name.endsWith(suffix))
    .map((name) => name.slice(prefix.length, -suffix.length))
    .sort()
}

function currentFiles(directory: string, name: string): SegmentFiles {
  return {
    text: path.join(directory, fileNames.programLog(name)),
    index: path.join(directory, fileNames.programIndex(name)),
  }
}

function closedFiles(directory: string, name: string, first: number): SegmentFiles {
  const { text, index } = currentFiles(directory, name)
  return { text: `${text}.${first}`, index: `${index}.${first}` }
}

function closedSegments(directory: string, name: string): Segment[] {
  const prefix = `${fileNames.programIndex(name)}.`
  const firsts = namesIn(directory)
    .filter((file) => file.startsWith(prefix))
    .map((file) => file.slice(prefix.length))
    .filter((number) => /^\d{1,16}$/.test(number))
    .map(Number)
    .sort((a, b) => a - b)
  return firsts.flatMap((first) => openQuietly(closedFiles(directory, name, first)) ?? [])
}

/** A kill may fall between the two names of a rotation. */
function finishRotation(directory: string, name: string): void {
  const current = currentFiles(directory, name)
  if (existsSync(current.text) || !existsSync(current.index)) return
  const prefix = `${fileNames.programLog(name)}.`
  const firsts = namesIn(directory)
    .filter((file) => file.startsWith(prefix))
    .map((file) => Number(file.slice(prefix.length)))
  const newest = closedFiles(directory, name, Math.max(...firsts.filter(Number.isSafeInteger)))
  if (existsSync(newest.text) && !existsSync(newest.index)) renameSync(current.index, newest.index)
}

function openQuietly(files: SegmentFiles): Segment | undefined {
  try {
    return Segment.open(files, false)
  } catch {
    return undefined
  }
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}
