import { exitCode, Failure } from '../os/failure.ts'

/** Parts of a program whose keys are set one by one. */
const parts = ['env', 'restart', 'limits', 'patterns'] as const

type Part = (typeof parts)[number]

/**
 * The words of `proxy-ctl config change` as the input of the order: `web autostart=false restart.backoff=5s env.DEBUG=`.
 * @throws Failure (64) with what to write instead.
 */
export function changeOf([program, ...words]: readonly string[]): Readonly<Record<string, unknown>> {
  if (program === undefined || words.length === 0)
    throw wrong('config change needs a program and what to change, such as web autostart=false')
  const input: Record<string, unknown> = { units: [program] }
  const inParts = new Map<Part, [string, unknown][]>()
  for (const word of words) {
    const { key, value } = partsOf(word)
    const [first = '', ...rest] = key.split('.')
    const part = parts.find((one) => one === first)
    if (key === 'remove' && value === undefined) input.remove = true
    else if (value === undefined)
      throw wrong(`"${word}" has no value; write ${word}=VALUE, or ${word}= to take it back`)
    else if (part !== undefined && rest.length > 0)
      inParts.set(part, [...(inParts.get(part) ?? []), [rest.join('.'), valueIn(part, value)]])
    else input[key] = plainValue(key, value)
  }
  for (const [part, entries] of inParts) input[part] = Object.fromEntries(entries)
  return input
}

function partsOf(word: string): { readonly key: string; readonly value: string | undefined } {
  const at = word.indexOf('=')
  return at < 0 ? { key: word, value: undefined } : { key: word.slice(0, at), value: word.slice(at + 1) }
}

function valueIn(part: Part, text: string): unknown {
  if (text === '') return null
  if (part === 'env') return text
  if (part === 'patterns') return jsonOf(text)
  return /^\d{1,15}$/.test(text) ? Number(text) : text
}

function plainValue(key: string, text: string): unknown {
  switch (key) {
    case 'autostart':
      if (text === '') return null
      if (text === 'true' || text === 'false') return text === 'true'
      throw wrong(`autostart: "${text}" is neither true nor false`)
    case 'port':
      return /^\d{1,5}$/.test(text) ? Number(text) : text
    case 'template':
    case 'cwd':
      return text
    default:
      throw wrong(
        `"${key}" cannot be changed; write autostart, env.NAME, restart.KEY, limits.KEY, patterns.CLASS, or template, cwd and port`,
      )
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw wrong(`patterns: "${text}" is not JSON; write patterns.slow='[{"regex": "SLOW", "priority": 2}]'`)
  }
}

function wrong(what: string): Failure {
  return new Failure(`${what} (see proxy-ctl config --help)`, exitCode.usage)
}
