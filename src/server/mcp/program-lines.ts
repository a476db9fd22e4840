import type { OutputLine } from '../../program/output/index.ts'
import { messagesOf } from '../../program/output/last-words.ts'
import type { Give } from './tool.ts'

/** How many lines of a program are told: the newest, and before them the newest of the class `error`. */
export interface HowMany {
  readonly newest: number
  readonly errors: number
}

type LogLine = Pick<OutputLine, 'seq' | 'stream' | 'class' | 'text' | 'continues'>

/** Lines that a stack trace has, more or less: so many are read for each that is told. */
const linesOfTrace = 24

/**
 * Of a stack trace the messages and the first place are told: a model that has read those knows the cause, and the rest would hide it. Python
 * has its message last, and not indented.
 */
function withoutTraces(lines: readonly LogLine[]): readonly LogLine[] {
  let hasPlace = true
  return lines.filter(({ continues, text }) => {
    if (continues !== true) {
      hasPlace = false
      return true
    }
    if (!/^\s/.test(text)) return !/^(?:Require stack:|- |[}\]])/.test(text)
    const isFirst = !hasPlace
    hasPlace = true
    return isFirst
  })
}

/**
 * What a program printed last, for a model that looks for a cause: a flood does not hide the errors before it.
 * @returns empty when it printed nothing, or this monitor keeps no output.
 */
export async function programLines(
  name: string,
  { newest, errors }: HowMany,
  give: Give,
): Promise<readonly string[]> {
  const read = async (filter: Readonly<Record<string, unknown>>): Promise<readonly LogLine[]> => {
    const answer = await give('logs', { units: [name], ...filter })
    return 'output' in answer ? (answer.output as { readonly lines: readonly LogLine[] }).lines : []
  }
  const [last, wrong] = await Promise.all([
    read({ tail: newest * linesOfTrace }).then((lines) => withoutTraces(lines).slice(-newest)),
    read({ tail: errors * linesOfTrace, class: ['error'] }).then((lines) =>
      (errors === 1 ? messagesOf(lines) : withoutTraces(lines)).slice(-errors),
    ),
  ])
  const first = last[0]?.seq ?? Number.POSITIVE_INFINITY
  const before = wrong.filter(({ seq }) => seq < first)
  const gap = before.length > 0 ? ['…'] : []
  return [...before.map(lineText), ...gap, ...last.map(lineText)]
}

/** `stderr error: the text`. */
export function lineText({
  stream,
  class: kind,
  text,
}: {
  readonly stream: string
  readonly class: string | null
  readonly text: string
}): string {
  // A line of the program that looks like one of another stream is told as what it is.
  const isPlain = stream === 'stdout' && (kind !== null || !/^(?:stdout|stderr|watchdog)\b/.test(text))
  const marks = [isPlain ? [] : stream, kind ?? []].flat()
  return marks.length === 0 ? text : `${marks.join(' ')}: ${text}`
}
