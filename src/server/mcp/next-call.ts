/**
 * The next step as an agent takes it: a tool, where the order of that step has one. An agent cannot type a command; what only a person can do
 * stays as it is.
 */
import type { NextOrder } from '../../orders/next-step.ts'
import type { RoadAnswer, RoadError } from './road.ts'

/** The tool that gives an order, by the name of that order. */
export const toolOfOrder: Readonly<Record<string, string>> = {
  list: 'process_list',
  status: 'get_status',
  start: 'process_start',
  stop: 'process_stop',
  restart: 'process_restart',
  wait: 'wait_ready',
  logs: 'get_logs',
  'search-logs': 'logs_search',
  'run-action': 'run_action',
  send: 'send_input',
}

/** Orders that a tool for several gives, as its `action`. */
const actions: ReadonlySet<string> = new Set(['retry', 'adopt', 'end'])

/** `get_logs {"units":["web"]}`; undefined = no tool gives this order. */
export function callText({ order, units }: NextOrder): string | undefined {
  if (actions.has(order)) return `process_control ${JSON.stringify({ action: order, units })}`
  const tool = Object.hasOwn(toolOfOrder, order) ? toolOfOrder[order] : undefined
  if (tool === undefined) return undefined
  return units.length === 0 ? tool : `${tool} ${JSON.stringify({ units })}`
}

/** An answer whose next steps are named for an agent. */
export function forAgent(answer: RoadAnswer): RoadAnswer {
  if ('error' in answer) return { ...answer, error: named(answer.error) }
  const { units } = (answer.output ?? {}) as { readonly units?: unknown }
  if (!Array.isArray(units)) return answer
  const told = units.map((unit: { readonly error?: RoadError | null }) =>
    unit.error == null ? unit : { ...unit, error: named(unit.error) },
  )
  return { ...answer, output: { ...(answer.output as object), units: told } }
}

function named<Error extends Pick<RoadError, 'next' | 'nextOrder'>>({ nextOrder, ...error }: Error) {
  const call = nextOrder === undefined ? undefined : callText(nextOrder)
  return call === undefined ? error : { ...error, next: call }
}
