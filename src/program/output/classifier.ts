import { tracebackHead } from './line.ts'
import { type LogPatterns, type Meaning, plainText } from './patterns.ts'
import { noPlace, type Scan } from './scan.ts'

/**
 * What one byte says of a line: the number of its class (five bits), and these. `again`: it begins a trace of what the line before it, or the
 * trace before it, has told already.
 */
export const lineFlags = { class: 0x1f, continues: 0x20, again: 0x40, cut: 0x80 } as const

const blank = 0x20
const tab = 0x09
const ansiEscape = 0x1b
const lineEnd = 0x0a

/**
 * Gives the lines of one stream their classes, a whole chunk at a time: the texts of all patterns are looked for in the chunk at once, and
 * only lines in which one is found are looked at by themselves.
 *
 * A line that is indented, or known as a part of a stack trace, has at least the class of the line that it goes on.
 */
export class Classifier {
  #patterns: LogPatterns
  /** Of the last line: its rank; infinite = no class. */
  #head = Number.POSITIVE_INFINITY
  /** Its frames are indented, its last line is not. */
  #isTraceback = false
  /** The last line was of those that Node puts between a message and its frames. */
  #isRequireStack = false
  #isFirst = true
  /** The last line went on none: it may be the message of the trace that follows. */
  #isMessage = false
  /** The last bytes of what came before, as long as one of `links`. */
  #before = ''

  constructor(patterns: LogPatterns) {
    this.#patterns = patterns
  }

  reconfigure(patterns: LogPatterns): void {
    this.#patterns = patterns
    this.#head = Number.POSITIVE_INFINITY
  }

  /** What comes goes on nothing: another process prints it. */
  restart(): void {
    this.#head = Number.POSITIVE_INFINITY
    this.#isTraceback = false
    this.#isRequireStack = false
    this.#isFirst = true
    this.#before = ''
  }

  /**
   * @param bytes whole lines, each with its line end.
   * @param ends where each line ends: the place of its line end.
   * @param marks gets what one byte says of each line; flags that are set stay.
   * @param scan says which lines have to be looked at; undefined = all.
   */
  classify(bytes: Buffer, ends: ArrayLike<number>, count: number, marks: Uint8Array, scan?: Scan): void {
    if (scan !== undefined && this.#patterns.unannounced.length === 0) this.#classifyScanned(scan, marks)
    else {
      const plain = scan?.plain ?? (bytes.includes(ansiEscape) ? withoutColours(bytes, count) : undefined)
      if (plain === undefined) this.#classify(bytes, ends, count, marks)
      else this.#classify(plain.bytes, plain.ends, count, marks)
    }
    const end = count === 0 ? 0 : (ends[count - 1] as number) + 1
    this.#before = this.#textBefore(bytes, end)
  }

  /** What stands before a place, over the beginning of the chunk. */
  #textBefore(bytes: Buffer, place: number): string {
    const here = bytes.toString('latin1', Math.max(0, place - longestLink), place)
    return here.length === longestLink ? here : (this.#before + here).slice(-longestLink)
  }

  #classify(bytes: Buffer, ends: ArrayLike<number>, count: number, marks: Uint8Array): void {
    const { words, ranked, unannounced } = this.#patterns
    // Sequences that reach over a line end are left in the chunk.
    const hasEscapes = bytes.includes(ansiEscape)
    let found = words.find(bytes, 0)
    let start = 0
    for (let index = 0; index < count; index++) {
      const end = ends[index] as number
      let rank = Number.POSITIVE_INFINITY
      if (hasEscapes && bytes.subarray(start, end).includes(ansiEscape)) {
        // A colour within a word hides it: such a line is matched by itself.
        rank = this.#rankOf(bytes.toString('utf8', start, end))
        if (found >= 0 && found < end) found = words.find(bytes, end + 1)
      } else {
        while (found >= 0 && found < end) {
          rank = this.#rankFound(words.meaning, bytes, start, end, rank)
          found = words.find(bytes, ranked[rank]?.isSettled ? end + 1 : found + 1)
        }
        if (unannounced.length > 0) rank = this.#best(unannounced, bytes, start, end, rank)
      }
      marks[index] = ((marks[index] ?? 0) & lineFlags.cut) | this.#markOf(bytes, start, end, rank)
      start = end + 1
    }
  }

  /** Lines that are not looked at have no class, go on nothing, and are gone on by nothing. */
  #classifyScanned({ count, plain: { bytes, ends }, looks, look }: Scan, marks: Uint8Array): void {
    marks.fill(0, 0, count)
    /** The first line that is not known yet. */
    let next = 0
    for (let at = 0; at < looks; at++) {
      const index = look[2 * at] as number
      if (index >= count) break
      if (index > next) this.#head = Number.POSITIVE_INFINITY
      marks[index] = this.#look(bytes, ends, index, look[2 * at + 1] as number)
      next = index + 1
      // What follows a traceback, or the head of a list, may be a part of it, whatever it begins with.
      const end = at + 1 < looks ? Math.min(look[2 * at + 2] as number, count) : count
      for (; (this.#isTraceback || this.#isRequireStack) && next < end; next++)
        marks[next] = this.#look(bytes, ends, next, noPlace)
    }
    if (next < count) this.#head = Number.POSITIVE_INFINITY
  }

  /** @param word where a word may stand first; `noPlace` = nowhere. */
  #look(bytes: Buffer, ends: Uint32Array, index: number, word: number): number {
    const { words, ranked } = this.#patterns
    const start = index === 0 ? 0 : (ends[index - 1] as number) + 1
    const end = ends[index] as number
    let rank = Number.POSITIVE_INFINITY
    let found = word === noPlace ? -1 : words.find(bytes, word, end)
    while (found >= 0) {
      rank = this.#rankFound(words.meaning, bytes, start, end, rank)
      found = ranked[rank]?.isSettled ? -1 : words.find(bytes, found + 1, end)
    }
    return this.#markOf(bytes, start, end, rank)
  }

  #markOf(bytes: Buffer, start: number, end: number, ofLine: number): number {
    let rank = ofLine
    const message = this.#isMessage ? this.#numberOf(this.#head) : 0
    const continues = this.#continues(bytes, start, end)
    if (continues && this.#head < rank) rank = this.#head
    else this.#head = rank
    const number = this.#numberOf(rank)
    this.#isMessage = !continues
    if (continues) return number | lineFlags.continues
    const isAgain = this.#isTraceback && (message === number || this.#isLinked(bytes, start))
    return number | (isAgain ? lineFlags.again : 0)
  }

  /** The class that a rank gives; 0 = none. */
  #numberOf(rank: number): number {
    return this.#patterns.ranked[rank]?.number ?? 0
  }

  /** A trace that Python says to come of the one before. */
  #isLinked(bytes: Buffer, start: number): boolean {
    const before = this.#textBefore(bytes, start)
    return links.some((link) => before.endsWith(link))
  }

  #rankFound(meaning: Meaning | undefined, bytes: Buffer, start: number, end: number, best: number): number {
    if (meaning === undefined) return best
    const rank = Math.min(best, meaning.rank)
    return meaning.ask.length === 0 ? rank : this.#best(meaning.ask, bytes, start, end, rank)
  }

  /** The best of these rules that matches the line, if it is better than what is known. */
  #best(ranks: readonly number[], bytes: Buffer, start: number, end: number, known: number): number {
    const first = ranks[0]
    if (first === undefined || first >= known) return known
    const text = bytes.toString('utf8', start, end)
    return this.#bestOf(ranks, text, known)
  }

  #bestOf(ranks: readonly number[], text: string, known: number): number {
    for (const rank of ranks) {
      if (rank >= known) return known
      if (this.#patterns.ranked[rank]?.matches?.(text)) return rank
    }
    return known
  }

  /** Of one line by itself. */
  #rankOf(line: string): number {
    const { words, unannounced } = this.#patterns
    const text = plainText(line)
    const bytes = Buffer.from(text)
    let rank = Number.POSITIVE_INFINITY
    for (let found = words.find(bytes, 0); found >= 0; found = words.find(bytes, found + 1)) {
      rank = this.#rankFound(words.meaning, bytes, 0, bytes.length, rank)
    }
    return this.#bestOf(unannounced, text, rank)
  }

  /** Whether a line goes on the one before. */
  #continues(bytes: Buffer, start: number, end: number): boolean {
    if (this.#isFirst) {
      this.#isFirst = false
      this.#isTraceback = isAt(bytes, start, tracebackHead)
      return false
    }
    const isRequireStack = this.#isRequireStack
    this.#isRequireStack = false
    if (start === end) return false
    const first = bytes[start]
    if (first === blank || first === tab) return true
    // "Traceback" and what follows it to the first line that is not indented.
    if (this.#isTraceback) {
      this.#isTraceback = false
      return true
    }
    switch (first) {
      case 0x54: // T
        this.#isTraceback = isAt(bytes, start, tracebackHead)
        return false
      case 0x43: // C
        return this.#head !== Number.POSITIVE_INFINITY && isAt(bytes, start, 'Caused by: ')
      case 0x52: // R: what Node says between its message and the places
        this.#isRequireStack = this.#head !== Number.POSITIVE_INFINITY && isAt(bytes, start, requireStackHead)
        return this.#isRequireStack
      case 0x2d: // -
        this.#isRequireStack = isRequireStack && isAt(bytes, start, '- ')
        return this.#isRequireStack
      case 0x7d: // } and ]: the end of what was indented
      case 0x5d:
        return end - start <= 2
      default:
        return false
    }
  }
}

/** A chunk without what colours it, which may stand within a word; undefined when its lines would not be the same. */
function withoutColours(
  bytes: Buffer,
  count: number,
): { readonly bytes: Buffer; readonly ends: Uint32Array } | undefined {
  const plain = Buffer.from(plainText(bytes.toString('utf8')))
  const ends = new Uint32Array(count)
  let lines = 0
  for (let end = plain.indexOf(lineEnd); end >= 0; end = plain.indexOf(lineEnd, end + 1)) {
    if (lines === count) return undefined
    ends[lines++] = end
  }
  return lines === count ? { bytes: plain, ends } : undefined
}

/** Below it the files that have required each other, one a line: `- /app/server.js`. */
const requireStackHead = 'Require stack:'

/** What Python says between two tracebacks of one failure. */
const links = [
  'During handling of the above exception, another exception occurred:\n\n',
  'The above exception was the direct cause of the following exception:\n\n',
]

const longestLink = Math.max(...links.map(({ length }) => length))

function isAt(bytes: Buffer, start: number, text: string): boolean {
  return bytes.toString('latin1', start, start + text.length) === text
}
