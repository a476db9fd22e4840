/**
 * inspector/: whether the MCP Inspector answers behind a forward, and what it lets visitors do. Loaded only by a forward whose target has one of the
 * Inspector's ports, or that is asked to look (`--inspector`).
 *
 *   target begins to answer, another program took its place (dial/: other listening sockets), or the forward's own addresses changed
 *   -> ask.ts: a few GET requests, one to what speaks another protocol -> recognise.ts: what the answers mean
 *   -> `health().inspector` -> report/inspector-verdict.ts; the cure, which depends on who started the forward -> report/advice.ts
 *
 * A new sign by which an Inspector can be told goes to recognise.ts.
 */
import {
  hostAndPort,
  isLinkLocal,
  isLoopback,
  isWildcard,
  machineAddresses,
  withoutZone,
} from '../../os/interfaces.ts'
import type { InspectorFacts } from '../../record/shapes/forwarder-health.ts'
import type { PreparedOutcome } from '../dial/dialer.ts'
import { asker } from './ask.ts'
import { type Door, recognise } from './recognise.ts'

export interface InspectorWatchOptions {
  /** Dials the target and goes through its steps. */
  readonly dial: (outcome: PreparedOutcome) => void
  readonly door: () => Door
}

/** The page of 1.x is opened on another port than that of its proxy. */
const proxyPort = 6277
const pageOfProxyPort = 6274

/**
 * Where pages of the forward are opened from other machines.
 * @param bound the addresses it listens on.
 */
export function originsOf(bound: readonly string[], listenPort: number, isTls: boolean): string[] {
  const scheme = isTls ? 'https' : 'http'
  const port = listenPort === proxyPort ? pageOfProxyPort : listenPort
  const own = machineAddresses().map(({ address }) => address)
  const all = bound.flatMap((address) => {
    if (!isWildcard(address)) return [address]
    return own.filter((one) => address === '::' || !one.includes(':'))
  })
  const published = all.filter((address) => !isLoopback(address) && !isLinkLocal(withoutZone(address)))
  return [...new Set(published)].map((address) => `${scheme}://${hostAndPort(address, port)}`)
}

/** Between two tries to reach a target that does not take the connection. One that takes it is asked once, whatever it says. */
const pauseMs = 2_000
const mostTries = 3

/** Looks once whenever there is a reason to, never while nothing changes. */
export class InspectorWatch {
  readonly #options: InspectorWatchOptions
  #facts: InspectorFacts | null = null
  #asked = ''
  #isLooking = false
  #isDue = false
  #isAway = false
  #isOver = false

  constructor(options: InspectorWatchOptions) {
    this.#options = options
  }

  /** What was seen last; null = no Inspector. Looks again when the forward's own addresses have changed since. */
  get facts(): InspectorFacts | null {
    if (this.#facts !== null && this.#asked !== JSON.stringify(this.#options.door())) this.look()
    return this.#facts
  }

  /** The target began to answer, or something else listens there now. */
  look(): void {
    this.#isDue = true
    this.#isAway = false
    if (!this.#isLooking) void this.#lookWhileDue()
  }

  /** The target is away, and with it what a look still under way will see. */
  forget(): void {
    this.#isDue = false
    this.#isAway = true
    this.#facts = null
  }

  close(): void {
    this.#isOver = true
  }

  async #lookWhileDue(): Promise<void> {
    this.#isLooking = true
    while (this.#isDue && !this.#isOver) {
      this.#isDue = false
      const door = this.#options.door()
      this.#asked = JSON.stringify(door)
      for (let tries = 1; tries <= mostTries && !this.#isStale; tries++) {
        const seen = await recognise(asker(this.#options.dial), door).catch(() => 'no-answer' as const)
        if (seen !== 'no-answer') {
          if (!this.#isStale) this.#facts = seen
          break
        }
        await new Promise((resolve) => setTimeout(resolve, pauseMs).unref())
      }
    }
    this.#isLooking = false
  }

  /** What is being looked at is no longer there, or no longer what it was. */
  get #isStale(): boolean {
    return this.#isDue || this.#isAway || this.#isOver
  }
}
