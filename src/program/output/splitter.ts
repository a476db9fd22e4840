import { maxLineBytes } from './line.ts'
import type { Scan, Scanner, ScanTables } from './scan.ts'

/** Whole lines, as they go to the file. Valid until the splitter gets the next chunk: its buffers are used again. */
export interface Lines {
  /** Each with its line end. */
  readonly bytes: Buffer
  readonly count: number
  /** Places of the line ends. */
  readonly ends: Uint32Array
  /** 1 for a line that was cut. Undefined = none was. */
  readonly cut: Uint8Array | undefined
  /** Bytes that were cut away. */
  readonly cutBytes: number
  /** What is known of the lines already; undefined = they were found one by one. */
  readonly scan?: Scan
}

/** How a splitter looks at many bytes at once, and for which words. */
export interface Scanning {
  readonly scanner: Scanner
  tables: ScanTables
}

const lineEnd = 0x0a
const carriageReturn = 0x0d

/**
 * Cuts the bytes of one stream into lines, a chunk at a time. What prints whole, short lines costs one search for line ends; the rest is
 * looked at line by line:
 * - what a carriage return overwrites (progress) is dropped, as a terminal does; `\r\n` is a line end;
 * - of a line over 8 KiB the beginning is kept, with a mark.
 */
export class Splitter {
  /** What has no line end yet: at most `maxLineBytes` and a few. */
  #open = nothing
  /** Bytes that the open line had beyond those. */
  #beyond = 0
  #ends = new Uint32Array(64)
  #joined = Buffer.allocUnsafe(0)
  readonly #scanning: Scanning | undefined

  /** @param scanning undefined = line by line. The lines are the same. */
  constructor(scanning?: Scanning) {
    this.#scanning = scanning
  }

  /** The line that has no end yet; empty = there is none. */
  get open(): Buffer {
    return this.#open.at(-1) === carriageReturn ? this.#open.subarray(0, -1) : this.#open
  }

  /** @returns undefined when no line has ended. */
  push(chunk: Buffer): Lines | undefined {
    const last = chunk.lastIndexOf(lineEnd)
    if (last < 0) {
      this.#keepOpen(chunk)
      return undefined
    }
    const lines =
      this.#scan(chunk, last + 1) ?? this.#split(this.#join(chunk.subarray(0, last + 1)), this.#beyond)
    this.#open = nothing
    this.#beyond = 0
    if (last + 1 < chunk.length) this.#keepOpen(chunk.subarray(last + 1))
    return lines
  }

  /** The stream has ended: what has no line end is a line, too. */
  end(): Lines | undefined {
    return this.#open.length === 0 && this.#beyond === 0 ? undefined : this.push(Buffer.of(lineEnd))
  }

  #scan(chunk: Buffer, length: number): Lines | undefined {
    if (this.#scanning === undefined || this.#beyond > 0 || length < worthAScan) return undefined
    const { scanner, tables } = this.#scanning
    const bytes = scanner.join(this.#open, chunk.subarray(0, length))
    const scan = bytes && scanner.scan(tables, bytes)
    return scan && { bytes, count: scan.count, ends: scan.ends, cut: undefined, cutBytes: 0, scan }
  }

  #join(chunk: Buffer): Buffer {
    const open = this.#open.length
    if (open === 0) return chunk
    const length = open + chunk.length
    if (this.#joined.length < length) this.#joined = Buffer.allocUnsafe(length * 2)
    this.#open.copy(this.#joined)
    chunk.copy(this.#joined, open)
    return this.#joined.subarray(0, length)
  }

  /** @param beyond bytes that the first line had beyond what was kept of it. */
  #split(bytes: Buffer, beyond: number): Lines {
    let count = 0
    let start = 0
    let isPlain = beyond === 0 && !bytes.includes(carriageReturn)
    while (start < bytes.length) {
      const end = bytes.indexOf(lineEnd, start)
      if (count === this.#ends.length) this.#grow()
      this.#ends[count++] = end
      if (end - start > maxLineBytes) isPlain = false
      start = end + 1
    }
    if (isPlain) return { bytes, count, ends: this.#ends, cut: undefined, cutBytes: 0 }
    return this.#tidy(bytes, count, beyond)
  }

  #tidy(bytes: Buffer, count: number, beyond: number): Lines {
    const ends = this.#ends
    const cut = new Uint8Array(count)
    const pieces: Buffer[] = []
    let cutBytes = 0
    let start = 0
    let place = 0
    for (let index = 0; index < count; index++) {
      const end = ends[index] as number
      const raw = bytes.subarray(start, end)
      const line = shown(raw)
      const kept = line.length > maxLineBytes ? line.subarray(0, wholeCharacters(line, maxLineBytes)) : line
      // What was beyond is gone with what a carriage return has overwritten.
      const before = index === 0 && line.length >= maxLineBytes ? beyond : 0
      const away = line.length - kept.length + before
      pieces.push(kept)
      place += kept.length
      if (away > 0) {
        cut[index] = 1
        cutBytes += away
        const mark = cutMark(away)
        pieces.push(mark)
        place += mark.length
      }
      pieces.push(lineEndBytes)
      ends[index] = place
      place++
      start = end + 1
    }
    return { bytes: Buffer.concat(pieces), count, ends, cut, cutBytes }
  }

  #keepOpen(chunk: Buffer): void {
    let open = this.#open.length === 0 ? chunk : Buffer.concat([this.#open, chunk])
    let end = open.length
    while (end > 0 && open[end - 1] === carriageReturn) end--
    const overwritten = end === 0 ? -1 : open.lastIndexOf(carriageReturn, end - 1)
    if (overwritten >= 0) this.#beyond = 0
    // Whether what stands before the last one is overwritten, or the line ends with it, says the next chunk.
    const isReturned = end < open.length
    open = open.subarray(overwritten + 1, end)
    const most = maxLineBytes + 4
    if (open.length > most) {
      this.#beyond += open.length - most
      open = open.subarray(0, most)
    }
    if (isReturned) open = Buffer.concat([open, carriageReturnBytes])
    // A copy of its own: a small piece would keep a whole chunk in memory.
    this.#open = Buffer.from(open)
  }

  #grow(): void {
    const larger = new Uint32Array(this.#ends.length * 4)
    larger.set(this.#ends)
    this.#ends = larger
  }
}

/** Bytes below which a scan costs more than it saves. */
const worthAScan = 256

const nothing = Buffer.alloc(0)
const lineEndBytes = Buffer.from('\n')
const carriageReturnBytes = Buffer.from('\r')

function cutMark(bytes: number): Buffer {
  return Buffer.from(` … [${bytes} bytes cut]`)
}

/** What is left of a line when carriage returns have done their work. */
function shown(line: Buffer): Buffer {
  let end = line.length
  while (end > 0 && line[end - 1] === carriageReturn) end--
  const overwritten = end === 0 ? -1 : line.lastIndexOf(carriageReturn, end - 1)
  return line.subarray(overwritten + 1, end)
}

/** The largest number of bytes up to `most` that cuts no character of UTF-8 in two. */
function wholeCharacters(line: Buffer, most: number): number {
  let end = most
  while (end > most - 3 && ((line[end] ?? 0) & 0xc0) === 0x80) end--
  return ((line[end] ?? 0) & 0xc0) === 0x80 ? most : end
}
