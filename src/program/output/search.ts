/** Ranked search over the newest lines: Okapi BM25, a line being a document. */
import { isAscii } from 'node:buffer'
import { redactPatterns } from '../../log/redaction.ts'
import type { Found, OutputLine, SearchPage, SearchQuery } from './line.ts'
import { plainText } from './patterns.ts'
import { decode, indexTest, type LineSource, plainLines } from './reading.ts'
import { linesOf, newestLinesOf } from './segment.ts'

/** The newest lines of a program that are searched. */
const mostLines = 50_000

const ansiEscape = 0x1b

/** Words of a question that count. */
const mostWords = 16

/** The usual constants of BM25: how soon the repetition of a word counts no more, and how much a long line is held back. */
const k1 = 1.2
const b = 0.75

interface Match {
  readonly line: OutputLine
  /** For each word of the question, how often it occurs. */
  readonly frequencies: readonly number[]
  readonly length: number
}

export function* searchSteps(source: LineSource, query: SearchQuery): Generator<void, SearchPage> {
  const words = wordsOf(query.words)
  const matches: Match[] = []
  let searched = 0
  let length = 0
  let isEnd = true
  const look = (line: OutputLine, lowered: string) => {
    searched++
    length += lowered.length
    const frequencies = words.map((word) => frequency(lowered, word))
    if (frequencies.some((count) => count > 0)) matches.push({ line, frequencies, length: lowered.length })
  }
  for (const line of source.unwritten) {
    const isWanted =
      (query.since === undefined || line.at >= query.since) &&
      (query.class === undefined || (line.class !== null && query.class.includes(line.class)))
    if (isWanted) look(line, told(plainText(line.text)))
  }
  scan: for (const segment of source.segments.toReversed()) {
    const test = indexTest(query, segment)
    for (const { block, text, records } of segment.read(segment.blocks.filter(test.mayHold).reverse())) {
      if (searched >= mostLines) {
        isEnd = false
        break scan
      }
      const isAll = query.class === undefined && block.from >= (query.since ?? block.from)
      if (isAll && isAscii(text) && !text.includes(ansiEscape)) {
        // Most lines match nothing: only those in which a word stands are looked at.
        const whole = text.toString('latin1')
        searched += block.lines
        length += whole.length - block.lines
        for (const raw of newestLinesOf(text, records, test.takes, placesOf(words, whole.toLowerCase()))) {
          searched--
          length -= raw.end - raw.start
          look(decode(segment, raw, text), told(whole.slice(raw.start, raw.end)))
        }
        yield
        continue
      }
      const plain = plainLines(text)
      let place = 0
      for (const raw of linesOf(text, records)) {
        const known = plain?.[place++]
        if (!test.takes(raw)) continue
        const shown = known ?? plainText(text.toString('utf8', raw.start, raw.end))
        const lowered = shown.toLowerCase()
        if (words.some((word) => lowered.includes(word))) look(decode(segment, raw, text), told(shown))
        else {
          searched++
          length += lowered.length
        }
      }
      yield
    }
  }
  const ranked = rank(matches, words.length, searched, length / Math.max(1, searched))
  return { found: ranked.slice(0, query.top), matches: matches.length, searched, truncated: !isEnd }
}

/** Where one of the words stands, in ascending order. */
function placesOf(words: readonly string[], text: string): readonly number[] {
  const places: number[] = []
  for (const word of words)
    for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + word.length)) places.push(at)
  return words.length === 1 ? places : places.sort((a, b) => a - b)
}

/** What is searched of a line: a secret that the answer hides must not be found out by asking for it. */
function told(plain: string): string {
  return redactPatterns(plain).toLowerCase()
}

export function wordsOf(text: string): readonly string[] {
  const words = text
    .toLowerCase()
    .split(/[^\p{L}\p{N}_]+/u)
    .filter((word) => word !== '')
  return [...new Set(words)].slice(0, mostWords)
}

/** How often words of a text begin with this one. */
function frequency(text: string, word: string): number {
  let count = 0
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + word.length)) {
    if (at === 0 || !/[\p{L}\p{N}_]/u.test(text.charAt(at - 1))) count++
  }
  return count
}

function rank(matches: readonly Match[], words: number, searched: number, averageLength: number): Found[] {
  const weights = Array.from({ length: words }, (_, word) => {
    const having = matches.filter(({ frequencies }) => (frequencies[word] ?? 0) > 0).length
    return Math.log(1 + (searched - having + 0.5) / (having + 0.5))
  })
  const scored = matches.map(({ line, frequencies, length }) => {
    const long = k1 * (1 - b + (b * length) / averageLength)
    const score = frequencies.reduce((sum, count, word) => {
      return sum + ((weights[word] ?? 0) * count * (k1 + 1)) / (count + long)
    }, 0)
    return { line, score: Math.round(score * 1000) / 1000 }
  })
  scored.sort((one, other) => other.score - one.score || other.line.seq - one.line.seq)
  const found = new Map<string, { line: OutputLine; score: number; similar: number }>()
  for (const one of scored) {
    const key = plainText(one.line.text).replaceAll(/\d+/g, '0')
    const known = found.get(key)
    if (known === undefined) found.set(key, { ...one, similar: 0 })
    else known.similar++
  }
  return [...found.values()]
}
