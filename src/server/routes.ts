/** What is served at which path, to whoever was let in. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { type Context, Hono } from 'hono'
import { carryOut, orders, refusedBefore } from '../orders/index.ts'
import type { OrderedMonitor } from '../orders/monitor.ts'
import type { Order, OrderAnswer } from '../orders/order.ts'
import { type Principal, seenBy } from '../orders/principal.ts'
import { isUp } from '../orders/unit-goals.ts'
import { readBody } from '../web/node-http.ts'
import type { Reply } from '../web/reply.ts'
import { type Door, tooMany, type Visitor } from './door.ts'
import { type DoorError, doorReply, jsonHeaders, statusOf } from './errors.ts'
import { streamEvents } from './event-stream.ts'
import { inputOf, methodOf, openApi, servedOrders } from './openapi.ts'

/** What comes with a request that was let in. */
export interface Bindings {
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
  /** Undefined = a stranger, at a path that is everybody's. */
  readonly visitor: Visitor | undefined
}

/** Answers what comes to `/mcp`. It gives orders by `carryOut` as this principal, who has been let in, and takes bodies of up to 4 MiB. */
export type McpHandler = (request: Request, principal: Principal) => Promise<Response> | Response

export interface RouteParts {
  readonly monitor: () => OrderedMonitor
  readonly door: Door
  /** Made at the first request; undefined = nothing is served there. */
  readonly mcp: (() => Promise<McpHandler>) | undefined
  readonly counts: { readonly answers: Map<number, number>; streams: number }
}

/** Bytes of a body, and ms that it may take to come. */
const bodyLimits = { bytes: 1024 * 1024, ms: 10_000 }

/** Orders that one key may have under way, and event streams, of one key and of all. */
const mostAtOnce = 32
const mostStreams = { ofOne: 16, ofAll: 64 }

/** The paths that need no key. */
export function isOpen(method: string, path: string): boolean {
  return (method === 'GET' || method === 'HEAD') && (path === '/healthz' || path === '/readyz')
}

type App = Hono<{ Bindings: Bindings }>
type At = Context<{ Bindings: Bindings }>

export function routes(parts: RouteParts): App {
  const app: App = new Hono<{ Bindings: Bindings }>()
  const underWay = new Map<string, number>()
  const streams = new Map<string, number>()
  app.get('/healthz', (c) => json(c, 200, { status: 'ok' }))
  app.get('/readyz', (c) => ready(c, parts))
  app.get('/metrics', (c) => metrics(c, parts))
  app.get('/api/openapi.json', (c) => json(c, 200, openApi(orders)))
  app.get('/api/events', (c) => events(c, parts, streams))
  app.on(['GET', 'POST', 'DELETE'], '/api/session', (c) => session(c, parts.door))
  for (const order of servedOrders(orders)) {
    // One that only reads may be asked by POST, too: a long input does not fit into a URL.
    app.on([...new Set([methodOf(order), 'POST'])], `/api/${order.name}`, async (c) => {
      if ((order.changes && order.tells !== true) || c.req.header('accept') !== 'text/event-stream')
        return atOnce(c, underWay, () => give(c, order, parts))
      return stream(c, order, await inputAt(c, order), parts, streams)
    })
  }
  const { mcp } = parts
  if (mcp !== undefined) {
    let handler: Promise<McpHandler> | undefined
    app.all('/mcp', (c) =>
      atOnce(c, underWay, async () => {
        handler ??= mcp()
        return (await handler)(c.req.raw, { ...visitorOf(c).principal, actor: mcpActor(c) })
      }),
    )
  }
  app.notFound((c) => sent(c, elsewhere(c)))
  app.onError((error, c) => {
    const message = `a fault in port-watchdog: ${error instanceof Error ? error.message : String(error)}`
    return json(c, 500, { done: false, error: { code: 'internal', message, next: null } })
  })
  return app
}

function mcpActor(c: At): Principal['actor'] {
  return { ...visitorOf(c).principal.actor, via: 'mcp' }
}

/** Only paths that are everybody's are reached without a key. */
function visitorOf(c: At): Visitor {
  const { visitor } = c.env
  if (visitor === undefined) throw new Error('nobody was let in')
  return visitor
}

async function give(c: At, order: Order, { monitor }: RouteParts): Promise<Response> {
  const { principal } = visitorOf(c)
  const refusal = refusedBefore(order, principal, monitor())
  if (refusal !== undefined) return answered(c, refusal)
  const input = await inputAt(c, order)
  if (input instanceof Unread) return sent(c, input.reply)
  const { outgoing } = c.env
  const left = new AbortController()
  outgoing.once('close', () => left.abort())
  return answered(c, await carryOut(order.name, input, { monitor: monitor(), principal, gone: left.signal }))
}

/** What a request asks of an order, or the refusal of one that cannot be read. */
async function inputAt(c: At, order: Order): Promise<unknown> {
  return c.req.method === 'POST' ? bodyOf(c) : inputOf(order, new URL(c.req.url).searchParams)
}

/** The body of a request as a value, or the refusal of one that is none. */
async function bodyOf(c: At): Promise<unknown> {
  const { incoming } = c.env
  const length = Number(incoming.headers['content-length'] ?? 0)
  if (length > bodyLimits.bytes) return new Unread(doorReply(tooLarge, { connection: 'close' }))
  const text = await readBody(incoming, bodyLimits)
  if (text === undefined) return new Unread(doorReply(tooLarge, { connection: 'close' }))
  if (text === '') return {}
  if (!/^application\/json *(?:;|$)/i.test(incoming.headers['content-type'] ?? '')) {
    const next = 'Content-Type: application/json'
    return new Unread(
      doorReply({ code: 'wrong-content-type', message: 'the body of an order is JSON', next }),
    )
  }
  try {
    return JSON.parse(text)
  } catch {
    return new Unread({ status: 400, headers: jsonHeaders, body: notJson })
  }
}

const notJson = `${JSON.stringify({
  done: false,
  error: { code: 'invalid-input', message: 'the body is no JSON', next: null },
})}\n`

const tooLarge: DoorError = {
  code: 'too-large',
  message: 'the body is too long, or did not arrive in time',
  next: `send at most ${bodyLimits.bytes} bytes`,
}

/** The answer to a request that cannot be read. It is a class because a body may look like anything else. */
class Unread {
  readonly reply: Reply

  constructor(reply: Reply) {
    this.reply = reply
  }
}

/** Events with their names: those after the last one that the client has, or the last ones. */
function events(c: At, parts: RouteParts, streams: Map<string, number>) {
  const order = orders.find(({ name }) => name === 'follow-events')
  if (order === undefined) throw new Error('there is no order follow-events')
  const { searchParams } = new URL(c.req.url)
  const after = c.req.header('last-event-id')
  if (after !== undefined) searchParams.set('after', after)
  return stream(c, order, inputOf(order, searchParams), parts, streams)
}

/** What an order tells while it goes on, as a stream of events. */
async function stream(
  c: At,
  order: Order,
  input: unknown,
  { monitor, door, counts }: RouteParts,
  streams: Map<string, number>,
) {
  const { principal, key } = visitorOf(c)
  const refusal = refusedBefore(order, principal, monitor())
  if (refusal !== undefined) return answered(c, refusal)
  if (input instanceof Unread) return sent(c, input.reply)
  const give = (gone: AbortSignal, emit?: (event: unknown) => void) =>
    carryOut(order.name, input, { monitor: monitor(), principal, gone, emit })
  // With a status of its own: a browser would ask for a stream again and again.
  if (!order.input.safeParse(input).success) return answered(c, await give(AbortSignal.abort()))
  const open = streams.get(key.id) ?? 0
  if (open >= mostStreams.ofOne || counts.streams >= mostStreams.ofAll) return sent(c, tooMany(5000))
  streams.set(key.id, open + 1)
  counts.streams++
  const { incoming, outgoing } = c.env
  const isAllowed = () => door.isStillValid(key)
  await streamEvents(incoming, outgoing, (emit, gone) => give(gone, emit), isAllowed).finally(() => {
    counts.streams--
    const left = (streams.get(key.id) ?? 1) - 1
    if (left === 0) streams.delete(key.id)
    else streams.set(key.id, left)
  })
  return RESPONSE_ALREADY_SENT
}

/** Opens, tells and ends the session of a browser, whose user has shown a key. */
function session(c: At, door: Door): Response {
  const { key, session: id, principal } = visitorOf(c)
  const allows = { name: key.name, scopes: key.scopes, units: key.units }
  const source = principal.from ?? ''
  switch (c.req.method) {
    case 'POST': {
      // A session that could open the next one would never end.
      if (id !== undefined) {
        const next = 'POST /api/session with Authorization: Bearer KEY'
        return sent(c, doorReply({ code: 'no-key', message: 'only a key opens a session', next }))
      }
      const { session: opened, cookie } = door.sessions.open(key.id, source)
      c.header('set-cookie', cookie)
      return json(c, 200, { done: true, output: { ...opened, ...allows } })
    }
    case 'DELETE':
      if (id !== undefined) c.header('set-cookie', door.sessions.close(id))
      return json(c, 200, { done: true, output: {} })
    default: {
      const opened = id === undefined ? undefined : door.sessions.tell(id)
      if (opened === undefined) {
        const next = 'POST /api/session with Authorization: Bearer KEY'
        return sent(c, doorReply({ code: 'not-found', message: 'there is no session', next }))
      }
      return json(c, 200, { done: true, output: { ...opened, ...allows } })
    }
  }
}

/** Ready = every unit that is not stopped runs and answers. */
function ready(c: At, { monitor }: RouteParts): Response {
  const { visitor } = c.env
  const whole = monitor()
  const seen = visitor === undefined ? whole : seenBy(whole, visitor.principal)
  const units = seen.units().map((unit) => {
    const record = unit.record()
    // By an order, or it waits for one (`autostart: false`).
    const stopped = unit.wantedDown() !== undefined || record.phase === 'down'
    return { name: unit.name, phase: record.phase, ready: isUp(record), stopped }
  })
  const isReady = !whole.isEnding && units.every((unit) => unit.ready || unit.stopped)
  const status = isReady ? 'ready' : 'not-ready'
  return json(c, isReady ? 200 : 503, visitor === undefined ? { status } : { status, units })
}

async function metrics(c: At, { monitor, door, counts }: RouteParts): Promise<Response> {
  const { principal } = visitorOf(c)
  if (!principal.scopes.includes('read')) {
    const message = 'metrics need the scope "read", which this key does not have'
    const error = { code: 'not-permitted', message, next: 'proxy-ctl key create' } as const
    return answered(c, { done: false, error })
  }
  const { exposition } = await import('./metrics.ts')
  const { contentType, text } = await exposition(seenBy(monitor(), principal), {
    ...counts,
    refusals: door.refusals,
  })
  return c.body(text, 200, { 'content-type': contentType, 'cache-control': 'no-store' })
}

/** What is no path of the API, or one that is asked by another method. */
function elsewhere(c: At): Reply {
  const name = /^\/api\/([a-z-]+)$/.exec(c.req.path)?.[1]
  const order = servedOrders(orders).find((one) => one.name === name)
  if (order !== undefined) {
    const allow = order.changes ? 'POST' : 'GET, POST'
    const message = `${order.name} is given by ${allow}`
    return doorReply({ code: 'wrong-method', message, next: `${methodOf(order)} ${c.req.path}` }, { allow })
  }
  const next = 'GET /api/openapi.json lists what there is'
  return doorReply({ code: 'not-found', message: `there is nothing at ${c.req.path}`, next })
}

/** Runs what a key has asked for, unless too much of it is under way. */
async function atOnce(
  c: At,
  underWay: Map<string, number>,
  work: () => Promise<Response>,
): Promise<Response> {
  const { key } = visitorOf(c)
  const count = underWay.get(key.id) ?? 0
  if (count >= mostAtOnce) return sent(c, tooMany(1000))
  underWay.set(key.id, count + 1)
  try {
    return await work()
  } finally {
    const left = (underWay.get(key.id) ?? 1) - 1
    if (left === 0) underWay.delete(key.id)
    else underWay.set(key.id, left)
  }
}

function answered(c: At, answer: OrderAnswer): Response {
  return json(c, statusOf(answer), answer)
}

function json(c: At, status: number, value: unknown): Response {
  return c.body(`${JSON.stringify(value)}\n`, status as 200, jsonHeaders)
}

function sent(c: At, { status, headers, body }: Reply): Response {
  return c.body(body, status as 200, headers as Record<string, string>)
}
