import { readRegularFile } from '../os/regular-file.ts'
import { writeFileAtomically } from './atomic-file.ts'
import { LineLog } from './line-log.ts'
import type { LogEntry } from './log-entry.ts'

/** How many lines the ring is worth keeping; a reader shows no more than these. */
export const ringLines = 1000

/** How many lines the file may grow beyond the ring before it is cut: cutting rewrites the file. */
const slack = 100

/** A log entry in the ring: with a number that rises by one, so that a gap shows. */
export interface RingEntry extends LogEntry {
  readonly sequence: number
}

/**
 * The last 1,000 log entries as JSON, one a line, for machines. Lines that cannot be written wait in memory; those beyond the ring are lost
 * silently, because the log for people tells of a full disk.
 */
export class RingLog {
  readonly #file: string
  #log: LineLog
  #lines: number
  #sequence: number

  constructor(file: string) {
    this.#file = file
    const entries = readRing(file)
    this.#lines = entries.length
    this.#sequence = entries.at(-1)?.sequence ?? 0
    const limits = { maxBytes: 0, keep: 0, compress: false, remembered: ringLines, isPrivate: true }
    this.#log = new LineLog(file, limits, null)
  }

  write(entry: LogEntry): void {
    this.#sequence++
    const line: RingEntry = { sequence: this.#sequence, ...entry }
    this.#log.write(JSON.stringify(line))
    this.#lines++
    if (this.#lines >= ringLines + slack) this.#cut()
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
    const kept = readRing(this.#file)
    try {
      writeFileAtomically(this.#file, kept.map((entry) => `${JSON.stringify(entry)}\n`).join(''), false)
      this.#lines = kept.length
    } catch {
      // No room to rewrite: tried again after as many lines more.
      this.#lines = ringLines
    }
  }
}

/** The newest entries of a ring, oldest first. Lines that are no entries (cut by a crash) are passed over. */
export function readRing(file: string): RingEntry[] {
  let text: string
  try {
    text = readRegularFile(file)
  } catch {
    return []
  }
  return text.split('\n').flatMap(parseEntry).slice(-ringLines)
}

function parseEntry(line: string): RingEntry[] {
  try {
    const value = JSON.parse(line) as Partial<RingEntry> | null
    const isEntry =
      typeof value?.sequence === 'number' &&
      typeof value.time === 'string' &&
      typeof value.source === 'string' &&
      typeof value.message === 'string' &&
      (value.level === 'info' || value.level === 'warn' || value.level === 'error')
    return isEntry ? [value as RingEntry] : []
  } catch {
    return []
  }
}
