import { closeSync, fstatSync, readSync, statSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import type { LogEntry, LogLevel } from '../log/entry.ts'
import { openRegularFile, readRegularBytes } from '../os/regular-file.ts'
import type { LogSource } from './log-source.ts'
import { beginsEntry, entriesOf } from './log-text.ts'

export interface LogQuery {
  /** How many entries, the newest; 0 = all. */
  readonly tail: number
  /** Entries of this level and worse. */
  readonly level: LogLevel
  /** Entries from this time on, ISO 8601 in UTC; undefined = from the beginning. */
  readonly since: string | undefined
}

/** A place in a log: bytes from the beginning of the part with that inode. */
export interface LogPosition {
  readonly inode: number
  readonly offset: number
}

const rank: Readonly<Record<LogLevel, number>> = { info: 0, warn: 1, error: 2 }

/** True for an entry of that level or a worse one. */
export function isWorthy(entry: LogEntry, level: LogLevel): boolean {
  return rank[entry.level] >= rank[level]
}

/**
 * The entries asked for out of all logs, in the order of time. Reads each log from its end and no further back than needed.
 * @param ends where to begin in the logs, by file; a log that is not named is read from its very end.
 */
export function readLogs(
  sources: readonly LogSource[],
  query: LogQuery,
  ends: ReadonlyMap<string, LogPosition> = new Map(),
): LogEntry[] {
  const walks = sources.map((source) => entriesBackwards(source, ends.get(source.file)))
  const heads = walks.map((walk) => walk.next().value ?? undefined)
  const found: LogEntry[] = []
  while (query.tail === 0 || found.length < query.tail) {
    const newest = indexOfNewest(heads)
    const entry = heads[newest]
    if (entry === undefined || (query.since !== undefined && entry.time < query.since)) break
    if (isWorthy(entry, query.level)) found.push(entry)
    heads[newest] = walks[newest]?.next().value ?? undefined
  }
  for (const walk of walks) walk.return(undefined)
  return found.reverse()
}

/** Of equal times the last one, so that reversed they stand in the order of the sources. */
function indexOfNewest(heads: readonly (LogEntry | undefined)[]): number {
  let newest = 0
  heads.forEach((entry, i) => {
    const best = heads[newest]
    if (entry !== undefined && (best === undefined || entry.time >= best.time)) newest = i
  })
  return newest
}

function* entriesBackwards(
  { file, name }: LogSource,
  end: LogPosition | undefined,
): Generator<LogEntry, undefined> {
  let further: string[] = []
  let earliest = new Date().toISOString()
  for (const line of linesBackwards(file, end)) {
    if (!beginsEntry(line)) {
      further.push(line)
      continue
    }
    const entries = entriesOf({ head: line, further: further.reverse() }, name, earliest)
    earliest = entries[0]?.time ?? earliest
    further = []
    yield* entries.reverse()
  }
  yield* entriesOf({ head: undefined, further: further.reverse() }, name, earliest)
  return undefined
}

/** The lines of a log, newest first, through all its rotated parts. */
function* linesBackwards(file: string, end: LogPosition | undefined): Generator<string> {
  const seen = new Set<number>()
  let begun = end === undefined
  // A rotation under way leaves one number empty at a time.
  for (let number = 0, missing = 0; missing < 2; number++) {
    const part = number === 0 ? file : `${file}.${number}`
    const descriptor = open(part)
    if (descriptor !== undefined) {
      try {
        const { ino, size } = fstatSync(descriptor)
        const isEnd = ino === end?.inode
        begun ||= isEnd
        // A rotation meanwhile gives a part that was read already the next name.
        if (begun && !seen.has(ino)) {
          yield* splitBackwards(isEnd ? end.offset : size, (from, to) => readRange(descriptor, from, to))
        }
        seen.add(ino)
        missing = 0
      } finally {
        closeSync(descriptor)
      }
      continue
    }
    const unpacked = unpack(`${part}.gz`)
    missing = unpacked === undefined ? missing + 1 : 0
    if (unpacked !== undefined) {
      yield* splitBackwards(unpacked.length, (from, to) => unpacked.subarray(from, to))
    }
  }
}

/** Bytes read at a time. */
const blockBytes = 64 * 1024

/** Cuts bytes into lines from the end. A last line without its end, cut by a crash, is a line too. */
export function* splitBackwards(size: number, read: (from: number, to: number) => Buffer): Generator<string> {
  let rest: Buffer[] = []
  let isEnd = true
  for (let to = size; to > 0; ) {
    const from = Math.max(0, to - blockBytes)
    const block = read(from, to)
    let end = block.length
    for (let newline = block.lastIndexOf(10); newline >= 0; newline = lastNewline(block, newline)) {
      const line = Buffer.concat([block.subarray(newline + 1, end), ...rest])
      rest = []
      end = newline
      if (line.length > 0 || !isEnd) yield line.toString('utf8')
      isEnd = false
    }
    rest = [block.subarray(0, end), ...rest]
    to = from
  }
  if (size > 0) yield Buffer.concat(rest).toString('utf8')
}

function lastNewline(block: Buffer, before: number): number {
  return before === 0 ? -1 : block.lastIndexOf(10, before - 1)
}

function open(file: string): number | undefined {
  try {
    return openRegularFile(file)
  } catch {
    return undefined
  }
}

/** Bytes of an open file; less than asked for where it has become shorter. */
export function readRange(descriptor: number, from: number, to: number): Buffer {
  const bytes = Buffer.alloc(to - from)
  let length = 0
  while (length < bytes.length) {
    const read = readSync(descriptor, bytes, length, bytes.length - length, from + length)
    if (read === 0) break
    length += read
  }
  return bytes.subarray(0, length)
}

function unpack(file: string): Buffer | undefined {
  try {
    statSync(file)
    return gunzipSync(readRegularBytes(file))
  } catch {
    return undefined
  }
}
