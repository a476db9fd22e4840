/**
 * forward/: one TCP forward, from a listening socket to a target, in a process of its own.
 *
 *   listen/ accepts -> limits/ admits -> steps/ of the client -> dial/ finds a target -> steps/ of the target -> relay/ -> end
 *
 * `Forwarder` combines these; connection.ts takes one connection through them. process.ts runs a forwarder as a process with files, logs
 * and signals; handover-succession.ts replaces it by another process; workers/ lets several processes serve it. gate/ stands in front of
 * the target and speaks HTTP with clients instead of the relay; inspector/ asks what a target is.
 *
 * Whatever else must happen to a connection before its bytes flow is a step (steps/); a rule about who may come in belongs to limits/.
 * What a plain forward does not need is imported on demand, so that it starts fast.
 */
import { type ForwardOptions, targetsOf } from '../config/forward-options.ts'
import { targetProgram } from '../config/values.ts'
import { monotonicMs, wallTime } from '../os/clock.ts'
import { isLoopback } from '../os/interfaces.ts'
import type { Inheritance } from '../process/inheritance.ts'
import type { ConnectionFacts } from '../record/shapes/control.ts'
import type { ForwarderHealth, Instance } from '../record/shapes/forwarder-health.ts'
import type { LoginSecrets } from '../web/login-secrets.ts'
import type { CertificateFiles } from '../web/tls-files.ts'
import { accessRecord, connectionFacts } from './access-record.ts'
import { Connection, type Pipeline } from './connection.ts'
import type { Source } from './connection-state.ts'
import type { TargetChange } from './dial/candidate.ts'
import { type DialTarget, literalAddresses } from './dial/dial.ts'
import { Dialer } from './dial/dialer.ts'
import { NameCache, serverLookup, systemLookup } from './dial/name-cache.ts'
import { type ForwarderListener, targetEvent } from './forwarder-events.ts'
import type { Gate } from './gate/index.ts'
import { inheritedInstances, inheritedTargets } from './handover.ts'
import { healthReport } from './health-report.ts'
import type { InspectorWatch } from './inspector/index.ts'
import { Admittance, unknownAddress } from './limits/admittance.ts'
import type { LimitKeeper } from './limits/shared-limits.ts'
import { isOwnLoopback, type ListenPlace } from './listen/listen-plan.ts'
import { type ListenerSet, pathOf } from './listen/listeners.ts'
import { Listening } from './listen/listening.ts'
import type { RelayTotals } from './relay/direction.ts'
import type { RelaySocket } from './relay/relay-socket.ts'
import { Roster } from './roster.ts'
import { ForwardSteps } from './steps/forward-steps.ts'
import type { ClientStep } from './steps/steps.ts'
import { Tally } from './tally.ts'
import { type EndCause, terminationOf } from './termination.ts'

/** What a process needs to know that serves its forward together with others. */
export interface Sharing {
  /** Its connections' ids count from the one after this. */
  readonly idsAfter: number
  /** Keeps the limits of the whole forward. */
  readonly limits: LimitKeeper
}

/** ms between two looks at the machine's interfaces and at the free descriptors; Node has no event for them. */
const lookIntervalMs = 2000

/** ms of age from which a connection to a target is kept alive. */
const keepAliveAgeMs = 5_000

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
  readonly #listening: Listening
  readonly #admittance: Admittance
  readonly #dialer: Dialer
  readonly #connections = new Roster<Connection>()
  /** Undefined = this process serves the forward alone. */
  readonly #sharing: Sharing | undefined
  readonly #startedAt = { wall: wallTime(), monotonic: monotonicMs() }
  readonly #totals: RelayTotals = { bytesFromClient: 0, bytesFromTarget: 0 }
  readonly #tally: Tally
  readonly #steps = new ForwardSteps()
  readonly #certificateFiles: CertificateFiles | undefined
  #pipeline: Pipeline
  #lastId = 0
  #gate: Gate | undefined
  #inspector: InspectorWatch | undefined
  #draining = false
  #onEmpty: (() => void)[] = []
  #timers: NodeJS.Timeout[] = []

  /**
   * @param inheritance sockets that somebody left to this process.
   * @param certificate makes clients speak TLS.
   * @param sharing with the other processes of this forward; none = it has no others.
   */
  constructor(
    options: ForwardOptions,
    listener: ForwarderListener,
    inheritance: Inheritance = { kind: 'none' },
    certificate?: CertificateFiles,
    sharing?: Sharing,
  ) {
    this.options = options
    this.#sharing = sharing
    this.#lastId = sharing?.idsAfter ?? 0
    this.#inheritance = inheritance
    this.#certificateFiles = certificate
    this.#listener = listener
    this.#admittance = new Admittance(options, sharing?.limits, listener.event)
    this.#tally = new Tally(listener.event)
    const { resolver } = options
    const program = targetProgram(options.targetHost)
    this.#dialer = new Dialer({
      targets: targetsOf(options).map((target) => this.#dialTarget(target)),
      program:
        program === undefined
          ? undefined
          : { name: program, target: ({ port }) => this.#dialTarget({ host: 'localhost', port }) },
      names: new NameCache(resolver.length > 0 ? serverLookup(resolver) : systemLookup),
      connectTimeoutMs: options.connectTimeoutMs,
      retryMs: options.dialRetryMs,
      steps: this.#steps.target,
      onChange: (change) => this.#targetChanged(change),
    })
    this.#pipeline = {
      clientSteps: this.#steps.client,
      server: undefined,
      dial: (connection) => this.#dialer.dial(connection),
      targetSteps: this.#steps.target,
      lateClientSteps: this.#steps.lateClient,
      relayLimits: options,
      totals: this.#totals,
      maxLifeMs: options.maxLifeMs,
      ended: (connection, cause) => this.#connectionEnded(connection, cause),
    }
    this.#listening = new Listening(options, inheritance, listener.event, (client, place) =>
      this.#accepted(client, place),
    )
  }

  /**
   * Binds every address of the plan and begins to follow the machine's interfaces and the target.
   * @returns the places that are bound; none means that not one bind succeeded (see `health().listen.failed`) or that
   *   the machine has no address but loopback, which may change.
   * @throws Failure when an inherited socket or a certificate cannot be used.
   */
  async start(): Promise<readonly ListenPlace[]> {
    await this.#prepareSteps()
    this.#admittance.capacity.checkDescriptors(this.#connections.size)
    await this.#listening.start()
    this.#timers.push(setInterval(() => this.#look(), lookIntervalMs))
    this.#timers.push(setInterval(() => this.#keepOldAlive(), keepAliveAgeMs))
    const { targetCheckMs } = this.options
    const instances = inheritedInstances(this.#inheritance)
    if (instances !== undefined && this.instances() === undefined) this.#dialer.setInstances(instances)
    if (targetCheckMs > 0) {
      this.#dialer.learn(inheritedTargets(this.#inheritance))
      this.#dialer.startChecks(targetCheckMs, this.#inheritance.kind === 'handover')
    }
    return this.#listening.bound()
  }

  /**
   * Puts a gate in front of the target, before `start`. What it is made of is loaded only now: a plain forward never does.
   * @param stateDirectory where the gates of one login find each other.
   * @param isMember false = another process tells the others of this forward.
   */
  async putUpGate(secrets: LoginSecrets, stateDirectory: string, isMember = true): Promise<void> {
    const { openGate } = await import('./gate/index.ts')
    const place = { stateDirectory, isMember }
    const gate = openGate(
      this.options,
      secrets,
      place,
      (outcome) => this.#dialer.dialPrepared(outcome),
      (event) => this.#listener.event({ kind: 'gate', event }),
    )
    this.#gate = gate
    this.#pipeline = { ...this.#pipeline, server: { serve: (client, source) => gate.accept(client, source) } }
  }

  /** Looks for an MCP Inspector whenever the target begins to answer, from now on. Loaded only now: other forwards never do. */
  async watchForInspector(): Promise<void> {
    const { InspectorWatch, originsOf } = await import('./inspector/index.ts')
    const { listenPort } = this.options
    this.#inspector = new InspectorWatch({
      dial: (outcome) => this.#dialer.dialPrepared(outcome),
      door: () => {
        const bound = this.#listening.bound().filter((place) => pathOf(place) === undefined)
        const isTls = this.#steps.certificate !== undefined
        return { origins: originsOf(bound, listenPort, isTls), isGated: this.#gate !== undefined }
      },
    })
    if (this.#dialer.summary().state === 'reachable') this.#inspector.look()
  }

  #targetChanged(change: TargetChange): void {
    // One of several targets may fail while another one still answers.
    if (change.kind !== 'fails' || this.#dialer.summary().state === 'reachable') this.#inspector?.look()
    else this.#inspector?.forget()
    const event = targetEvent(change)
    if (event !== undefined) this.#listener.event(event)
  }

  async #prepareSteps(): Promise<void> {
    await this.#steps.prepare({
      forward: this.options,
      certificate: this.#certificateFiles,
      admit: (connection, claim) => this.#admittance.mayStay(connection, claim),
      afterHeader: this.#sharing === undefined ? undefined : await this.#claimAfterHeader(),
      report: (event) => this.#listener.event(event),
    })
  }

  async #claimAfterHeader(): Promise<ClientStep> {
    const { claimForSource } = await import('./limits/shared-limits.ts')
    return claimForSource((connection, granted) => this.#admittance.claimForSource(connection, granted))
  }

  /** Reads certificates and authorities again, as their files' change does by itself. No connection is touched. */
  async reloadCertificates(): Promise<void> {
    await this.#steps.reloadCertificates()
  }

  #look(): void {
    this.#admittance.capacity.checkDescriptors(this.#connections.size)
    void this.#listening.follow()
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
    this.#listening.leave()
    this.close()
  }

  /** The listening sockets, for the process that replaces this one. */
  sockets(): ReturnType<ListenerSet['sockets']> {
    return this.#listening.sockets()
  }

  /** Stops accepting and watching; connections go on. */
  close(): void {
    this.#draining = true
    for (const timer of this.#timers) clearInterval(timer)
    this.#dialer.stopChecks()
    this.#steps.close()
    this.#listening.close()
    this.#gate?.close()
    this.#inspector?.close()
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
    this.#admittance.expectProbe(sourcePort)
  }

  get openConnections(): number {
    return this.#connections.size
  }

  /** What is known of every target, in order of preference. */
  targets(): ForwarderHealth['targets'] {
    return this.#dialer.facts()
  }

  /** Which processes of the program that it leads to are ready, as was said last; undefined = nobody has, or it leads to none. */
  instances(): readonly Instance[] | undefined {
    return this.#dialer.program?.told
  }

  /** A monitor says so. Connections that lead elsewhere go on. */
  setInstances(ready: readonly Instance[]): void {
    if (!this.#dialer.setInstances(ready)) return
    if (ready.length === 0) this.#inspector?.forget()
    this.#listener.event({ kind: 'instances', ready })
  }

  /** Takes what another process of this forward knows of its targets. */
  learnTargets(targets: ForwarderHealth['targets']): void {
    this.#dialer.learn(targets)
  }

  health(): ForwarderHealth {
    this.#dialer.lookNow()
    return healthReport({
      options: this.options,
      inheritance: this.#inheritance,
      startedAt: this.#startedAt,
      isDraining: this.#draining,
      listening: this.#listening,
      dialer: this.#dialer,
      inspector: this.#inspector,
      admittance: this.#admittance,
      gate: this.#gate,
      steps: this.#steps,
      tally: this.#tally,
      connections: this.#connections,
      totals: this.#totals,
      warnings: this.#listener.warnings?.() ?? [],
    })
  }

  /** Why nothing could be bound, if that is so. */
  bindErrors(): ReturnType<ListenerSet['failed']> {
    return this.#listening.failed()
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
   * Takes a connected client, wherever it was accepted: by a listener of ours or on an inherited descriptor.
   * @param source who it is, when the socket itself cannot tell, as with a Unix socket. Such a client is not asked for its network.
   */
  accept(client: RelaySocket, source?: Source): void {
    const isUnix = source !== undefined
    const from = source ?? client.remote ?? sourceOfGone(client)
    if (!isUnix && this.#admittance.isExpectedProbe(client, from)) return client.reset()
    const connection = new Connection(++this.#lastId, from, client, this.#pipeline)
    if (!this.#admittance.mayEnter(connection, isUnix, this.#connections.size)) return
    this.#connections.add(connection)
    this.#admittance.enter(connection, isUnix, () => {
      this.#tally.total++
      connection.start()
    })
  }

  #accepted(client: RelaySocket, place: ListenPlace): void {
    if (pathOf(place) === undefined) this.accept(client)
    else this.accept(client, { address: place, port: 0 })
  }

  #connectionEnded(connection: Connection, cause: EndCause): void {
    this.#connections.delete(connection)
    const open = this.#connections.size
    const { capacity } = this.#admittance
    const termination = terminationOf(cause)
    if (cause.kind === 'refused' && cause.reason === 'descriptors') capacity.checkDescriptors(open)
    this.#tally.ended(connection.source.address, cause, termination.code, capacity.full !== undefined)
    this.#admittance.left(connection, open)
    this.#listener.ended?.(accessRecord(connection, termination, { port: this.options.listenPort, open }))
    if (open === 0) for (const resolve of this.#onEmpty.splice(0)) resolve()
  }

  #dialTarget(target: { readonly host: string; readonly port: number }): DialTarget {
    const isOwnPort = target.port === this.options.listenPort
    return {
      ...target,
      literal: literalAddresses(target.host, isOwnLoopback(this.options, target)),
      isOwnListener: (address) => this.#listening.isOwn(address, isOwnPort),
    }
  }

  /** Connections that come and go by the thousand need no keepalive, and it is four system calls. */
  #keepOldAlive(): void {
    const before = performance.now() - keepAliveAgeMs
    for (const connection of this.#connections) {
      if (connection.acceptedAt > before) break
      connection.keepAlive()
    }
  }
}

/**
 * The source of a client that reset its connection before it was accepted: the kernel tells its address no more, but what it sent is there
 * to be read. Who came to a loopback address is on this machine, and counts as that address.
 */
function sourceOfGone({ local }: RelaySocket): Source {
  const isLocal = local !== undefined && isLoopback(local.address)
  return { address: isLocal ? local.address : unknownAddress, port: 0 }
}
