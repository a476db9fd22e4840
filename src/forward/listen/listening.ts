/**
 * listen/: where a forward listens. listen-plan.ts works it out (pure), listeners.ts binds it, and `Listening` repeats that as the
 * machine's addresses come and go. inherited-listeners.ts takes sockets that systemd, a monitor or the process before has left.
 *
 * A new kind of place (like `unix:/path`, unix-listener.ts) gets a file of its own and its case in listeners.ts.
 */
import { resolve } from 'node:path'
import type { ForwardOptions } from '../../config/forward-options.ts'
import { monotonicMs } from '../../os/clock.ts'
import { machineAddresses } from '../../os/interfaces.ts'
import { type Inheritance, isFixed } from '../../process/inheritance.ts'
import type { ForwarderHealth } from '../../record/shapes/forwarder-health.ts'
import type { RelaySocket } from '../relay/relay-socket.ts'
import { BindReport, failedBindInWords, isUnusableYet, newAddressPatienceMs } from './bind-report.ts'
import { type ListenPlace, planListeners, reachesListener } from './listen-plan.ts'
import { createListeners, type ListenerSet, pathOf } from './listeners.ts'

export type ListenEvent =
  | { readonly kind: 'listening'; readonly places: readonly ListenPlace[] }
  | { readonly kind: 'not-listening'; readonly place: ListenPlace; readonly problem: string }

/** ms between two tries while not one address can be bound yet. */
const newAddressRetryMs = 200

/** Keeps a forward listening wherever its options want it, while the addresses of the machine come and go. */
export class Listening {
  readonly #options: ForwardOptions
  readonly #inheritance: Inheritance
  readonly #report: (event: ListenEvent) => void
  readonly #listeners: ListenerSet
  readonly #bindReport = new BindReport()
  #isClosed = false

  /** @param accepted takes each client, with the place it came to. */
  constructor(
    options: ForwardOptions,
    inheritance: Inheritance,
    report: (event: ListenEvent) => void,
    accepted: (client: RelaySocket, place: ListenPlace) => void,
  ) {
    this.#options = options
    this.#inheritance = inheritance
    this.#report = report
    const unixMode = Number.parseInt(options.listenUnixMode, 8)
    this.#listeners = createListeners({ port: options.listenPort, unixMode }, accepted)
  }

  /**
   * Takes the inherited sockets and binds the rest of the plan.
   * @throws Failure when an inherited socket cannot be used.
   */
  async start(): Promise<void> {
    await this.#listeners.adopt(this.#inheritance, this.#wantedPlaces())
    const adopted = this.#listeners.bound()
    if (adopted.length > 0) this.#report({ kind: 'listening', places: adopted })
    await this.follow()
    await this.#waitForNewAddresses()
  }

  /** Places that are bound now. */
  bound(): readonly ListenPlace[] {
    return this.#listeners.bound()
  }

  /** Places that should be bound and are not, with the reason. */
  failed(): ReturnType<ListenerSet['failed']> {
    return this.#listeners.failed()
  }

  /** The listening sockets, for the process that replaces this one. */
  sockets(): ReturnType<ListenerSet['sockets']> {
    return this.#listeners.sockets()
  }

  /** Whether a dial of this address would come back to this forward. @param isOwnPort the dial goes to the forward's own port. */
  isOwn(address: string, isOwnPort: boolean): boolean {
    if (address.startsWith('unix:')) return this.#listeners.bound().includes(address)
    if (!isOwnPort) return false
    const bound = this.#listeners.bound()
    return bound.length > 0 && reachesListener(address, bound, machineAddresses())
  }

  health(): ForwarderHealth['listen'] {
    const { listenPort: port } = this.#options
    const bound = this.#listeners.bound()
    return {
      port,
      rule: isFixed(this.#inheritance) ? 'inherited' : planListeners(this.#options, []).rule,
      addresses: bound
        .filter((place) => pathOf(place) === undefined)
        .map((address) => ({ address, port, origin: this.#listeners.originOf(address) })),
      paths: bound.flatMap((place) => pathOf(place) ?? []),
      failed: this.#bindReport
        .problems(this.#listeners.failed())
        .map((failed) => ({ address: failed.place, port, error: failedBindInWords(failed) })),
    }
  }

  /** Stops accepting; accepted connections go on. */
  close(): void {
    this.#isClosed = true
    this.#listeners.close()
  }

  /** As `close`, which may follow, when another process shares the sockets: the paths of Unix sockets stay. */
  leave(): void {
    this.#isClosed = true
    this.#listeners.leave()
  }

  /** Binds what the machine has got since the last look, lets go of what it has lost, and tries again what failed. */
  async follow(): Promise<void> {
    const added = await this.#listeners.follow(this.#wantedPlaces())
    if (this.#isClosed) return this.#listeners.close()
    if (added.length > 0) this.#report({ kind: 'listening', places: added })
    const problems = this.#bindReport.next(this.#listeners.failed())
    // Nothing bound at all is a failed start, or a machine without a network: told by whoever started this.
    if (this.#listeners.bound().length === 0) return
    for (const problem of problems) {
      this.#report({
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
      !this.#isClosed &&
      this.#listeners.bound().length === 0 &&
      this.#listeners.failed().some(isUnusableYet) &&
      monotonicMs() < deadline
    ) {
      await new Promise((resolve) => setTimeout(resolve, newAddressRetryMs))
      await this.follow()
    }
  }

  /** Whoever passed sockets on chose the places; nothing else is bound beside them. */
  #wantedPlaces(): readonly ListenPlace[] {
    if (isFixed(this.#inheritance)) return this.#listeners.bound()
    const { addresses } = planListeners(this.#options, machineAddresses())
    const paths = this.#options.listenUnix.map((path) => `unix:${resolve(path)}`)
    return [...addresses, ...new Set(paths)]
  }
}
