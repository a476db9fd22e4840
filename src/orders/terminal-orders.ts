/** Orders about the terminal of a program (`pty`): follow-terminal, type. */
import { setTimeout as after } from 'node:timers/promises'
import * as z from '../config/zod.ts'
import type { OrderedMonitor, OrderedProgram } from './monitor.ts'
import { type Around, type Order, OrderRefusal, row } from './order.ts'
import { inputRefusal, oneProgram, programOf } from './program-orders.ts'

const side = z.number().int().min(1).max(1000)

const size = z.strictObject({ columns: side.describe('characters in a line'), rows: side.describe('lines') })

/** What follow-terminal tells, one by one: what the program shows, or what the watchdog notes of it. */
export type TerminalNews = { readonly text: string } | { readonly note: string }

/** ms that a terminal is followed for an adapter that takes only the whole answer. */
const shortMs = 2000

/** Characters that such an answer keeps. */
const mostText = 24_000

export const terminalOrders: readonly Order[] = [
  row({
    name: 'follow-terminal',
    summary: 'Show what the terminal of a program shows, with all escape sequences, and go on.',
    // Whoever may type into it may see it, secrets that are no known ones included.
    scope: 'input',
    perUnit: true,
    changes: true,
    tells: true,
    input: z.strictObject({
      units: oneProgram,
      size: size.optional().describe('gives the terminal this size'),
    }),
    output: z.object({ unit: z.string(), text: z.string().describe('what it showed last') }),
    carryOut: followTerminal,
  }),
  row({
    name: 'type',
    summary: 'Press keys in the terminal of a program that takes input, or change the size of that terminal.',
    scope: 'input',
    perUnit: true,
    changes: true,
    isFrequent: true,
    hides: ['keys'],
    input: z.strictObject({
      units: oneProgram,
      keys: z.string().optional().describe('as a terminal sends them: "\\r" is Enter, "\\u0003" Ctrl-C'),
      size: size.optional().describe('gives the terminal this size'),
    }),
    output: z.object({ unit: z.string() }),
    carryOut: ({ units, keys, size: wanted }, { monitor }) => {
      const { name, program } = terminalOf(units, monitor)
      if (wanted !== undefined) program.terminal.resize(wanted)
      const refusal = keys === undefined ? undefined : program.input.send(keys, true)
      if (refusal !== undefined) throw inputRefusal(name, refusal)
      return { unit: name }
    },
  }),
]

function terminalOf(
  units: readonly string[],
  monitor: OrderedMonitor,
): { readonly name: string; readonly program: OrderedProgram } {
  const found = programOf(units, monitor)
  if (found.program.configuration.pty !== undefined) return found
  throw new OrderRefusal(
    'no-terminal',
    `${found.name} has no terminal`,
    'pty: true in its configuration gives it one',
  )
}

async function followTerminal(
  {
    units,
    size: wanted,
  }: {
    readonly units: readonly string[]
    readonly size?: { readonly columns: number; readonly rows: number } | undefined
  },
  { monitor, gone, emit }: Around,
) {
  const { name, program } = terminalOf(units, monitor)
  const tell = (news: TerminalNews) => emit?.(news)
  const ends = [
    program.terminal.follow((text) => tell({ text })),
    program.output.onLine(({ stream, text }) => {
      if (stream === 'watchdog') tell({ note: text })
    }),
  ]
  try {
    tell({ text: program.terminal.recent })
    if (wanted !== undefined) program.terminal.resize(wanted)
    await after(emit === undefined ? shortMs : 2 ** 31 - 1, undefined, { signal: gone }).catch(() => {})
  } finally {
    for (const end of ends) end()
  }
  return { unit: name, text: program.terminal.recent.slice(-mostText) }
}
