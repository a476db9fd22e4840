import { closeSync, type FSWatcher, fstatSync, readdirSync, statSync, watch } from 'node:fs'
import path from 'node:path'
import type { LogEntry } from '../log/entry.ts'
import { openRegularFile } from '../os/regular-file.ts'
import { type LogPosition, readRange } from './log-reader.ts'
import type { LogSource } from './log-source.ts'
import { beginsEntry, entriesOf, type LineGroup } from './log-text.ts'

/** ms between two looks where the system does not report changes (network file systems). */
const lookEveryMs = 1000

/** Bytes read at a time. */
const blockBytes = 256 * 1024

/** Follows one log by its descriptor, so that what was written before a rotation is read even after it. */
class FollowedLog {
  readonly source: LogSource
  #descriptor: number | undefined
  #offset = 0
  #rest: Buffer = Buffer.alloc(0)
  #lastTime = new Date().toISOString()

  /** @param fromEnd skip what is there now. */
  constructor(source: LogSource, fromEnd: boolean) {
    this.source = source
    this.#descriptor = openQuietly(source.file)
    if (fromEnd && this.#descriptor !== undefined) this.#offset = endOfLastLine(this.#descriptor)
  }

  get position(): LogPosition | undefined {
    if (this.#descriptor === undefined) return undefined
    return { inode: fstatSync(this.#descriptor).ino, offset: this.#offset }
  }

  /** What has been written since the last look. */
  read(): LogEntry[] {
    let lines: string[] = []
    for (;;) {
      // Asked before reading: lines that come before the rename are read before the file is left.
      const next = this.#successor()
      lines = lines.concat(this.#readLines())
      if (next === undefined) break
      if (this.#descriptor !== undefined) closeSync(this.#descriptor)
      if (this.#rest.length > 0) lines.push(this.#rest.toString('utf8'))
      this.#rest = Buffer.alloc(0)
      this.#descriptor = next
      this.#offset = 0
    }
    return this.#entries(lines)
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
  }

  /** The part that was begun after the one that is open; undefined while there is none. */
  #successor(): number | undefined {
    const { file } = this.source
    if (this.#descriptor === undefined) return openQuietly(file)
    const { ino } = fstatSync(this.#descriptor)
    for (let attempt = 0; attempt < 10; attempt++) {
      if (inodeOf(file) === ino) return undefined
      const number = numberOf(file, ino)
      // In the middle of a rotation it may be seen nowhere; then it is looked for again.
      if (number === undefined) continue
      const next = openQuietly(number === 1 ? file : `${file}.${number - 1}`)
      if (next === undefined) return undefined
      // A rotation moves the older part first: while ours has not moved, the one before it is the one that was opened.
      if (inodeOf(`${file}.${number}`) === ino && fstatSync(next).ino !== ino) return next
      closeSync(next)
    }
    // Packed or fallen out meanwhile: what came in between cannot be had any more.
    return openQuietly(file)
  }

  #readLines(): string[] {
    const descriptor = this.#descriptor
    if (descriptor === undefined) return []
    const { size } = fstatSync(descriptor)
    if (size < this.#offset) this.#offset = 0
    let lines: string[] = []
    while (this.#offset < size) {
      const block = readRange(descriptor, this.#offset, Math.min(size, this.#offset + blockBytes))
      if (block.length === 0) break
      this.#offset += block.length
      const bytes = Buffer.concat([this.#rest, block])
      const end = bytes.lastIndexOf(10)
      this.#rest = bytes.subarray(end + 1)
      if (end >= 0) lines = lines.concat(bytes.subarray(0, end).toString('utf8').split('\n'))
    }
    return lines
  }

  #entries(lines: readonly string[]): LogEntry[] {
    const groups: { head: string | undefined; further: string[] }[] = []
    for (const line of lines) {
      if (beginsEntry(line)) groups.push({ head: line, further: [] })
      else if (groups.length === 0) groups.push({ head: undefined, further: [line] })
      else groups.at(-1)?.further.push(line)
    }
    return groups.flatMap((group: LineGroup) => {
      const entries = entriesOf(group, this.source.name, this.#lastTime)
      this.#lastTime = entries.at(-1)?.time ?? this.#lastTime
      return entries
    })
  }
}

/** Follows logs as they grow, through rotation and through forwards that are new. */
export class LogFollower {
  readonly #logs = new Map<string, FollowedLog>()
  readonly #find: () => readonly LogSource[]

  /** @param find the logs to follow; asked again at every look, for new ones. */
  constructor(find: () => readonly LogSource[]) {
    this.#find = find
    for (const source of find()) this.#logs.set(source.file, new FollowedLog(source, true))
  }

  /** Where each log was when the following began. */
  get positions(): ReadonlyMap<string, LogPosition> {
    const positions = new Map<string, LogPosition>()
    for (const [file, { position }] of this.#logs) if (position !== undefined) positions.set(file, position)
    return positions
  }

  /** The entries that have come since the last look, in the order of time. */
  read(): LogEntry[] {
    for (const source of this.#find()) {
      if (!this.#logs.has(source.file)) this.#logs.set(source.file, new FollowedLog(source, false))
    }
    const entries = [...this.#logs.values()].flatMap((log) => log.read())
    return entries.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0))
  }

  close(): void {
    for (const log of this.#logs.values()) log.close()
  }
}

/** Calls back whenever something in a directory may have changed, until the signal comes. */
export function onChange(directory: string, signal: AbortSignal, look: () => void): void {
  const timer = setInterval(look, lookEveryMs)
  const watcher = watchQuietly(directory, look)
  signal.addEventListener('abort', () => {
    clearInterval(timer)
    watcher?.close()
  })
}

function watchQuietly(directory: string, look: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(path.resolve(directory), look)
    watcher.on('error', () => watcher.close())
    return watcher
  } catch {
    // No watches left, or a file system without them: the timer looks.
    return undefined
  }
}

function endOfLastLine(descriptor: number): number {
  const { size } = fstatSync(descriptor)
  for (let to = size; to > 0; ) {
    const from = Math.max(0, to - blockBytes)
    const newline = readRange(descriptor, from, to).lastIndexOf(10)
    if (newline >= 0) return from + newline + 1
    to = from
  }
  return 0
}

function openQuietly(file: string): number | undefined {
  try {
    return openRegularFile(file)
  } catch {
    return undefined
  }
}

/** The number that a part has now, by its inode. */
function numberOf(file: string, inode: number): number | undefined {
  const prefix = `${path.basename(file)}.`
  for (const name of readdirSync(path.dirname(file))) {
    const number = name.startsWith(prefix) ? Number(name.slice(prefix.length)) : Number.NaN
    if (Number.isInteger(number) && inodeOf(`${file}.${number}`) === inode) return number
  }
  return undefined
}

function inodeOf(file: string): number | undefined {
  try {
    return statSync(file).ino
  } catch {
    return undefined
  }
}
