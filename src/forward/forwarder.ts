import type { Socket } from 'node:net'
import { type ForwardOptions, targetsOf } from '../config/forward-options.ts'
import type { ConnectionFacts, ForwarderHealth, RefusalReason } from '../control/forwarder-health.ts'
import { monotonicMs, wallTime } from '../os/clock.ts'
import { hostAndPort, machineAddresses } from '../os/interfaces.ts'
import { ownIdentity } from '../os/process-identity.ts'
import { version } from '../os/version.ts'
import { type AccessRecord, accessRecord, connectionFacts } from './access-record.ts'
import { createAdmission } from './admission.ts'
import { Capacity, type CapacityEvent } from './capacity.ts'
import { Connection, type Pipeline, type Source } from './connection.ts'
import type { DialTarget } from './dial.ts'
import { Dialer, type TargetChange } from './dialer.ts'
import { waitForFirstByte } from './first-byte.ts'
import type { Gate, GateSecrets } from './gate/index.ts'
import { livingPredecessors } from './handover.ts'
import { type Inheritance, isFixed } from './inherited-listeners.ts'
import { isOwnLoopback, planListeners, reachesListener } from './listen-plan.ts'
import { bindProblem, createListeners, type ListenerSet, type ListenPlace, pathOf } from './listeners.ts'
import { NameCache, serverLookup, systemLookup } from './name-cache.ts'
import { RefusalReport } from './refusal-report.ts'
import type { RelayTotals } from './relay.ts'
import { resetSocket } from './reset.ts'
import { SourceLimits, type SourceRefusal } from './source-limits.ts'
import { type EndCause, terminationOf } from './termination.ts'

/** What a forwarder tells whoever keeps its log. Nothing on the byte path is an event. */
export type ForwarderEvent =
  | { readonly kind: 'listening'; readonly places: readonly ListenPlace[] }
  | { readonly kind: 'not-listening'; readonly place: ListenPlace; readonly problem: string }
  | { readonly kind: 'target-answers'; readonly target: string; readonly address: string }
  | {
      readonly kind: 'target-fails'
      readonly target: string
      readonly message: string
      readonly answeredBefore: boolean
    }
  | {
      readonly kind: 'refused'
      readonly source: string
      readonly reason: RefusalReason
      readonly message: string
      /** Refusals for the same reason just before this one that were not told. */
      readonly untold: number
    }
  | CapacityEvent

/** What a forwarder tells others; both are called synchronously and must not throw. */
export interface ForwarderListener {
  readonly event: (event: ForwarderEvent) => void
  /** Told of every connection at its end. Undefined = nobody wants to know, and nothing is put together. */
  readonly ended?: ((record: AccessRecord) => void) | undefined
}

/** ms between two looks at the machine's interfaces; Node has no event for them. */
const followIntervalMs = 2000

/** ms for which an announced probe is expected. */
const probeExpectedMs = 5000

/**
 * One forward: listens, admits, dials, relays, drains and counts.
 *
 *   new -> start() -> open -> drain() -> closed
 *
 * Every connection, however it came in, goes one way:
 *
 *   accept -> limits -> client steps -> dial -> target steps -> relay -> end
 */
export class Forwarder {
  readonly options: ForwardOptions
  readonly #inheritance: Inheritance
  readonly #listener: ForwarderListener
  readonly #listeners: ListenerSet
  readonly #admission: ReturnType<typeof createAdmission>
  readonly #dialer: Dialer
  readonly #capacity: Capacity
  readonly #sourceLimits: SourceLimits
  readonly #connections = new Set<Connection>()
  readonly #refusalReport = new RefusalReport()
  readonly #expectedProbes = new Map<number, NodeJS.Timeout>()
  readonly #startedAt = { wall: wallTime(), monotonic: monotonicMs() }
  readonly #totals: RelayTotals = { bytesFromClient: 0, bytesFromTarget: 0 }
  readonly #refused: Record<RefusalReason, number> = {
    admission: 0,
    'max-connections': 0,
    'max-connections-per-source': 0,
    'max-rate-per-source': 0,
    descriptors: 0,
    'target-refused': 0,
    'target-timeout': 0,
    'target-error': 0,
    'self-dial': 0,
  }
  readonly #ended = new Map<string, number>()
  #pipeline: Pipeline
  #total = 0
  #lastId = 0
  #gate: Gate | undefined
  #draining = false
  #cancelChecks: (() => void) | undefined
  #onEmpty: (() => void)[] = []
  #timers: NodeJS.Timeout[] = []

  constructor(
    options: ForwardOptions,
    listener: ForwarderListener,
    inheritance: Inheritance = { kind: 'none' },
  ) {
    this.options = options
    this.#inheritance = inheritance
    this.#listener = listener
    this.#admission = createAdmission(options.allow)
    this.#capacity = new Capacity(options.maxConnections, listener.event)
    this.#sourceLimits = new SourceLimits(options)
    const { listenPort, listenUnixMode, resolver, firstByteTimeoutMs } = options
    this.#dialer = new Dialer({
      targets: targetsOf(options).map((target) => this.#dialTarget(target)),
      names: new NameCache(resolver.length > 0 ? serverLookup(resolver) : systemLookup),
      connectTimeoutMs: options.connectTimeoutMs,
      retryMs: options.dialRetryMs,
      onChange: (change) => listener.event(targetEvent(change)),
    })
    this.#pipeline = {
      clientSteps: firstByteTimeoutMs > 0 ? [waitForFirstByte(firstByteTimeoutMs)] : [],
      server: undefined,
      dial: (_connection, onSlow, outcome) => this.#dialer.dial(onSlow, outcome),
      targetSteps: [],
      relayLimits: options,
      totals: this.#totals,
      maxLifeMs: options.maxLifeMs,
      ended: (connection, cause) => this.#connectionEnded(connection, cause),
    }
    const unixMode = Number.parseInt(listenUnixMode, 8)
    this.#listeners = createListeners({ port: listenPort, unixMode }, (socket, place) =>
      this.#accepted(socket, place),
    )
  }

  /**
   * Binds every address of the plan and begins to follow the machine's interfaces and the target.
   * @returns the places that are bound; none means that not one bind succeeded (see `health().listen.failed`) or that
   *   the machine has no address but loopback, which may change.
   * @throws Failure when an inherited socket cannot be used.
   */
  async start(): Promise<readonly ListenPlace[]> {
    await this.#listeners.adopt(this.#inheritance, this.#wantedPlaces())
    const adopted = this.#listeners.bound()
    if (adopted.length > 0) this.#listener.event({ kind: 'listening', places: adopted })
    await this.#follow()
    this.#timers.push(setInterval(() => void this.#follow(), followIntervalMs))
    const { targetCheckMs } = this.options
    if (targetCheckMs > 0) {
      this.#checkTargets()
      this.#timers.push(setInterval(() => this.#checkTargets(), targetCheckMs / 2))
    }
    return this.#listeners.bound()
  }

  /**
   * Puts a gate in front of the target, before `start`. What it is made of is loaded only now: a plain forward never does.
   * @param stateDirectory where the gates of one login find each other.
   */
  async putUpGate(secrets: GateSecrets, stateDirectory: string): Promise<void> {
    const { openGate } = await import('./gate/index.ts')
    const gate = openGate(this.options, secrets, stateDirectory, (outcome) =>
      this.#dialer.dial(() => {}, outcome),
    )
    this.#gate = gate
    this.#pipeline = { ...this.#pipeline, server: { serve: (client, source) => gate.accept(client, source) } }
  }

  /** Stops accepting, lets connections finish for up to `drainMs`, then resets the rest. */
  async drain(): Promise<void> {
    const deadline = setTimeout(() => this.stopNow(), this.options.drainMs)
    await this.finish()
    clearTimeout(deadline)
  }

  /** Stops accepting and resolves when the last connection has ended by itself, however long that takes. */
  async finish(): Promise<void> {
    if (!this.#draining) this.close()
    while (this.#connections.size > 0) {
      await new Promise<void>((resolve) => this.#onEmpty.push(resolve))
    }
  }

  /** As `close`, for one that another process listens for by now: what it listens on stays there. */
  leaveListeners(): void {
    this.#listeners.leave()
    this.close()
  }

  /** The listening sockets, for the process that replaces this one. */
  sockets(): ReturnType<ListenerSet['sockets']> {
    return this.#listeners.sockets()
  }

  /** Stops accepting and watching; connections go on. */
  close(): void {
    this.#draining = true
    for (const timer of this.#timers) clearInterval(timer)
    this.#cancelChecks?.()
    this.#listeners.close()
    this.#gate?.close()
  }

  /** Resets every connection now. */
  stopNow(): void {
    for (const connection of [...this.#connections]) connection.stop('shutdown')
  }

  /**
   * The next connection from this source port on this machine is the monitor's probe: it is reset at once and neither counted nor
   * relayed. A backlog alone cannot do that, so the reset proves that this process accepts.
   */
  expectProbe(sourcePort: number): void {
    clearTimeout(this.#expectedProbes.get(sourcePort))
    const forget = setTimeout(() => this.#expectedProbes.delete(sourcePort), probeExpectedMs)
    forget.unref()
    this.#expectedProbes.set(sourcePort, forget)
  }

  get openConnections(): number {
    return this.#connections.size
  }

  health(): ForwarderHealth {
    const { listenPort } = this.options
    const bound = this.#listeners.bound()
    return {
      schemaVersion: 1,
      identity: ownIdentity(),
      version,
      startedAt: this.#startedAt.wall,
      uptimeMs: Math.round(monotonicMs() - this.#startedAt.monotonic),
      draining: this.#draining,
      predecessors: livingPredecessors(this.#inheritance),
      listen: {
        port: listenPort,
        rule: isFixed(this.#inheritance) ? 'inherited' : planListeners(this.options, []).rule,
        addresses: bound
          .filter((place) => pathOf(place) === undefined)
          .map((address) => ({ address, port: listenPort, origin: this.#listeners.originOf(address) })),
        paths: bound.flatMap((place) => pathOf(place) ?? []),
        failed: this.#listeners
          .failed()
          .map(({ place, error }) => ({ address: place, port: listenPort, error: bindProblem(error) })),
      },
      target: this.#dialer.summary(),
      targets: this.#dialer.facts(),
      admission: this.#admission.description,
      gate: this.#gate?.health() ?? null,
      connections: {
        open: this.#connections.size,
        total: this.#total,
        limit: this.#capacity.limit,
        full: this.#capacity.full ?? null,
        refused: { ...this.#refused },
        ended: Object.fromEntries(this.#ended),
      },
      bytes: { fromClients: this.#totals.bytesFromClient, fromTarget: this.#totals.bytesFromTarget },
    }
  }

  /** Why nothing could be bound, if that is so. */
  bindErrors(): ReturnType<ListenerSet['failed']> {
    return this.#listeners.failed()
  }

  /** Every live connection, the oldest first. */
  connections(): readonly ConnectionFacts[] {
    return [...this.#connections].flatMap((connection) => {
      const { phase } = connection
      return phase === 'ended' ? [] : [connectionFacts(connection, phase)]
    })
  }

  /**
   * Resets connections now.
   * @param which one by its id, or all from a source: an IP address or `unix:/path`.
   * @returns how many there were.
   */
  kill(which: { readonly id: number } | { readonly source: string }): number {
    const isMeant = (connection: Connection) =>
      'id' in which ? connection.id === which.id : connection.source.address === which.source
    const meant = [...this.#connections].filter(isMeant)
    for (const connection of meant) connection.stop('kill')
    return meant.length
  }

  /**
   * Takes a connected client, wherever it was accepted: by a listener of ours, on an inherited descriptor, in another process. The socket
   * must be half-open and not have been read from (`acceptOptions`).
   * @param source who it is, when the socket itself cannot tell, as with a Unix socket. Such a client is not asked for its network.
   */
  accept(client: Socket, source?: Source): void {
    const from = source ?? sourceOf(client)
    // Gone before it was accepted.
    if (from === undefined) return void client.on('error', () => {}).destroy()
    if (source === undefined && this.#isExpectedProbe(client))
      return resetSocket(client.on('error', () => {}))
    const connection = new Connection(++this.#lastId, from, client, this.#pipeline)
    if (source === undefined && !this.#admission.admits(from.address)) {
      return connection.refuse('admission', 'its network is not admitted; --allow names others')
    }
    const full = this.#capacity.refusal(this.#connections.size)
    if (full !== undefined) return connection.refuse(full, this.#whyFull())
    const limited = source === undefined ? this.#sourceLimits.admit(from.address) : undefined
    if (limited !== undefined) return connection.refuse(limited, this.#whyLimited(limited))
    this.#total++
    this.#connections.add(connection)
    connection.start()
  }

  #accepted(client: Socket, place: ListenPlace): void {
    if (pathOf(place) === undefined) this.accept(client)
    else this.accept(client, { address: place, port: 0 })
  }

  #whyFull(): string {
    return this.#capacity.full === 'descriptors'
      ? 'no descriptor is left'
      : `${this.#capacity.limit} connections are open, the limit`
  }

  #whyLimited(limit: SourceRefusal): string {
    const { maxConnectionsPerSource, maxRatePerSource } = this.options
    switch (limit) {
      case 'max-connections-per-source':
        return `it has ${maxConnectionsPerSource} connections open, the limit of one source`
      case 'max-rate-per-source':
        return `it opens more than ${maxRatePerSource} connections a second, the limit of one source`
    }
  }

  #connectionEnded(connection: Connection, cause: EndCause): void {
    const wasOpen = this.#connections.delete(connection)
    const open = this.#connections.size
    // The source it was admitted by, which a step may have replaced since.
    if (wasOpen) this.#sourceLimits.release(connection.acceptedFrom)
    const termination = terminationOf(cause)
    this.#ended.set(termination.code, (this.#ended.get(termination.code) ?? 0) + 1)
    if (cause.kind === 'refused') this.#countRefusal(connection, cause.reason, cause.message)
    this.#capacity.ended(open)
    this.#listener.ended?.(accessRecord(connection, termination, { port: this.options.listenPort, open }))
    if (open === 0) for (const resolve of this.#onEmpty.splice(0)) resolve()
  }

  #countRefusal(connection: Connection, reason: RefusalReason, message: string): void {
    this.#refused[reason]++
    if (reason === 'descriptors') this.#capacity.checkDescriptors(this.#connections.size)
    // Said once, at the beginning; after that the counter tells.
    if (this.#capacity.full !== undefined && (reason === 'max-connections' || reason === 'descriptors'))
      return
    const untold = this.#refusalReport.next(reason)
    if (untold === undefined) return
    this.#listener.event({ kind: 'refused', source: connection.source.address, reason, message, untold })
  }

  #dialTarget(target: { readonly host: string; readonly port: number }): DialTarget {
    const isOwnPort = target.port === this.options.listenPort
    return {
      ...target,
      bothLoopbacks: isOwnLoopback(this.options, target),
      isOwnListener: (address) => this.#isOwnListener(address, isOwnPort),
    }
  }

  #isOwnListener(address: string, isOwnPort: boolean): boolean {
    const bound = this.#listeners.bound()
    if (address.startsWith('unix:')) return bound.includes(address)
    return isOwnPort && bound.length > 0 && reachesListener(address, bound, machineAddresses())
  }

  #checkTargets(): void {
    this.#cancelChecks?.()
    this.#cancelChecks = this.#dialer.check(this.options.targetCheckMs)
  }

  #isExpectedProbe(client: Socket): boolean {
    if (this.#expectedProbes.size === 0 || client.remotePort === undefined) return false
    const timer = this.#expectedProbes.get(client.remotePort)
    // A connection of the machine to one of its own addresses has that same address as its source.
    if (timer === undefined || client.remoteAddress !== client.localAddress) return false
    clearTimeout(timer)
    this.#expectedProbes.delete(client.remotePort)
    return true
  }

  async #follow(): Promise<void> {
    this.#capacity.checkDescriptors(this.#connections.size)
    const before = this.#listeners.bound()
    const knownProblems = new Set(this.#listeners.failed().map(({ place }) => place))
    await this.#listeners.follow(this.#wantedPlaces())
    if (this.#draining) return this.#listeners.close()
    const added = this.#listeners.bound().filter((place) => !before.includes(place))
    if (added.length > 0) this.#listener.event({ kind: 'listening', places: added })
    // Nothing bound at all is a failed start, or a machine without a network: told by whoever started this.
    if (this.#listeners.bound().length === 0) return
    for (const { place, error } of this.#listeners.failed()) {
      if (knownProblems.has(place)) continue
      this.#listener.event({ kind: 'not-listening', place, problem: bindProblem(error) })
    }
  }

  /** Whoever passed sockets on chose the places; nothing else is bound beside them. */
  #wantedPlaces(): readonly ListenPlace[] {
    if (isFixed(this.#inheritance)) return this.#listeners.bound()
    const { addresses } = planListeners(this.options, machineAddresses())
    return [...addresses, ...this.options.listenUnix.map((path) => `unix:${path}`)]
  }
}

function sourceOf({ remoteAddress, remotePort }: Socket): Source | undefined {
  return remoteAddress === undefined ? undefined : { address: remoteAddress, port: remotePort ?? 0 }
}

function targetEvent(change: TargetChange): ForwarderEvent {
  const { host, port } = change.target
  const target = hostAndPort(host, port)
  switch (change.kind) {
    case 'answers':
      return { kind: 'target-answers', target, address: hostAndPort(change.address, port) }
    case 'fails': {
      const { message, answeredBefore } = change
      return { kind: 'target-fails', target, message, answeredBefore }
    }
  }
}
