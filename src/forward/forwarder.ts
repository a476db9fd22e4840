import { resolve } from 'node:path'
import { type ForwardOptions, targetsOf } from '../config/forward-options.ts'
import { monotonicMs, wallTime } from '../os/clock.ts'
import { isLoopback, machineAddresses } from '../os/interfaces.ts'
import { ownIdentity } from '../os/process-identity.ts'
import { type Inheritance, isFixed } from '../os/socket-activation.ts'
import { version } from '../os/version.ts'
import type { ConnectionFacts, ForwarderHealth, RefusalReason } from '../record/forwarder-health.ts'
import { accessRecord, connectionFacts } from './access-record.ts'
import { Connection, type Pipeline, type Source } from './connection.ts'
import type { TargetChange } from './dial/candidate.ts'
import { type DialTarget, literalAddresses } from './dial/dial.ts'
import { Dialer, type PreparedOutcome } from './dial/dialer.ts'
import { NameCache, serverLookup, systemLookup } from './dial/name-cache.ts'
import { type ForwarderListener, targetEvent } from './forwarder-events.ts'
import type { Gate, GateSecrets } from './gate/index.ts'
import { firstOf, inheritedTargets, livingPredecessors, supervisorNow } from './handover.ts'
import type { InspectorWatch } from './inspector/index.ts'
import { createAdmission, networks } from './limits/admission.ts'
import { Capacity } from './limits/capacity.ts'
import { RefusalReport } from './limits/refusal-report.ts'
import type { Claim, LimitKeeper } from './limits/shared-limits.ts'
import { limitWords, SourceLimits } from './limits/source-limits.ts'
import { BindReport, failedBindInWords, isUnusableYet, newAddressPatienceMs } from './listen/bind-report.ts'
import type { ListenPlace } from './listen/listen-plan.ts'
import { isOwnLoopback, planListeners, reachesListener } from './listen/listen-plan.ts'
import { createListeners, type ListenerSet, pathOf } from './listen/listeners.ts'
import type { RelayTotals } from './relay/direction.ts'
import { relayPath } from './relay/libuv.ts'
import type { RelaySocket } from './relay/relay-socket.ts'
import { resetSocket } from './relay/reset.ts'
import { ForwardSteps } from './steps/forward-steps.ts'
import type { Claim as ProxyClaim } from './steps/proxy-protocol-in.ts'
import { type ClientStep, runSteps, type StepFailure } from './steps/steps.ts'
import type { CertificateFiles } from './steps/tls-files.ts'
import { type EndCause, terminationOf } from './termination.ts'

/** What a process needs to know that serves its forward together with others. */
export interface Sharing {
  /** Its connections' ids count from the one after this. */
  readonly idsAfter: number
  /** Keeps the limits of the whole forward. */
  readonly limits: LimitKeeper
}

/** ms between two looks at the machine's interfaces; Node has no event for them. */
const followIntervalMs = 2000

/** The same while not one address can be bound yet. */
const newAddressRetryMs = 200

/** ms of age from which a connection to a target is kept alive. */
const keepAliveAgeMs = 5_000

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
  /** Undefined = this process serves the forward alone. */
  readonly #sharing: Sharing | undefined
  /** What connections have of the limits that are shared. */
  readonly #claims = new Map<Connection, Claim[]>()
  readonly #refusalReport = new RefusalReport()
  readonly #bindReport = new BindReport()
  readonly #expectedProbes = new Map<number, NodeJS.Timeout>()
  readonly #startedAt = { wall: wallTime(), monotonic: monotonicMs() }
  readonly #totals: RelayTotals = { bytesFromClient: 0, bytesFromTarget: 0 }
  readonly #refused: Record<RefusalReason, number> = {
    admission: 0,
    'max-connections': 0,
    'max-connections-per-source': 0,
    'max-rate-per-source': 0,
    descriptors: 0,
    'source-ports': 0,
    memory: 0,
    resolver: 0,
    'no-route': 0,
    'target-refused': 0,
    'target-timeout': 0,
    'target-error': 0,
    'self-dial': 0,
    'not-a-proxy': 0,
  }
  readonly #ended = new Map<string, number>()
  readonly #steps = new ForwardSteps()
  /** Undefined = no PROXY header is expected. */
  readonly #isProxy: ((address: string) => boolean) | undefined
  readonly #certificateFiles: CertificateFiles | undefined
  #pipeline: Pipeline
  #total = 0
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
    this.#isProxy = options.acceptProxy.length === 0 ? undefined : networks(options.acceptProxy)
    this.#listener = listener
    this.#admission = createAdmission(options.allow)
    // Of what is shared only this process's own descriptors are its own affair.
    this.#capacity = new Capacity(sharing === undefined ? options.maxConnections : 0, listener.event)
    this.#sourceLimits = new SourceLimits(sharing === undefined ? options : noSourceLimits)
    const { listenPort, listenUnixMode, resolver } = options
    this.#dialer = new Dialer({
      targets: targetsOf(options).map((target) => this.#dialTarget(target)),
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
    const unixMode = Number.parseInt(listenUnixMode, 8)
    this.#listeners = createListeners({ port: listenPort, unixMode }, (client, place) =>
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
    await this.#listeners.adopt(this.#inheritance, this.#wantedPlaces())
    const adopted = this.#listeners.bound()
    if (adopted.length > 0) this.#listener.event({ kind: 'listening', places: adopted })
    await this.#follow()
    await this.#waitForNewAddresses()
    this.#timers.push(setInterval(() => void this.#follow(), followIntervalMs))
    this.#timers.push(setInterval(() => this.#keepOldAlive(), keepAliveAgeMs))
    const { targetCheckMs } = this.options
    if (targetCheckMs > 0) {
      this.#dialer.learn(inheritedTargets(this.#inheritance))
      this.#dialer.startChecks(targetCheckMs, this.#inheritance.kind === 'handover')
    }
    return this.#listeners.bound()
  }

  /**
   * Puts a gate in front of the target, before `start`. What it is made of is loaded only now: a plain forward never does.
   * @param stateDirectory where the gates of one login find each other.
   * @param isMember false = another process tells the others of this forward.
   */
  async putUpGate(secrets: GateSecrets, stateDirectory: string, isMember = true): Promise<void> {
    const { openGate } = await import('./gate/index.ts')
    const place = { stateDirectory, isMember }
    const gate = openGate(
      this.options,
      secrets,
      place,
      (outcome) => this.#dialPrepared(outcome),
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
      dial: (outcome) => this.#dialPrepared(outcome),
      door: () => {
        const bound = this.#listeners.bound().filter((place) => pathOf(place) === undefined)
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
      admit: (connection, claim) => this.#admit(connection, claim),
      afterHeader: this.#sharing === undefined ? undefined : await this.#claimAfterHeader(),
      report: (event) => this.#listener.event(event),
    })
  }

  async #claimAfterHeader(): Promise<ClientStep> {
    const { claimForSource } = await import('./limits/shared-limits.ts')
    return claimForSource((connection, granted) =>
      this.#claim(connection, { slot: false, source: connection.source.address }, granted),
    )
  }

  /** Reads certificates and authorities again, as their files' change does by itself. No connection is touched. */
  async reloadCertificates(): Promise<void> {
    await this.#steps.reloadCertificates()
  }

  /** A target with its steps done, for the gate. */
  #dialPrepared(outcome: PreparedOutcome): void {
    this.#dialer.dial({
      slow: () => {},
      notDialled: (failure) => outcome(failure, undefined),
      dialled: (dialled) => {
        const socket = dialled.socket.toSocket('reading').on('error', () => {})
        if (this.#steps.target.length === 0) return outcome(undefined, socket)
        const { host, retries } = dialled
        runSteps(this.#steps.target, socket, { host, connection: undefined }, (result) => {
          dialled.prepared(result)
          if (result.ok) return outcome(undefined, result.socket)
          resetSocket(socket)
          const { step, message } = result.failure
          outcome({ reason: 'target-error', message: `${step.name}: ${message}`, retries }, undefined)
        })
      },
    })
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
    this.#dialer.stopChecks()
    this.#steps.close()
    this.#listeners.close()
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
    clearTimeout(this.#expectedProbes.get(sourcePort))
    const forget = setTimeout(() => this.#expectedProbes.delete(sourcePort), probeExpectedMs)
    forget.unref()
    this.#expectedProbes.set(sourcePort, forget)
  }

  get openConnections(): number {
    return this.#connections.size
  }

  /** What is known of every target, in order of preference. */
  targets(): ForwarderHealth['targets'] {
    return this.#dialer.facts()
  }

  /** Takes what another process of this forward knows of its targets. */
  learnTargets(targets: ForwarderHealth['targets']): void {
    this.#dialer.learn(targets)
  }

  health(): ForwarderHealth {
    this.#dialer.lookNow()
    const { listenPort } = this.options
    const bound = this.#listeners.bound()
    return {
      schemaVersion: 1,
      identity: ownIdentity(),
      version,
      startedAt: this.#startedAt.wall,
      uptimeMs: Math.round(monotonicMs() - this.#startedAt.monotonic),
      draining: this.#draining,
      supervisor: supervisorNow(this.#inheritance),
      first: firstOf(this.#inheritance),
      predecessors: livingPredecessors(this.#inheritance),
      listen: {
        port: listenPort,
        rule: isFixed(this.#inheritance) ? 'inherited' : planListeners(this.options, []).rule,
        addresses: bound
          .filter((place) => pathOf(place) === undefined)
          .map((address) => ({ address, port: listenPort, origin: this.#listeners.originOf(address) })),
        paths: bound.flatMap((place) => pathOf(place) ?? []),
        failed: this.#bindReport
          .problems(this.#listeners.failed())
          .map((failed) => ({ address: failed.place, port: listenPort, error: failedBindInWords(failed) })),
      },
      target: this.#dialer.summary(),
      targets: this.#dialer.facts(),
      shortage: this.#dialer.shortage(),
      inspector: this.#inspector?.facts ?? null,
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
      tls: {
        certificate: this.#steps.certificate ?? null,
        target: this.options.targetTls ? (this.options.targetTlsInsecure ? 'insecure' : 'verified') : null,
      },
      workers: null,
      relay: relayPath,
      warnings: this.#warnings(),
      bytes: this.#bytes(),
    }
  }

  /** Relays count as they go; the gate's connections are counted at their end, so those that are open are added here. */
  #bytes(): ForwarderHealth['bytes'] {
    let { bytesFromClient: fromClients, bytesFromTarget: fromTarget } = this.#totals
    if (this.#gate !== undefined) {
      for (const connection of this.#connections) {
        if (connection.phase !== 'served') continue
        fromClients += connection.bytesFromClient
        fromTarget += connection.bytesFromTarget
      }
    }
    return { fromClients, fromTarget }
  }

  #warnings(): string[] {
    const warnings = [...this.#steps.warnings(), ...(this.#listener.warnings?.() ?? [])]
    const targetProblem = this.#gate?.health().targetProblem
    if (targetProblem) warnings.push(`gate: ${targetProblem}`)
    if (this.options.targetTlsInsecure) {
      warnings.push('the target’s certificate is not verified (--target-tls-insecure)')
    }
    if (this.options.acceptProxy.includes('any')) {
      warnings.push('every source may say who it is (--accept-proxy any)')
    }
    return warnings
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
   * Takes a connected client, wherever it was accepted: by a listener of ours or on an inherited descriptor.
   * @param source who it is, when the socket itself cannot tell, as with a Unix socket. Such a client is not asked for its network.
   */
  accept(client: RelaySocket, source?: Source): void {
    const from = source ?? client.remote ?? sourceOfGone(client)
    if (source === undefined && this.#isExpectedProbe(client, from)) return client.reset()
    const connection = new Connection(++this.#lastId, from, client, this.#pipeline)
    if (source === undefined && !this.#mayKnock(connection)) return
    const full = this.#capacity.refusal(this.#connections.size)
    if (full !== undefined) return connection.refuse(full, this.#whyFull())
    // Whom a proxy speaks for is judged when that is known.
    const isLimited = source === undefined && this.#isProxy === undefined
    if (this.#sharing !== undefined) {
      this.#connections.add(connection)
      const { address } = connection.source
      const start = () => this.#start(connection)
      return this.#claim(connection, { slot: true, source: isLimited ? address : undefined }, start)
    }
    if (isLimited && !this.#isWithinLimits(connection)) return
    this.#connections.add(connection)
    this.#start(connection)
  }

  #start(connection: Connection): void {
    this.#total++
    connection.start()
  }

  /** Asks whoever keeps the limits of the forward's processes; one that is not within them is turned away. */
  #claim(connection: Connection, claim: Claim, granted: () => void): void {
    const limits = this.#sharing?.limits
    limits?.claim(claim, (refusal) => {
      if (connection.phase === 'ended') {
        if (refusal === undefined) limits.release(claim)
        return
      }
      if (refusal !== undefined) return connection.refuse(refusal.reason, refusal.message)
      this.#claims.set(connection, [...(this.#claims.get(connection) ?? []), claim])
      granted()
    })
  }

  /** Judges a new connection by the address its socket came from. False when it was turned away. */
  #mayKnock(connection: Connection): boolean {
    if (connection.source.address === unknownAddress) return this.#mayComeUnknown(connection)
    if (this.#isProxy === undefined) return this.#isAdmitted(connection)
    if (this.#isProxy(connection.source.address)) return true
    connection.refuse('not-a-proxy', 'it is not in a network of --accept-proxy')
    return false
  }

  /** A client that was gone before its address could be read is let in only where every address is. */
  #mayComeUnknown(connection: Connection): boolean {
    const { allow, acceptProxy } = this.options
    if ((this.#isProxy === undefined ? allow : acceptProxy).includes('any')) return true
    connection.refuse('admission', 'it reset the connection before its address could be read')
    return false
  }

  /** Judges a connection whose PROXY header is there. False when it was turned away. */
  #admit(connection: Connection, claim: ProxyClaim): boolean {
    // A check of the proxy's own comes from the proxy, which --accept-proxy names. A Unix socket's mode says who may connect.
    const isAsked = claim !== 'check' && !connection.source.address.startsWith('unix:')
    if (isAsked && !this.#isAdmitted(connection, claim === 'told')) return false
    return this.#isWithinLimits(connection)
  }

  /** @param isClaimed its address is what a PROXY header says. */
  #isAdmitted(connection: Connection, isClaimed = false): boolean {
    const { address } = connection.source
    if (isClaimed ? this.#admission.admitsClaimed(address) : this.#admission.admits(address)) return true
    connection.refuse('admission', 'its network is not admitted; --allow names others')
    return false
  }

  #isWithinLimits(connection: Connection): boolean {
    const { address } = connection.source
    const limited = this.#sourceLimits.admit(address)
    if (limited === undefined) connection.countedFor = address
    else connection.refuse(limited, limitWords(limited, this.options))
    return limited === undefined
  }

  #accepted(client: RelaySocket, place: ListenPlace): void {
    if (pathOf(place) === undefined) this.accept(client)
    else this.accept(client, { address: place, port: 0 })
  }

  #whyFull(): string {
    return this.#capacity.full === 'descriptors'
      ? 'no descriptor is left'
      : `${this.#capacity.limit} connections are open, the limit`
  }

  #connectionEnded(connection: Connection, cause: EndCause): void {
    this.#connections.delete(connection)
    const open = this.#connections.size
    if (connection.countedFor !== undefined) this.#sourceLimits.release(connection.countedFor)
    if (this.#sharing !== undefined) {
      for (const claim of this.#claims.get(connection) ?? []) this.#sharing.limits.release(claim)
      this.#claims.delete(connection)
    }
    const termination = terminationOf(cause)
    this.#ended.set(termination.code, (this.#ended.get(termination.code) ?? 0) + 1)
    if (cause.kind === 'refused') this.#countRefusal(connection, cause.reason, cause.message)
    if (cause.kind === 'step-failed') this.#reportFailure(connection, cause.failure)
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

  #reportFailure({ source }: Connection, failure: StepFailure): void {
    const untold = this.#refusalReport.next(`${failure.step.side} ${failure.step.name} ${failure.reason}`)
    if (untold === undefined) return
    this.#listener.event({ kind: 'step-failed', source: source.address, failure, untold })
  }

  #dialTarget(target: { readonly host: string; readonly port: number }): DialTarget {
    const isOwnPort = target.port === this.options.listenPort
    return {
      ...target,
      literal: literalAddresses(target.host, isOwnLoopback(this.options, target)),
      isOwnListener: (address) => this.#isOwnListener(address, isOwnPort),
    }
  }

  #isOwnListener(address: string, isOwnPort: boolean): boolean {
    if (address.startsWith('unix:')) return this.#listeners.bound().includes(address)
    if (!isOwnPort) return false
    const bound = this.#listeners.bound()
    return bound.length > 0 && reachesListener(address, bound, machineAddresses())
  }

  /** Connections that come and go by the thousand need no keepalive, and it is four system calls. */
  #keepOldAlive(): void {
    const before = performance.now() - keepAliveAgeMs
    for (const connection of this.#connections) {
      if (connection.acceptedAt > before) break
      connection.keepAlive()
    }
  }

  #isExpectedProbe(client: RelaySocket, { address, port }: Source): boolean {
    const timer = this.#expectedProbes.get(port)
    // A connection of the machine to one of its own addresses has that same address as its source.
    if (timer === undefined || client.local?.address !== address) return false
    clearTimeout(timer)
    this.#expectedProbes.delete(port)
    return true
  }

  async #follow(): Promise<void> {
    this.#capacity.checkDescriptors(this.#connections.size)
    const added = await this.#listeners.follow(this.#wantedPlaces())
    if (this.#draining) return this.#listeners.close()
    if (added.length > 0) this.#listener.event({ kind: 'listening', places: added })
    const problems = this.#bindReport.next(this.#listeners.failed())
    // Nothing bound at all is a failed start, or a machine without a network: told by whoever started this.
    if (this.#listeners.bound().length === 0) return
    for (const problem of problems) {
      this.#listener.event({
        kind: 'not-listening',
        place: problem.place,
        problem: failedBindInWords(problem),
      })
    }
  }

  /** At a machine's start its addresses may be so new that not one of them can be bound yet. */
  async #waitForNewAddresses(): Promise<void> {
    const deadline = monotonicMs() + newAddressPatienceMs
    while (
      !this.#draining &&
      this.#listeners.bound().length === 0 &&
      this.#listeners.failed().some(isUnusableYet) &&
      monotonicMs() < deadline
    ) {
      await new Promise((resolve) => setTimeout(resolve, newAddressRetryMs))
      await this.#follow()
    }
  }

  /** Whoever passed sockets on chose the places; nothing else is bound beside them. */
  #wantedPlaces(): readonly ListenPlace[] {
    if (isFixed(this.#inheritance)) return this.#listeners.bound()
    const { addresses } = planListeners(this.options, machineAddresses())
    const paths = this.options.listenUnix.map((path) => `unix:${resolve(path)}`)
    return [...addresses, ...new Set(paths)]
  }
}

/** Of a client whose address nothing tells. */
const unknownAddress = 'unknown'

/**
 * The source of a client that reset its connection before it was accepted: the kernel tells its address no more, but what it sent is there
 * to be read. Who came to a loopback address is on this machine, and counts as that address.
 */
function sourceOfGone({ local }: RelaySocket): Source {
  const isLocal = local !== undefined && isLoopback(local.address)
  return { address: isLocal ? local.address : unknownAddress, port: 0 }
}

const noSourceLimits = { maxConnectionsPerSource: 0, maxRatePerSource: 0 }
