import { withParam } from './answers.ts'
import { knowsTasks } from './client-asks.ts'
import type { ClientRoster } from './client-roster.ts'
import type { Directory, Route } from './directory.ts'
import type { Figures } from './figures.ts'
import { listTtlMs } from './introduction.ts'
import { describedTool, foundTools, innerCall, lazyNames } from './lazy.ts'
import { matches } from './names.ts'
import type { Principal } from './principal.ts'
import { RpcError, reasonOf, rpcCode } from './protocol/errors.ts'
import { isObjectAt, textOf } from './protocol/json-text.ts'
import { idOf, type Message, paramsOf, resultText, stringParam } from './protocol/message.ts'
import { headerMismatch, type MirroredParameter } from './protocol/parameter-headers.ts'
import { metaKey } from './protocol/revisions.ts'
import { type Arrived, digest, type Relay } from './relay.ts'
import type { RequestLog } from './request-log.ts'
import { bridgedCall, holdResult } from './task-bridge.ts'
import type { KnownTask, Tasks } from './tasks.ts'
import type { CallingClient } from './upstream/call.ts'
import { ConnectionLost } from './upstream/connection.ts'
import type { Upstream } from './upstream/index.ts'
import type { ListKind } from './upstream/offering.ts'
import { UpstreamDown } from './upstream/slot.ts'
import type { WaitSignal } from './waiting.ts'

/** Whose requests these are, and what they need of the gateway around them. */
export interface ServerRequestsOptions {
  readonly directory: Directory
  readonly relay: Relay
  readonly roster: ClientRoster
  readonly figures: Figures
  readonly requests: RequestLog
  readonly tasks: Tasks
  /** Of the session, for people: a part of a digest is shown. */
  readonly sessionId: string
  /** As it is now. */
  readonly principal: () => Principal
  readonly clientName: () => string
  /** A client of the older generation has begun a task on a server of the newer one, and is told how it stands. */
  readonly taskBegun: (task: KnownTask) => void
}

/** How long a list waits for servers that start, in ms: a client that does not hear of changes would never see their tools. */
const listWaitMs = 10_000

/**
 * What one client asks of the servers: lists, which are answered from what is known of them, and what goes to the one that a name or a URI
 * leads to.
 */
export class ServerRequests {
  readonly #options: ServerRequestsOptions
  readonly #directory: Directory

  constructor(options: ServerRequestsOptions) {
    this.#options = options
    this.#directory = options.directory
  }

  async list(arrived: Arrived, kind: ListKind): Promise<string> {
    const { message, client, own } = arrived
    const cursor = paramsOf(message).get('cursor')
    if (cursor !== undefined)
      throw new RpcError(rpcCode.invalidParams, 'there is no such page: a list is one page')
    await this.known(this.#directory.upstreams, own.signal)
    const table = this.#directory.table(kind)
    const missing = this.#directory.missing()
    const word = kind === 'tools' ? 'tool' : kind
    this.#options.requests.say(() => `Listed ${table.count} ${word}(s) from ${table.connectors} connectors`)
    const meta = missing.length === 0 ? '' : `,"_meta":${JSON.stringify({ [metaKey.unavailable]: missing })}`
    const modern =
      client.era === 'modern' ? `,"resultType":"complete","ttlMs":${listTtlMs},"cacheScope":"private"` : ''
    return resultText(idOf(message), `{"${kind}":[${table.texts[client.era]}]${modern}${meta}}`)
  }

  /** Waits for servers that are starting, for a while. */
  async known(upstreams: readonly Upstream[], signal?: WaitSignal): Promise<void> {
    const unknown = upstreams.filter(({ isKnown, state }) => !isKnown && state === 'pending')
    if (unknown.length === 0) return
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, listWaitMs)
      signal?.addEventListener('abort', () => resolve(), { once: true })
    })
    await Promise.race([Promise.all(unknown.map((one) => one.settled())), patience])
    clearTimeout(timer)
  }

  callTool(arrived: Arrived): Promise<string> {
    return this.#directory.isLazy ? this.#lazily(arrived) : this.#toNamed('tools', arrived)
  }

  getPrompt(arrived: Arrived): Promise<string> {
    return this.#toNamed('prompts', arrived)
  }

  /** Where tools are found before they are called. What somebody knows already may be called by its name. */
  async #lazily(arrived: Arrived): Promise<string> {
    const { message, own, client } = arrived
    const name = stringParam(message, 'name')
    if (name === lazyNames.call)
      return this.#toNamed('tools', { ...arrived, message: innerCall(message), headers: undefined })
    if (name !== lazyNames.find && name !== lazyNames.describe) return this.#toNamed('tools', arrived)
    await this.known(this.#directory.upstreams, own.signal)
    const { items } = this.#directory.table('tools')
    const given = argumentsOf(message)
    const result = name === lazyNames.find ? foundTools(items, given) : describedTool(items, given)
    const whole = client.era === 'modern' ? { ...result, resultType: 'complete' } : result
    return resultText(idOf(message), JSON.stringify(whole))
  }

  async #toNamed(kind: 'tools' | 'prompts', arrived: Arrived): Promise<string> {
    const { message, method, client, outlet, own } = arrived
    const name = stringParam(message, 'name')
    if (name === undefined) throw new RpcError(rpcCode.invalidParams, `${method} needs a name`)
    const { requests, roster, figures, relay, tasks, principal, clientName, sessionId } = this.#options
    requests.say(() => `${method} name=${name}`)
    const route = await this.#route(kind, name, own.signal)
    const { upstream, name: known, isHeld, mirrored } = route
    if (isHeld) throw held(upstream.id, known)
    if (mirrored !== undefined) demandHeaders(arrived, mirrored)
    requests.say(() => `Routing → connector=${upstream.id} ${kind === 'tools' ? 'tool' : 'prompt'}=${known}`)
    if (kind === 'tools') this.#demandScopes(upstream, known)
    if (kind === 'tools') roster.called(clientName())
    const began = performance.now()
    let failure: string | undefined = 'other'
    try {
      const about = { parameter: 'name', value: known } as const
      const mayBeTask = kind === 'tools' && asksForTask(arrived)
      const making = { upstream, principal: principal(), session: sessionId }
      const keep = (result: string) => tasks.keep(result, making)
      const bridged = kind === 'tools' ? bridgedCall(arrived, route, keep) : undefined
      const answered = (answer: Message) => {
        failure = answer.error === undefined ? undefined : 'server'
        const task = mayBeTask ? tasks.note(answer, making) : undefined
        if (task === undefined || bridged === undefined) return
        if (client.era === 'modern') holdResult(task, client)
        else this.#options.taskBegun(task)
      }
      // Written out: to spread it takes a twentieth of the time of a call.
      return await relay.take({
        message: bridged?.message ?? message,
        method,
        client: bridged?.client ?? client,
        outlet,
        own,
        upstream,
        about,
        mirrored,
        answered,
        translated: bridged?.translated,
      })
    } catch (error) {
      failure = failureOf(error)
      throw error
    } finally {
      // For who does not wait any more there was no error, however long it took until then.
      const { aborted, reason } = own.signal
      const hasLeft = aborted && !(reason instanceof RpcError)
      figures.called(upstream.id, performance.now() - began, hasLeft ? undefined : failure)
      // Enough to tell sessions apart. The whole id is a secret: a program that knows it can speak as this client.
      const shown = () => digest(sessionId).slice(0, 8)
      requests.say(() => `Result: ${failure === undefined ? 'success' : 'error'} sessionId=${shown()}`)
    }
  }

  /** A token must allow this very tool; what it allows already is asked for with it. @throws RpcError */
  #demandScopes({ connector }: Upstream, tool: string): void {
    const { scopes } = this.#options.principal()
    if (scopes === null) return
    const needed = Object.entries(connector.toolScopes).flatMap(([glob, of]) =>
      matches(glob, tool) ? of : [],
    )
    if (needed.every((one) => scopes.has(one))) return
    const wanted = { scopes: [...new Set([...scopes, ...needed])] }
    throw new RpcError(rpcCode.insufficientScope, `the token does not allow the tool ${tool}`, wanted)
  }

  async #route(kind: 'tools' | 'prompts', name: string, signal: WaitSignal): Promise<Route> {
    const found = this.#directory.routeOf(kind, name)
    if (found !== undefined) return found
    const owners = this.#directory.unknownOwnersOf(name)
    await this.known(owners, signal)
    const now = this.#directory.routeOf(kind, name)
    if (now !== undefined) return now
    const down = owners.find(({ problem }) => problem !== undefined)
    if (down !== undefined) throw down.refusal()
    const what = kind === 'tools' ? 'tool' : 'prompt'
    throw new RpcError(rpcCode.invalidParams, `Unknown ${what}: ${name}; ${kind}/list tells the names`)
  }

  async readResource(arrived: Arrived): Promise<string> {
    const { message, method, client, own } = arrived
    const uri = stringParam(message, 'uri')
    if (uri === undefined) throw new RpcError(rpcCode.invalidParams, `${method} needs a uri`)
    await this.known(this.#directory.upstreams, own.signal)
    const upstream = this.#directory.ownerOf(uri)
    if (upstream === undefined) throw noResource(uri, client)
    const about = { parameter: 'uri', value: uri } as const
    return this.#options.relay.take({ ...arrived, upstream, about })
  }

  async complete(arrived: Arrived): Promise<string> {
    const { message, client, own } = arrived
    const { relay } = this.#options
    const { text } = message
    const member = paramsOf(message).get('ref')
    const ref =
      member === undefined ? {} : (JSON.parse(textOf(text, member)) as { name?: unknown; uri?: unknown })
    if (typeof ref.uri === 'string') {
      await this.known(this.#directory.upstreams, own.signal)
      const template = this.#directory.table('resourceTemplates').routes.get(ref.uri)
      const upstream = template?.upstream ?? this.#directory.ownerOf(ref.uri)
      if (upstream === undefined) throw noResource(ref.uri, client)
      return relay.take({ ...arrived, upstream })
    }
    const { upstream, name } = await this.#route('prompts', String(ref.name), own.signal)
    const renamed =
      member === undefined || name === ref.name
        ? message
        : withParam(message, 'ref', JSON.stringify({ ...ref, name }))
    return relay.take({ ...arrived, message: renamed, upstream })
  }

  /** A method that is not known here: it goes to the server where there is but one, and is refused where that would be a guess. */
  async unknown(arrived: Arrived): Promise<string> {
    const [only, ...others] = this.#directory.upstreams
    if (only === undefined || others.length > 0)
      throw new RpcError(rpcCode.methodNotFound, `Method not found: ${arrived.method}`)
    return this.#options.relay.take({ ...arrived, upstream: only })
  }
}

/** No server has this resource. */
export function noResource(uri: string, { era }: Pick<CallingClient, 'era'>): RpcError {
  const code = era === 'modern' ? rpcCode.invalidParams : rpcCode.resourceNotFound
  return new RpcError(code, `Resource not found: ${uri}`, { uri })
}

/** Whether the answer may be the handle of a task. */
function asksForTask({ message, client }: Arrived): boolean {
  return client.era === 'legacy' ? paramsOf(message).has('task') : knowsTasks(client)
}

/** A client over HTTP must repeat these arguments in headers: what stands between may have acted upon them. @throws RpcError */
function demandHeaders({ message, headers }: Arrived, mirrored: readonly MirroredParameter[]): void {
  const mismatch = headers && headerMismatch(mirrored, message, headers)
  if (mismatch === undefined) return
  const what = mismatch.what === 'missing' ? 'is missing' : 'says something else than the body'
  throw new RpcError(rpcCode.headerMismatch, `Header mismatch: ${mismatch.header} ${what}`)
}

/** The arguments of a call of one of our own tools. */
function argumentsOf(message: Message): Readonly<Record<string, unknown>> {
  const member = paramsOf(message).get('arguments')
  if (member === undefined || !isObjectAt(message.text, member)) return {}
  return JSON.parse(textOf(message.text, member)) as Record<string, unknown>
}

/** A tool whose description is not what somebody has trusted. */
function held(connector: string, tool: string): RpcError {
  const what = `the description of ${tool} of connector '${connector}' has changed, and the gateway holds the tool back`
  return new RpcError(rpcCode.toolHeld, `${what} until somebody accepts it: mcp-proxy pin list`, {
    connector,
  })
}

/** Why a call has failed, for figures. */
function failureOf(error: unknown): string {
  if (error instanceof UpstreamDown) return reasonOf(rpcCode.connectorDown)
  if (error instanceof ConnectionLost) return reasonOf(rpcCode.connectorLost)
  return error instanceof RpcError ? reasonOf(error.code) : 'other'
}
