/** Words that only a shell can carry out. */
const builtins = new Set(
  '. : [[ alias bg case cd command eval exit export fg for function getopts hash if jobs pushd popd read return set shift source time times trap type ulimit umask unset until wait while { !'.split(
    ' ',
  ),
)

/** A command, read as a POSIX shell reads it. */
export interface ShellCommand {
  readonly words: readonly string[]
  /** Assignments in front of the command: `PORT=3000 npm start`. */
  readonly env: Readonly<Record<string, string>>
}

interface Word {
  readonly text: string
  /** It holds something that a shell replaces or acts on. */
  readonly isSpecial: boolean
  /** Where its first quoted character stands; Infinity = nothing of it is quoted. */
  readonly quotedFrom: number
}

/**
 * Splits a command line whose writer meant no shell: quotes and backslashes as in Python's `shlex.split`, everything else literal.
 * @returns undefined when a quote is not closed.
 */
export function splitWords(text: string): string[] | undefined {
  return wordsOf(text, '\\"')?.map((word) => word.text)
}

/**
 * Reads a command line that was written for a shell.
 * @returns undefined when only a shell can carry it out: pipes, redirections, variables, globs, several commands, built-in commands.
 */
export function withoutShell(text: string): ShellCommand | undefined {
  const words = wordsOf(text, '\\"$`')
  if (words === undefined || words.some(({ isSpecial }) => isSpecial)) return undefined
  const env: Record<string, string> = {}
  let first = 0
  for (const { text: word, quotedFrom } of words) {
    const [, name, value] = /^([A-Za-z_]\w*)=([\s\S]*)$/.exec(word) ?? []
    if (name === undefined || value === undefined || quotedFrom <= name.length) break
    env[name] = value
    first++
  }
  const [command, ...rest] = words.slice(first).map((word) => word.text)
  if (command === 'exec' && rest.length > 0 && rest[0]?.startsWith('-') === false) {
    return { words: rest, env }
  }
  return command === undefined || command === 'exec' || builtins.has(command)
    ? undefined
    : { words: [command, ...rest], env }
}

/** @param escapable what a backslash quotes within double quotes. */
function wordsOf(text: string, escapable: string): Word[] | undefined {
  const words: Word[] = []
  let at = 0
  while (at < text.length) {
    if (/\s/.test(text.charAt(at))) {
      // A new line begins another command, except at the ends.
      if (text.charAt(at) === '\n' && words.length > 0 && text.slice(at).trim() !== '') {
        words.push({ text: '\n', isSpecial: true, quotedFrom: Number.POSITIVE_INFINITY })
      }
      at++
      continue
    }
    const word = wordAt(text, at, escapable)
    if (word === undefined) return undefined
    // Of a new line alone, shlex knows nothing.
    words.push(word)
    at = word.end
  }
  return escapable.includes('$') ? words : words.filter((word) => word.text !== '\n' || !word.isSpecial)
}

function wordAt(
  line: string,
  start: number,
  escapable: string,
): (Word & { readonly end: number }) | undefined {
  let text = ''
  let isSpecial = '~#'.includes(line.charAt(start))
  let quotedFrom = Number.POSITIVE_INFINITY
  let at = start
  const quoted = () => {
    quotedFrom = Math.min(quotedFrom, text.length)
  }
  while (at < line.length && !/\s/.test(line.charAt(at))) {
    const letter = line.charAt(at)
    if (letter === '\\') {
      if (at + 1 === line.length) return undefined
      quoted()
      // A line that goes on.
      if (line.charAt(at + 1) !== '\n') text += line.charAt(at + 1)
      at += 2
    } else if (letter === "'") {
      const close = line.indexOf("'", at + 1)
      if (close < 0) return undefined
      quoted()
      text += line.slice(at + 1, close)
      at = close + 1
    } else if (letter === '"') {
      quoted()
      at++
      while (line.charAt(at) !== '"') {
        if (at >= line.length) return undefined
        if (line.charAt(at) === '\\' && escapable.includes(line.charAt(at + 1))) at++
        else if ('$`'.includes(line.charAt(at))) isSpecial = true
        text += line.charAt(at)
        at++
      }
      at++
    } else {
      if ('|&;<>()$`*?[{!'.includes(letter)) isSpecial = true
      text += letter
      at++
    }
  }
  return { text, isSpecial, quotedFrom, end: at }
}
