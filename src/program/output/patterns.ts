import stripAnsi from 'strip-ansi'
import { literalAlternatives } from '../../config/literal-regex.ts'
import { compileRegex, mostClasses, type PatternRule, type PatternRules } from '../../config/log-patterns.ts'
import { requiredLiterals } from './literals.ts'
import { ScanTables } from './scan.ts'
import { usualPatterns } from './usual-patterns.ts'
import { WordFinder } from './word-finder.ts'

/** Compiled patterns: what a classifier works with. */
export interface LogPatterns {
  /** A line has the number of its class: its place here, from 1. 0 = none. */
  readonly classes: readonly string[]
  /** By rank: the best first. */
  readonly ranked: readonly RankedRule[]
  /** Finds what lines of a chunk may be about: every plain text of every rule, and what finding it means. */
  readonly words: WordFinder<Meaning>
  /** The same words, for `Scanner`. */
  readonly tables: ScanTables
  /** Ranks of the rules that no text announces: each line has to be matched. */
  readonly unannounced: readonly number[]
}

interface RankedRule {
  /** Number of its class. */
  readonly number: number
  /** Undefined = it is nothing but texts. */
  readonly matches: ((text: string) => boolean) | undefined
  /** Every better rule gives the same class. */
  readonly isSettled: boolean
}

export interface Meaning {
  /** The best rank of the rules that say no more than this text; infinite = there is none. */
  readonly rank: number
  /** Ranks of the rules that are to be asked about the line, the best first. */
  readonly ask: readonly number[]
}

/** Most programs have the same: they share what comes of it, which takes 70 kB. */
const compiled = new Map<string, LogPatterns>()
const mostCompiled = 16

/**
 * Compiles the usual patterns and a person's own on top of them.
 * @param own undefined = the usual ones alone.
 * @throws Error with the reason for an expression that RE2 has not, and for too many classes.
 */
export function compilePatterns(own: PatternRules = {}): LogPatterns {
  const key = JSON.stringify(own)
  const known = compiled.get(key)
  if (known !== undefined) return known
  const patterns = compile(own)
  if (compiled.size >= mostCompiled) compiled.clear()
  compiled.set(key, patterns)
  return patterns
}

function compile(own: PatternRules): LogPatterns {
  const classes: string[] = []
  const rules: { rule: PatternRule; number: number }[] = []
  for (const set of [...usualPatterns, own]) {
    for (const [name, ofClass] of Object.entries(set)) {
      if (!classes.includes(name)) classes.push(name)
      for (const rule of ofClass) rules.push({ rule, number: classes.indexOf(name) + 1 })
    }
  }
  if (classes.length > mostClasses) throw new Error(`there are more than ${mostClasses} classes`)
  for (const { regex } of Object.values(own).flat()) compileRegex(regex)
  // A person's own first: of equal priorities it wins.
  const best = rules.reverse().sort((a, b) => a.rule.priority - b.rule.priority)
  const settled = best.findIndex(({ number }) => number !== best[0]?.number)
  const ranked: RankedRule[] = []
  const texts = new Map<string, { ranks: number[]; ask: number[] }>()
  const unannounced: number[] = []
  const say = (text: string, rank: number, kind: 'ranks' | 'ask') => {
    const known = texts.get(text) ?? { ranks: [], ask: [] }
    texts.set(text, known)
    known[kind].push(rank)
  }
  for (const [rank, { rule, number }] of best.entries()) {
    const words = literalAlternatives(rule.regex)
    const isWords = words?.every(isLongEnough) === true
    const matches = isWords ? undefined : compileRegex(rule.regex)
    ranked.push({ number, matches, isSettled: settled < 0 || rank < settled })
    if (isWords) for (const text of words) say(text, rank, 'ranks')
    else {
      const required = requiredLiterals(rule.regex)
      if (required?.every(isLongEnough)) for (const text of required) say(text, rank, 'ask')
      else unannounced.push(rank)
    }
  }
  const tables = new ScanTables([...texts.keys()])
  return { classes, ranked, words: new WordFinder(meaningsOf(texts)), tables, unannounced }
}

const isLongEnough = (text: string) => Buffer.byteLength(text) >= 3

/** Where a text is found, those that it begins with are, too. */
function meaningsOf(texts: ReadonlyMap<string, { ranks: number[]; ask: number[] }>): Map<string, Meaning> {
  const meanings = new Map<string, Meaning>()
  for (const text of texts.keys()) {
    const within = [...texts].filter(([one]) => text.startsWith(one)).map(([, found]) => found)
    const rank = Math.min(Number.POSITIVE_INFINITY, ...within.flatMap(({ ranks }) => ranks))
    const ask = [...new Set(within.flatMap(({ ask }) => ask))].sort((a, b) => a - b)
    meanings.set(text, { rank, ask: ask.filter((one) => one < rank) })
  }
  return meanings
}

/** A line without what colours it. */
export function plainText(text: string): string {
  return text.includes('\u001b') || text.includes('\u009b') ? stripAnsi(text) : text
}
