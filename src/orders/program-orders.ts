/** Orders about programs alone: send, signal, list-actions, run-action. */

import { compileRegex } from '../config/log-patterns.ts'
import { stopSignals } from '../config/program-configuration.ts'
import * as z from '../config/zod.ts'
import { redactPatterns } from '../log/redaction.ts'
import { errorText } from '../os/failure.ts'
import { wordsOf } from '../program/actions/index.ts'
import type { InputRefusal } from '../program/input/index.ts'
import type { OutputLine } from '../program/output/index.ts'
import type { OrderedMonitor, OrderedProgram, OrderedUnit } from './monitor.ts'
import { nextOrder } from './next-step.ts'
import { type Around, type Order, OrderRefusal, row } from './order.ts'
import { chosen } from './unit-orders.ts'

export const oneProgram = z.array(z.string()).length(1).describe('the program, by name')

/** ms without a new line after which an answer is taken for complete. */
const defaultQuietMs = 500
const defaultTimeoutMs = 10_000
const longestTimeoutMs = 120_000

/** Bytes of text in an answer when nobody says how many: about 8,000 tokens. */
const mostAnswerBytes = 24_000

const signals = [...stopSignals, 'SIGWINCH', 'SIGCONT'] as const

const sent = z.object({
  unit: z.string(),
  bytes: z.number(),
  matched: z.boolean().nullable().describe('whether waitFor was seen; null = it was not asked for'),
  lines: z
    .array(
      z.object({
        seq: z.number(),
        at: z.string(),
        stream: z.string(),
        class: z.string().nullable(),
        text: z.string(),
      }),
    )
    .describe('what it printed since, oldest first'),
  dropped: z.number().describe('lines before these that had no room'),
})

const actionTold = z.object({
  name: z.string(),
  summary: z.string().nullable(),
  command: z.array(z.string()),
  arguments: z.record(
    z.string(),
    z.object({ type: z.string(), summary: z.string().nullable(), required: z.boolean() }).loose(),
  ),
  timeoutMs: z.number(),
})

export const programOrders: readonly Order[] = [
  row({
    name: 'send',
    summary: 'Write to the stdin of a program that takes input, and read what it answers.',
    scope: 'input',
    perUnit: true,
    changes: true,
    input: z.strictObject({
      units: oneProgram,
      text: z.string().describe('what to write; a line end is added'),
      newline: z.boolean().default(true).describe('false = add no line end'),
      raw: z.boolean().default(false).describe('let control characters pass, such as Ctrl-C'),
      waitFor: z.string().optional().describe('wait until a new line matches this expression (RE2 syntax)'),
      quietMs: z
        .number()
        .int()
        .min(0)
        .max(longestTimeoutMs)
        .optional()
        .describe(
          'without waitFor: wait until it has printed nothing for so long; default 500; 0 = do not wait',
        ),
      timeoutMs: z
        .number()
        .int()
        .min(0)
        .max(longestTimeoutMs)
        .default(defaultTimeoutMs)
        .describe('wait no longer'),
    }),
    output: sent,
    carryOut: async ({ text, newline, raw, ...wait }, around) => {
      const { name, program } = programOf(wait.units, around.monitor)
      const matches = wait.waitFor === undefined ? undefined : compiled(wait.waitFor)
      const answer = collect(program.output.onLine.bind(program.output), matches)
      try {
        const whole = newline ? `${text}\n` : text
        const refusal = program.input.send(whole, raw)
        if (refusal !== undefined) throw inputRefusal(name, refusal)
        const { quietMs = defaultQuietMs, timeoutMs } = wait
        const ms = matches === undefined ? quietMs : undefined
        const matched = ms === 0 ? null : await answer.until(ms, timeoutMs, around.gone)
        return {
          unit: name,
          bytes: Buffer.byteLength(whole),
          matched: matches === undefined ? null : matched,
          ...answer.taken(),
        }
      } finally {
        answer.end()
      }
    },
  }),
  row({
    name: 'signal',
    summary: 'Send a signal to the process of a program, or to all processes of its session.',
    scope: 'control',
    perUnit: true,
    changes: true,
    input: z.strictObject({
      units: oneProgram,
      signal: z.enum(signals).describe('which one'),
      session: z.boolean().default(false).describe('to all its processes instead of the first'),
    }),
    output: z.object({ unit: z.string(), signal: z.string() }),
    carryOut: ({ units, signal, session }, { monitor }) => {
      const { name, program } = programOf(units, monitor)
      if (program.signal(signal, session)) return { unit: name, signal }
      throw new OrderRefusal('not-running', `${name} does not run`, nextOrder('start', name))
    },
  }),
  row({
    name: 'list-actions',
    summary: 'List the named commands of a program that may be run, with their arguments.',
    scope: 'read',
    perUnit: true,
    changes: false,
    input: z.strictObject({ units: oneProgram }),
    output: z.object({ unit: z.string(), actions: z.array(actionTold) }),
    carryOut: ({ units }, { monitor }) => {
      const { name, program } = programOf(units, monitor)
      const actions = Object.entries(program.configuration.actions)
      return {
        unit: name,
        actions: actions.map(([action, one]) => ({
          name: action,
          ...one,
          command: [...one.command],
          arguments: Object.fromEntries(
            Object.entries(one.arguments).map(([key, value]) => [key, { ...value }]),
          ),
        })),
      }
    },
  }),
  row({
    name: 'run-action',
    summary: 'Run a named command of a program, such as its tests, to its end.',
    scope: 'control',
    perUnit: true,
    changes: true,
    input: z.strictObject({
      units: oneProgram,
      action: z.string().describe('its name in the configuration'),
      arguments: z
        .record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
        .default({})
        .describe('by name'),
      maxBytes: z
        .number()
        .int()
        .min(0)
        .max(64 * 1024)
        .default(mostAnswerBytes)
        .describe('bytes of output in the answer at most: the last ones'),
    }),
    output: z.object({
      unit: z.string(),
      action: z.string(),
      exitCode: z.number().nullable().describe('null = a signal ended it'),
      signal: z.string().nullable(),
      timedOut: z.boolean(),
      tookMs: z.number(),
      output: z.string().describe('what it printed last, stdout and stderr'),
      droppedBytes: z.number().describe('output before that'),
    }),
    carryOut: runAction,
  }),
]

async function runAction(
  {
    units,
    action,
    arguments: given,
    maxBytes,
  }: {
    units: string[]
    action: string
    arguments: Record<string, string | number | boolean>
    maxBytes: number
  },
  { monitor, gone }: Around,
) {
  const { name, program } = programOf(units, monitor)
  const { actions, cwd } = program.configuration
  const configured = Object.hasOwn(actions, action) ? actions[action] : undefined
  if (configured === undefined) {
    const known = Object.keys(actions).join(', ')
    const next = known === '' ? 'name it under actions in the configuration' : `use one of ${known}`
    throw new OrderRefusal('unknown-action', `${name} has no action "${action}"`, next)
  }
  const made = wordsOf(configured, given, cwd)
  if (!made.ok) {
    const { code, argument, expected } = made.refusal
    if (code === 'unknown-argument')
      throw new OrderRefusal(
        'invalid-argument',
        `${action} has no argument "${argument}"`,
        `its arguments: ${expected}`,
      )
    const what = code === 'missing-argument' ? 'is missing' : 'is not valid'
    throw new OrderRefusal(
      'invalid-argument',
      `the argument "${argument}" of ${action} ${what}`,
      `give ${expected}`,
    )
  }
  const environment = attempted(action, () => program.environment())
  const asUser = attempted(action, () => program.wordsAsUser(made.words))
  const outcome = await program.actions.run(configured, asUser, { cwd, environment, gone })
  if (outcome.ok) {
    const { output, droppedBytes, ...rest } = outcome.result
    // Redacted before it is cut: a cut could take away what a secret is known by.
    const whole = Buffer.from(redactPatterns(output))
    const left = whole.subarray(Math.max(0, whole.length - maxBytes))
    return {
      unit: name,
      action,
      ...rest,
      output: left.toString('utf8'),
      droppedBytes: droppedBytes + whole.length - left.length,
    }
  }
  switch (outcome.code) {
    case 'busy':
      throw new OrderRefusal(
        'busy',
        `an action of ${name} runs, and another one waits already`,
        'try again later',
      )
    case 'ended':
      throw new OrderRefusal('ending', 'the monitor is ending', 'start it again')
    case 'not-run':
      throw new OrderRefusal('failed', `${action} could not be run: ${outcome.message}`)
  }
}

/** That of the program itself. A file of variables is read anew, and may be gone. */
function attempted<Value>(action: string, value: () => Value): Value {
  try {
    return value()
  } catch (error) {
    throw new OrderRefusal('failed', `${action} could not be run: ${errorText(error)}`)
  }
}

export function programOf(
  units: readonly string[],
  monitor: OrderedMonitor,
): { readonly name: string; readonly program: OrderedProgram } {
  const found = chosen({ units: [...units], all: false }, monitor) as readonly [OrderedUnit, ...OrderedUnit[]]
  if (found.length > 1) {
    const names = found.map(({ name }) => name).join(', ')
    throw new OrderRefusal('invalid-input', `${units[0]} has ${found.length} copies`, `name one of ${names}`)
  }
  const [{ name, program }] = found
  if (program === undefined)
    throw new OrderRefusal('not-a-program', `${name} is no program`, nextOrder('list'))
  return { name, program }
}

function compiled(regex: string): (text: string) => boolean {
  try {
    return compileRegex(regex)
  } catch (error) {
    throw new OrderRefusal('invalid-input', `send: waitFor: ${errorText(error)}`)
  }
}

export function inputRefusal(name: string, refusal: InputRefusal): OrderRefusal {
  switch (refusal.code) {
    case 'input-off':
      return new OrderRefusal(
        'input-off',
        `${name} takes no input`,
        'input: true in its configuration allows it',
      )
    case 'no-stdin':
      return new OrderRefusal(
        'not-running',
        `${name} does not run, or has closed its stdin`,
        nextOrder('start', name),
      )
    case 'queue-full':
      return new OrderRefusal(
        'queue-full',
        `${name} does not read: ${refusal.bytes} bytes wait already`,
        'try again later',
      )
    case 'too-long':
      return new OrderRefusal(
        'input-denied',
        `the text has ${refusal.bytes} bytes`,
        `send at most ${refusal.most} at once`,
      )
    case 'control-character':
      return new OrderRefusal(
        'input-denied',
        `the text has the control character ${refusal.character}`,
        'raw lets it pass',
      )
    case 'denied':
      return new OrderRefusal(
        'input-denied',
        `the text matches ${refusal.pattern}, which must not be sent to ${name}`,
      )
    case 'not-allowed':
      return new OrderRefusal(
        'input-denied',
        `the text matches nothing that may be sent to ${name}`,
        'see input.allow in its configuration',
      )
  }
}

/** Collects the lines of a program from now on. */
function collect(
  onLine: (seen: (line: OutputLine) => void) => () => void,
  matches: ((text: string) => boolean) | undefined,
) {
  const lines: OutputLine[] = []
  let bytes = 0
  let dropped = 0
  let seen = () => {}
  let isMatched = false
  const end = onLine((line) => {
    if (line.stream === 'watchdog') return
    lines.push(line)
    bytes += line.text.length
    while (bytes > mostAnswerBytes && lines.length > 1) {
      bytes -= lines.shift()?.text.length ?? 0
      dropped++
    }
    isMatched ||= matches?.(redactPatterns(line.text)) === true
    seen()
  })
  return {
    end,
    /** @param quietMs undefined = until a line matches. @returns whether one did. */
    until: (quietMs: number | undefined, timeoutMs: number, gone: AbortSignal): Promise<boolean> =>
      new Promise((resolve) => {
        let quiet: NodeJS.Timeout | undefined
        const finish = () => {
          clearTimeout(limit)
          clearTimeout(quiet)
          resolve(isMatched)
        }
        const limit = setTimeout(finish, timeoutMs)
        gone.addEventListener('abort', finish, { once: true })
        seen = () => {
          if (isMatched) finish()
          if (quietMs === undefined) return
          clearTimeout(quiet)
          quiet = setTimeout(finish, quietMs)
        }
        seen()
      }),
    taken: () => ({
      lines: lines.map(({ seq, at, stream, class: named, text }) => ({
        seq,
        at: new Date(at).toISOString(),
        stream,
        class: named,
        text: redactPatterns(text),
      })),
      dropped,
    }),
  }
}
