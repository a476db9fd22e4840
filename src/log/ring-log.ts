import { writeFileAtomically } from '../os/atomic-file.ts'
import { readRegularFile } from '../os/regular-file.ts'
import { entryLevel, type LogEntry } from './entry.ts'
import type { Level } from './index.ts'
import { LineLog, type LogLimits } from './line-log.ts'

/** How many lines the ring is worth keeping; a reader shows no more than these. */
export const ringLines = 1000

/** How many lines the file may grow beyond the ring before it is cut: cutting rewrites the file. */
const slack = 100

/** What is written of a line, before it gets its number. */
export interface RingLine extends Readonly<Record<string, unknown>> {
  /** Wall time, ISO 8601 in UTC. */
  readonly ts: string
  readonly level: Level
  readonly message: string
}

/** A log entry in the ring: with a number that rises by one, so that a gap shows. */
export interface RingEntry extends LogEntry {
  readonly sequence: number
}

/**
 * The last 1,000 log lines as JSON, for programs. Lines that cannot be written wait in memory; those beyond the ring are lost
 * silently, because the log for people tells of a full disk.
 */
export class RingLog {
  readonly #file: string
  readonly #log: LineLog
  #lines: number
  #sequence: number
  #isLeft = false
  readonly #followers = new Set<(entry: RingEntry) => void>()

  /** @param demandDirectory as in `LogLimits`. */
  constructor(file: string, demandDirectory?: LogLimits['demandDirectory']) {
    this.#file = file
    const entries = readRing(file)
    this.#lines = entries.length
    this.#sequence = entries.at(-1)?.sequence ?? 0
    const limits = { maxBytes: 0, keep: 0, compress: false, remembered: ringLines }
    this.#log = new LineLog(
      file,
      demandDirectory === undefined ? limits : { ...limits, demandDirectory },
      null,
    )
  }

  /** Lines that a reader would be shown. */
  get count(): number {
    return Math.min(this.#lines, ringLines)
  }

  /** The file is another process's from now on, which counts on: nothing more is written here. */
  leave(): void {
    this.#isLeft = true
  }

  write(line: RingLine): void {
    if (this.#isLeft) return
    this.#sequence++
    const text = JSON.stringify({ sequence: this.#sequence, ...line })
    this.#log.write(text)
    if (this.#followers.size > 0) this.#tell(text)
    this.#lines++
    if (this.#lines >= ringLines + slack) this.#cut()
  }

  /** What it holds, oldest first. */
  entries(): readonly RingEntry[] {
    return readRing(this.#file)
  }

  /** @param told of every line from now on; it must not throw. @returns what ends that. */
  follow(told: (entry: RingEntry) => void): () => void {
    this.#followers.add(told)
    return () => void this.#followers.delete(told)
  }

  #tell(text: string): void {
    const entry = parseEntry(text)
    if (entry !== undefined) for (const told of this.#followers) told(entry)
  }

  /** As `LineLog.look`. */
  look(): boolean {
    const isBegun = this.#log.look()
    if (isBegun) this.#lines = readRing(this.#file).length
    return isBegun
  }

  /** As `LineLog.reopen`. */
  reopen(): void {
    this.#log.reopen()
  }

  #cut(): void {
    this.#log.close()
    const kept = readLines(this.#file).map(([line]) => `${line}\n`)
    try {
      writeFileAtomically(this.#file, kept.join(''), false)
      this.#lines = kept.length
    } catch {
      // No room to rewrite: tried again after as many lines more.
      this.#lines = ringLines
    }
  }
}

/**
 * The newest entries of a ring, oldest first. Lines that are no entries (cut by a crash) are passed over.
 * @param most how many, at most.
 */
export function readRing(file: string, most = ringLines): RingEntry[] {
  return readLines(file, most).map(([, entry]) => entry)
}

/** The newest lines as they are written, each with what it says. */
function readLines(file: string, most = ringLines): (readonly [line: string, entry: RingEntry])[] {
  let text: string
  try {
    text = readRegularFile(file)
  } catch {
    return []
  }
  const newestFirst: (readonly [string, RingEntry])[] = []
  for (let end = text.length; end > 0 && newestFirst.length < most; ) {
    const before = text.lastIndexOf('\n', end - 1)
    const line = text.slice(before + 1, end)
    const entry = parseEntry(line)
    if (entry !== undefined) newestFirst.push([line, entry])
    end = before
  }
  return newestFirst.reverse()
}

const levels: ReadonlySet<unknown> = new Set<Level>(['trace', 'debug', 'info', 'warn', 'error', 'fatal'])

/** Reads today's lines, and earlier ones, which had `time` and `source`. */
function parseEntry(line: string): RingEntry | undefined {
  let value: Readonly<Record<string, unknown>> | null
  try {
    value = JSON.parse(line)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const { sequence, level, message, good } = value
  const time = value.ts ?? value.time
  const source = value.unit ?? value.component ?? value.source ?? 'monitor'
  const isEntry =
    typeof sequence === 'number' &&
    typeof time === 'string' &&
    typeof source === 'string' &&
    typeof message === 'string' &&
    levels.has(level)
  if (!isEntry) return undefined
  return { sequence, time, level: entryLevel(level as Level), source, message, good: good === true }
}
