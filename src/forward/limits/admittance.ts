/**
 * limits/: which connections go on. The forwarder asks `Admittance` at every accept; several processes of one forward share `SharedLimits`.
 *
 *   the monitor's probe? -> admission.ts (networks) -> capacity.ts (room, descriptors) -> source-limits.ts (per source)
 *
 * To add a limit: its own file, its place in `Admittance`, a `RefusalReason` and its letters in termination.ts.
 */
import type { ForwardOptions } from '../../config/forward-options.ts'
import { networks } from '../../os/networks.ts'
import type { ConnectionState, Source } from '../connection-state.ts'
import type { RelaySocket } from '../relay/relay-socket.ts'
import type { Claim as ProxyClaim } from '../steps/proxy-protocol-in.ts'
import { type Admission, createAdmission } from './admission.ts'
import { Capacity, type CapacityEvent } from './capacity.ts'
import type { Claim, LimitKeeper } from './shared-limits.ts'
import { limitWords, SourceLimits } from './source-limits.ts'

export type AdmittanceOptions = Pick<
  ForwardOptions,
  'allow' | 'acceptProxy' | 'maxConnections' | 'maxConnectionsPerSource' | 'maxRatePerSource'
>

/** What stands for the address of a client whose address the kernel does not tell. */
export const unknownAddress = 'unknown'

/** ms for which an announced probe is expected. */
const probeExpectedMs = 5000

const noSourceLimits = { maxConnectionsPerSource: 0, maxRatePerSource: 0 }

/**
 * Decides which connections of a forward go on, in this order: the monitor's probe goes no further; then the network of the client, or
 * whether it is a proxy; room for one more; the limits of its source. A connection behind a PROXY header is judged a second time when the
 * header has named its source. What is turned away is refused here, with its reason.
 */
export class Admittance {
  readonly capacity: Capacity
  readonly #options: AdmittanceOptions
  readonly #admission: Admission
  readonly #sourceLimits: SourceLimits
  /** Undefined = no PROXY header is expected. */
  readonly #isProxy: ((address: string) => boolean) | undefined
  /** Undefined = this process serves the forward alone. */
  readonly #shared: LimitKeeper | undefined
  /** What connections have of the limits that are shared. */
  readonly #claims = new Map<ConnectionState, Claim[]>()
  readonly #expectedProbes = new Map<number, NodeJS.Timeout>()

  /** @param shared keeps the limits of the whole forward; undefined = this process serves the forward alone. */
  constructor(
    options: AdmittanceOptions,
    shared: LimitKeeper | undefined,
    report: (event: CapacityEvent) => void,
  ) {
    this.#options = options
    this.#shared = shared
    this.#isProxy = options.acceptProxy.length === 0 ? undefined : networks(options.acceptProxy)
    this.#admission = createAdmission(options.allow)
    // Each process counts its own descriptors; all other limits are kept for the whole forward.
    this.capacity = new Capacity(shared === undefined ? options.maxConnections : 0, report)
    this.#sourceLimits = new SourceLimits(shared === undefined ? options : noSourceLimits)
  }

  /** The admitted networks in words, for the health report. */
  get description(): string {
    return this.#admission.description
  }

  /** The next connection from this source port on this machine is the monitor's probe. */
  expectProbe(sourcePort: number): void {
    clearTimeout(this.#expectedProbes.get(sourcePort))
    const forget = setTimeout(() => this.#expectedProbes.delete(sourcePort), probeExpectedMs)
    forget.unref()
    this.#expectedProbes.set(sourcePort, forget)
  }

  /** Whether this client is a probe that was announced. It is expected no more then. */
  isExpectedProbe(client: RelaySocket, { address, port }: Source): boolean {
    const timer = this.#expectedProbes.get(port)
    // A connection of the machine to one of its own addresses has that same address as its source.
    if (timer === undefined || client.local?.address !== address) return false
    clearTimeout(timer)
    this.#expectedProbes.delete(port)
    return true
  }

  /**
   * Judges a new connection by the address its socket came from, and by the room there is. False when it was turned away.
   * @param isUnix it came to a Unix socket, whose mode says who may connect.
   * @param open connections that are open beside it.
   */
  mayEnter(connection: ConnectionState, isUnix: boolean, open: number): boolean {
    if (!isUnix && !this.#mayKnock(connection)) return false
    const full = this.capacity.refusal(open)
    if (full === undefined) return true
    connection.refuse(full, this.#whyFull())
    return false
  }

  /**
   * Counts a new connection against the limits, or turns it away.
   * @param granted called once when it is within them: at once, or with other processes of the forward once they have been asked.
   */
  enter(connection: ConnectionState, isUnix: boolean, granted: () => void): void {
    // Behind a proxy the source is known, and judged, when the header is there.
    const isLimited = !isUnix && this.#isProxy === undefined
    if (this.#shared !== undefined) {
      const source = isLimited ? connection.source.address : undefined
      return this.#claim(this.#shared, connection, { slot: true, source }, granted)
    }
    if (!isLimited || this.#isWithinLimits(connection)) granted()
  }

  /** Judges a connection whose PROXY header is there. False when it was turned away. */
  mayStay(connection: ConnectionState, claim: ProxyClaim): boolean {
    // A check of the proxy's own comes from the proxy, which --accept-proxy names. A Unix socket's mode says who may connect.
    const isAsked = claim !== 'check' && !connection.source.address.startsWith('unix:')
    if (isAsked && !this.#isAdmitted(connection, claim === 'told')) return false
    return this.#isWithinLimits(connection)
  }

  /** Counts a connection against the shared limits of the source that its PROXY header has named, or turns it away. */
  claimForSource(connection: ConnectionState, granted: () => void): void {
    if (this.#shared === undefined) return granted()
    this.#claim(this.#shared, connection, { slot: false, source: connection.source.address }, granted)
  }

  /** Gives back what a connection that has ended had of the limits. @param open connections that are left. */
  left(connection: ConnectionState, open: number): void {
    if (connection.countedFor !== undefined) this.#sourceLimits.release(connection.countedFor)
    if (this.#shared !== undefined) {
      for (const claim of this.#claims.get(connection) ?? []) this.#shared.release(claim)
      this.#claims.delete(connection)
    }
    this.capacity.ended(open)
  }

  #claim(limits: LimitKeeper, connection: ConnectionState, claim: Claim, granted: () => void): void {
    limits.claim(claim, (refusal) => {
      if (connection.phase === 'ended') {
        if (refusal === undefined) limits.release(claim)
        return
      }
      if (refusal !== undefined) return connection.refuse(refusal.reason, refusal.message)
      this.#claims.set(connection, [...(this.#claims.get(connection) ?? []), claim])
      granted()
    })
  }

  #mayKnock(connection: ConnectionState): boolean {
    if (connection.source.address === unknownAddress) return this.#mayComeUnknown(connection)
    if (this.#isProxy === undefined) return this.#isAdmitted(connection)
    if (this.#isProxy(connection.source.address)) return true
    connection.refuse('not-a-proxy', 'it is not in a network of --accept-proxy')
    return false
  }

  /** A client that was gone before its address could be read is let in only where every address is. */
  #mayComeUnknown(connection: ConnectionState): boolean {
    const { allow, acceptProxy } = this.#options
    if ((this.#isProxy === undefined ? allow : acceptProxy).includes('any')) return true
    connection.refuse('admission', 'it reset the connection before its address could be read')
    return false
  }

  /** @param isClaimed its address is what a PROXY header says. */
  #isAdmitted(connection: ConnectionState, isClaimed = false): boolean {
    const { address } = connection.source
    if (isClaimed ? this.#admission.admitsClaimed(address) : this.#admission.admits(address)) return true
    connection.refuse('admission', 'its network is not admitted; --allow names others')
    return false
  }

  #isWithinLimits(connection: ConnectionState): boolean {
    const { address } = connection.source
    const limited = this.#sourceLimits.admit(address)
    if (limited === undefined) connection.countedFor = address
    else connection.refuse(limited, limitWords(limited, this.#options))
    return limited === undefined
  }

  #whyFull(): string {
    return this.capacity.full === 'descriptors'
      ? 'no descriptor is left'
      : `${this.capacity.limit} connections are open, the limit`
  }
}
