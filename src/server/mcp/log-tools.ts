/** Tools about what programs print: get_logs, logs_search. */
import type { z as Zod } from 'zod'
import * as z from '../../config/zod.ts'
import type { LogLine, LogsOutput, SearchOutput } from '../../orders/log-orders.ts'
import { oneLine } from '../../os/printable.ts'
import { answerCharacters, fitting, largestAnswerCharacters } from './budget.ts'
import { lineText } from './program-lines.ts'
import { failure, onlyOne, readsOnly, type Tool, type ToolOutcome } from './tool.ts'

/** Bytes of lines when nobody says how many. They go out as text and as values, which a client may both give to its model. */
const defaultBytes = 12_000

/** Characters of a line that was found: the rest is read with get_logs. */
const foundCharacters = 400

const logsOutput = z.object({
  lines: z
    .array(z.string())
    .describe('oldest first; `stderr error: text`, with the unit before it where there are several'),
  cursor: z.string().describe('pass it to get only what is new'),
  dropped: z.number().describe('lines after the given cursor that are gone, or did not fit'),
  truncated: z.boolean().describe('there is more: call again with the cursor'),
})

const searchOutput = z.object({
  found: z.array(z.string()).describe('best first'),
  matches: z.number().describe('lines that have at least one of the words'),
  leftOut: z.number(),
})

export const logTools: readonly Tool[] = [
  {
    name: 'get_logs',
    title: 'Read logs',
    description:
      'Reads the output of programs: the newest lines, or what came after a cursor, filtered by class, stream, time, text or expression. Pass the cursor of the answer before to get only what is new. Never follows.',
    orders: ['logs'],
    annotations: readsOnly,
    isLarge: true,
    schemas: (rows) => ({
      input: (onlyOne(rows).input as Zod.ZodObject).extend({
        maxBytes: z
          .number()
          .int()
          .min(1)
          .max(largestAnswerCharacters)
          .default(defaultBytes)
          .describe('bytes of lines in the answer at most'),
      }),
      output: logsOutput,
    }),
    run: async (input, give) => {
      const answer = await give('logs', input)
      if ('error' in answer) return failure(answer.error)
      return pageOf(answer.output as LogsOutput, Math.max(answerCharacters, Number(input.maxBytes)))
    },
  },
  {
    name: 'logs_search',
    title: 'Search logs',
    description:
      'Searches the output of programs for words and ranks the lines that match best; lines that differ in numbers alone are told once.',
    orders: ['search-logs'],
    annotations: readsOnly,
    isLarge: true,
    schemas: (rows) => ({ input: onlyOne(rows).input, output: searchOutput }),
    run: async (input, give) => {
      const answer = await give('search-logs', input)
      if ('error' in answer) return failure(answer.error)
      return foundIn(answer.output as SearchOutput)
    },
  },
]

function pageOf({ lines, cursor, dropped, truncated }: LogsOutput, characters: number): ToolOutcome {
  const isOfMany = new Set(lines.map(({ unit }) => unit)).size > 1
  const texts = lines.map((line) => told(line, isOfMany))
  // The newest count most.
  const shown = fitting(texts.toReversed(), characters).toReversed()
  const lost = dropped + texts.length - shown.length
  const foot = [...(truncated ? ['more lines: call again with this cursor'] : []), `cursor: ${cursor}`]
  return {
    text: [...(lost > 0 ? [`[${lost} lines dropped]`] : []), ...shown, `[${foot.join('; ')}]`].join('\n'),
    structured: { lines: shown, cursor, dropped: lost, truncated },
  }
}

function foundIn({ lines, matches, truncated }: SearchOutput): ToolOutcome {
  const texts = lines.map(({ similar, ...line }) => {
    const text = line.text.length > foundCharacters ? `${line.text.slice(0, foundCharacters)}…` : line.text
    return `${line.at} ${told({ ...line, text }, true)}${similar === 0 ? '' : ` (and ${similar} like it)`}`
  })
  const shown = fitting(texts)
  const head = `${matches} lines match${truncated ? '; older lines were not searched' : ''}`
  return {
    text: [head, ...shown].join('\n'),
    structured: { found: shown, matches, leftOut: matches - shown.length },
  }
}

function told(line: LogLine, withUnit: boolean): string {
  return oneLine(`${withUnit ? `${line.unit} ` : ''}${lineText(line)}`)
}
