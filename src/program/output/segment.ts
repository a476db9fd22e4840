import { closeSync, existsSync, fstatSync, ftruncateSync, readSync, renameSync, writeSync } from 'node:fs'
import { removeQuietly, writeAll } from '../../os/atomic-file.ts'
import { errorCode } from '../../os/failure.ts'
import { openForAppending, openRegularFile } from '../../os/regular-file.ts'
import { lineFlags } from './classifier.ts'
import { type Stream, streams } from './line.ts'

/**
 * A segment is two files: the lines as people read them, and an index of records. A record describes the lines that were written at once:
 *
 *   0  u16  a mark            4  u32  number of lines      12  f64  wall-clock ms
 *   2  u8   stream            8  u32  bytes of text        20  f64  number of the first line
 *   28  for each line, its class and flags (`lineFlags`)
 *
 * The index begins with a line of JSON. The text is written first: what a kill leaves without a record gets one when the files are opened.
 */
const recordBytes = 28
const recordMark = 0x4c57

export interface SegmentHeader {
  readonly format: 1
  /** Number of the first line. */
  readonly first: number
  readonly classes: readonly string[]
}

export interface SegmentFiles {
  readonly text: string
  readonly index: string
}

/** A stretch of a segment that is read at once, and what is known of it without reading. */
export interface Block {
  readonly seq: number
  readonly text: number
  readonly index: number
  textBytes: number
  indexBytes: number
  lines: number
  /** The number after its last line. */
  next: number
  from: number
  to: number
  /** A bit for each class that occurs; bit 0 = lines without one. */
  classes: number
  /** A bit for each stream. */
  streams: number
}

/** Bytes of text after which a new block begins. */
const blockText = 128 * 1024
const blockIndex = 32 * 1024

/** Lines that are written at once. */
export interface Batch {
  readonly bytes: Buffer
  readonly stream: Stream
  readonly at: number
  readonly seq: number
  readonly count: number
  readonly marks: Uint8Array
}

export class Segment {
  readonly header: SegmentHeader
  readonly blocks: Block[] = []
  /** Lines of each class; place 0: without one. */
  readonly counts = new Float64Array(32)
  files: SegmentFiles
  textBytes = 0
  lines = 0
  /** The number after the last line. */
  next: number
  #headerBytes: number
  #indexBytes: number
  /** Text and index; undefined = it is only read, and opened for it. */
  #open: { readonly text: number; readonly index: number } | undefined

  private constructor(files: SegmentFiles, header: SegmentHeader, headerBytes: number) {
    this.files = files
    this.header = header
    this.next = header.first
    this.#headerBytes = headerBytes
    this.#indexBytes = headerBytes
  }

  /** Begins a segment in place of what has these names. @throws the system's error. */
  static begin(files: SegmentFiles, header: SegmentHeader): Segment {
    removeQuietly(files.index)
    removeQuietly(files.text)
    const bytes = Buffer.from(`${JSON.stringify(header)}\n`)
    const segment = new Segment(files, header, bytes.length)
    const index = openForAppending(files.index)
    try {
      writeAll(index, bytes)
      segment.#open = { text: openForAppending(files.text), index }
    } catch (error) {
      closeSync(index)
      removeQuietly(files.index)
      throw error
    }
    return segment
  }

  /**
   * Makes an index for a text that has none any more: its lines get numbers anew, and no classes.
   * @returns undefined when there is no text. @throws the system's error.
   */
  static recover(files: SegmentFiles, header: SegmentHeader): Segment | undefined {
    if (!existsSync(files.text)) return undefined
    removeQuietly(files.index)
    const index = openForAppending(files.index)
    try {
      writeAll(index, Buffer.from(`${JSON.stringify(header)}\n`))
    } finally {
      closeSync(index)
    }
    return Segment.open(files, true)
  }

  /**
   * Reads the index of a segment.
   * @param mend makes the files agree, to write to them. Otherwise only what agrees is seen.
   * @returns undefined when there is none that can be read.
   */
  static open(files: SegmentFiles, mend: boolean): Segment | undefined {
    if (!existsSync(files.index) || !existsSync(files.text)) return undefined
    const open = mend ? openForAppending : openRegularFile
    const text = open(files.text)
    let index: number | undefined
    let isKept = false
    try {
      index = open(files.index)
      const bytes = readAt(index, 0, fstatSync(index).size)
      const headerEnd = bytes.indexOf(0x0a) + 1
      const header = readHeader(bytes.subarray(0, headerEnd))
      if (header === undefined) return undefined
      const segment = new Segment(files, header, headerEnd)
      segment.#readRecords(bytes, fstatSync(text).size)
      if (mend) {
        segment.#open = { text, index }
        isKept = true
        segment.#mend(text, index, bytes.length)
      }
      return segment
    } finally {
      // Open for writing = kept open by the segment.
      if (!isKept) {
        closeSync(text)
        if (index !== undefined) closeSync(index)
      }
    }
  }

  /** @throws the system's error; then nothing of the batch is in the files. */
  append(batch: Batch): void {
    const { text, index } = this.#demandOpen()
    const { bytes, count } = batch
    const record = recordOf(batch)
    try {
      writeAll(text, bytes)
      writeAll(index, record)
    } catch (error) {
      truncateQuietly(text, this.textBytes)
      truncateQuietly(index, this.#indexBytes)
      throw error
    }
    this.#account(record, 0, batch.marks.subarray(0, count))
  }

  /** False when somebody has cut the text, removed it, or put another in its place. */
  isWhole(isSameFile: (descriptor: number, file: string) => boolean): boolean {
    if (this.#open === undefined) return false
    return isSameFile(this.#open.text, this.files.text) && fstatSync(this.#open.text).size === this.textBytes
  }

  /** Gives the files other names. @throws the system's error. */
  rename(files: SegmentFiles): void {
    renameSync(this.files.text, files.text)
    renameSync(this.files.index, files.index)
    this.files = files
  }

  remove(): void {
    this.close()
    removeQuietly(this.files.text)
    removeQuietly(this.files.index)
  }

  close(): void {
    if (this.#open === undefined) return
    closeSync(this.#open.text)
    closeSync(this.#open.index)
    this.#open = undefined
  }

  /** Bytes of both files. */
  get bytes(): number {
    return this.textBytes + this.#indexBytes
  }

  /**
   * Text and records of blocks, one after the other. With descriptors of its own: between two blocks the segment may be closed, renamed or
   * removed. One that is gone has none.
   */
  *read(
    blocks: readonly Block[],
  ): Generator<{ readonly block: Block; readonly text: Buffer; readonly records: Buffer }> {
    if (blocks.length === 0) return
    const opened: number[] = []
    try {
      for (const file of [this.files.text, this.files.index]) opened.push(openRegularFile(file))
      const [text, index] = opened as [number, number]
      for (const block of blocks) {
        yield {
          block,
          text: readAt(text, block.text, block.textBytes),
          records: readAt(index, block.index, block.indexBytes),
        }
      }
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error
    } finally {
      for (const descriptor of opened) closeSync(descriptor)
    }
  }

  /** Takes up to where records and text agree. */
  #readRecords(bytes: Buffer, textSize: number): void {
    for (let at = this.#headerBytes; at + recordBytes <= bytes.length; ) {
      const count = bytes.readUInt32LE(at + 4)
      const isRecord = bytes.readUInt16LE(at) === recordMark && at + recordBytes + count <= bytes.length
      if (!isRecord || this.textBytes + bytes.readUInt32LE(at + 8) > textSize) return
      this.#account(bytes, at, bytes.subarray(at + recordBytes, at + recordBytes + count))
      at += recordBytes + count
    }
  }

  /** After a kill between two writes, or a hand that has cut the file. */
  #mend(text: number, index: number, indexSize: number): void {
    if (indexSize > this.#indexBytes) ftruncateSync(index, this.#indexBytes)
    const more = fstatSync(text).size - this.textBytes
    if (more <= 0) return
    let bytes = readAt(text, this.textBytes, more)
    if (bytes.at(-1) !== 0x0a) {
      writeSync(text, '\n')
      bytes = Buffer.concat([bytes, Buffer.from('\n')])
    }
    let count = 0
    for (const byte of bytes) if (byte === 0x0a) count++
    const marks = new Uint8Array(count)
    const record = recordOf({ bytes, stream: 'stdout', at: Date.now(), seq: this.next, count, marks })
    writeAll(index, record)
    this.#account(record, 0, marks)
  }

  #account(record: Buffer, at: number, marks: Uint8Array): void {
    const stream = record.readUInt8(at + 2)
    const count = record.readUInt32LE(at + 4)
    const bytes = record.readUInt32LE(at + 8)
    const time = record.readDoubleLE(at + 12)
    const seq = record.readDoubleLE(at + 20)
    let block = this.blocks.at(-1)
    if (block === undefined || block.textBytes >= blockText || block.indexBytes >= blockIndex) {
      block = {
        seq,
        text: this.textBytes,
        index: this.#indexBytes,
        textBytes: 0,
        indexBytes: 0,
        lines: 0,
        next: seq,
        from: time,
        to: time,
        classes: 0,
        streams: 0,
      }
      this.blocks.push(block)
    }
    block.textBytes += bytes
    block.indexBytes += recordBytes + count
    block.lines += count
    block.next = seq + count
    block.from = Math.min(block.from, time)
    block.to = Math.max(block.to, time)
    block.streams |= 1 << stream
    let classes = block.classes
    for (let line = 0; line < count; line++) {
      const number = (marks[line] as number) & lineFlags.class
      classes |= 1 << number
      this.counts[number] = (this.counts[number] as number) + 1
    }
    block.classes = classes
    this.textBytes += bytes
    this.#indexBytes += recordBytes + count
    this.lines += count
    this.next = seq + count
  }

  #demandOpen(): { readonly text: number; readonly index: number } {
    if (this.#open === undefined) throw new Error('the segment is closed')
    return this.#open
  }
}

/** One line of a block, before it is decoded. */
export interface RawLine {
  readonly seq: number
  readonly at: number
  readonly stream: number
  readonly mark: number
  readonly start: number
  readonly end: number
}

/** The lines of a block in order. */
export function* linesOf(text: Buffer, records: Buffer): Generator<RawLine> {
  let start = 0
  for (let at = 0; at + recordBytes <= records.length; ) {
    const stream = records.readUInt8(at + 2)
    const count = records.readUInt32LE(at + 4)
    const time = records.readDoubleLE(at + 12)
    const seq = records.readDoubleLE(at + 20)
    for (let line = 0; line < count; line++) {
      const found = text.indexOf(0x0a, start)
      const end = found < 0 ? text.length : found
      const mark = records[at + recordBytes + line] ?? 0
      yield { seq: seq + line, at: time, stream, mark, start, end }
      start = end + 1
    }
    at += recordBytes + count
  }
}

/**
 * The lines of a block that may be wanted, the newest first. What lies before the last one that is taken is not looked at.
 * @param mayTake asked about what the index says of a line.
 * @param places where in the text something stands that is in every wanted line, in ascending order; undefined = nothing is known.
 */
export function* newestLinesOf(
  text: Buffer,
  records: Buffer,
  mayTake: (line: Pick<RawLine, 'at' | 'mark' | 'stream'>) => boolean,
  places?: readonly number[],
): Generator<RawLine> {
  const writes: { readonly at: number; readonly from: number }[] = []
  let to = 0
  for (let at = 0; at + recordBytes <= records.length; at += recordBytes + records.readUInt32LE(at + 4)) {
    writes.push({ at, from: to })
    to += records.readUInt32LE(at + 8)
  }
  // Somebody has cut the file: lines can only be counted from their beginning.
  if (to !== text.length) return yield* [...linesOf(text, records)].filter(mayTake).reverse()
  let place = (places?.length ?? 0) - 1
  for (const { at, from } of writes.reverse()) {
    const stream = records.readUInt8(at + 2)
    const time = records.readDoubleLE(at + 12)
    const first = records.readDoubleLE(at + 20)
    const markOf = (line: number) => records[at + recordBytes + line] ?? 0
    const isWanted = (line: number) => mayTake({ at: time, mark: markOf(line), stream })
    /** The first line that counts: none before it is wanted. */
    let lowest = 0
    const count = records.readUInt32LE(at + 4)
    while (lowest < count && !isWanted(lowest)) lowest++
    let end = to - 1
    for (let line = count - 1; line >= lowest; line--) {
      if (places !== undefined && (place < 0 || (places[place] as number) < from)) break
      const start = end <= from ? from : Math.max(from, text.lastIndexOf(0x0a, end - 1) + 1)
      const isPlace = places === undefined || (places[place] as number) >= start
      while (place >= 0 && ((places as readonly number[])[place] as number) >= start) place--
      if (isPlace && isWanted(line))
        yield { seq: first + line, at: time, stream, mark: markOf(line), start, end }
      end = start - 1
    }
    while (places !== undefined && place >= 0 && (places[place] as number) >= from) place--
    to = from
  }
}

function recordOf({ bytes, stream, at, seq, count, marks }: Batch): Buffer {
  const record = Buffer.allocUnsafe(recordBytes + count)
  record.writeUInt16LE(recordMark, 0)
  record.writeUInt8(streams.indexOf(stream), 2)
  record.writeUInt8(0, 3)
  record.writeUInt32LE(count, 4)
  record.writeUInt32LE(bytes.length, 8)
  record.writeDoubleLE(at, 12)
  record.writeDoubleLE(seq, 20)
  record.set(marks.subarray(0, count), recordBytes)
  return record
}

function readHeader(bytes: Buffer): SegmentHeader | undefined {
  try {
    const header = JSON.parse(bytes.toString('utf8')) as SegmentHeader
    const isOurs = header.format === 1 && Number.isSafeInteger(header.first) && Array.isArray(header.classes)
    return isOurs ? header : undefined
  } catch {
    return undefined
  }
}

function readAt(descriptor: number, position: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  let read = 0
  while (read < length) {
    const now = readSync(descriptor, bytes, read, length - read, position + read)
    if (now === 0) break
    read += now
  }
  return bytes.subarray(0, read)
}

function truncateQuietly(descriptor: number, length: number): void {
  try {
    ftruncateSync(descriptor, length)
  } catch {
    // What is there too much is found when the files are opened the next time.
  }
}
