/**
 * What an MCP client can read and subscribe to: the list of units, what happened, what the machine has, and the log of each unit.
 */
import { ProtocolError, ProtocolErrorCode, ResourceNotFoundError } from '@modelcontextprotocol/server'
import { masked } from '../../log/redaction.ts'
import type { UnitState } from '../../orders/unit-state.ts'
import type { JournalEntry } from '../../record/shapes/journal.ts'
import type { StatusReport } from '../../record/shapes/status-report.ts'
import { fitting, lastOf } from './budget.ts'
import type { GivenCall, OrderRoad } from './road.ts'
import type { TrafficReport } from './traffic.ts'
import { briefOf } from './unit-text.ts'

export const uris = {
  processList: 'watchdog://process_list',
  logStream: 'watchdog://log_stream',
  systemStats: 'watchdog://system_stats',
} as const

/** The log of a unit, as a URI template (RFC 6570). */
const logTemplate = 'process://{name}/log'

const fixed = [
  {
    uri: uris.processList,
    name: 'process_list',
    title: 'Programs and forwards',
    description: 'Every unit that the watchdog keeps alive, with state, PID, uptime, restarts and ports.',
    mimeType: 'application/json',
  },
  {
    uri: uris.logStream,
    name: 'log_stream',
    title: 'What happened',
    description: 'The last events: starts, deaths, failures, recoveries and orders, a JSON line each.',
    mimeType: 'application/x-ndjson',
  },
  {
    uri: uris.systemStats,
    name: 'system_stats',
    title: 'CPU, memory, descriptors',
    description: 'What each unit, the monitor and the machine use, and how much this MCP server was asked.',
    mimeType: 'application/json',
  },
]

export const resourceTemplates = [
  {
    uriTemplate: logTemplate,
    name: 'process_log',
    title: 'Log of a unit',
    description: 'The last lines that a program has printed, or of the log of a forward.',
    mimeType: 'text/plain',
  },
]

/** Events that the stream begins with. */
const lastEvents = 100

export async function resourceList(road: OrderRoad, call: GivenCall) {
  const names = await unitNames(road, call)
  const logs = names.map((name) => ({
    uri: logUri(name),
    name: `${name} log`,
    title: `Log of ${name}`,
    mimeType: 'text/plain',
  }))
  return [...fixed, ...logs]
}

/** Names of units that begin so; empty when no monitor runs. */
export async function completions(
  begin: string,
  road: OrderRoad,
  call: GivenCall,
): Promise<readonly string[]> {
  return (await unitNames(road, call)).filter((name) => name.startsWith(begin))
}

async function unitNames(road: OrderRoad, call: GivenCall): Promise<readonly string[]> {
  const answer = await road.give('list', {}, call)
  if (!('output' in answer)) return []
  return (answer.output as { readonly units: readonly UnitState[] }).units.map(({ name }) => name)
}

export function logUri(name: string): string {
  return `process://${encodeURIComponent(name)}/log`
}

/** Characters of a URI that are read: subscriptions are kept. */
const longestUri = 1000

/** The unit whose log a URI is; undefined = it is no such URI. */
export function nameIn(uri: string): string | undefined {
  if (uri.length > longestUri) return undefined
  const encoded = /^process:\/\/([^/?#]+)\/log$/.exec(uri)?.[1]
  try {
    return encoded === undefined ? undefined : decodeURIComponent(encoded)
  } catch {
    return undefined
  }
}

/** Whether there can be such a resource. */
export function isResource(uri: string): boolean {
  return fixed.some((one) => one.uri === uri) || nameIn(uri) !== undefined
}

/** @throws ProtocolError when there is no such resource, or it cannot be read now. */
export async function readResource(uri: string, road: OrderRoad, traffic: TrafficReport, call: GivenCall) {
  const name = nameIn(uri)
  const about = fixed.find((one) => one.uri === uri)
  if (about === undefined && name === undefined) throw new ResourceNotFoundError(uri)
  const text =
    name === undefined ? await fixedText(uri, road, traffic, call) : await logText(uri, name, road, call)
  return { contents: [{ uri, mimeType: about?.mimeType ?? 'text/plain', text }] }
}

async function fixedText(
  uri: string,
  road: OrderRoad,
  traffic: TrafficReport,
  call: GivenCall,
): Promise<string> {
  const output = async (order: string, input: Readonly<Record<string, unknown>>) => {
    return await outputOf(uri, order, input, road, call)
  }
  switch (uri) {
    case uris.processList: {
      const { units } = (await output('list', {})) as { readonly units: readonly UnitState[] }
      const shown = fitting(units.map(briefOf))
      return JSON.stringify(masked({ units: shown, leftOut: units.length - shown.length }))
    }
    case uris.logStream:
      return lastOf(
        (await pastEvents(uri, road, call)).map((event) => `${JSON.stringify(masked(event))}\n`).join(''),
      )
    default:
      return JSON.stringify(masked({ ...((await output('system-stats', {})) as object), mcp: traffic }))
  }
}

/** A road tells events one by one, or keeps them for the answer. */
async function pastEvents(
  uri: string,
  road: OrderRoad,
  { signal }: GivenCall,
): Promise<readonly JournalEntry[]> {
  const told: JournalEntry[] = []
  const call = { signal, onEvent: (event: unknown) => void told.push(event as JournalEntry) }
  const output = await outputOf(uri, 'follow-events', { last: lastEvents, forMs: 0 }, road, call)
  return [...told, ...(output as { readonly events: readonly JournalEntry[] }).events]
}

/** The output of a program by its order, where there is one; of a forward the log that its status shows. */
async function logText(uri: string, name: string, road: OrderRoad, call: GivenCall): Promise<string> {
  const printed = await road.give('logs', { units: [name] }, call)
  if ('output' in printed) {
    const { lines } = printed.output as { readonly lines: readonly { readonly text: string }[] }
    return lastOf(lines.map(({ text }) => `${masked(text)}\n`).join(''))
  }
  const report = (await outputOf(uri, 'status', { units: [name] }, road, call)) as StatusReport
  const lines = report.details.flatMap(({ log }) => log)
  return lastOf(lines.map(({ time, level, message }) => `${time} ${level} ${masked(message)}\n`).join(''))
}

async function outputOf(
  uri: string,
  order: string,
  input: Readonly<Record<string, unknown>>,
  road: OrderRoad,
  call: GivenCall,
): Promise<unknown> {
  const answer = await road.give(order, input, call)
  if ('output' in answer) return answer.output
  const { code, message, next } = answer.error
  if (code === 'unknown-unit')
    throw new ResourceNotFoundError(uri, `Resource not found: ${uri}; ${next ?? ''}`)
  throw new ProtocolError(ProtocolErrorCode.InternalError, next === null ? message : `${message}; ${next}`, {
    code,
  })
}
