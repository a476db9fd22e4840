import type { Socket } from 'node:net'
import type { ForwardOptions } from '../config/forward-options.ts'
import type { ForwarderHealth, RefusalReason } from '../control/forwarder-health.ts'
import { monotonicMs, wallTime } from '../os/clock.ts'
import { descriptorLimit } from '../os/descriptor-limit.ts'
import { machineAddresses } from '../os/interfaces.ts'
import { ownIdentity } from '../os/process-identity.ts'
import { version } from '../os/version.ts'
import { createAdmission } from './admission.ts'
import { Connection, type Pipeline } from './connection.ts'
import { type DialFailure, type Dialled, dial } from './dial.ts'
import type { Gate, GateSecrets } from './gate/index.ts'
import { livingPredecessors } from './handover.ts'
import { type Inheritance, isFixed } from './inherited-listeners.ts'
import { isSamePort, planListeners, reachesListener } from './listen-plan.ts'
import { bindProblem, createListeners, type ListenerSet } from './listeners.ts'
import type { RelayTotals } from './relay.ts'
import { resetSocket } from './reset.ts'
import { TargetRecord } from './target-record.ts'
import { type EndCause, terminationOf } from './termination.ts'

/** What a forwarder tells whoever keeps its log. Nothing on the byte path is an event. */
export type ForwarderEvent =
  | { readonly kind: 'listening'; readonly addresses: readonly string[] }
  | { readonly kind: 'not-listening'; readonly address: string; readonly problem: string }
  | { readonly kind: 'target-answers'; readonly address: string }
  | { readonly kind: 'target-fails'; readonly message: string; readonly answeredBefore: boolean }
  | {
      readonly kind: 'refused'
      readonly source: string
      readonly reason: RefusalReason
      readonly message: string
    }

/** ms between two looks at the machine's interfaces; Node has no event for them. */
const followIntervalMs = 2000

/** Descriptors kept for listeners, log, control socket, PID file and the runtime itself. */
const reservedDescriptors = 64

/** ms for which an announced probe is expected. */
const probeExpectedMs = 5000

/**
 * One TCP forward: listens, admits, dials, relays, drains and counts.
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
  readonly #report: (event: ForwarderEvent) => void
  readonly #listeners: ListenerSet
  readonly #admission: ReturnType<typeof createAdmission>
  readonly #target = new TargetRecord()
  readonly #connections = new Set<Connection>()
  readonly #expectedProbes = new Map<number, NodeJS.Timeout>()
  readonly #startedAt = { wall: wallTime(), monotonic: monotonicMs() }
  readonly #limit: number
  readonly #totals: RelayTotals = { bytesFromClient: 0, bytesFromTarget: 0 }
  readonly #refused: Record<RefusalReason, number> = {
    admission: 0,
    'max-connections': 0,
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
  #cancelCheck: (() => void) | undefined
  #onEmpty: (() => void)[] = []
  #timers: NodeJS.Timeout[] = []

  constructor(
    options: ForwardOptions,
    report: (event: ForwarderEvent) => void,
    inheritance: Inheritance = { kind: 'none' },
  ) {
    this.options = options
    this.#inheritance = inheritance
    this.#report = report
    this.#admission = createAdmission(options.allow)
    this.#limit = connectionLimit(options.maxConnections)
    this.#listeners = createListeners(options.listenPort, (socket) => this.accept(socket))
    this.#pipeline = {
      clientSteps: [],
      server: undefined,
      dial: (_connection, outcome) => this.#dial(outcome),
      targetSteps: [],
      relayLimits: options,
      totals: this.#totals,
      ended: (connection, cause) => this.#connectionEnded(connection, cause),
    }
  }

  /**
   * Binds every address of the plan and begins to follow the machine's interfaces and the target.
   * @returns the addresses that are bound; none means that not one bind succeeded (see `health().listen.failed`) or that
   *   the machine has no address but loopback, which may change.
   * @throws Failure when an inherited socket cannot be used.
   */
  async start(): Promise<readonly string[]> {
    await this.#listeners.adopt(this.#inheritance, this.#wantedAddresses())
    if (this.#listeners.bound().length > 0) {
      this.#report({ kind: 'listening', addresses: this.#listeners.bound() })
    }
    await this.#follow()
    this.#timers.push(setInterval(() => void this.#follow(), followIntervalMs))
    const { targetCheckMs } = this.options
    if (targetCheckMs > 0) {
      this.#checkTarget()
      this.#timers.push(setInterval(() => this.#checkTarget(), targetCheckMs / 2))
    }
    return this.#listeners.bound()
  }

  /**
   * Puts a gate in front of the target, before `start`. What it is made of is loaded only now: a plain forward never does.
   * @param stateDirectory where the gates of one login find each other.
   */
  async putUpGate(secrets: GateSecrets, stateDirectory: string): Promise<void> {
    const { openGate } = await import('./gate/index.ts')
    const gate = openGate(this.options, secrets, stateDirectory, (outcome) => this.#dial(outcome))
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
    this.close()
    while (this.#connections.size > 0) {
      await new Promise<void>((resolve) => this.#onEmpty.push(resolve))
    }
  }

  /** The listening sockets, for the process that replaces this one. */
  sockets(): ReturnType<ListenerSet['sockets']> {
    return this.#listeners.sockets()
  }

  /** Stops accepting and watching; connections go on. */
  close(): void {
    this.#draining = true
    for (const timer of this.#timers) clearInterval(timer)
    this.#cancelCheck?.()
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
    const { listenPort, targetHost, targetPort } = this.options
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
        addresses: this.#listeners
          .bound()
          .map((address) => ({ address, port: listenPort, origin: this.#listeners.originOf(address) })),
        failed: this.#listeners
          .failed()
          .map(({ address, error }) => ({ address, port: listenPort, error: bindProblem(error) })),
      },
      target: { host: targetHost, port: targetPort, ...this.#target.facts() },
      admission: this.#admission.description,
      gate: this.#gate?.health() ?? null,
      connections: {
        open: this.#connections.size,
        total: this.#total,
        limit: this.#limit,
        refused: { ...this.#refused },
        ended: Object.fromEntries(this.#ended),
      },
      bytes: { fromClients: this.#totals.bytesFromClient, fromTarget: this.#totals.bytesFromTarget },
    }
  }

  /** Why nothing could be bound, if that is so. */
  bindErrors(): readonly { readonly address: string; readonly error: NodeJS.ErrnoException }[] {
    return this.#listeners.failed()
  }

  /** Takes a connected client, wherever it was accepted; it must not have been read from. */
  accept(client: Socket): void {
    const { remoteAddress: address, remotePort: port = 0 } = client
    // Gone before it was accepted.
    if (address === undefined) return void client.on('error', () => {}).destroy()
    if (this.#isExpectedProbe(client)) return resetSocket(client.on('error', () => {}))
    const connection = new Connection(++this.#lastId, { address, port }, client, this.#pipeline)
    if (!this.#admission.admits(address)) {
      return connection.refuse('admission', 'its network is not admitted; --allow names others')
    }
    if (this.#connections.size >= this.#limit) {
      return connection.refuse('max-connections', `${this.#limit} connections are open, the limit`)
    }
    this.#total++
    this.#connections.add(connection)
    connection.start()
  }

  #dial(outcome: Parameters<Pipeline['dial']>[1]): () => void {
    return dial(this.#dialTarget(), (...result) => {
      this.#recordDial(result[0], result[1])
      outcome(...result)
    })
  }

  #connectionEnded(connection: Connection, cause: EndCause): void {
    this.#connections.delete(connection)
    const { code } = terminationOf(cause)
    this.#ended.set(code, (this.#ended.get(code) ?? 0) + 1)
    if (cause.kind === 'refused') {
      this.#refused[cause.reason]++
      const { reason, message } = cause
      this.#report({ kind: 'refused', source: connection.source.address, reason, message })
    }
    if (this.#connections.size === 0) for (const resolve of this.#onEmpty.splice(0)) resolve()
  }

  #dialTarget() {
    const { targetHost, targetPort, listenPort, connectTimeoutMs } = this.options
    const bound = targetPort === listenPort ? this.#listeners.bound() : []
    return {
      host: targetHost,
      port: targetPort,
      bothLoopbacks: isSamePort(this.options),
      timeoutMs: connectTimeoutMs,
      isOwnListener: (address: string) =>
        bound.length > 0 && reachesListener(address, bound, machineAddresses()),
    }
  }

  #recordDial(failure: DialFailure | undefined, dialled: Dialled | undefined): void {
    const before = this.#target.state
    if (dialled !== undefined) {
      this.#target.answered(dialled.address)
      if (before !== 'reachable') this.#report({ kind: 'target-answers', address: dialled.address })
    } else if (failure !== undefined) {
      this.#target.failed(failure.message)
      if (this.#target.state !== before) {
        const answeredBefore = before === 'reachable'
        this.#report({ kind: 'target-fails', message: failure.message, answeredBefore })
      }
    }
  }

  /** Connects to the target and hangs up, unless a client's connection has told lately how it is. */
  #checkTarget(): void {
    const { targetCheckMs } = this.options
    const isFresh = this.#target.state === 'reachable' && this.#target.ageMs < targetCheckMs
    if (isFresh || this.#cancelCheck !== undefined) return
    this.#cancelCheck = dial(this.#dialTarget(), (failure, dialled) => {
      this.#cancelCheck = undefined
      this.#recordDial(failure, dialled)
      dialled?.socket.on('error', () => {})
      dialled?.socket.destroy()
    })
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

  /** Whoever passed sockets on chose the addresses; nothing else is bound beside them. */
  #wantedAddresses(): readonly string[] {
    if (isFixed(this.#inheritance)) return this.#listeners.bound()
    return planListeners(this.options, machineAddresses()).addresses
  }

  async #follow(): Promise<void> {
    const before = this.#listeners.bound()
    const knownProblems = new Set(this.#listeners.failed().map(({ address }) => address))
    await this.#listeners.follow(this.#wantedAddresses())
    if (this.#draining) return this.#listeners.close()
    const added = this.#listeners.bound().filter((address) => !before.includes(address))
    if (added.length > 0) this.#report({ kind: 'listening', addresses: added })
    // Nothing bound at all is a failed start, or a machine without a network: told by whoever started this.
    if (this.#listeners.bound().length === 0) return
    for (const { address, error } of this.#listeners.failed()) {
      if (!knownProblems.has(address)) {
        this.#report({ kind: 'not-listening', address, problem: bindProblem(error) })
      }
    }
  }
}

function connectionLimit(asked: number): number {
  const affordable = Math.max(1, Math.floor((descriptorLimit() - reservedDescriptors) / 2))
  return asked === 0 ? affordable : Math.min(asked, affordable)
}
