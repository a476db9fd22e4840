/** What `output:` may say of what programs print: how much is kept, and which lines are of which class. */
import path from 'node:path'
import { parse } from 'yaml'
import type { z as Zod } from 'zod'
import { errorText } from '../os/failure.ts'
import { readTrustedFile } from '../os/regular-file.ts'
import { mostClasses, type PatternRules, regexProblem } from './log-patterns.ts'
import { type Problem, placeText, problemsOf } from './problems.ts'
import type { ErrorRate, OutputConfiguration } from './program-configuration.ts'
import { count, duration, memory } from './schema-parts.ts'
import * as z from './zod.ts'

export const outputDefaults = { maxBytes: 32 * 1024 * 1024, maxLines: 1_000_000 } as const

/** Below it, one read of a fast program would not fit. */
const leastBytes = 1024 * 1024

/** Classes beside the four that there always are. */
const mostOwnClasses = mostClasses - 4

export const rule = z.strictObject({
  regex: z
    .string()
    .min(1)
    .superRefine((value, context) => {
      const problem = regexProblem(value)
      if (problem !== undefined) context.addIssue({ code: 'custom', message: problem, input: value })
    })
    .describe('expression in RE2 syntax: no look-around, no back-references'),
  priority: count.max(1000).describe('the lowest number wins; the usual ones are 1 error to 4 debug'),
})

/** What a class of lines may be called. */
export const className = z.string().regex(/^[\w-]{1,32}$/, 'a class is 1 to 32 letters, digits, "_" or "-"')

const rules = z
  .record(className, z.array(rule))
  .refine((value) => Object.keys(value).length <= mostOwnClasses, `name ${mostOwnClasses} classes at most`)

const patternsFile = z.strictObject({ patterns: rules })

/** Further back no second is counted. */
const longestWindowMs = 600_000

const errorRate = z.strictObject({
  above: count.describe(
    'so many errors are still allowed; a line of the class error and its stack trace are one',
  ),
  within: duration
    .refine((ms) => ms >= 1000 && ms <= longestWindowMs, 'write 1s to 10m')
    .optional()
    .describe('the time within which they are counted; default 1m'),
  action: z
    .enum(['alert', 'restart'])
    .optional()
    .describe('what to do then: only alert, or restart the program; default alert'),
})

const usualWindowMs = 60_000

export const output = z.strictObject({
  maxSize: memory
    .refine((bytes) => bytes >= leastBytes, 'keep at least 1M')
    .optional()
    .describe('disk space for what one program printed, such as 64M; default 32M'),
  maxLines: count.min(1000).optional().describe('lines of one program that are kept; default 1000000'),
  errorRate: errorRate
    .optional()
    .describe(
      'how many errors are too many, such as { above: 10, within: 1m, action: alert }; with action restart, too many are a failure',
    ),
  patterns: z
    .union([z.string().min(1), rules, z.array(z.union([z.string().min(1), rules]))])
    .optional()
    .describe(
      'patterns of your own that give lines a class, beside the usual ones: by class a list of {regex, priority}, or a file that has them under "patterns", relative to the folder of this file; or a list of both',
    ),
})

export type OutputEntry = Zod.output<typeof output>

/** The keys that may stand at a place in `output`, by the key above. */
export const outputKeys: Readonly<Record<string, readonly string[]>> = {
  output: Object.keys(output.shape),
  patterns: [],
  errorRate: Object.keys(errorRate.shape),
}

const keysInFile = (place: Problem['place']) =>
  place.length === 0 ? Object.keys(patternsFile.shape) : Object.keys(rule.shape)

/** Files of patterns that a configuration names. Each is read once. */
export class PatternFiles {
  readonly #folder: string
  readonly #read = new Map<string, PatternRules>()
  readonly #mayRead: (file: string) => boolean
  readonly problems: Problem[] = []

  constructor(folder: string, mayRead: (file: string) => boolean) {
    this.#folder = folder
    this.#mayRead = mayRead
  }

  /**
   * @param where places at which `output` stands, the general first; the particular overrides it, and patterns of both hold.
   */
  configuration(
    ...where: readonly (readonly [entry: OutputEntry | undefined, place: Problem['place']])[]
  ): OutputConfiguration {
    const patterns = where.flatMap(([entry, place]) => {
      return [entry?.patterns ?? []].flat().map((one) => {
        return typeof one === 'string' ? this.#rulesOf(one, [...place, 'patterns']) : one
      })
    })
    const kept = together(patterns)
    if (Object.keys(kept).length > mostOwnClasses) {
      const place = where.at(-1)?.[1] ?? []
      const text = `${placeText(place)}.patterns: name ${mostOwnClasses} classes at most, with those of all programs`
      this.problems.push({ place, text })
    }
    const all = Object.assign({}, ...where.map(([entry]) => entry)) as OutputEntry
    return {
      maxBytes: all.maxSize ?? outputDefaults.maxBytes,
      maxLines: all.maxLines ?? outputDefaults.maxLines,
      patterns: kept,
      ...(all.errorRate === undefined ? {} : { errorRate: rateOf(all.errorRate) }),
    }
  }

  #rulesOf(name: string, place: Problem['place']): PatternRules {
    const file = path.resolve(this.#folder, name)
    const known = this.#read.get(file)
    if (known !== undefined) return known
    if (!this.#mayRead(file)) return {}
    const refuse = (why: string) => {
      this.problems.push({ place, text: `${placeText(place)}: ${why}` })
      return {}
    }
    let rules: PatternRules = {}
    try {
      const content: unknown = parse(readTrustedFile(file))
      const parsed = patternsFile.safeParse(content)
      if (parsed.success) rules = parsed.data.patterns
      else {
        const [first] = problemsOf(parsed.error.issues, content, keysInFile)
        refuse(`${file}: ${first?.text ?? 'it is no file of patterns'}`)
      }
    } catch (error) {
      refuse(`${file} cannot be read: ${errorText(error).split('\n')[0]}`)
    }
    this.#read.set(file, rules)
    return rules
  }
}

function rateOf({ above, within, action }: Zod.output<typeof errorRate>): ErrorRate {
  return { above, withinMs: within ?? usualWindowMs, action: action ?? 'alert' }
}

/** Rules of several places, by class. */
function together(all: readonly PatternRules[]): PatternRules {
  const classes = [...new Set(all.flatMap((one) => Object.keys(one)))]
  return Object.fromEntries(classes.map((name) => [name, all.flatMap((one) => one[name] ?? [])]))
}
