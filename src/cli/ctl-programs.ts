/** The commands of `proxy-ctl` about programs alone: send, signal, list-actions, run-action. */
import stripAnsi from 'strip-ansi'
import { countParser, parseDuration } from '../config/values.ts'
import { defaultWaitMs } from '../orders/order.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { printable } from '../os/printable.ts'
import { argument, filled, type Program } from './command.ts'
import { attachProgram } from './ctl-attach.ts'
import { type OrderOptions, order, print, subcommand } from './ctl-command.ts'

interface Options extends OrderOptions {
  readonly newline: boolean
  readonly raw?: boolean
  readonly waitFor?: string
  readonly quiet?: number
  readonly timeout?: number
  readonly session?: boolean
}

const name = '<PROGRAM>'

/** Bytes of an action's output: as many as the monitor keeps. */
const mostOutputBytes = 64 * 1024

/** ms. */
const defaultTimeoutMs = 10_000
/** An action may take as long as its configuration allows. */
const actionTakesMs = 24 * 3_600_000

const sendProgram: Program = {
  command: subcommand('send', 'Write a line to the stdin of a program and show what it answers.')
    .argument(name, 'a program whose configuration allows input', filled)
    .argument('<TEXT>', 'what to write')
    .option('--no-newline', 'add no line end')
    .option('--raw', 'let control characters pass')
    .option('--wait-for <REGEX>', 'wait until a new line matches this expression', filled)
    .option(
      '--quiet <TIME>',
      'wait until nothing came for so long (default: 500ms; 0 = do not wait)',
      argument(parseDuration),
    )
    .option('--timeout <TIME>', 'wait no longer, at most 2m (default: 10s)', argument(parseDuration)),
  run: async (unit: string, text: string, options: Options) => {
    const { newline, raw = false, waitFor, quiet, timeout = defaultTimeoutMs } = options
    const wait = {
      ...(waitFor === undefined ? {} : { waitFor }),
      ...(quiet === undefined ? {} : { quietMs: quiet }),
    }
    const answer = await order(
      options,
      'send',
      { units: [unit], text, newline, raw, ...wait, timeoutMs: timeout },
      timeout,
    )
    return print(answer, options, ({ lines }: { readonly lines: readonly { readonly text: string }[] }) =>
      lines.map((line) => `${printable(line.text)}\n`).join(''),
    )
  },
}

const scaleProgram: Program = {
  command: subcommand(
    'scale',
    'Set how many copies of a program run; it needs instances or maxInstances in the configuration.',
  )
    .argument(name, 'the program, by its name in the configuration', filled)
    .argument('<N>', 'how many, at most its maxInstances', argument(countParser(1, 100)))
    .option('--no-wait', 'answer as soon as it is ordered, instead of when it is done')
    .option('--timeout <TIME>', 'how long to wait (default: 30s)', argument(parseDuration)),
  run: async (unit: string, instances: number, options: Options & { readonly wait?: boolean }) => {
    const { wait = true, timeout = defaultWaitMs } = options
    const input = { units: [unit], instances, wait: wait && timeout > 0, timeoutMs: timeout }
    const answer = await order(options, 'scale', input, timeout)
    const { scaledText } = await import('./ctl-output.ts')
    return print(answer, options, scaledText)
  },
}

const signalProgram: Program = {
  command: subcommand('signal', 'Send a signal to the process of a program.')
    .argument(name, 'the program', filled)
    .argument('<SIGNAL>', 'HUP, INT, TERM, USR1 or another one', filled)
    .option('--session', 'to all processes of its session'),
  run: async (unit: string, signal: string, options: Options) => {
    const { session = false } = options
    const full = `SIG${signal.toUpperCase().replace(/^SIG/, '')}`
    const answer = await order(options, 'signal', { units: [unit], signal: full, session })
    return print(answer, options, (sent: { readonly unit: string }) => `✓ ${sent.unit}  got ${full}\n`)
  },
}

interface ToldAction {
  readonly name: string
  readonly summary: string | null
  readonly arguments: Readonly<
    Record<
      string,
      { readonly type: string; readonly required: boolean; readonly choices?: readonly string[] }
    >
  >
}

const listActionsProgram: Program = {
  command: subcommand('list-actions', 'List the commands of a program that "run-action" runs.').argument(
    name,
    'the program',
    filled,
  ),
  run: async (unit: string, options: Options) => {
    const answer = await order(options, 'list-actions', { units: [unit] })
    return print(answer, options, ({ actions }: { readonly actions: readonly ToldAction[] }) => {
      if (actions.length === 0) return `${unit} has no actions\n`
      return actions.map((action) => `${actionLine(action)}\n`).join('')
    })
  },
}

function actionLine({ name: action, summary, arguments: known }: ToldAction): string {
  const told = Object.entries(known).map(([key, { type, required, choices }]) => {
    const value = `${key}=${(choices?.join('|') ?? type).toUpperCase()}`
    return required ? value : `[${value}]`
  })
  return [action, ...told].join(' ') + (summary === null ? '' : `  ${printable(summary)}`)
}

interface Ran {
  readonly exitCode: number | null
  readonly signal: string | null
  readonly timedOut: boolean
  readonly output: string
  readonly droppedBytes: number
}

const runActionProgram: Program = {
  command: subcommand(
    'run-action',
    'Run a command that a program’s configuration names, such as its tests, to its end.',
  )
    .argument(name, 'the program', filled)
    .argument('<ACTION>', 'its name; "list-actions" shows them', filled)
    .argument('[NAME=VALUE...]', 'arguments'),
  run: async (unit: string, action: string, words: readonly string[], options: Options) => {
    const given = Object.fromEntries(words.map(namedValue))
    const answer = await order(
      options,
      'run-action',
      { units: [unit], action, arguments: given, maxBytes: mostOutputBytes },
      actionTakesMs,
    )
    if ('error' in answer || options.json === true) return print(answer, options, () => '')
    const { exitCode: code, signal, timedOut, output, droppedBytes } = answer.output as Ran
    if (droppedBytes > 0)
      process.stderr.write(`proxy-ctl: the first ${droppedBytes} bytes of the output are left out\n`)
    process.stdout.write(printable(stripAnsi(output)))
    if (code === 0) return exitCode.ok
    const how = timedOut
      ? 'took too long and was killed'
      : code === null
        ? `was ended by ${signal}`
        : `exited with ${code}`
    process.stderr.write(`proxy-ctl: ${action} ${how}\n`)
    return exitCode.orderFailed
  },
}

/** `depth=3` as a number, `watch=true` as a flag, everything else as a text. */
function namedValue(word: string): [name: string, value: string | number | boolean] {
  const [, key, value] = /^([A-Za-z_]\w*)=([\s\S]*)$/.exec(word) ?? []
  if (key === undefined || value === undefined)
    throw new Failure(`"${word}" is not NAME=VALUE`, exitCode.usage)
  if (value === 'true' || value === 'false') return [key, value === 'true']
  return [key, /^-?\d{1,15}$/.test(value) ? Number(value) : value]
}

/** In the order of the help. */
export const programPrograms: readonly Program[] = [
  scaleProgram,
  sendProgram,
  attachProgram,
  signalProgram,
  listActionsProgram,
  runActionProgram,
]
