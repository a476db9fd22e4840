import type { z } from 'zod'

/** Where something stands in a file: keys and places in lists, from the outside. */
export type Place = readonly PropertyKey[]

export interface Problem {
  readonly place: Place
  /** Names the place itself. */
  readonly text: string
}

/** `forwards[0].listen`; empty for the whole file. */
export function placeText(place: Place): string {
  return place
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
    .join('')
    .replace(/^\./, '')
}

/**
 * What is wrong with a file, in plain words: misspelt keys first, for they explain missing ones.
 * @param meantBy the key that is meant by another word; missing = only what is nearly the same word is known.
 */
export function problemsOf(
  issues: readonly z.core.$ZodIssue[],
  content: unknown,
  keysAt: (place: Place) => readonly string[],
  meantBy: (key: string) => string | undefined = () => undefined,
): Problem[] {
  const misspelt = issues.filter((issue) => issue.code === 'unrecognized_keys')
  const explained = new Set<string>()
  const first = misspelt.map(({ path, keys }) => {
    const said = keys.map((key) => {
      const known = keysAt(path).filter((one) => one !== key)
      const meant = meantBy(key) ?? nearest(key, known)
      if (meant === undefined) return `"${key}"`
      explained.add(placeText([...path, meant]))
      return `"${key}" (did you mean ${meant}?)`
    })
    const at = path.length === 0 ? '' : `${placeText(path)}: `
    const place = keys[0] === undefined ? path : [...path, keys[0]]
    return { place, text: `${at}unknown key ${said.join(', ')}` }
  })
  const others = issues
    .filter((issue) => issue.code !== 'unrecognized_keys')
    .map((issue) => innermost(issue))
    .filter(({ path }) => !explained.has(placeText(path)))
    .map((issue) => ({ place: issue.path, text: issueText(issue, content) }))
  return [...first, ...others]
}

/** Of what could be one thing or several, the problem of the one that was written. */
function innermost(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== 'invalid_union') return issue
  const all = issue.errors.flat()
  // What a parser of ours says is worth more than that it is no list.
  const inner = all.find(({ code }) => code === 'custom') ?? all.find(({ path }) => path.length > 0)
  return inner === undefined ? issue : innermost({ ...inner, path: [...issue.path, ...inner.path] })
}

function issueText(issue: z.core.$ZodIssue, content: unknown): string {
  const at = placeText(issue.path) || 'it'
  const expected = expectedBy(issue)
  if (expected.length > 0) {
    const isMissing = issue.path.length > 0 && valueAt(content, issue.path) === undefined
    if (isMissing) return `${placeText(issue.path.slice(0, -1)) || 'it'} has no ${String(issue.path.at(-1))}`
    return `${at} must be ${expected.map((type) => typeWords[type] ?? type).join(' or ')}`
  }
  if (issue.code === 'invalid_value')
    return `${at} must be ${issue.values.length > 1 ? 'one of ' : ''}${issue.values.map(String).join(', ')}`
  if (issue.code === 'too_big') return `${at}: must be at most ${issue.maximum}`
  if (issue.code === 'too_small') {
    return issue.origin === 'number' ? `${at}: must be at least ${issue.minimum}` : `${at}: must not be empty`
  }
  return issue.path.length === 0 ? issue.message : `${at}: ${issue.message}`
}

/** The types that would be right, where the type is what is wrong. */
function expectedBy(issue: z.core.$ZodIssue): string[] {
  if (issue.code === 'invalid_type') return [issue.expected]
  if (issue.code !== 'invalid_union') return []
  return [...new Set(issue.errors.flat().flatMap(expectedBy))]
}

const typeWords: Readonly<Record<string, string>> = {
  array: 'a list',
  object: 'keys with values',
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
}

function valueAt(content: unknown, place: Place): unknown {
  return place.reduce<unknown>(
    (value, step) =>
      typeof value === 'object' && value !== null ? (value as Record<PropertyKey, unknown>)[step] : undefined,
    content,
  )
}

/** A problem with the line on which it stands: `line 3: …`. */
export function withLine({ place, text }: Problem, lineOf: (place: Place) => number | undefined): string {
  const line = lineOf(place)
  return line === undefined ? text : `line ${line}: ${text}`
}

/** All problems on one line: the first one whole, of the others the places. */
export function inOneLine(
  problems: readonly Problem[],
  lineOf: (place: Place) => number | undefined,
): string {
  const [first, ...others] = problems
  if (first === undefined) return 'it is not valid'
  const said = withLine(first, lineOf)
  if (others.length === 0) return said
  const places = [...new Set(others.map(({ place }) => placeText(place) || 'the file'))]
  const named = places.length > mostNamed ? [...places.slice(0, mostNamed), '…'] : places
  return `${said} (and ${others.length} more: ${named.join(', ')})`
}

/** Places of further problems that are named. */
const mostNamed = 5

/** The known word that was probably meant; undefined when none is near. */
export function nearest(key: string, known: readonly string[]): string | undefined {
  const [best] = known
    // What differs more in length differs more: no need to compare it letter by letter.
    .filter((name) => Math.abs(name.length - key.length) <= 2)
    .map((name) => ({ name, distance: editDistance(key.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, distance }) => distance <= 2 && distance < name.length)
    .sort((a, b) => a.distance - b.distance)
  return best?.name
}

/** Letters to put in, take away or change until one word is the other (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++) {
      const changed = (row[j] ?? 0) + (letter === b[j] ? 0 : 1)
      next.push(Math.min(changed, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
