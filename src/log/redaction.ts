/** Parts of a URL shorter than this are words of its API (`api`, `webhooks`), not secrets. */
const shortestSecretPart = 8

const mark = '[redacted]'

/**
 * Makes a function that takes every secret out of a text, as it is and as a server or the system may echo it: a URL's path, its
 * longer segments, its query, its user and password. The host stays, because an error without it helps nobody.
 * @param shortest characters of a part of a URL that count as a secret. A text that has nothing to do with that URL needs more of them, or
 *   ordinary words would go.
 */
export function redactor(
  secrets: readonly string[],
  shortest: number = shortestSecretPart,
): (text: string) => string {
  const parts = [...new Set(secrets.flatMap((secret) => secretParts(secret, shortest)))]
  parts.sort((a, b) => b.length - a.length)
  return (text) => parts.reduce((redacted, part) => redacted.replaceAll(part, mark), text)
}

function secretParts(secret: string, shortest: number): string[] {
  if (!URL.canParse(secret)) return secret === '' ? [] : [secret]
  const { href, pathname, search, searchParams, username, password } = new URL(secret)
  const pieces = [...pathname.split('/'), ...searchParams.values(), username, password]
  const long = [...pieces, ...pieces.map(decoded)].filter((piece) => piece.length >= shortest)
  const wholePath = pathname.length >= shortest ? [pathname + search, pathname] : []
  return [secret, href, ...wholePath, ...long]
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** What looks like a secret. Each pattern begins with fixed characters, so that the time for a text grows only with its length. */
const patterns: readonly (readonly [RegExp, string])[] = [
  // User and password of a URL.
  [/(?<=:\/\/)[^\s/?#"<>]*@/g, `${mark}@`],
  [/(?<=\b(?:bearer|basic) )[\w.~+/=-]{16,}/gi, mark],
  // Keys that say what they are: ours, also that of a gateway's first start, and those of OpenAI and Anthropic, GitHub, GitLab, Slack, AWS, and JSON Web Tokens.
  [
    /(?<![\w-])(?:pwk_[a-z0-9]{10}_|pwg_|sk-|gh[opsu]_|github_pat_|glpat-|xox[abpr]-|AKIA|eyJ[\w-]{10,}\.)[\w.-]{12,}/g,
    mark,
  ],
  // A parameter of a URL, a variable of the environment, an option, a field of JSON: MCP_PROXY_AUTH_TOKEN=...
  [
    /(?<=(?:token|secret|password|passwd|api[_-]?key|access[_-]?key|signature)(?:=["']?|": ?"))[^\s&;,#"'<>]+/gi,
    mark,
  ],
  // The same as two words of a command line. A short word is one of a sentence about that option.
  [
    /(?<=(?<![\w-])--?[\w-]{0,40}(?:token|secret|password|passwd|api[_-]?key|access[_-]?key) )(?!-)[^\s"'<>]{6,}/gi,
    mark,
  ],
]

/** An option whose value is the next word: `--password x`, `--api-key x`. */
const secretOption = /^--?[\w-]*(?:token|secret|password|passwd|api[_-]?key|access[_-]?key)$/i

/** Every text that one of the patterns matches has one of these. Most texts have none, and are asked once instead of four times. */
const signs =
  /:\/\/|bearer |basic |pwk_|pwg_|sk-|gh[opsu]_|github_pat_|glpat-|xox[abpr]-|AKIA|eyJ|token|secret|passw|api[_-]?key|access[_-]?key|signature/i

/** Takes out of a text what looks like a secret: the credentials of a URL, a bearer token, the value of `…token=` and its like. */
export function redactPatterns(text: string): string {
  if (!signs.test(text)) return text
  return patterns.reduce((redacted, [pattern, by]) => redacted.replace(pattern, by), text)
}

/** Levels of a value that are looked through. Nothing of ours is as deep, and what others send must not exhaust the stack. */
const deepest = 100

/**
 * The same for every text in a value; what lies deeper than 100 levels becomes the mark. Keys of objects stay as they are. Where nothing is
 * hidden, it is the value itself: a status of 200 programs has 12,000 parts.
 */
export function masked<Value>(value: Value): Value {
  return maskedValue(value, 0) as Value
}

function maskedValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return isKnownWord(value) ? value : redactPatterns(value)
  if (typeof value !== 'object' || value === null) return value
  if (depth >= deepest) return mark
  return Array.isArray(value) ? maskedList(value, depth) : maskedObject(value, depth)
}

function maskedList(values: readonly unknown[], depth: number): readonly unknown[] {
  let copy: unknown[] | undefined
  for (let index = 0; index < values.length; index++) {
    const one = values[index]
    const told = isOptionsValue(values[index - 1], one) ? mark : maskedValue(one, depth + 1)
    if (told === one) continue
    copy ??= [...values]
    copy[index] = told
  }
  return copy ?? values
}

/** A command line as a list of words. */
function isOptionsValue(before: unknown, one: unknown): boolean {
  return typeof before === 'string' && typeof one === 'string' && secretOption.test(before)
}

function maskedObject(value: object, depth: number): object {
  let copy: Record<string, unknown> | undefined
  // Plain JSON: no list of pairs is made for it.
  for (const key in value) {
    const one = (value as Record<string, unknown>)[key]
    const isSecret = typeof one === 'string' && one !== '' && isSecretName(key)
    const told = isSecret ? mark : maskedValue(one, depth + 1)
    if (told === one) continue
    copy ??= { ...value }
    copy[key] = told
  }
  return copy ?? value
}

/** Words of reports repeat, too: `healthy`, `unknown`. */
const knownWords = new Set<string>()
const longestWord = 16

function isKnownWord(text: string): boolean {
  if (text.length > longestWord) return false
  if (knownWords.has(text)) return true
  if (knownWords.size < mostNames && !signs.test(text)) knownWords.add(text)
  return false
}

/** A field of this name holds a secret: `apiKey`, `SLACK_TOKEN`, `db_password`. */
const secretName =
  /(?:^|[_-])(?:token|secret|password|passwd|authorization|cookie|api_?key|access_?key|private_?key)$/i

/** Names of fields repeat: what is known of these need not be asked again. */
const knownNames = new Map<string, boolean>()
const mostNames = 1000

function isSecretName(name: string): boolean {
  let isSecret = knownNames.get(name)
  if (isSecret === undefined) {
    isSecret = secretName.test(name)
    if (knownNames.size < mostNames) knownNames.set(name, isSecret)
  }
  return isSecret
}

/** Fields whose value is a secret whatever it is: of the line itself, and of what it holds (`headers.authorization`). */
const secretFields = [
  'token',
  'secret',
  'password',
  'authorization',
  'cookie',
  'apiKey',
  'MCP_PROXY_AUTH_TOKEN',
]

/** The same as paths and a censor, as pino reads them. */
export const redactedFields = {
  paths: secretFields.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]),
  censor: mark,
}
