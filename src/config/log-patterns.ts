import { createRequire } from 'node:module'
import { literalAlternatives } from './literal-regex.ts'

export interface PatternRule {
  /** RE2 syntax: no look-around, no back-references. */
  readonly regex: string
  /** The lowest number wins; of equal ones a person's own, then the one that comes later. */
  readonly priority: number
}

/** Rules by the class that they give to a line, as in a file of patterns. */
export type PatternRules = Readonly<Record<string, readonly PatternRule[]>>

/** A line keeps the number of its class in five bits. */
export const mostClasses = 31

/** Characters of an expression: nobody writes more by hand. */
export const longestRegex = 1000

/** What its counted repetitions, `{2,10}`, may come to together: each stands for so many copies of what it repeats, and every one takes its time. */
export const mostRepetitions = 500

const require = createRequire(import.meta.url)

/**
 * Compiles an expression for texts of any origin: it takes time in proportion to their length, whatever both are.
 * @throws Error with the reason when it is none, or one that RE2 has not.
 */
export function compileRegex(regex: string): (text: string) => boolean {
  if (regex.length > longestRegex) throw new Error(`it is longer than ${longestRegex} characters`)
  const texts = literalAlternatives(regex)
  if (texts !== undefined) return (text) => texts.some((one) => text.includes(one))
  if (repetitionsIn(regex) > mostRepetitions)
    throw new Error(`its repetitions come to more than ${mostRepetitions} together`)
  // By require, and only here: who configures no pattern does not load it.
  const { RE2JS } = require('re2js') as typeof import('re2js')
  try {
    const compiled = RE2JS.compile(regex)
    return (text) => compiled.test(text)
  } catch (error) {
    throw new Error(reasonOf(regex, error))
  }
}

/** RE2 itself bounds those that stand within each other. */
function repetitionsIn(regex: string): number {
  const counts = [...regex.matchAll(/\{(\d{1,6})(?:,(\d{0,6}))?\}/g)]
  const asked = counts.map(([, least, most]) => Number(most || least))
  // More at once RE2 refuses itself.
  return asked.filter((count) => count <= 1000).reduce((sum, count) => sum + count, 0)
}

/** Why an expression cannot be used; undefined = it can. */
export function regexProblem(regex: string): string | undefined {
  try {
    compileRegex(regex)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function reasonOf(regex: string, error: unknown): string {
  const cure = 'match the words themselves instead'
  if (/\(\?(?:[=!]|<[=!])/.test(regex)) return `RE2 has no look-ahead and no look-behind; ${cure}`
  if (/\\[1-9]/.test(regex)) return `RE2 has no back-references; ${cure}`
  const message = error instanceof Error ? error.message : String(error)
  return message.replace(/^error parsing regexp: /i, '')
}
