import stripAnsi from 'strip-ansi'
import { redactPatterns } from '../../log/redaction.ts'
import { oneLine } from '../../os/printable.ts'
import type { ProgramOutput } from './index.ts'

/** Lines that are looked at, and characters of the one that is chosen. */
const linesLookedAt = 60
const mostCharacters = 200

/**
 * What the last process of a program said of its end, in one line and without secrets: the last line of the class error that begins something,
 * or else the last line.
 * @param isAny false = a line that is of the class error, or none.
 * @returns undefined when there is no such line.
 */
export function lastWordsOf(output: ProgramOutput, isAny: boolean): string | undefined {
  const own = output.last(linesLookedAt).filter(({ seq, stream, text }) => {
    return seq > output.began && stream !== 'watchdog' && stripAnsi(text).trim() !== ''
  })
  const chosen =
    own.findLast((line) => line.class === 'error' && line.continues !== true) ??
    (isAny ? own.at(-1) : undefined)
  if (chosen === undefined) return undefined
  const text = redactPatterns(oneLine(stripAnsi(chosen.text)).trim())
  return text.length > mostCharacters ? `${text.slice(0, mostCharacters - 1)}…` : text
}
