/** Tools whose input and output are those of their order: input, actions, configuration. Each is there when its order is. */
import { oneLine } from '../../os/printable.ts'
import { answerCharacters, lastOf } from './budget.ts'
import { lineText } from './program-lines.ts'
import { failure, onlyOne, readsOnly, type Tool } from './tool.ts'

const changes = { readOnlyHint: false, destructiveHint: true, idempotentHint: false }

export const rowTools: readonly Tool[] = [
  of(
    'send_input',
    'Send input',
    'send',
    'Sends a line to the standard input of a program that allows it, and may wait for the answer.',
    changes,
  ),
  of(
    'list_actions',
    'List actions',
    'list-actions',
    'Lists the named commands of a program (test, lint, migrate …) that run_action can run, with their arguments and the type of each.',
    readsOnly,
  ),
  of(
    'run_action',
    'Run an action',
    'run-action',
    'Runs a named command that the configuration of a program defines (test, lint, migrate …) and returns its output.',
    changes,
  ),
  of('process_scale', 'Scale', 'scale', 'Sets how many copies of a program run.', {
    ...changes,
    idempotentHint: true,
  }),
  of(
    'config_show',
    'Show the configuration',
    'config-show',
    'Shows the values in force, for some units or all, each with its source (line of the file, template, order). configChange says what config_change may do.',
    readsOnly,
  ),
  of(
    'config_change',
    'Change the configuration',
    'config-change',
    'Changes a program as far as configChange of the configuration allows it: adds it from a template, sets variables on its list, restart policy, limits, log patterns or autostart, removes what was added. The change is checked first, kept apart from the configuration file, and undone by config_undo. Never takes a command.',
    changes,
  ),
  of(
    'config_undo',
    'Undo a change of the configuration',
    'config-undo',
    'Takes back the last change that config_change made.',
    changes,
  ),
]

function of(
  name: string,
  title: string,
  order: string,
  description: string,
  annotations: Tool['annotations'],
): Tool {
  return {
    name,
    title,
    description,
    orders: [order],
    annotations,
    isLarge: true,
    schemas: (rows) => {
      const { input, output } = onlyOne(rows)
      return { input, output }
    },
    run: async (input, give) => {
      const answer = await give(order, input)
      if ('error' in answer) return failure(answer.error)
      const output = answer.output as Readonly<Record<string, unknown>>
      return { text: lastOf(textOf(output), answerCharacters), structured: output, isError: !answer.done }
    },
  }
}

/** A page of lines as lines; anything else as JSON. */
function textOf(output: Readonly<Record<string, unknown>>): string {
  const { lines, ...rest } = output
  if (!Array.isArray(lines)) return JSON.stringify(output)
  const facts = Object.entries(rest).filter(([, value]) => !isNothing(value))
  const foot = facts.map(
    ([name, value]) => `[${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}]`,
  )
  return [...lines.map(lineOf), ...foot].join('\n')
}

function isNothing(value: unknown): boolean {
  return value === null || value === undefined || value === false || value === 0
}

/** Of an answer to input, or of an action. */
function lineOf(line: unknown): string {
  if (typeof line === 'string') return oneLine(line)
  const { stream, class: kind, text } = line as Readonly<Record<string, unknown>>
  if (typeof text !== 'string') return oneLine(JSON.stringify(line))
  return oneLine(
    lineText({
      stream: stream === 'stderr' ? stream : 'stdout',
      class: typeof kind === 'string' ? kind : null,
      text,
    }),
  )
}
