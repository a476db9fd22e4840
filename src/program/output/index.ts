/**
 * output/: what a program prints, and what the watchdog notes beside it.
 *
 *   stdout, stderr -> `Splitter` (chunk -> whole lines) -> `Classifier` (a class for each) -> `KeptLines` -> `program_NAME.log` and its index
 *                                                                                         -> who follows, counts
 *   reader -> `read`, `search` -> blocks of the files that may hold what is asked -> lines
 *
 * A chunk is worked on as a whole: one scan for line ends and the texts of all patterns (`scan.ts`), one write. Nothing is kept in memory but
 * the lines without an end, and the newest of those that a full disk did not take. A new kind of question is a field of `LogQuery`
 * (`line.ts`) and a test in `reading.ts`; usual words of another framework are a line of `usual-patterns.ts`.
 */
import type { Readable } from 'node:stream'
import { localStamp } from '../../log/entry.ts'
import { oneLine } from '../../os/printable.ts'
import { Classifier, lineFlags } from './classifier.ts'
import { ClassCounts } from './counts.ts'
import { type KeptLimits, KeptLines } from './kept-lines.ts'
import type { LogPage, LogQuery, OutputCounts, OutputLine, SearchPage, SearchQuery, Stream } from './line.ts'
import { OpenLines } from './open-lines.ts'
import type { LogPatterns } from './patterns.ts'
import { atOnce, inTurns, type LineSource, readSteps } from './reading.ts'
import { scanner } from './scan.ts'
import { searchSteps } from './search.ts'
import { type Lines, type Scanning, Splitter } from './splitter.ts'

export type { LogPage, LogQuery, OutputCounts, OutputLine, SearchPage, SearchQuery } from './line.ts'
export { compilePatterns, type LogPatterns } from './patterns.ts'

export interface OutputOptions {
  /** The state directory. */
  readonly directory: string
  /** The program's. */
  readonly name: string
  /** Bytes on disk. */
  readonly maxBytes: number
  /** Lines that are kept. Default: a million. */
  readonly maxLines?: number
  readonly patterns: LogPatterns
}

const defaultMaxLines = 1_000_000

/** ms after which a line without an end is shown as it is. */
const partialAfterMs = 2000

/** Lines and bytes that are kept in memory while the disk takes none. */
const mostUnwritten = 200
const mostUnwrittenBytes = 256 * 1024

/** The output of one program, over all its starts. */
export class ProgramOutput {
  readonly #kept: KeptLines
  readonly #openLines: OpenLines
  readonly #counts = new ClassCounts()
  #began = 0
  readonly #followers = new Set<(line: OutputLine) => void>()
  #patterns: LogPatterns
  #unwritten: OutputLine[] = []
  #open: OpenStream[] = []
  #marks = new Uint8Array(64)
  #cutBytes = 0
  /** Lines lost that no note has told of. */
  #untold = 0

  constructor({ directory, name, patterns, ...limits }: OutputOptions) {
    this.#patterns = patterns
    this.#kept = new KeptLines(directory, name, limitsOf(limits), patterns.classes)
    for (const { header, blocks, counts } of this.#kept.segments) {
      const [block] = blocks
      if (block !== undefined && header.classes.join() === patterns.classes.join())
        this.#counts.addKept(counts, block.from)
    }
    this.#openLines = new OpenLines(directory, name)
    for (const { stream, at, text } of this.#openLines.take()) this.#keepLine(stream, at, text)
  }

  /** Where chunks of both streams may be read to, which saves a copy; undefined = there is no such place. */
  get room(): Buffer | undefined {
    return scanner()?.room
  }

  /**
   * Reads both streams of a process until they end.
   * @returns when both have ended and all they had is kept: after this, the last words are there.
   */
  async follow(stdout: Readable | null, stderr: Readable | null): Promise<void> {
    await Promise.all([this.#read('stdout', stdout), this.#read('stderr', stderr)])
  }

  /** The number of the last line before the process that was started last; 0 = none has been since this was made. */
  get began(): number {
    return this.#began
  }

  /** Another process is about to be started: what comes is its own, and what was printed before is not. */
  begin(): void {
    this.#began = this.#kept.next - 1
  }

  /** Adds a line of the watchdog's own. */
  note(text: string): void {
    const line = oneLine(text)
    const at = Date.now()
    const bytes = Buffer.from(`[port-watchdog ${localStamp(new Date(at))}] ${line}\n`)
    const marks = Uint8Array.of(0)
    const seq = this.#kept.next
    const isKept = this.#kept.append({ bytes, stream: 'watchdog', at, count: 1, marks })
    const told: OutputLine = { seq, at, stream: 'watchdog', class: null, text: line }
    if (!isKept) this.#remember([told])
    for (const seen of this.#followers) seen(told)
  }

  /** Calls back for every new line, and for one without an end that is not followed by more for 2 s. @returns what ends that. */
  onLine(seen: (line: OutputLine) => void): () => void {
    this.#followers.add(seen)
    return () => void this.#followers.delete(seen)
  }

  /** The last lines, oldest first. */
  last(count: number): readonly OutputLine[] {
    return count === 0 ? [] : this.read({ tail: count }).lines
  }

  /** @throws Error with the reason when `regex` is none. */
  read(query: LogQuery): LogPage {
    return atOnce(readSteps(this.#source(), query))
  }

  /** The same for a question that may have to read everything: other work gets its turn meanwhile. */
  async readInTurns(query: LogQuery): Promise<LogPage> {
    return inTurns(readSteps(this.#source(), query))
  }

  async search(query: SearchQuery): Promise<SearchPage> {
    return inTurns(searchSteps(this.#source(), query))
  }

  /** @param windowMs how far back `recent` reaches: 10 min at most. */
  counts(windowMs = 60_000): OutputCounts {
    const { lost, rotated, problem } = this.#kept
    return {
      since: this.#counts.since,
      lines: this.#counts.lines,
      classes: this.#counts.of(this.#patterns.classes, windowMs, Date.now()).map((count) => ({
        ...count,
        first: count.first ?? this.#sample(count.class, { cursor: 0, maxBytes: 1 }),
        last: count.last ?? this.#sample(count.class, { tail: 1 }),
      })),
      lost: { ...lost, cutBytes: this.#cutBytes },
      rotated,
      problem: problem ?? null,
    }
  }

  /** How often something of a class was told since this was made, and within the window; a stack trace counts once. */
  told(name: string, windowMs: number): { readonly total: number; readonly recent: number } {
    return this.#counts.told(this.#patterns.classes.indexOf(name) + 1, windowMs, Date.now())
  }

  /** Other bounds and patterns, for the lines to come. */
  reconfigure({ patterns, ...limits }: Omit<OutputOptions, 'directory' | 'name'>): void {
    if (patterns !== this.#patterns) {
      if (patterns.classes.join() !== this.#patterns.classes.join()) this.#counts.clear()
      this.#patterns = patterns
      for (const { classifier, scanning } of this.#open) {
        classifier.reconfigure(patterns)
        if (scanning !== undefined) scanning.tables = patterns.tables
      }
    }
    this.#kept.reconfigure(limitsOf(limits), patterns.classes)
  }

  close(): void {
    for (const open of this.#open) clearTimeout(open.waiting)
    this.#kept.close()
  }

  /** Wall-clock ms of its newest line; -∞ = it has none. */
  get newestAt(): number {
    const { segments, unwritten } = this.#source()
    const kept = segments.map(({ blocks }) => blocks.at(-1)?.to ?? Number.NEGATIVE_INFINITY)
    return Math.max(...kept, unwritten.at(-1)?.at ?? Number.NEGATIVE_INFINITY)
  }

  /** The number that the next line gets. */
  get next(): number {
    return this.#kept.next
  }

  /** The next line gets this number at least: lines that could not be kept had the ones below. */
  continueAt(next: number): void {
    this.#kept.continueAt(next)
  }

  /** Lines that are kept with this number or a later one, notes left out. */
  printedSince(seq: number): number {
    return this.#kept.printedSince(seq)
  }

  /**
   * Takes one stream of a process: what is pushed becomes lines.
   * @param isOnlyHere whoever comes after this process cannot read it anew.
   */
  openStream(stream: 'stdout' | 'stderr', isOnlyHere = false): StreamSink {
    const all = scanner()
    const scanning = all && { scanner: all, tables: this.#patterns.tables }
    const open: OpenStream = {
      stream,
      isOnlyHere,
      splitter: new Splitter(scanning),
      scanning,
      classifier: new Classifier(this.#patterns),
      waiting: undefined,
      shown: undefined,
    }
    this.#open.push(open)
    return {
      push: (chunk) => {
        this.#take(open, open.splitter.push(chunk))
        this.#watchPartial(open)
      },
      flush: () => this.#take(open, open.splitter.end()),
      end: () => {
        clearTimeout(open.waiting)
        this.#take(open, open.splitter.end())
        this.#open = this.#open.filter((one) => one !== open)
      },
    }
  }

  /** A line that a monitor before this one has not seen the end of. */
  #keepLine(stream: 'stdout' | 'stderr', at: number, text: string): void {
    const bytes = Buffer.from(`${text.replaceAll('\n', ' ')}\n`)
    const marks = new Uint8Array(1)
    new Classifier(this.#patterns).classify(bytes, Uint32Array.of(bytes.length - 1), 1, marks)
    this.#kept.append({ bytes, stream, at, count: 1, marks })
  }

  async #read(stream: 'stdout' | 'stderr', from: Readable | null): Promise<void> {
    if (from === null) return
    const sink = this.openStream(stream, true)
    await new Promise<void>((resolve) => {
      from.on('data', sink.push)
      // A pipe that breaks has ended.
      from.on('error', () => from.destroy())
      from.on('close', resolve)
      if (from.closed) resolve()
    })
    sink.end()
  }

  #take(open: OpenStream, lines: Lines | undefined): void {
    if (lines === undefined) return
    const { stream, classifier } = open
    const { bytes, count, ends, cut, cutBytes, scan } = lines
    const at = Date.now()
    if (this.#marks.length < count) this.#marks = new Uint8Array(count * 2)
    const marks = this.#marks
    if (cut === undefined) marks.fill(0, 0, count)
    else for (let index = 0; index < count; index++) marks[index] = cut[index] === 1 ? lineFlags.cut : 0
    classifier.classify(bytes, ends, count, marks, scan)
    this.#cutBytes += cutBytes
    clearTimeout(open.waiting)
    open.waiting = undefined
    if (open.shown !== undefined && open.isOnlyHere) this.#openLines.forget(stream)
    open.shown = undefined
    const seq = this.#kept.next
    const isKept = this.#kept.append({ bytes, stream, at, count, marks })
    const lineAt = (index: number): OutputLine => {
      const mark = marks[index] as number
      const start = index === 0 ? 0 : (ends[index - 1] as number) + 1
      return {
        seq: seq + index,
        at,
        stream,
        class: this.#patterns.classes[(mark & lineFlags.class) - 1] ?? null,
        text: bytes.toString('utf8', start, ends[index]),
        ...((mark & lineFlags.continues) === 0 ? {} : { continues: true as const }),
        ...((mark & lineFlags.cut) === 0 ? {} : { cut: true as const }),
      }
    }
    this.#counts.add(marks, count, at, lineAt)
    if (isKept) this.#tellLoss()
    else {
      this.#untold += count
      const newest = Math.min(count, mostUnwritten)
      this.#remember(Array.from({ length: newest }, (_, index) => lineAt(count - newest + index)))
    }
    if (this.#followers.size === 0) return
    for (let index = 0; index < count; index++) {
      const line = lineAt(index)
      for (const seen of this.#followers) seen(line)
    }
  }

  /** A prompt, or progress: what has had no line end for so long is shown as it is, and again when it has changed. */
  #watchPartial(open: OpenStream): void {
    if (open.waiting !== undefined || open.splitter.open.length === 0) return
    open.waiting = setTimeout(() => {
      open.waiting = undefined
      const line = this.#partial(open)
      if (line.text === '' || line.text === open.shown) return
      open.shown = line.text
      if (open.isOnlyHere) this.#openLines.keep({ stream: open.stream, at: line.at, text: line.text })
      for (const seen of this.#followers) seen(line)
    }, partialAfterMs)
    open.waiting.unref()
  }

  #partial({ stream, splitter }: OpenStream): OutputLine {
    const text = splitter.open.toString('utf8')
    return { seq: this.#kept.next, at: Date.now(), stream, class: null, text, partial: true }
  }

  #remember(lines: readonly OutputLine[]): void {
    const all = [...this.#unwritten, ...lines].slice(-mostUnwritten)
    let bytes = all.reduce((sum, { text }) => sum + text.length, 0)
    while (bytes > mostUnwrittenBytes && all.length > 1) bytes -= all.shift()?.text.length ?? 0
    this.#unwritten = all
  }

  /** The disk takes lines again: says once how many it did not take. */
  #tellLoss(): void {
    if (this.#untold === 0) return
    const lost = this.#untold
    this.#untold = 0
    this.#unwritten = []
    this.note(`${lost} ${lost === 1 ? 'line is' : 'lines are'} lost: the disk did not take them`)
  }

  /** A line of a class that was kept before this monitor began. */
  #sample(name: string, which: LogQuery): OutputLine | null {
    return this.read({ ...which, class: [name] }).lines[0] ?? null
  }

  #source(): LineSource {
    const partial = this.#open.flatMap((open) => (open.shown === undefined ? [] : [this.#partial(open)]))
    return {
      segments: this.#kept.segments,
      next: this.#kept.next,
      unwritten: [...this.#unwritten, ...partial],
    }
  }
}

/** Where the bytes of one stream go. */
export interface StreamSink {
  push(chunk: Buffer): void
  /** What has no line end is a line, too; more may come. */
  flush(): void
  /** No more comes: what has no line end is a line, too. */
  end(): void
}

interface OpenStream {
  readonly stream: Exclude<Stream, 'watchdog'>
  readonly isOnlyHere: boolean
  readonly splitter: Splitter
  readonly scanning: Scanning | undefined
  readonly classifier: Classifier
  /** Runs while a line has no end. */
  waiting: NodeJS.Timeout | undefined
  /** The line without an end, as it was shown; undefined = it was not. */
  shown: string | undefined
}

function limitsOf({
  maxBytes,
  maxLines = defaultMaxLines,
}: Omit<OutputOptions, 'directory' | 'name' | 'patterns'>): KeptLimits {
  return { maxBytes, maxLines }
}
