import { isEscapedLiteral } from '../../config/literal-regex.ts'

/**
 * What a regular expression says in plain characters. Searching for those costs a tenth of running the expression, so a line meets the
 * expression only when they are in it.
 */

/** Shorter ones are in every line. */
const shortest = 3

/**
 * Texts of which one is in every line that the expression matches; undefined = none is certain. Understands less than there is, and then
 * finds none: what it does not know never makes it wrong.
 */
export function requiredLiterals(regex: string): readonly string[] | undefined {
  // Flags (case!), what is written as a code or a quote, named classes, and characters of two units.
  if (/\(\?(?!:|P<|<[a-zA-Z])|\\[xpPQ0-7]|\[:|[\ud800-\udfff]/.test(regex)) return undefined
  const found: string[] = []
  for (const alternative of topLevel(regex)) {
    const longest = longestRun(alternative)
    if (longest.length < shortest) return undefined
    found.push(longest)
  }
  return found
}

/** Splits at each `|` that is in no group and no class. */
function topLevel(regex: string): readonly string[] {
  const parts: string[] = []
  let depth = 0
  let from = 0
  for (let at = 0; at < regex.length; at++) {
    const character = regex.charAt(at)
    if (character === '\\') at++
    else if (character === '[') at = endOfClass(regex, at)
    else if (character === '(') depth++
    else if (character === ')') depth--
    else if (character === '|' && depth === 0) {
      parts.push(regex.slice(from, at))
      from = at + 1
    }
  }
  parts.push(regex.slice(from))
  return parts
}

/** The longest run of characters that must stand beside each other. */
function longestRun(regex: string): string {
  let longest = ''
  let run = ''
  const end = () => {
    if (run.length > longest.length) longest = run
    run = ''
  }
  for (let at = 0; at < regex.length; at++) {
    const character = regex.charAt(at)
    switch (character) {
      case '\\': {
        const escaped = regex.charAt(++at)
        if (isEscapedLiteral(escaped)) run += escaped
        else end()
        break
      }
      case '[':
        end()
        at = endOfClass(regex, at)
        break
      case '(':
        end()
        at = endOfGroup(regex, at)
        break
      case '*':
      case '?':
      case '{':
        // What stands before it may be missing.
        run = run.slice(0, -1)
        end()
        if (character === '{') at = Math.max(at, regex.indexOf('}', at))
        break
      case '+':
      case '.':
      case '^':
      case '$':
        end()
        break
      default:
        run += character
    }
  }
  end()
  return longest
}

function endOfClass(regex: string, from: number): number {
  let at = from + 1
  if (regex.charAt(at) === '^') at++
  // A bracket that comes first is a member.
  if (regex.charAt(at) === ']') at++
  for (; at < regex.length && regex.charAt(at) !== ']'; at++) if (regex.charAt(at) === '\\') at++
  return at
}

function endOfGroup(regex: string, from: number): number {
  let depth = 0
  for (let at = from; at < regex.length; at++) {
    const character = regex.charAt(at)
    if (character === '\\') at++
    else if (character === '[') at = endOfClass(regex, at)
    else if (character === '(') depth++
    else if (character === ')' && --depth === 0) return at
  }
  return regex.length
}
