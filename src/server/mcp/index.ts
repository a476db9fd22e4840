/**
 * mcp/: the monitor as an MCP server, for agents. Tools and resources are made from the table of orders; nothing here has a logic of its own.
 *
 *   stdio.ts (`proxy-ctl mcp`) or http.ts (`/mcp`) -> mcpServer() -> tools.ts, resources.ts -> OrderRoad (road.ts) -> a row of orders/
 *
 * Both generations of the protocol are served: revisions up to 2025-11-25, which begin with `initialize`, and 2026-07-28, in which each
 * request stands alone. The SDK speaks them; this code sees the difference only where clients are told of changes.
 *
 * To add a tool, add a row to unit-tools.ts, status-tools.ts, or, when it passes on input and output of an order as they are, row-tools.ts.
 */
import {
  CLIENT_INFO_META_KEY,
  type LoggingLevel,
  ProtocolError,
  ProtocolErrorCode,
  Server,
} from '@modelcontextprotocol/server'
import { logLevels } from '../../gateway/protocol/revisions.ts'
import { masked } from '../../log/redaction.ts'
import { version } from '../../os/version.ts'
import type { JournalEntry } from '../../record/shapes/journal.ts'
import { ChangeFollower, type Changes } from './changes.ts'
import type { ListenedUris } from './listened-uris.ts'
import { completions, isResource, readResource, resourceList, resourceTemplates } from './resources.ts'
import type { OrderRoad } from './road.ts'
import { callTool, offeredTools } from './tools.ts'
import type { Traffic } from './traffic.ts'

/** What a model reads before it calls anything. */
const instructions = `port-watchdog keeps programs (dev servers, apps) and TCP port forwards of this machine running, restarts what dies and says why.
Call process_list first; then get_status with the name of what is wrong: it has the reason, the last log lines and what to do next.
After process_start or process_restart the unit runs, or the answer says why not. Use wait_ready instead of polling. Units are named as in process_list.
A unit that was stopped stays down until process_start. Do not start by hand what the watchdog keeps: it would find the port taken.
Errors name the next step. Answers are cut to about 8,000 tokens; pass their cursor for the rest.`

export interface McpServerOptions {
  readonly road: OrderRoad
  readonly traffic: Traffic
  readonly era: 'legacy' | 'modern'
  /** What the client listens to, so that it is told on this server's connection; missing = whoever made this server tells it. */
  readonly listened?: ListenedUris
}

/** ms between two signs of life of a call that takes long, for a client that asked for progress. */
const progressEveryMs = 2000

/** Makes the server for one connection, or for one request of the 2026-07-28 protocol. */
export function mcpServer({ road, traffic, era, listened }: McpServerOptions): Server {
  const server = new Server(
    { name: 'port-watchdog', title: 'port-watchdog', version },
    {
      instructions,
      capabilities: {
        tools: {},
        resources: { subscribe: true, listChanged: true },
        completions: {},
        logging: {},
      },
      // The tools are those of this version and of this key.
      cacheHints: { 'tools/list': { ttlMs: 60_000, cacheScope: 'private' } },
    },
  )
  server.setRequestHandler('tools/list', () => ({ tools: offeredTools(road) }))
  server.setRequestHandler('tools/call', async ({ params }, { mcpReq }) => {
    const began = performance.now()
    const progress = progressOf(mcpReq)
    let isError = true
    try {
      const call = { signal: mcpReq.signal, onEvent: progress.onEvent }
      const result = await callTool(params.name, params.arguments ?? {}, road, call)
      isError = 'isError' in result
      return result
    } finally {
      progress.end()
      // On the new protocol each request says who sends it.
      const sent = (mcpReq.envelope as Partial<Record<string, { readonly name?: string }>>)?.[
        CLIENT_INFO_META_KEY
      ]
      const client = sent?.name ?? server.getClientVersion()?.name ?? 'unknown'
      traffic.count(params.name, client, performance.now() - began, isError)
    }
  })
  server.setRequestHandler('resources/list', async (_request, { mcpReq }) => {
    return { resources: await resourceList(road, mcpReq) }
  })
  server.setRequestHandler('resources/templates/list', () => ({ resourceTemplates }))
  server.setRequestHandler('resources/read', ({ params }, { mcpReq }) => {
    return readResource(params.uri, road, traffic.report(), mcpReq)
  })
  server.setRequestHandler('completion/complete', async ({ params }, { mcpReq }) => {
    const isName = params.ref.type === 'ref/resource' && params.argument.name === 'name'
    const values = isName ? await completions(params.argument.value, road, mcpReq) : []
    return {
      completion: { values: values.slice(0, 100), total: values.length, hasMore: values.length > 100 },
    }
  })
  if (listened !== undefined) tellChanges(server, road, era, listened)
  return server
}

/** Tells the client what changes: on the older protocol what it has subscribed to; on the new one the SDK knows which streams are open. */
function tellChanges(
  server: Server,
  road: OrderRoad,
  era: 'legacy' | 'modern',
  listened: ListenedUris,
): void {
  let level: LoggingLevel | undefined
  let follower: ChangeFollower | undefined
  const tell = async ({ updated, isListChanged, events }: Changes) => {
    if (isListChanged) await server.sendResourceListChanged()
    for (const uri of updated) {
      if (era === 'modern' || listened.has(uri)) await server.sendResourceUpdated({ uri })
    }
    if (level === undefined) return
    for (const event of events) {
      const severity = severityOf(event)
      if (logLevels.indexOf(severity) < logLevels.indexOf(level)) continue
      await server.sendLoggingMessage({ level: severity, logger: 'port-watchdog', data: masked(event) })
    }
  }
  const follow = () => {
    // What cannot be sent has no reader any more.
    follower ??= new ChangeFollower(road, (changes) => void tell(changes).catch(() => {}))
    return follower
  }
  server.onclose = () => follower?.close()
  listened.onOpen = follow
  server.oninitialized = follow
  listened.onAdd = (uri) => follow().watch(uri)
  listened.onDelete = (uri) => follower?.unwatch(uri)
  if (era === 'modern') return
  server.setRequestHandler('resources/subscribe', ({ params }) => {
    if (!isResource(params.uri)) {
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, `Resource not found: ${params.uri}`)
    }
    if (!listened.add(params.uri)) {
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'Too many subscriptions: end some first')
    }
    return {}
  })
  server.setRequestHandler('resources/unsubscribe', ({ params }) => {
    listened.delete(params.uri)
    return {}
  })
  server.setRequestHandler('logging/setLevel', ({ params }) => {
    level = params.level
    follow()
    return {}
  })
}

function severityOf(event: JournalEntry): LoggingLevel {
  switch (event.event) {
    case 'forward':
    case 'unit':
      if (['died', 'failed', 'start-failed', 'survived', 'blocked'].includes(event.kind)) return 'error'
      return event.kind === 'target-down' || event.kind === 'over-limit' ? 'warning' : 'info'
    case 'order':
      return event.outcome === 'done' ? 'info' : 'warning'
    case 'incident':
      return event.change === 'resolved' ? 'info' : 'error'
    case 'monitor-gap':
    case 'events-lost':
      return 'warning'
    default:
      return 'info'
  }
}

/** What a request handler knows of its request, as far as progress needs it. */
interface ProgressRequest {
  readonly _meta?: { readonly progressToken?: string | number | undefined }
  readonly notify: (notification: {
    method: 'notifications/progress'
    params: { progressToken: string | number; progress: number; message: string }
  }) => Promise<void>
}

/** Signs of life for a client that asked for them: seconds since the call began, and what the order tells. */
function progressOf({ _meta, notify }: ProgressRequest) {
  const progressToken = _meta?.progressToken
  if (progressToken === undefined) return { onEvent: () => {}, end: () => {} }
  const began = performance.now()
  let last = -1
  let message = 'under way'
  const tell = () => {
    // It must rise with every message.
    last = Math.max(last + 0.001, Math.round((performance.now() - began) / 100) / 10)
    const params = { progressToken, progress: last, message: masked(message) }
    void notify({ method: 'notifications/progress', params }).catch(() => {})
  }
  const ticking = setInterval(tell, progressEveryMs)
  const onEvent = (event: unknown) => {
    const { name, phase, reason } = event as { name?: string; phase?: string; reason?: string | null }
    if (name === undefined) return
    message = `${name}: ${phase}${reason == null ? '' : `, ${reason}`}`
    tell()
  }
  return { onEvent, end: () => clearInterval(ticking) }
}
