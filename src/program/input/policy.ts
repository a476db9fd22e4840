import { compileRegex } from '../../config/log-patterns.ts'

/** An expression and what it was written as. */
interface Pattern {
  readonly source: string
  readonly matches: (text: string) => boolean
}

/** What may be sent to a program. */
export interface InputPolicy {
  /** When there are any, each line must match one. */
  readonly allow: readonly Pattern[]
  /** No line may match one. */
  readonly deny: readonly Pattern[]
}

/** Why an input is refused. */
export type InputRefusal =
  /** The configuration does not allow input. */
  | { readonly code: 'input-off' }
  /** The program does not run, or has closed its stdin. */
  | { readonly code: 'no-stdin' }
  /** The program does not read: so many bytes wait already. */
  | { readonly code: 'queue-full'; readonly bytes: number }
  | { readonly code: 'too-long'; readonly bytes: number; readonly most: number }
  /** A control character other than tab and line end, as `\x03`. */
  | { readonly code: 'control-character'; readonly character: string }
  | { readonly code: 'denied'; readonly pattern: string }
  | { readonly code: 'not-allowed' }

/** Bytes of one input. */
const mostBytes = 16 * 1024

/**
 * Input that people seldom mean to send to a shell, a REPL or a database console. The list guards against accidents; an attacker finds
 * another spelling.
 */
const usualDenials = [
  String.raw`\brm\s+(-\S+\s+)*-\S*[rRf]`,
  String.raw`:\s*\(\s*\)\s*\{`,
  String.raw`\bmkfs\b|\bdd\b.*\bof=/dev/|>\s*/dev/(sd|nvme|vd|mem)`,
  String.raw`\b(shutdown|reboot|halt|poweroff)\b`,
  String.raw`\b(curl|wget)\b.*\|\s*(ba|da|z)?sh\b`,
  String.raw`\bsudo\b|\bchmod\s+(-\S+\s+)*0?777\b`,
  String.raw`\bkill\s+(-\S+\s+)*-?1\b|\bkillall\b|\bpkill\b`,
  String.raw`\bprocess\.(exit|kill|abort)\b|\bchild_process\b`,
  String.raw`\bfs\.(promises\.)?(rm|unlink|truncate)`,
  String.raw`\bos\.(system|popen|exec|spawn|remove|unlink|kill|rmdir)|\bsubprocess\b|\bshutil\.rmtree\b|\b__import__\b`,
  String.raw`(?i)\b(drop|truncate)\s+(table|database|schema)\b`,
]

/**
 * Compiles what a configuration says.
 * @param deny added to the usual dangers; with `allow`, which says more exactly what may be sent, it stands alone.
 * @throws Error with the reason for an expression that RE2 has not.
 */
export function compileInput({
  allow = [],
  deny = [],
}: {
  readonly allow?: readonly string[]
  readonly deny?: readonly string[]
}): InputPolicy {
  const compiled = (sources: readonly string[]) =>
    sources.map((source) => ({ source, matches: compileRegex(source) }))
  return { allow: compiled(allow), deny: compiled(allow.length > 0 ? deny : [...usualDenials, ...deny]) }
}

/**
 * @param begun what was sent before since the last line end: what is denied must not pass in pieces. What is allowed is judged piece by piece,
 *   because a program that reads keys gets no line ends.
 * @returns why a text must not be sent; undefined = it may.
 */
export function refusalOf(
  text: string,
  { allow, deny }: InputPolicy,
  isRaw: boolean,
  begun = '',
): InputRefusal | undefined {
  const bytes = Buffer.byteLength(text)
  if (bytes > mostBytes) return { code: 'too-long', bytes, most: mostBytes }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
  const control = isRaw ? null : /[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]/.exec(text.replaceAll('\r\n', '\n'))
  if (control !== null) {
    const code = control[0].charCodeAt(0).toString(16).padStart(2, '0')
    return { code: 'control-character', character: `\\x${code}` }
  }
  const lines = text.split(/[\r\n]+/).filter((line) => line !== '')
  const [first = ''] = text.split(/[\r\n]/, 1)
  const judged = begun === '' ? lines : [...lines, begun + first]
  const denied = deny.find(({ matches }) => judged.some((line) => matches(line)))
  if (denied !== undefined) return { code: 'denied', pattern: denied.source }
  if (allow.length === 0) return undefined
  return lines.every((line) => allow.some(({ matches }) => matches(line)))
    ? undefined
    : { code: 'not-allowed' }
}
