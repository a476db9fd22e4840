import {
  closeSync,
  constants,
  type FSWatcher,
  fstatSync,
  openSync,
  readlinkSync,
  readSync,
  watch,
} from 'node:fs'
import { emptyFile, punchHole } from '../../os/file-start.ts'
import { openForAppending } from '../../os/regular-file.ts'
import type { StreamSink } from '../output/index.ts'

/** Bytes that are read at once, where the output has no room for them. */
const chunkBytes = 64 * 1024

/** Bytes without a line end after which a line counts as read as far as it is. */
const longestOpenLine = 1024 * 1024

/** Bytes that have been read after which their room on disk is freed, at most once in so many ms; and at once when they are many. */
const freedFrom = 1024 * 1024
const freedEveryMs = 1000
const freedAtOnceFrom = 16 * freedFrom

const lineEnd = 0x0a

interface SpoolOptions {
  readonly sink: StreamSink
  /** Where chunks are read to, as `ProgramOutput` has it; undefined = a place of its own. */
  readonly room: Buffer | undefined
  /**
   * A symbolic link to what the program has open (proc(5)); undefined = it does not run yet. Somebody may have removed the file since: then its
   * name is another's.
   */
  readonly held: string | undefined
}

/**
 * A file that a program writes one of its streams to, and that is read while it grows. The program's descriptor appends, so that whoever reads
 * may free what was read, at its beginning, without losing a byte: the file only seems to grow.
 */
export class Spool {
  readonly descriptor: number
  readonly #file: string
  readonly #sink: StreamSink
  #watcher: FSWatcher | undefined
  /** The next byte to read. */
  #offset = 0
  #committed = 0
  /** Up to here its room was freed. */
  #freed = 0
  #freedAt = Number.NEGATIVE_INFINITY
  #isFreeing = false
  /** False = the file system knows no holes: it is emptied instead when all is read. */
  #hasHoles = true
  /** Lines at the place where reading goes on that were kept already. */
  #known = 0
  /** What comes next may be room that was freed. */
  #mayBeFreed = false
  /** Others use it, too, between two reads. */
  readonly #buffer: Buffer

  /**
   * Opens the file, and makes it when there is none.
   * @throws the system's error.
   */
  constructor(file: string, { sink, room, held }: SpoolOptions) {
    this.#sink = sink
    this.#buffer = room ?? Buffer.allocUnsafe(chunkBytes)
    const removed = held !== undefined && leadsTo(held, `${file} (deleted)`)
    this.#file = removed ? held : file
    this.descriptor = removed ? openSync(held, constants.O_RDWR | constants.O_APPEND) : openForAppending(file)
  }

  /** Bytes from the beginning of the file up to the first line that was not read whole. */
  get committed(): number {
    return this.#committed
  }

  get size(): number {
    return fstatSync(this.descriptor).size
  }

  get isRead(): boolean {
    return this.#offset >= this.size
  }

  /** Whether it was read up to here, or begun anew since. */
  hasRead(upTo: number): boolean {
    return this.#offset >= upTo || this.size < upTo
  }

  /**
   * Goes on where somebody else has stopped.
   * @param committed undefined = nobody knows where that was.
   * @param known lines from there on that are kept already, and not told again.
   * @param most bytes that are worth reading: of more, the newest are read.
   * @returns bytes that are passed over.
   */
  continueAt(committed: number | undefined, known: number, most: number): number {
    const { size } = this
    // It was emptied since.
    const isOther = committed === undefined || committed > size
    const from = isOther ? 0 : committed
    const start = Math.max(from, size - most)
    this.#offset = start
    this.#committed = start
    this.#freed = from
    this.#known = start === from && !isOther ? known : 0
    this.#mayBeFreed = isOther
    return isOther ? 0 : start - from
  }

  /** Calls back when it has grown, or may have. False = the system does not tell. */
  watch(grown: () => void): boolean {
    try {
      this.#watcher = watch(this.#file, { persistent: false }, grown)
      this.#watcher.on('error', () => this.#watcher?.close())
      return true
    } catch {
      return false
    }
  }

  /**
   * Reads on, one chunk.
   * @param before called with what was read up to now before the lines of the chunk are kept.
   * @returns `end`: there is no more. `cut`: the program itself has emptied the file, and what was not read of it is gone.
   */
  read(before: () => void): 'more' | 'end' | 'cut' {
    const { size } = this
    if (size < this.#offset) {
      this.#rewind()
      return 'cut'
    }
    if (size === this.#offset) return 'end'
    const length = readSync(this.descriptor, this.#buffer, 0, this.#buffer.length, this.#offset)
    if (length === 0) return 'end'
    before()
    const chunk = this.#buffer.subarray(0, length)
    const last = chunk.lastIndexOf(lineEnd)
    const news = this.#unknown(chunk)
    if (news.length > 0) this.#sink.push(news)
    if (last >= 0) this.#committed = this.#offset + last + 1
    this.#offset += length
    if (this.#offset - this.#committed > longestOpenLine) this.#committed = this.#offset
    return 'more'
  }

  /** Its process has ended: a line without an end is one, too. What that has left behind may print more. */
  end(): void {
    this.#sink.flush()
    this.#committed = this.#offset
  }

  /** Room of what was read is worth freeing. */
  get hasToFree(): boolean {
    return this.#hasHoles && this.#committed - this.#freed >= freedFrom
  }

  /**
   * Frees the room of what was read, when that is worth it.
   * @param recorded up to here it is written down that it was read.
   */
  async free(recorded: number): Promise<void> {
    const length = recorded - this.#freed
    const isDue = performance.now() - this.#freedAt >= freedEveryMs || length >= freedAtOnceFrom
    if (this.#isFreeing || length < freedFrom || !isDue) return
    this.#freedAt = performance.now()
    if (!this.#hasHoles) {
      if (this.isRead && this.#committed === this.#offset) this.empty()
      return
    }
    this.#isFreeing = true
    const from = this.#freed
    const isDone = await punchHole(this.descriptor, from, length)
    this.#isFreeing = false
    this.#hasHoles = isDone
    // It may have been emptied meanwhile.
    if (isDone && this.#freed === from) this.#freed = recorded
  }

  /** Begins the file anew: all of it was read. @returns false when it cannot be emptied. */
  empty(): boolean {
    if (!emptyFile(this.descriptor)) return false
    this.#rewind()
    return true
  }

  close(): void {
    this.#watcher?.close()
    closeSync(this.descriptor)
  }

  #rewind(): void {
    this.#offset = 0
    this.#committed = 0
    this.#freed = 0
    this.#known = 0
  }

  /** Without the lines that are kept already. */
  #unknown(chunk: Buffer): Buffer {
    let rest = chunk
    if (this.#mayBeFreed) {
      const first = rest.findIndex((byte) => byte !== 0)
      this.#mayBeFreed = first < 0
      rest = rest.subarray(first < 0 ? rest.length : first)
    }
    while (this.#known > 0 && rest.length > 0) {
      const end = rest.indexOf(lineEnd)
      if (end < 0) return rest.subarray(rest.length)
      rest = rest.subarray(end + 1)
      this.#known--
    }
    return rest
  }
}

function leadsTo(link: string, target: string): boolean {
  try {
    return readlinkSync(link) === target
  } catch {
    return false
  }
}
