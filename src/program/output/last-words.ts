import stripAnsi from 'strip-ansi'
import { redactPatterns } from '../../log/redaction.ts'
import { oneLine } from '../../os/printable.ts'
import type { ProgramOutput } from './index.ts'
import { type OutputLine, tracebackHead } from './line.ts'

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
    messagesOf(own).findLast((line) => line.class === 'error') ?? (isAny ? own.at(-1) : undefined)
  if (chosen === undefined) return undefined
  const text = redactPatterns(oneLine(stripAnsi(chosen.text)).trim())
  return text.length > mostCharacters ? `${text.slice(0, mostCharacters - 1)}…` : text
}

/**
 * Lines without those that go on others: what begins something says what is wrong. Only a traceback of Python says it in its last line, which
 * stands for it.
 */
export function messagesOf<Line extends Pick<OutputLine, 'stream' | 'text' | 'continues'>>(
  lines: readonly Line[],
): readonly Line[] {
  const begun = lines.findIndex(({ continues }) => continues !== true)
  // Of a trace that began before these lines.
  const cut = (begun < 0 ? lines : lines.slice(0, begun)).find(isMessage)
  const messages = lines.flatMap((line, at) => {
    if (line.continues === true) return []
    return stripAnsi(line.text).startsWith(tracebackHead) ? [tracebackMessage(lines, at) ?? line] : [line]
  })
  return cut === undefined ? messages : [cut, ...messages]
}

function tracebackMessage<Line extends Pick<OutputLine, 'stream' | 'text' | 'continues'>>(
  lines: readonly Line[],
  head: number,
): Line | undefined {
  const later = lines.slice(head + 1).filter(({ stream }) => stream === lines[head]?.stream)
  const end = later.findIndex(({ continues }) => continues !== true)
  return (end < 0 ? later : later.slice(0, end)).find(isMessage)
}

/** Of the lines that go on others, those of a traceback that are not indented. What Node puts between message and places is none. */
function isMessage({ text }: Pick<OutputLine, 'text'>): boolean {
  return (
    /^[A-Za-z_]/.test(stripAnsi(text)) &&
    !text.startsWith('Require stack:') &&
    !text.startsWith('Caused by: ')
  )
}
