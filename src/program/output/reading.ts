/** Answers questions about kept lines. In steps, so that a question that has to read all of them stops nothing else. */
import { literalAlternatives } from '../../config/literal-regex.ts'
import { compileRegex } from '../../config/log-patterns.ts'
import { redactPatterns } from '../../log/redaction.ts'
import { lineFlags } from './classifier.ts'
import { type LogPage, type LogQuery, type OutputLine, streams } from './line.ts'
import { requiredLiterals } from './literals.ts'
import { plainText } from './patterns.ts'
import { type Block, linesOf, newestLinesOf, type RawLine, type Segment } from './segment.ts'

/** Where lines are read from. */
export interface LineSource {
  /** Oldest first. */
  readonly segments: readonly Segment[]
  /** The number that the next line gets. */
  readonly next: number
  /** Lines that no file has: those that could not be written, and those without a line end yet. Oldest first. */
  readonly unwritten: readonly OutputLine[]
}

/** Lines when nobody says how many. */
const defaultTail = 100

const defaultMaxBytes = 256 * 1024

/**
 * Reads lines. Yields between two stretches of the files.
 * @throws Error with the reason when `regex` is none that RE2 has.
 */
export function* readSteps(source: LineSource, query: LogQuery): Generator<void, LogPage> {
  const wanted = new Wanted(query)
  const { cursor, maxBytes = defaultMaxBytes } = query
  const tail = query.tail ?? (cursor === undefined ? defaultTail : 0)
  const isForward = cursor !== undefined && tail === 0
  const context = { before: query.before ?? 0, after: query.after ?? 0 }
  const hasContext = context.before + context.after > 0
  // A cursor from before all files were removed: begun anew.
  const from = cursor === undefined || cursor > source.next ? 0 : cursor
  const budget = new Budget(maxBytes)
  const matches = yield* isForward
    ? forwards(source, query, wanted, from, budget)
    : backwards(source, query, wanted, from, tail === 0 ? Number.POSITIVE_INFINITY : tail, budget)
  const lines = hasContext ? withContext(source, matches.lines, context, maxBytes, isForward) : matches.lines
  const beginning = cursor === undefined ? (lines[0]?.seq ?? matches.end) : from
  return {
    lines,
    cursor: matches.end,
    dropped: missing(source, beginning, matches.end),
    truncated: matches.truncated,
  }
}

/** Whether a line is what a question asks for, its place and number apart. @throws as `readSteps`. */
export function lineFilter(query: LogQuery): (line: OutputLine) => boolean {
  const wanted = new Wanted(query)
  return (line) => wanted.takesLine(line)
}

/** Runs steps to their end at once. */
export function atOnce<T>(steps: Generator<void, T>): T {
  for (;;) {
    const { done, value } = steps.next()
    if (done) return value
  }
}

/** ms that a question may hold up everything else. */
const turnMs = 8

/** Runs steps to their end, with turns for everything else in between. */
export async function inTurns<T>(steps: Generator<void, T>): Promise<T> {
  for (;;) {
    const began = performance.now()
    while (performance.now() - began < turnMs) {
      const { done, value } = steps.next()
      if (done) return value
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
}

interface Matches {
  readonly lines: OutputLine[]
  /** Where the next question goes on. */
  readonly end: number
  readonly truncated: boolean
}

function* forwards(
  source: LineSource,
  query: LogQuery,
  wanted: Wanted,
  from: number,
  budget: Budget,
): Generator<void, Matches> {
  const lines: OutputLine[] = []
  for (const segment of source.segments) {
    if (segment.next <= from) continue
    const test = indexTest(query, segment)
    const blocks = segment.blocks.filter((block) => block.next > from && test.mayHold(block))
    for (const { text, records } of segment.read(blocks)) {
      if (!wanted.mayBeIn(text)) continue
      const plain = wanted.readsText ? plainLines(text) : undefined
      let place = 0
      for (const raw of linesOf(text, records)) {
        const known = plain?.[place++]
        if (raw.seq < from || !test.takes(raw)) continue
        if (known !== undefined && !wanted.takesPlain(known)) continue
        const line = decode(segment, raw, text)
        if (known === undefined && !wanted.takesText(line.text)) continue
        if (!budget.takes(line)) return { lines, end: line.seq, truncated: true }
        lines.push(line)
      }
      yield
    }
  }
  for (const line of source.unwritten) {
    if (line.seq < from || !wanted.takesLine(line)) continue
    if (!budget.takes(line)) return { lines, end: Math.min(line.seq, source.next), truncated: true }
    lines.push(line)
  }
  return { lines, end: source.next, truncated: false }
}

function* backwards(
  source: LineSource,
  query: LogQuery,
  wanted: Wanted,
  from: number,
  most: number,
  budget: Budget,
): Generator<void, Matches> {
  const newestFirst: OutputLine[] = []
  const done = (truncated: boolean): Matches => {
    return { lines: newestFirst.reverse(), end: source.next, truncated }
  }
  for (const line of source.unwritten.toReversed()) {
    if (line.seq < from || !wanted.takesLine(line)) continue
    if (newestFirst.length >= most) return done(false)
    if (!budget.takes(line)) return done(true)
    newestFirst.push(line)
  }
  for (const segment of source.segments.toReversed()) {
    if (segment.next <= from) break
    const test = indexTest(query, segment)
    const blocks = segment.blocks.filter((block) => block.next > from && test.mayHold(block)).reverse()
    for (const { text, records } of segment.read(blocks)) {
      if (newestFirst.length >= most) return done(false)
      for (const { raw, known } of newestOf(text, records, test, wanted)) {
        if (raw.seq < from) break
        if (newestFirst.length >= most) return done(false)
        if (known !== undefined && !wanted.takesPlain(known)) continue
        const line = decode(segment, raw, text)
        if (known === undefined && !wanted.takesText(line.text)) continue
        if (!budget.takes(line)) return done(true)
        newestFirst.push(line)
      }
      yield
    }
  }
  return done(false)
}

/** The lines of a block that may be wanted, the newest first; `known` = the text without colours, where all had to be made plain. */
function* newestOf(
  text: Buffer,
  records: Buffer,
  test: IndexTest,
  wanted: Wanted,
): Generator<{ readonly raw: RawLine; readonly known?: string | undefined }> {
  const places = wanted.placesIn(text)
  if (places === 'anywhere' && wanted.readsText) {
    const plain = plainLines(text)
    const raws = [...linesOf(text, records)]
    for (let place = raws.length - 1; place >= 0; place--) {
      const raw = raws[place] as RawLine
      if (test.takes(raw)) yield { raw, known: plain?.[place] }
    }
    return
  }
  if (places.length === 0) return
  for (const raw of newestLinesOf(text, records, test.takes, places === 'anywhere' ? undefined : places))
    yield { raw }
}

/** Lines with these numbers, whatever they are. */
export function linesBetween(source: LineSource, from: number, to: number): readonly OutputLine[] {
  const lines: OutputLine[] = []
  for (const segment of source.segments) {
    const blocks = segment.blocks.filter((block) => block.next > from && block.seq < to)
    if (blocks.length === 0) continue
    for (const { text, records } of segment.read(blocks)) {
      for (const raw of linesOf(text, records)) {
        if (raw.seq >= from && raw.seq < to) lines.push(decode(segment, raw, text))
      }
    }
  }
  return lines
}

function withContext(
  source: LineSource,
  matches: readonly OutputLine[],
  { before, after }: { readonly before: number; readonly after: number },
  maxBytes: number,
  isForward: boolean,
): readonly OutputLine[] {
  const lines: OutputLine[] = []
  let reached = 0
  for (const match of matches) {
    const from = Math.max(reached, match.seq - before)
    const to = match.seq + after + 1
    if (match.partial === true) lines.push(...linesBetween(source, from, match.seq), match)
    else lines.push(...linesBetween(source, from, to))
    reached = Math.max(reached, to)
  }
  // The matches had room; what stands around them gets what is left.
  const matched = new Set(matches.map(({ seq }) => seq))
  const budget = new Budget(maxBytes)
  for (const match of matches) budget.takes(match)
  const kept = (isForward ? lines : lines.reverse()).filter(
    (line) => matched.has(line.seq) || budget.takes(line),
  )
  return isForward ? kept : kept.reverse()
}

/** How many numbers of a range no line has. */
function missing({ segments, unwritten }: LineSource, from: number, to: number): number {
  let expected = from
  let gaps = 0
  for (const block of segments.flatMap((segment) => segment.blocks)) {
    if (block.next <= from) continue
    if (block.seq >= to) break
    gaps += Math.max(0, block.seq - expected)
    // Those within a block count whole: where in it they are is not worth reading it again.
    gaps += block.next - block.seq - block.lines
    expected = block.next
  }
  gaps += Math.max(0, to - Math.max(expected, from))
  const remembered = unwritten.filter(
    ({ seq, partial }) => partial !== true && seq >= from && seq < to,
  ).length
  return Math.max(0, gaps - remembered)
}

interface IndexTest {
  readonly mayHold: (block: Block) => boolean
  readonly takes: (raw: Pick<RawLine, 'at' | 'mark' | 'stream'>) => boolean
}

/** The part of a question that the index answers. */
export function indexTest(
  query: Pick<LogQuery, 'since' | 'until' | 'class' | 'stream'>,
  { header }: Segment,
): IndexTest {
  const { since = Number.NEGATIVE_INFINITY, until = Number.POSITIVE_INFINITY } = query
  // With no condition, every bit.
  const streamBits = query.stream === undefined ? -1 : 1 << streams.indexOf(query.stream)
  const classBits =
    query.class === undefined
      ? -1
      : header.classes.reduce(
          (bits, name, index) => (query.class?.includes(name) ? bits | (1 << (index + 1)) : bits),
          0,
        )
  return {
    mayHold: ({ from, to, classes, streams }) =>
      to >= since && from < until && (classes & classBits) !== 0 && (streams & streamBits) !== 0,
    takes: ({ at, mark, stream }) =>
      at >= since &&
      at < until &&
      ((1 << (mark & lineFlags.class)) & classBits) !== 0 &&
      ((1 << stream) & streamBits) !== 0,
  }
}

/** What a query asks for, made ready for many lines. */
class Wanted {
  readonly #query: LogQuery
  readonly #contains: string | undefined
  readonly #matches: ((text: string) => boolean) | undefined
  /** One of these is in every line that is wanted; undefined = nothing is certain. */
  readonly #announced: readonly Buffer[] | undefined

  constructor(query: LogQuery) {
    this.#query = query
    this.#contains = query.contains === '' ? undefined : query.contains
    this.#matches = query.regex === undefined ? undefined : compileRegex(query.regex)
    const texts =
      this.#contains !== undefined
        ? [this.#contains]
        : query.regex === undefined
          ? undefined
          : (literalAlternatives(query.regex) ?? requiredLiterals(query.regex))
    this.#announced = texts?.map((text) => Buffer.from(text))
  }

  /** Whether a stretch of text can hold what is wanted. */
  mayBeIn(text: Buffer): boolean {
    if (this.#announced === undefined) return true
    // Colours may stand within a word.
    return this.#announced.some((one) => text.includes(one)) || text.includes(0x1b)
  }

  /** Where in a stretch of text what is wanted may be, in ascending order. */
  placesIn(text: Buffer): readonly number[] | 'anywhere' {
    // Colours may stand within a word.
    if (this.#announced === undefined || text.includes(0x1b)) return 'anywhere'
    const places: number[] = []
    for (const one of this.#announced)
      for (let at = text.indexOf(one); at >= 0; at = text.indexOf(one, at + one.length)) places.push(at)
    return this.#announced.length === 1 ? places : places.sort((a, b) => a - b)
  }

  /** Whether the text of a line counts. */
  get readsText(): boolean {
    return this.#contains !== undefined || this.#matches !== undefined
  }

  takesText(text: string): boolean {
    return this.takesPlain(this.readsText ? plainText(text) : text)
  }

  takesPlain(plain: string): boolean {
    if (!this.readsText) return true
    if (!this.#fits(plain)) return false
    // A secret that the answer hides must not be found out by asking for it, letter by letter.
    const told = redactPatterns(plain)
    return told === plain || this.#fits(told)
  }

  #fits(plain: string): boolean {
    if (this.#contains !== undefined && !plain.includes(this.#contains)) return false
    return this.#matches === undefined || this.#matches(plain)
  }

  takesLine(line: OutputLine): boolean {
    const { since, until, class: classes, stream } = this.#query
    if (since !== undefined && line.at < since) return false
    if (until !== undefined && line.at >= until) return false
    if (stream !== undefined && line.stream !== stream) return false
    if (classes !== undefined && (line.class === null || !classes.includes(line.class))) return false
    return this.takesText(line.text)
  }
}

/** The lines of a block without their colours, decoded at once; undefined when a sequence reaches over a line end. */
export function plainLines(text: Buffer): readonly string[] | undefined {
  const whole = text.toString('utf8')
  const plain = plainText(whole)
  const lines = plain.split('\n')
  return plain === whole || lines.length === whole.split('\n').length ? lines : undefined
}

/** The room of an answer. One line always fits. */
class Budget {
  #left: number
  #isEmpty = true

  constructor(bytes: number) {
    this.#left = bytes
  }

  takes({ text }: OutputLine): boolean {
    const bytes = Buffer.byteLength(text)
    if (bytes > this.#left && !this.#isEmpty) return false
    this.#isEmpty = false
    this.#left -= bytes
    return true
  }
}

export function decode({ header }: Segment, raw: RawLine, text: Buffer): OutputLine {
  const { seq, at, mark } = raw
  const stream = streams[raw.stream] ?? 'stdout'
  const whole = text.toString('utf8', raw.start, raw.end)
  return {
    seq,
    at,
    stream,
    class: header.classes[(mark & lineFlags.class) - 1] ?? null,
    text: stream === 'watchdog' ? whole.slice(whole.indexOf('] ') + 2) : whole,
    ...((mark & lineFlags.continues) === 0 ? {} : { continues: true as const }),
    ...((mark & lineFlags.cut) === 0 ? {} : { cut: true as const }),
  }
}
