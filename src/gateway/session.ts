import type { Log } from '../log/index.ts'
import { version } from '../os/version.ts'
import { withParam } from './answers.ts'
import { ClientAsks } from './client-asks.ts'
import type { ClientRoster } from './client-roster.ts'
import type { Directory, Route } from './directory.ts'
import type { Figures } from './figures.ts'
import { describedTool, foundTools, lazyNames } from './lazy.ts'
import { matches } from './names.ts'
import type { ParkedCalls } from './parked-calls.ts'
import type { Principal } from './principal.ts'
import { endingData, errorText, RpcError, rpcCode, secondsToWait } from './protocol/errors.ts'
import { isObjectAt, type Member, membersOf, stringIn, textOf } from './protocol/json-text.ts'
import {
  idOf,
  isRequest,
  type Message,
  messageText,
  metaOf,
  paramsOf,
  resultText,
  stringParam,
} from './protocol/message.ts'
import {
  type Era,
  logLevels,
  metaKey,
  modernRevision,
  negotiated,
  newestLegacyRevision,
  supportedRevisions,
} from './protocol/revisions.ts'
import { type Arrived, digest, type Outlet, Relay } from './relay.ts'
import type { RequestLog } from './request-log.ts'
import { Subscriptions } from './subscriptions.ts'
import type { CallingClient, ClientAnswer } from './upstream/call.ts'
import { ConnectionLost } from './upstream/connection.ts'
import type { Upstream } from './upstream/index.ts'
import type { ListKind } from './upstream/offering.ts'
import { UpstreamDown } from './upstream/slot.ts'

export interface SessionOptions {
  /** Unguessable: over HTTP it is the session's id. */
  readonly id: string
  readonly directory: Directory
  readonly principal: Principal
  /** Takes a message that belongs to no request of the client; false = there is no way to it now. */
  readonly unsolicited: (text: string) => boolean
}

/** What a session needs of the gateway around it. */
export interface SessionSurroundings {
  readonly sessions: Set<Session>
  readonly roster: ClientRoster
  readonly figures: Figures
  readonly parked: ParkedCalls
  readonly log: Log
  readonly requests: RequestLog
  /** The gateway ends, and begins nothing new. */
  readonly isEnding: boolean
  /** A request is under way, or over. */
  begun(): void
  ended(): void
  /** Passes a notification of a client on to a server that runs. */
  tell(upstream: Upstream, session: string, method: string): void
  /** A client wants log messages of these servers. */
  levelWanted(upstreams: readonly Upstream[], session: string): void
}

const noInfo = JSON.stringify({ name: 'unknown', version: '0' })

/** How long a list waits for servers that start, in ms: a client that does not hear of changes would never see their tools. */
const listWaitMs = 10_000

/** ms for which a client may keep a list. The gateway notifies it of changes before. */
const listTtlMs = 5000

/** What the newer generation has no more. */
const legacyMethods: readonly string[] = [
  'initialize',
  'ping',
  'logging/setLevel',
  'resources/subscribe',
  'resources/unsubscribe',
]

/**
 * One client, in whichever generation it speaks: what it asks is answered here from the gateway's own state, or goes to the server that its
 * name leads to. A request of the newer generation that stands alone has a session of its own.
 */
export class Session {
  readonly id: string
  readonly directory: Directory
  #principal: Principal
  readonly #core: SessionSurroundings
  readonly #unsolicited: (text: string) => boolean
  #revision: string = newestLegacyRevision
  #client: CallingClient
  #name = 'unknown'
  #leave: (() => void) | undefined
  #level = -1
  readonly #asks = new ClientAsks()
  readonly #relay: Relay
  /** Calls of this client under way, by its own ids as JSON text. */
  readonly #calls = new Map<string, AbortController>()
  readonly #subscriptions: Subscriptions
  #isOver = false

  constructor(core: SessionSurroundings, { id, directory, principal, unsolicited }: SessionOptions) {
    this.#core = core
    this.id = id
    this.directory = directory
    this.#principal = principal
    this.#unsolicited = unsolicited
    this.#client = { era: 'legacy', info: noInfo, capabilities: '{}', connection: id }
    this.#subscriptions = new Subscriptions(directory, () =>
      this.#known(directory.upstreams, AbortSignal.timeout(listWaitMs)),
    )
    this.#relay = new Relay({
      asks: this.#asks,
      parked: core.parked,
      identity: `${principal.id} ${directory.isPrefixed}`,
      level: () => this.#level,
    })
    core.sessions.add(this)
  }

  get principal(): Principal {
    return this.#principal
  }

  /** The same client shows something newer: a token that is good for longer, or allows something else. */
  renew(principal: Principal): void {
    if (principal.id === this.#principal.id) this.#principal = principal
  }

  get revision(): string {
    return this.#revision
  }

  get clientName(): string {
    return this.#name
  }

  /** Requests under way. */
  get inFlight(): number {
    return this.#calls.size
  }

  /**
   * Takes what the client sends.
   * @param own aborted when the client does not wait any more; also by this session, at its end or when the time is over.
   * @returns the answer, or undefined when none is due.
   */
  async take(message: Message, outlet: Outlet, own = new AbortController()): Promise<string | undefined> {
    this.#core.roster.seen(this.#name)
    if (message.method === undefined) {
      this.#asks.answered(message)
      return undefined
    }
    if (!isRequest(message)) {
      this.#notified(message, message.method)
      return undefined
    }
    const id = idOf(message)
    if (this.#calls.has(id)) {
      return errorText(id, new RpcError(rpcCode.invalidRequest, `a request with the id ${id} is under way`))
    }
    this.#calls.set(id, own)
    // A stream of changes is nothing that could be finished.
    const isCall = message.method !== 'subscriptions/listen'
    if (isCall) this.#core.begun()
    try {
      return await this.#answer(message, message.method, outlet, own)
    } catch (error) {
      const reason: unknown = own.signal.reason
      return reason instanceof NobodyWaits ? undefined : errorText(id, this.#refusalOf(error))
    } finally {
      this.#calls.delete(id)
      if (isCall) this.#core.ended()
    }
  }

  #refusalOf(error: unknown): RpcError {
    if (error instanceof RpcError) return error
    if (error instanceof UpstreamDown) {
      const { connector, message, waitMs } = error
      if (this.#core.isEnding) return new RpcError(rpcCode.connectorDown, message, JSON.parse(endingData))
      const wait = waitMs === undefined ? {} : { retryAfter: secondsToWait(waitMs) }
      return new RpcError(rpcCode.connectorDown, message, { connector, ...wait })
    }
    if (error instanceof ConnectionLost) return new RpcError(rpcCode.connectorLost, error.message)
    if (error instanceof SessionOver) return new RpcError(rpcCode.connectorDown, error.message)
    const message = error instanceof Error ? error.message : String(error)
    this.#core.log.error({ err: error }, `A request failed: ${message}`)
    return new RpcError(rpcCode.internalError, message)
  }

  #notified(message: Message, method: string): void {
    switch (method) {
      case 'notifications/cancelled': {
        const id = paramsOf(message).get('requestId')
        if (id !== undefined) this.#calls.get(textOf(message.text, id))?.abort(new NobodyWaits())
        return
      }
      case 'notifications/roots/list_changed':
        for (const upstream of this.directory.upstreams) this.#core.tell(upstream, this.id, method)
    }
  }

  async #answer(message: Message, method: string, outlet: Outlet, own: AbortController): Promise<string> {
    const id = idOf(message)
    const { signal } = own
    const client = this.#callerOf(message)
    const arrived: Arrived = { message, method, client, outlet, own }
    this.#core.requests.say(() => `Request: ${method}`)
    if (client.era === 'modern' && legacyMethods.includes(method))
      throw new RpcError(rpcCode.methodNotFound, `Method not found: ${method}`)
    switch (method) {
      case 'initialize':
        return resultText(id, this.#initialize(message))
      case 'ping':
        return resultText(id, '{}')
      case 'server/discover':
        return resultText(id, this.#discover())
      case 'tools/list':
        return resultText(id, await this.#list('tools', client, message, signal))
      case 'prompts/list':
        return resultText(id, await this.#list('prompts', client, message, signal))
      case 'resources/list':
        return resultText(id, await this.#list('resources', client, message, signal))
      case 'resources/templates/list':
        return resultText(id, await this.#list('resourceTemplates', client, message, signal))
      case 'tools/call':
        return this.directory.isLazy ? this.#lazily(arrived) : this.#toNamed('tools', arrived)
      case 'prompts/get':
        return this.#toNamed('prompts', arrived)
      case 'resources/read':
        return this.#toResource(arrived)
      case 'completion/complete':
        return this.#complete(arrived)
      case 'resources/subscribe':
      case 'resources/unsubscribe':
        return resultText(id, await this.#follow(message, method === 'resources/subscribe'))
      case 'logging/setLevel':
        return resultText(id, this.#setLevel(message))
      case 'subscriptions/listen':
        return this.#subscriptions.listen(message, outlet.send, signal)
      default:
        return this.#unknown(arrived)
    }
  }

  /** Who asks: of the newer generation each request says so. */
  #callerOf(message: Message): CallingClient {
    const { text } = message
    const meta = metaOf(text, paramsOf(message))
    const claimed = meta.get(metaKey.protocolVersion)
    if (claimed === undefined) return this.#client
    const info = meta.get(metaKey.clientInfo)
    const capabilities = meta.get(metaKey.clientCapabilities)
    const client: CallingClient = {
      era: 'modern',
      info: info === undefined ? noInfo : textOf(text, info),
      capabilities: capabilities === undefined ? '{}' : textOf(text, capabilities),
      // It has no session: who can do the same and is the same shares one.
      connection: digest(this.principal.id, capabilities === undefined ? '' : textOf(text, capabilities)),
    }
    const version = JSON.parse(textOf(text, claimed))
    if (version !== modernRevision) {
      const data = { supported: supportedRevisions, requested: version }
      throw new RpcError(rpcCode.unsupportedVersion, 'Unsupported protocol version', data)
    }
    this.#name = nameIn(client.info)
    this.#core.roster.asked(this.#name, modernRevision)
    return client
  }

  #initialize(message: Message): string {
    const { text } = message
    const params = paramsOf(message)
    const info = params.get('clientInfo')
    const capabilities = params.get('capabilities')
    const asked = stringParam(message, 'protocolVersion')
    this.#revision = negotiated(asked)
    this.#client = {
      era: 'legacy',
      info: info !== undefined && isObjectAt(text, info) ? textOf(text, info) : noInfo,
      capabilities:
        capabilities !== undefined && isObjectAt(text, capabilities) ? textOf(text, capabilities) : '{}',
      connection: this.id,
      logLevel: 'info',
    }
    this.#name = nameIn(this.#client.info)
    this.#leave?.()
    this.#leave = this.#core.roster.opened(this.#name, this.#revision)
    this.#core.log.info(`Client: ${this.#name} (protocol=${asked ?? this.#revision})`)
    return JSON.stringify({
      protocolVersion: this.#revision,
      capabilities: this.#capabilities('legacy'),
      serverInfo: ourInfo,
      ...this.#instructions(),
    })
  }

  #discover(): string {
    return JSON.stringify({
      resultType: 'complete',
      supportedVersions: supportedRevisions,
      capabilities: this.#capabilities('modern'),
      ...this.#instructions(),
      ttlMs: listTtlMs,
      cacheScope: 'private',
      _meta: { [metaKey.serverInfo]: ourInfo },
    })
  }

  /** From what is known of the servers; one that is not known yet may have everything. */
  #capabilities(era: Era) {
    const { upstreams } = this.directory
    const has = (capability: string) =>
      upstreams.some(({ facts, isKnown }) => !isKnown || facts?.capabilities[capability] !== undefined)
    const listChanged = { listChanged: true }
    return {
      tools: listChanged,
      ...(has('prompts') ? { prompts: listChanged } : {}),
      ...(has('resources') ? { resources: { subscribe: true, listChanged: true } } : {}),
      ...(has('completions') ? { completions: {} } : {}),
      ...(has('logging') || era === 'legacy' ? { logging: {} } : {}),
    }
  }

  #instructions(): { readonly instructions?: string } {
    const said = this.directory.upstreams.flatMap(({ id, facts }) => {
      const instructions = facts?.instructions
      if (instructions === undefined || instructions === '') return []
      return [this.directory.isPrefixed ? `# ${id}\n${instructions}` : instructions]
    })
    return said.length === 0 ? {} : { instructions: said.join('\n\n') }
  }

  async #list(kind: ListKind, client: CallingClient, message: Message, signal: AbortSignal): Promise<string> {
    const cursor = paramsOf(message).get('cursor')
    if (cursor !== undefined)
      throw new RpcError(rpcCode.invalidParams, 'there is no such page: a list is one page')
    await this.#known(this.directory.upstreams, signal)
    const table = this.directory.table(kind)
    const missing = this.directory.missing()
    const word = kind === 'tools' ? 'tool' : kind
    this.#core.requests.say(() => `Listed ${table.count} ${word}(s) from ${table.connectors} connectors`)
    const meta = missing.length === 0 ? '' : `,"_meta":${JSON.stringify({ [metaKey.unavailable]: missing })}`
    const modern =
      client.era === 'modern' ? `,"resultType":"complete","ttlMs":${listTtlMs},"cacheScope":"private"` : ''
    return `{"${kind}":[${table.text}]${modern}${meta}}`
  }

  /** Waits for servers that are starting, for a while. */
  async #known(upstreams: readonly Upstream[], signal: AbortSignal): Promise<void> {
    const unknown = upstreams.filter(({ isKnown, state }) => !isKnown && state === 'pending')
    if (unknown.length === 0) return
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, listWaitMs)
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
    await Promise.race([Promise.all(unknown.map((one) => one.settled())), patience])
    clearTimeout(timer)
  }

  /** Where tools are found before they are called. What somebody knows already may be called by its name. */
  async #lazily(arrived: Arrived): Promise<string> {
    const { message, own, client } = arrived
    const name = stringParam(message, 'name')
    if (name === lazyNames.call) return this.#toNamed('tools', { ...arrived, message: innerCall(message) })
    if (name !== lazyNames.find && name !== lazyNames.describe) return this.#toNamed('tools', arrived)
    await this.#known(this.directory.upstreams, own.signal)
    const { items } = this.directory.table('tools')
    const given = argumentsOf(message)
    const result = name === lazyNames.find ? foundTools(items, given) : describedTool(items, given)
    const whole = client.era === 'modern' ? { ...result, resultType: 'complete' } : result
    return resultText(idOf(message), JSON.stringify(whole))
  }

  async #toNamed(kind: 'tools' | 'prompts', arrived: Arrived): Promise<string> {
    const { message, method, own } = arrived
    const name = stringParam(message, 'name')
    if (name === undefined) throw new RpcError(rpcCode.invalidParams, `${method} needs a name`)
    const { requests, roster } = this.#core
    requests.say(() => `${method} name=${name}`)
    const { upstream, name: known } = await this.#route(kind, name, own.signal)
    requests.say(() => `Routing → connector=${upstream.id} ${kind === 'tools' ? 'tool' : 'prompt'}=${known}`)
    if (kind === 'tools') this.#demandScopes(upstream, known)
    if (kind === 'tools') roster.called(this.#name)
    const began = performance.now()
    let isError = true
    try {
      const about = { parameter: 'name', value: known } as const
      const answered = (answer: Message) => {
        isError = answer.error !== undefined
      }
      return await this.#relay.take({ ...arrived, upstream, about, answered })
    } finally {
      this.#core.figures.called(upstream.id, performance.now() - began, isError)
      requests.say(() => `Result: ${isError ? 'error' : 'success'} sessionId=${this.#shortId()}`)
    }
  }

  /** Enough to tell sessions apart. The whole id is a secret: a program that knows it can speak as this client. */
  #shortId(): string {
    return digest(this.id).slice(0, 8)
  }

  /** A token must allow this very tool; what it allows already is asked for with it. @throws RpcError */
  #demandScopes({ connector }: Upstream, tool: string): void {
    const { scopes } = this.principal
    if (scopes === null) return
    const needed = Object.entries(connector.toolScopes).flatMap(([glob, of]) =>
      matches(glob, tool) ? of : [],
    )
    if (needed.every((one) => scopes.has(one))) return
    const wanted = { scopes: [...new Set([...scopes, ...needed])] }
    throw new RpcError(rpcCode.insufficientScope, `the token does not allow the tool ${tool}`, wanted)
  }

  async #route(kind: 'tools' | 'prompts', name: string, signal: AbortSignal): Promise<Route> {
    const found = this.directory.routeOf(kind, name)
    if (found !== undefined) return found
    const owners = this.directory.unknownOwnersOf(name)
    await this.#known(owners, signal)
    const now = this.directory.routeOf(kind, name)
    if (now !== undefined) return now
    const down = owners.find(({ problem }) => problem !== undefined)
    if (down !== undefined) throw down.refusal()
    const what = kind === 'tools' ? 'tool' : 'prompt'
    throw new RpcError(rpcCode.invalidParams, `Unknown ${what}: ${name}; ${kind}/list tells the names`)
  }

  async #toResource(arrived: Arrived): Promise<string> {
    const { message, method, client, own } = arrived
    const uri = stringParam(message, 'uri')
    if (uri === undefined) throw new RpcError(rpcCode.invalidParams, `${method} needs a uri`)
    await this.#known(this.directory.upstreams, own.signal)
    const upstream = this.directory.ownerOf(uri)
    if (upstream === undefined) throw this.#noResource(uri, client)
    const about = { parameter: 'uri', value: uri } as const
    return this.#relay.take({ ...arrived, upstream, about })
  }

  #noResource(uri: string, { era }: CallingClient): RpcError {
    const code = era === 'modern' ? rpcCode.invalidParams : rpcCode.resourceNotFound
    return new RpcError(code, `Resource not found: ${uri}`, { uri })
  }

  async #complete(arrived: Arrived): Promise<string> {
    const { message, client, own } = arrived
    const { text } = message
    const member = paramsOf(message).get('ref')
    const ref =
      member === undefined ? {} : (JSON.parse(textOf(text, member)) as { name?: unknown; uri?: unknown })
    if (typeof ref.uri === 'string') {
      await this.#known(this.directory.upstreams, own.signal)
      const template = this.directory.table('resourceTemplates').routes.get(ref.uri)
      const upstream = template?.upstream ?? this.directory.ownerOf(ref.uri)
      if (upstream === undefined) throw this.#noResource(ref.uri, client)
      return this.#relay.take({ ...arrived, upstream })
    }
    const { upstream, name } = await this.#route('prompts', String(ref.name), own.signal)
    const renamed =
      member === undefined || name === ref.name
        ? message
        : withParam(message, 'ref', JSON.stringify({ ...ref, name }))
    return this.#relay.take({ ...arrived, message: renamed, upstream })
  }

  /** A method that is not known here: it goes to the server where there is but one, and is refused where that would be a guess. */
  async #unknown(arrived: Arrived): Promise<string> {
    const [only, ...others] = this.directory.upstreams
    if (only === undefined || others.length > 0)
      throw new RpcError(rpcCode.methodNotFound, `Method not found: ${arrived.method}`)
    return this.#relay.take({ ...arrived, upstream: only })
  }

  /** It has begun as the older generation does, and can be asked. */
  get isOpen(): boolean {
    return this.#leave !== undefined
  }

  /** A request of a server that belongs to no call. */
  askUnsolicited(method: string, params: string | undefined, signal: AbortSignal): Promise<ClientAnswer> {
    return this.#asks.ask({ method, params, signal }, this.#client, (text) => void this.#unsolicited(text))
  }

  async #follow(message: Message, isBegin: boolean): Promise<string> {
    const uri = stringParam(message, 'uri')
    if (uri === undefined) throw new RpcError(rpcCode.invalidParams, 'a uri is needed')
    if (!isBegin) this.#subscriptions.leave(uri)
    else if (!(await this.#subscriptions.follow(uri))) throw this.#noResource(uri, this.#client)
    return '{}'
  }

  #setLevel(message: Message): string {
    const level = logLevels.indexOf(stringParam(message, 'level') as never)
    if (level < 0) throw new RpcError(rpcCode.invalidParams, `level is one of ${logLevels.join(', ')}`)
    this.#level = level
    this.#client = { ...this.#client, logLevel: logLevels[level] ?? 'info' }
    this.#core.levelWanted(this.directory.upstreams, this.id)
    return '{}'
  }

  /** The level of log messages that this client wants; -1 = it has not said. */
  get level(): number {
    return this.#level
  }

  /** A list that this client sees has changed. */
  listChanged(method: string): void {
    if (this.#client.era === 'legacy' && this.#leave !== undefined)
      this.#unsolicited(messageText(undefined, method))
    this.#subscriptions.listChanged(method)
  }

  /** A notification of a server that belongs to no call. */
  serverNotified(message: Message): void {
    const { text, method } = message
    if (method === 'notifications/resources/updated') {
      this.#subscriptions.updated(message, (update) => void this.#unsolicited(update))
      return
    }
    if (this.#client.era !== 'legacy' || this.#leave === undefined) return
    if (method === 'notifications/message') {
      // Whose call it came of is not known: it goes to those who have asked for such lines.
      if (this.#level >= 0 && logLevels.indexOf(stringParam(message, 'level') as never) >= this.#level)
        this.#unsolicited(text)
      return
    }
    this.#unsolicited(text)
  }

  /** The client has gone. Its calls end, and its connections. */
  close(reason = 'the client has gone'): void {
    if (this.#isOver) return
    this.#isOver = true
    for (const own of this.#calls.values()) own.abort(new SessionOver(reason))
    this.#subscriptions.close()
    this.#leave?.()
    this.#leave = undefined
    this.#core.sessions.delete(this)
    for (const upstream of this.directory.upstreams) void upstream.sessionEnded(this.id)
  }
}

/** The arguments of a call of one of our own tools. */
function argumentsOf(message: Message): Readonly<Record<string, unknown>> {
  const member = paramsOf(message).get('arguments')
  if (member === undefined || !isObjectAt(message.text, member)) return {}
  return JSON.parse(textOf(message.text, member)) as Record<string, unknown>
}

/** The call within a call of `call_tool`; its arguments stay as they are written. @throws RpcError */
function innerCall(message: Message): Message {
  const { text } = message
  const outer = paramsOf(message).get('arguments')
  const members =
    outer !== undefined && isObjectAt(text, outer) ? membersOf(text, outer.start) : new Map<string, Member>()
  const name = stringIn(text, members, 'name')
  if (name === undefined) throw new RpcError(rpcCode.invalidParams, 'call_tool needs the name of a tool')
  const given = members.get('arguments')
  const named = withParam(message, 'name', JSON.stringify(name))
  return withParam(named, 'arguments', given === undefined ? '{}' : textOf(text, given))
}

/** The client has cancelled a request: it wants no answer. */
class NobodyWaits extends Error {}

class SessionOver extends Error {}

const ourInfo = { name: 'port-watchdog', title: 'port-watchdog MCP gateway', version }

/** The name that a client gives itself, as it may stand in a log. */
function nameIn(info: string): string {
  const { name } = JSON.parse(info) as { readonly name?: unknown }
  return typeof name === 'string' && name !== '' ? name.slice(0, 80) : 'unknown'
}
