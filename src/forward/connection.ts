import type { Socket } from 'node:net'
import { hostAndPort } from '../os/interfaces.ts'
import type { RefusalReason } from '../record/shapes/forwarder-health.ts'
import type { ConnectionPhase, ConnectionState, Source } from './connection-state.ts'
import type { DialListener, Dialled, Dialling, NotDialled } from './dial/dialer.ts'
import type { RelayTotals } from './relay/direction.ts'
import { type Relay, type RelayEnd, type RelayLimits, startRelay } from './relay/relay.ts'
import type { GoneListener, RelaySocket, SocketAddress } from './relay/relay-socket.ts'
import { resetSocket } from './relay/reset.ts'
import { relaySocketOf, StreamSocket } from './relay/stream-socket.ts'
import type { Listed } from './roster.ts'
import { type ClientStep, runSteps, type TargetStep } from './steps/steps.ts'
import type { EndCause, StopReason } from './termination.ts'

/** What every connection of a forward goes through, in this order; one object a forward. */
export interface Pipeline {
  readonly clientSteps: readonly ClientStep[]
  /** What serves clients itself instead of a dial and a relay: the gate. Undefined = a plain forward. */
  readonly server: ConnectionServer | undefined
  /** Finds a target, and tells the connection. */
  dial(connection: Connection): Dialling
  readonly targetSteps: readonly TargetStep[]
  /** Client steps that need to know what the target said: TLS that answers with the target's choice of protocol. */
  readonly lateClientSteps: readonly ClientStep[]
  readonly relayLimits: RelayLimits
  readonly totals: RelayTotals
  /** How long a connection may live, give or take a tenth, in ms. 0 = for ever. */
  readonly maxLifeMs: number
  /** Told once, last of all: both sockets are closed or about to be. */
  ended(connection: Connection, cause: EndCause): void
}

/** Speaks with a client whose steps are done. It reads and closes the socket itself; both end with the socket's 'close'. */
export interface ConnectionServer {
  serve(client: Socket, source: string): void
}

/** A `ConnectionPhase` with what it needs. */
type Phase =
  | { readonly kind: 'accepted' }
  /** @property target is there already when the step had to wait for it. */
  | { readonly kind: 'client-steps'; cancel: () => void; readonly target?: Socket }
  | { readonly kind: 'dialling'; dialling: Dialling | undefined }
  | { readonly kind: 'target-steps'; readonly target: Socket; cancel: () => void }
  | { readonly kind: 'relaying'; readonly relay: Relay }
  | { readonly kind: 'served' }
  | { readonly kind: 'ended' }

/** What stands for `cancel` until it is known: an outcome may come within the very call that returns it. */
const notYet = () => {}

/** One client's connection, from its accept to its end. */
export class Connection implements ConnectionState, DialListener, GoneListener, Listed<Connection> {
  /** Counts from 1 within a forwarder. */
  readonly id: number
  source: Source
  countedFor: string | undefined
  /** ms of `performance.now()`. */
  readonly acceptedAt = performance.now()
  /** From its accept until the target had answered, in ms; undefined until then. */
  connectMs: number | undefined
  /** Dials that failed. */
  retries = 0
  protocols: readonly string[] = []
  protocol: string | undefined
  #phase: Phase = { kind: 'accepted' }
  #destination: Source | undefined
  #client: RelaySocket
  #target: RelaySocket | undefined
  /** What counts this connection; undefined before it is dialled, and once it is over. */
  #counted: Dialled['target'] | undefined
  #targetAddress: SocketAddress | undefined
  #isKeptAlive = false
  #relay: Relay | undefined
  /** Has late steps before it. */
  #waitingClient: Socket | undefined
  /** The client, once a server such as the gate has it. */
  #served: Socket | undefined
  #stopReason: StopReason = 'shutdown'
  #lifeTimer: NodeJS.Timeout | undefined
  readonly #pipeline: Pipeline
  listedBefore: Connection | undefined
  listedAfter: Connection | undefined

  constructor(id: number, source: Source, client: RelaySocket, pipeline: Pipeline) {
    this.id = id
    this.source = source
    this.#client = client
    this.#pipeline = pipeline
    client.onGone(this)
  }

  get destination(): Source {
    // A system call that most forwards have no use for.
    this.#destination ??= this.#client.local ?? { address: '', port: 0 }
    return this.#destination
  }

  set destination(destination: Source) {
    this.#destination = destination
  }

  /** The target's address that answered, `address:port`; undefined until then. */
  get targetAddress(): string | undefined {
    const answered = this.#targetAddress
    return answered && hostAndPort(answered.address, answered.port)
  }

  get phase(): ConnectionPhase {
    return this.#phase.kind
  }

  /** Bytes that the target's kernel has taken, or that the gate has read; live. */
  get bytesFromClient(): number {
    return this.#relay?.bytesFromClient ?? this.#served?.bytesRead ?? 0
  }

  /** Bytes that the client's kernel has taken, or that the gate has written; live. */
  get bytesFromTarget(): number {
    return this.#relay?.bytesFromTarget ?? this.#served?.bytesWritten ?? 0
  }

  /** Sends it on its way. */
  start(): void {
    const { clientSteps, maxLifeMs } = this.#pipeline
    if (maxLifeMs > 0) this.#lifeTimer = setTimeout(() => this.stop('life'), jittered(maxLifeMs))
    if (clientSteps.length > 0) return this.#takeClientSteps(clientSteps)
    if (this.#pipeline.server === undefined) this.#dial()
    else this.#serve(this.#pipeline.server, this.#clientAsSocket())
  }

  /** For one that has lived for a while; see `RelaySocket.keepAlive`. The client's side has it from its accept. */
  keepAlive(): void {
    if (this.#isKeptAlive || this.#target === undefined) return
    this.#isKeptAlive = true
    this.#target.keepAlive()
  }

  refuse(reason: RefusalReason, message: string): void {
    this.#giveUp()
    this.#end({ kind: 'refused', reason, message })
  }

  /** Ends both sides now, with a reset. */
  stop(reason: StopReason): void {
    const phase = this.#phase
    if (phase.kind === 'ended') return
    if (phase.kind === 'relaying') {
      this.#stopReason = reason
      return phase.relay.stop()
    }
    this.#giveUp()
    this.#end({ kind: 'stopped', by: reason, phase: phase.kind })
  }

  #takeClientSteps(steps: readonly ClientStep[]): void {
    const phase: Phase = { kind: 'client-steps', cancel: notYet }
    this.#phase = phase
    phase.cancel = runSteps(steps, this.#clientAsSocket(), this, (result) => {
      if (!result.ok) return this.#end({ kind: 'step-failed', failure: result.failure })
      const { server, lateClientSteps } = this.#pipeline
      const isForRelay = server === undefined && lateClientSteps.length === 0
      this.#client = isForRelay ? relaySocketOf(result.socket) : new StreamSocket(result.socket)
      this.#client.onGone(this)
      if (lateClientSteps.length > 0) this.#waitingClient = result.socket
      if (server === undefined) this.#dial()
      else this.#serve(server, result.socket)
    })
  }

  #clientAsSocket(): Socket {
    const socket = this.#client.toSocket('paused')
    this.#client = new StreamSocket(socket)
    this.#client.onGone(this)
    return socket
  }

  #serve(server: ConnectionServer, client: Socket): void {
    this.#phase = { kind: 'served' }
    this.#served = client
    client.once('close', () => {
      if (this.#phase.kind !== 'ended') this.#end({ kind: 'served' })
    })
    server.serve(client, this.source.address)
  }

  #dial(): void {
    const phase: Phase = { kind: 'dialling', dialling: undefined }
    this.#phase = phase
    phase.dialling = this.#pipeline.dial(this)
  }

  /** For the dial: who waits for long is watched, or it could not be seen that it left. */
  slow(): void {
    this.#client.watch()
  }

  /** For the dial. */
  notDialled({ reason, message, retries }: NotDialled): void {
    this.retries = retries
    this.refuse(reason, message)
  }

  /** For the dial. */
  dialled({ socket, address, port, retries, host, target: counted, prepared }: Dialled): void {
    this.#counted = counted
    this.#targetAddress = { address, port }
    this.retries = retries
    const { targetSteps } = this.#pipeline
    if (targetSteps.length === 0) return this.#startRelay(socket)
    const target = socket.toSocket('reading').on('error', () => {})
    const phase: Phase = { kind: 'target-steps', target, cancel: notYet }
    this.#phase = phase
    phase.cancel = runSteps(targetSteps, target, { host, connection: this }, (result) => {
      prepared(result)
      if (result.ok) return this.#takeLateSteps(result.socket)
      resetSocket(target)
      this.#end({ kind: 'step-failed', failure: result.failure })
    })
  }

  /** The rest of the client's steps, now that the target is known. */
  #takeLateSteps(target: Socket): void {
    const client = this.#waitingClient
    if (client === undefined) return this.#startRelay(relaySocketOf(target))
    const phase: Phase = { kind: 'client-steps', cancel: notYet, target }
    this.#phase = phase
    phase.cancel = runSteps(this.#pipeline.lateClientSteps, client, this, (result) => {
      if (!result.ok) {
        resetSocket(target)
        return this.#end({ kind: 'step-failed', failure: result.failure })
      }
      this.#client = relaySocketOf(result.socket)
      this.#client.onGone(this)
      this.#startRelay(relaySocketOf(target))
    })
  }

  #startRelay(target: RelaySocket): void {
    this.connectMs = performance.now() - this.acceptedAt
    const { relayLimits, totals } = this.#pipeline
    this.#target = target
    const relay = startRelay(this.#client, target, relayLimits, totals, (end) => this.#relayed(end))
    this.#relay = relay
    this.#phase = { kind: 'relaying', relay }
  }

  #relayed(end: RelayEnd): void {
    if (end.cause === 'stopped') this.#end({ kind: 'stopped', by: this.#stopReason, phase: 'relaying' })
    else this.#end({ kind: 'relayed', end })
  }

  /** For the client's socket, which tells the relay itself as soon as there is one. */
  gone(): void {
    const phase = this.#phase
    if (phase.kind === 'relaying' || phase.kind === 'served' || phase.kind === 'ended') return
    this.#giveUp()
    this.#end({ kind: 'client-left', phase: phase.kind })
  }

  #giveUp(): void {
    const phase = this.#phase
    if ('cancel' in phase) phase.cancel()
    if (phase.kind === 'dialling') phase.dialling?.giveUp()
    if ('target' in phase && phase.target !== undefined) resetSocket(phase.target)
  }

  #end(cause: EndCause): void {
    this.#phase = { kind: 'ended' }
    if (this.#counted !== undefined) this.#counted.open--
    this.#counted = undefined
    clearTimeout(this.#lifeTimer)
    if (this.#served !== undefined) {
      this.#pipeline.totals.bytesFromClient += this.bytesFromClient
      this.#pipeline.totals.bytesFromTarget += this.bytesFromTarget
    }
    this.#client.reset()
    this.#pipeline.ended(this, cause)
  }
}

/** Node's timers hold 31 bits. */
const longestTimerMs = 0x7fff_ffff

/** Connections that came together, after an outage say, must not end together as well. */
function jittered(ms: number): number {
  return Math.min(longestTimerMs, ms * (0.9 + Math.random() * 0.2))
}
