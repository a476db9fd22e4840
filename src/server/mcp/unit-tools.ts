/** Tools about units: list, start, stop, restart, scale, wait. */
import * as z from '../../config/zod.ts'
import type { UnitResult } from '../../orders/unit-result.ts'
import type { UnitState } from '../../orders/unit-state.ts'
import type { Waited } from '../../orders/wait-order.ts'
import { severity } from '../../report/status.ts'
import { fitting } from './budget.ts'
import { programLines } from './program-lines.ts'
import {
  errorLine,
  failure,
  type Give,
  type Input,
  onlyOne,
  readsOnly,
  type Tool,
  type ToolOutcome,
} from './tool.ts'
import { type BriefResult, briefOf, briefResult, briefUnit, unitLine } from './unit-text.ts'

const units = z
  .array(z.string())
  .min(1)
  .describe('names of units; process_list lists them, and a wrong name is answered with those that are there')

const timeoutMs = z
  .number()
  .int()
  .min(0)
  .max(120_000)
  .default(30_000)
  .describe('how long to wait until it is done; the order stands after that')

const cursor = z.string().optional().describe('nextCursor of the answer before, for what it left out')

const leftOut = z.number().describe('how many did not fit into the answer')

const unitsInput = z.strictObject({ units, timeoutMs })

const unitsOutput = z.object({ results: z.array(briefResult), leftOut })

const controls = { readOnlyHint: false, destructiveHint: false, idempotentHint: true }
const destroys = { readOnlyHint: false, destructiveHint: true, idempotentHint: true }

const listOutput = z.object({ units: z.array(briefUnit), leftOut, nextCursor: z.string().optional() })

export const unitTools: readonly Tool[] = [
  {
    name: 'process_list',
    title: 'List processes and forwards',
    description:
      'Call this first. Lists every unit that the watchdog keeps alive, programs and port forwards, with state, PID, uptime, restarts, ports and the reason when one does not run.',
    orders: ['list'],
    annotations: readsOnly,
    isLarge: true,
    schemas: () => ({ input: z.strictObject({ cursor }), output: listOutput }),
    run: async ({ cursor: from }, give) => {
      const answer = await give('list', {})
      if ('error' in answer) return failure(answer.error)
      const { units: all } = answer.output as { readonly units: readonly UnitState[] }
      return listed(all, Number(from ?? 0), await lastLines(all, give))
    },
  },
  control(
    'process_start',
    'Start',
    'start',
    'Starts units that are down or wait for their next try, and waits until they run. Does nothing to one that runs.',
    controls,
  ),
  control(
    'process_stop',
    'Stop',
    'stop',
    'Stops units. They stay down, also after a restart of the watchdog, until process_start.',
    destroys,
  ),
  control(
    'process_restart',
    'Restart',
    'restart',
    'Restarts units, or starts those that do not run, and waits until they run. A forward is replaced without refusing a connection. Copies of a program in turn.',
    {
      ...destroys,
      idempotentHint: false,
    },
    unitsInput.extend({
      allAtOnce: z.boolean().default(false).describe('copies of a program not in turn'),
    }),
  ),
  control(
    'restart_forward',
    'Restart a port forward',
    'restart',
    'Replaces the process of port forwards without refusing a connection. Restarting a forward does not restart the app behind it.',
    {
      ...controls,
      idempotentHint: false,
    },
  ),
  {
    name: 'process_control',
    title: 'Start, stop or restart',
    description:
      'Does what process_start, process_stop and process_restart do; action names which. `retry` tries a unit again at once that waits (backoff, flapping, blocked). For one that is detached, `adopt` takes the processes that its first one has left behind for its own, and `end` ends them.',
    orders: ['start', 'stop', 'restart', 'retry', 'adopt', 'end'],
    annotations: { ...destroys, idempotentHint: false },
    schemas: () => ({
      input: unitsInput.extend({ action: z.enum(['start', 'stop', 'restart', 'retry', 'adopt', 'end']) }),
      output: unitsOutput,
    }),
    run: ({ action, ...input }, give) => ordered(String(action), input, give),
  },
  {
    name: 'wait_ready',
    title: 'Wait until ready',
    description:
      'Waits until units are ready (default), healthy or have exited, at most 120 s. Ends early when one fails, and then brings the last lines of its log. Use it instead of polling.',
    orders: ['wait'],
    annotations: readsOnly,
    schemas: (rows) => ({ input: onlyOne(rows).input, output: unitsOutput }),
    run: (input, give) => ordered('wait', input, give),
  },
]

function control(
  name: string,
  title: string,
  order: string,
  description: string,
  annotations: Tool['annotations'],
  input = unitsInput,
): Tool {
  return {
    name,
    title,
    description,
    orders: [order],
    annotations,
    schemas: () => ({ input, output: unitsOutput }),
    run: (given, give) => ordered(order, given, give),
  }
}

/** Programs in trouble whose last line is shown in the list. */
const mostInTrouble = 10

async function lastLines(all: readonly UnitState[], give: Give): Promise<ReadonlyMap<string, string>> {
  const inTrouble = all.filter(({ kind, state }) => kind === 'program' && severity(state) > 0)
  const lines = inTrouble.slice(0, mostInTrouble).map(async ({ name }) => {
    const [last] = await programLines(name, { newest: 1, errors: 1 }, give)
    return [name, last] as const
  })
  return new Map(
    (await Promise.all(lines)).flatMap(([name, line]) => (line === undefined ? [] : [[name, line]])),
  )
}

function listed(all: readonly UnitState[], from: number, printed: ReadonlyMap<string, string>): ToolOutcome {
  const rest = all.slice(from).map((state) => {
    const lastLine = printed.get(state.name)
    return lastLine === undefined ? briefOf(state) : { ...briefOf(state), lastLine }
  })
  const shown = fitting(rest)
  const left = rest.length - shown.length
  const more = left === 0 ? [] : [`[${left} units left out; call again with cursor "${from + shown.length}"]`]
  const states = [...new Set(all.map(({ state }) => state))]
  const counts = states.map((state) => `${all.filter((one) => one.state === state).length} ${state}`)
  const head =
    all.length === 0
      ? 'The watchdog keeps no units: its configuration names none.'
      : `${all.length} units: ${counts.join(', ')}`
  return {
    text: [head, ...shown.map(unitLine), ...more].join('\n'),
    structured: {
      units: shown,
      leftOut: left,
      ...(left === 0 ? {} : { nextCursor: String(from + shown.length) }),
    },
  }
}

/** Gives an order about units, and tells what became of each: failures first, since they say what to do next. */
async function ordered(order: string, input: Input, give: Give): Promise<ToolOutcome> {
  const answer = await give(order, input)
  if ('error' in answer) return failure(answer.error)
  const { units: results } = answer.output as { readonly units: readonly Given[] }
  return resultsOf(answer.done, await withLines(results, give))
}

/** `lines` come with a wait that failed. */
type Given = UnitResult & { readonly lines?: Waited['lines'] }

type Result = UnitResult & { readonly lines?: readonly string[] }

/** Lines of a program that failed, and how many of those bring them. */
const failedLines = { newest: 8, errors: 3 }
const mostFailed = 5

/** Those of a program as get_logs tells them, those of a forward as the log has them. */
async function withLines(results: readonly Given[], give: Give): Promise<readonly Result[]> {
  const silent = results.filter(({ outcome, state }) => outcome === 'failed' && state.kind === 'program')
  const told = silent.slice(0, mostFailed)
  const lines = await Promise.all(told.map(({ state }) => programLines(state.name, failedLines, give)))
  return results.map((result) => {
    const { lines: own = [], ...rest } = result
    const found = lines[told.indexOf(result)]
    return { ...rest, lines: found ?? own.map(({ time, level, message }) => `${time} ${level} ${message}`) }
  })
}

function resultsOf(done: boolean, results: readonly Result[]): ToolOutcome {
  const brief = results
    .map(({ outcome, error, state, lines = [] }): BriefResult => {
      const log = lines.length === 0 ? {} : { lines: [...lines] }
      return { outcome, unit: briefOf(state), ...(error === null ? {} : { error }), ...log }
    })
    .toSorted((a, b) => Number(b.outcome === 'failed') - Number(a.outcome === 'failed'))
  const shown = fitting(brief)
  const left = brief.length - shown.length
  const more = left === 0 ? [] : [`[${left} units left out]`]
  return {
    text: [...shown.flatMap(resultLines), ...more].join('\n'),
    structured: { results: shown, leftOut: left },
    isError: !done,
  }
}

function resultLines({ outcome, unit, error, lines = [] }: BriefResult): string[] {
  if (error === undefined) return [`${outcome}: ${unitLine(unit)}`]
  const log = lines.length === 0 ? [] : ['last lines:', ...lines]
  return [`failed: ${errorLine(error)}`, `now: ${unitLine(unit)}`, ...log]
}
