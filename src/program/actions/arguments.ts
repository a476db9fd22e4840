import { readlinkSync, realpathSync } from 'node:fs'
import path from 'node:path'
import type { ActionArgument, ActionConfiguration } from '../../config/program-configuration.ts'

/** Why an action cannot be run with the values that were given. */
export interface ArgumentRefusal {
  readonly code: 'unknown-argument' | 'missing-argument' | 'invalid-argument'
  readonly argument: string
  /** What would be right. */
  readonly expected: string
}

/** Characters of one value. */
const longestValue = 1000

/**
 * The words of an action's command with values in the places of `{name}`. A word that is nothing but a place is left out when its argument is
 * not given, or is a flag that is not set. No value becomes more than one word, and none becomes an option.
 * @param folder where the command runs: paths must lie in it.
 */
export function wordsOf(
  { command, arguments: known }: ActionConfiguration,
  given: Readonly<Record<string, unknown>>,
  folder: string,
):
  | { readonly ok: true; readonly words: readonly string[] }
  | { readonly ok: false; readonly refusal: ArgumentRefusal } {
  const refused = (code: ArgumentRefusal['code'], argument: string, expected: string) =>
    ({ ok: false, refusal: { code, argument, expected } }) as const
  const names = Object.keys(known)
  const unknown = Object.keys(given).find((name) => !names.includes(name))
  if (unknown !== undefined)
    return refused('unknown-argument', unknown, names.length === 0 ? 'none' : names.join(', '))
  const values = new Map<string, string>()
  for (const [name, argument] of Object.entries(known)) {
    const value = given[name] ?? argument.default
    if (value === undefined || value === null) {
      if (argument.required) return refused('missing-argument', name, expectedBy(argument))
      continue
    }
    const problem = problemWith(typed(value, argument), argument, folder)
    if (problem !== undefined) return refused('invalid-argument', name, problem)
    if (argument.type === 'flag') {
      if (value === true) values.set(name, argument.word ?? `--${name}`)
    } else values.set(name, String(value))
  }
  const words = command.flatMap((word) => {
    const [, alone] = /^\{(\w+)\}$/.exec(word) ?? []
    if (alone !== undefined && names.includes(alone)) return values.get(alone) ?? []
    return word.replaceAll(/\{(\w+)\}/g, (place, name: string) =>
      names.includes(name) ? (values.get(name) ?? '') : place,
    )
  })
  return { ok: true, words }
}

/** A command line cannot tell a text from a number or a flag. */
function typed(value: unknown, { type }: ActionArgument): unknown {
  const isWritten = typeof value === 'number' || typeof value === 'boolean'
  return isWritten && type !== 'integer' && type !== 'flag' ? String(value) : value
}

/** @returns what would be right; undefined = the value is. */
function problemWith(value: unknown, argument: ActionArgument, folder: string): string | undefined {
  const expected = expectedBy(argument)
  switch (argument.type) {
    case 'flag':
      return typeof value === 'boolean' ? undefined : expected
    case 'integer': {
      const isNumber = typeof value === 'number' && Number.isInteger(value)
      const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = argument
      return isNumber && value >= min && value <= max ? undefined : expected
    }
    case 'choice':
      return typeof value === 'string' && argument.choices?.includes(value) === true ? undefined : expected
    case 'text':
      return isPlain(value) ? undefined : expected
    case 'path':
      return isPlain(value) && isWithin(folder, value) ? undefined : expected
  }
}

function expectedBy({ type, choices = [], min, max }: ActionArgument): string {
  switch (type) {
    case 'flag':
      return 'true or false'
    case 'integer': {
      const range = [
        min === undefined ? [] : [`at least ${min}`],
        max === undefined ? [] : [`at most ${max}`],
      ].flat()
      return ['a whole number', ...range].join(', ')
    }
    case 'choice':
      return choices.join(', ')
    case 'text':
      return `a text of at most ${longestValue} characters that does not begin with "-" and has no control characters`
    case 'path':
      return 'a path within the folder of the program'
  }
}

/** No option, and nothing that a terminal or a log would act on. */
function isPlain(value: unknown): value is string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
  return typeof value === 'string' && value.length <= longestValue && !/^-|[\x00-\x1f\x7f]/.test(value)
}

/** Whether a path, its links followed as far as it exists, lies in a folder. */
function isWithin(folder: string, file: string): boolean {
  const real = realOf(path.resolve(folder, file))
  const inside = path.relative(realOf(folder), real)
  return inside !== '..' && !inside.startsWith(`..${path.sep}`) && !path.isAbsolute(inside)
}

/** Links that are followed one after the other, as Linux has it. */
const mostLinks = 40

function realOf(file: string, links = mostLinks): string {
  try {
    return realpathSync(file)
  } catch {
    const parent = path.dirname(file)
    if (parent === file) return file
    const real = path.join(realOf(parent, links), path.basename(file))
    // A command that creates the file would create it where a link leads that has no end yet.
    const leadsTo = links > 0 ? linkAt(real) : undefined
    return leadsTo === undefined ? real : realOf(path.resolve(path.dirname(real), leadsTo), links - 1)
  }
}

function linkAt(file: string): string | undefined {
  try {
    return readlinkSync(file)
  } catch {
    return undefined
  }
}
