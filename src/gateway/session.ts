import type { Log } from '../log/index.ts'
import { ClientAsks } from './client-asks.ts'
import type { ClientRoster } from './client-roster.ts'
import type { Directory } from './directory.ts'
import type { Figures } from './figures.ts'
import { discovered, initialized, noInfo, toldBy } from './introduction.ts'
import type { ParkedCalls } from './parked-calls.ts'
import type { Principal } from './principal.ts'
import { endingData, errorText, RpcError, rpcCode, secondsToWait } from './protocol/errors.ts'
import { textOf } from './protocol/json-text.ts'
import {
  idOf,
  isRequest,
  type Message,
  messageText,
  metaOf,
  nameIn,
  paramsOf,
  resultText,
  stringParam,
} from './protocol/message.ts'
import {
  logLevels,
  metaKey,
  modernRevision,
  negotiated,
  newestLegacyRevision,
  supportedRevisions,
} from './protocol/revisions.ts'
import { type Arrived, digest, type Outlet, Relay } from './relay.ts'
import type { RequestLog } from './request-log.ts'
import { noResource, ServerRequests } from './server-requests.ts'
import type { SessionState } from './session-record.ts'
import { Subscriptions } from './subscriptions.ts'
import { TaskRequests } from './task-requests.ts'
import type { Tasks } from './tasks.ts'
import type { CallingClient, ClientAnswer } from './upstream/call.ts'
import { ConnectionLost } from './upstream/connection.ts'
import type { Upstream } from './upstream/index.ts'
import { UpstreamDown } from './upstream/slot.ts'
import { Waiting, type WaitSignal } from './waiting.ts'

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
  readonly tasks: Tasks
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

/** What the newer generation has no more. */
const legacyMethods: readonly string[] = [
  'initialize',
  'ping',
  'logging/setLevel',
  'resources/subscribe',
  'resources/unsubscribe',
  'tasks/result',
  'tasks/list',
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
  readonly #toServers: ServerRequests
  readonly #toTasks: TaskRequests
  /** Calls of this client under way, by its own ids as JSON text. */
  readonly #calls = new Map<string, Waiting>()
  #inFlight = 0
  readonly #subscriptions: Subscriptions
  /** It may have connections of its own; requests that stand alone use those of their client. */
  #hasConnections = false
  #isOver = false

  constructor(core: SessionSurroundings, { id, directory, principal, unsolicited }: SessionOptions) {
    this.#core = core
    this.id = id
    this.directory = directory
    this.#principal = principal
    this.#unsolicited = unsolicited
    this.#client = { era: 'legacy', info: noInfo, capabilities: '{}', connection: id }
    const relay = new Relay({
      asks: this.#asks,
      parked: core.parked,
      identity: `${principal.id} ${directory.isPrefixed}`,
      level: () => this.#level,
    })
    this.#toServers = new ServerRequests({
      directory,
      relay,
      roster: core.roster,
      figures: core.figures,
      requests: core.requests,
      tasks: core.tasks,
      sessionId: id,
      principal: () => this.#principal,
      clientName: () => this.#name,
      taskBegun: (task) => this.#subscriptions.followTask(task),
    })
    this.#toTasks = new TaskRequests({
      directory,
      relay,
      tasks: core.tasks,
      asks: this.#asks,
      principal: () => this.#principal,
    })
    this.#subscriptions = new Subscriptions(
      directory,
      () => this.#toServers.known(directory.upstreams),
      (task) => this.#toTasks.serverOf(task),
      (task, signal) => this.#toTasks.stateOf(task, signal),
    )
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

  /** Requests under way, but for streams of changes, which have no end of their own. */
  get inFlight(): number {
    return this.#inFlight
  }

  /**
   * Takes what the client sends.
   * @param own aborted when the client does not wait any more; also by this session, at its end or when the time is over.
   * @param headers of the HTTP request, where they must say what the body says.
   * @returns the answer, or undefined when none is due.
   */
  async take(
    message: Message,
    outlet: Outlet,
    own = new Waiting(),
    headers?: Arrived['headers'],
  ): Promise<string | undefined> {
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
    if (isCall) {
      this.#inFlight++
      this.#core.begun()
    }
    try {
      const client = this.#callerOf(message)
      return await this.#answer({ message, method: message.method, client, outlet, own, headers })
    } catch (error) {
      const reason: unknown = own.signal.reason
      return reason instanceof NobodyWaits ? undefined : errorText(id, this.#refusalOf(error))
    } finally {
      this.#calls.delete(id)
      if (isCall) {
        this.#inFlight--
        this.#core.ended()
      }
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

  async #answer(arrived: Arrived): Promise<string> {
    const { message, method, client, outlet, own } = arrived
    const id = idOf(message)
    const { signal } = own
    this.#core.requests.say(() => `Request: ${method}`)
    if (client.era === 'modern' && legacyMethods.includes(method))
      throw new RpcError(rpcCode.methodNotFound, `Method not found: ${method}`)
    switch (method) {
      case 'initialize':
        return resultText(id, this.#initialize(message))
      case 'ping':
        return resultText(id, '{}')
      case 'server/discover':
        return resultText(id, discovered(this.directory))
      case 'tools/list':
        return this.#toServers.list(arrived, 'tools')
      case 'prompts/list':
        return this.#toServers.list(arrived, 'prompts')
      case 'resources/list':
        return this.#toServers.list(arrived, 'resources')
      case 'resources/templates/list':
        return this.#toServers.list(arrived, 'resourceTemplates')
      case 'tools/call':
        return this.#toServers.callTool(arrived)
      case 'prompts/get':
        return this.#toServers.getPrompt(arrived)
      case 'resources/read':
        return this.#toServers.readResource(arrived)
      case 'completion/complete':
        return this.#toServers.complete(arrived)
      case 'tasks/get':
      case 'tasks/result':
      case 'tasks/update':
      case 'tasks/cancel':
        return this.#toTasks.about(arrived)
      case 'tasks/list':
        return this.#toTasks.list(arrived)
      case 'resources/subscribe':
      case 'resources/unsubscribe':
        return resultText(id, await this.#follow(message, method === 'resources/subscribe'))
      case 'logging/setLevel':
        return resultText(id, this.#setLevel(message))
      case 'subscriptions/listen':
        return this.#subscriptions.listen(message, client, outlet.send, signal)
      default:
        return this.#toServers.unknown(arrived)
    }
  }

  /** Who asks: of the newer generation each request says so. */
  #callerOf(message: Message): CallingClient {
    const { text } = message
    const meta = metaOf(text, paramsOf(message))
    const claimed = meta.get(metaKey.protocolVersion)
    if (claimed === undefined) {
      this.#hasConnections = true
      return this.#client
    }
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
    const asked = stringParam(message, 'protocolVersion')
    this.#revision = negotiated(asked)
    this.#client = { era: 'legacy', ...toldBy(message), connection: this.id, logLevel: 'info' }
    this.#name = nameIn(this.#client.info)
    this.#leave?.()
    this.#leave = this.#core.roster.opened(this.#name, this.#revision)
    this.#core.log.info(`Client: ${this.#name} (protocol=${asked ?? this.#revision})`)
    return initialized(this.directory, this.#revision)
  }

  /** What another process must know to go on with it; undefined = it has not begun as the older generation does. */
  get state(): SessionState | undefined {
    if (!this.isOpen) return undefined
    const { info, capabilities } = this.#client
    const { followed } = this.#subscriptions
    return { revision: this.#revision, info, capabilities, level: this.#level, followed }
  }

  /** Goes on with what its client has said to the process before this one. */
  goOn({ revision, info, capabilities, level, followed }: SessionState): void {
    this.#revision = revision
    const logLevel = logLevels[level] ?? 'info'
    this.#client = { era: 'legacy', info, capabilities, connection: this.id, logLevel }
    this.#hasConnections = true
    this.#level = level
    this.#name = nameIn(info)
    this.#leave = this.#core.roster.opened(this.#name, revision)
    if (level >= 0) this.#core.levelWanted(this.directory.upstreams, this.id)
    for (const uri of followed) void this.#subscriptions.follow(uri).catch(() => {})
  }

  /** Streams of changes end: their clients begin others elsewhere. */
  endStreams(): void {
    this.#subscriptions.endStreams()
  }

  /** It has begun as the older generation does, and can be asked. */
  get isOpen(): boolean {
    return this.#leave !== undefined
  }

  /** A request of a server that belongs to no call. */
  askUnsolicited(method: string, params: string | undefined, signal: WaitSignal): Promise<ClientAnswer> {
    return this.#asks.ask({ method, params, signal }, this.#client, (text) => void this.#unsolicited(text))
  }

  async #follow(message: Message, isBegin: boolean): Promise<string> {
    const uri = stringParam(message, 'uri')
    if (uri === undefined) throw new RpcError(rpcCode.invalidParams, 'a uri is needed')
    if (!isBegin) this.#subscriptions.leave(uri)
    else if (!(await this.#subscriptions.follow(uri))) throw noResource(uri, this.#client)
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
    if (method?.startsWith('notifications/tasks') === true)
      return this.#subscriptions.taskChanged(message, this.isOpen ? this.#unsolicited : undefined)
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
    if (this.isOpen) this.#core.log.debug(`Client: ${this.#name} has left`)
    for (const own of this.#calls.values()) own.abort(new SessionOver(reason))
    this.#subscriptions.close()
    this.#leave?.()
    this.#leave = undefined
    this.#core.sessions.delete(this)
    // Each request of the newer generation ends a session: that must cost the same for one connector as for a hundred.
    if (this.#hasConnections)
      for (const upstream of this.directory.upstreams) void upstream.sessionEnded(this.id)
  }
}

/** The client has cancelled a request: it wants no answer. */
class NobodyWaits extends Error {}

class SessionOver extends Error {}
