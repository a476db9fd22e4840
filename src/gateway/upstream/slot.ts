import { monotonicMs } from '../../os/clock.ts'
import type { CallingClient } from './call.ts'
import type { Connection } from './connection.ts'
import { Restarts } from './restarts.ts'

/** The connection that all clients share. */
export const sharedSession = ''

/** A server cannot be used now. The message names it and says why. */
export class UpstreamDown extends Error {
  readonly connector: string
  /** ms until it is tried again, where that is known. */
  readonly waitMs: number | undefined

  constructor(connector: string, why: string, waitMs?: number) {
    super(`connector '${connector}' is not available: ${why}`)
    this.connector = connector
    this.waitMs = waitMs
  }
}

/** A connection to the server of a connector, or the tries to have one: the one that all clients share, or one client's own. */
export class Slot {
  connection: Connection | undefined
  opening: Promise<Connection> | undefined
  /** The connection of the start that is under way, once that start has failed: it knows the last words of the server. */
  tried: Connection | undefined
  readonly restarts = new Restarts()
  /** Monotonic ms. */
  usedAt = monotonicMs()
  /** Whose it is; undefined = everybody's. */
  client: Pick<CallingClient, 'capabilities'> | undefined
  #retry: NodeJS.Timeout | undefined
  /** Ends its wait for the next start; undefined = it waits for none. */
  #resume: (() => void) | undefined

  /** Waits until its next start may be, or somebody has it tried now. */
  pause(signal: AbortSignal): Promise<void> {
    const { waitMs } = this.restarts
    if (waitMs === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const over = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', over)
        this.#resume = undefined
        resolve()
      }
      const timer = setTimeout(over, waitMs)
      this.#resume = over
      signal.addEventListener('abort', over, { once: true })
    })
  }

  /** The cause of its failures has been removed: who waits for its next start waits no longer. */
  retry(): void {
    this.restarts.retry()
    this.#resume?.()
  }

  /** Has it started again, without being asked, after so many ms. */
  startAfter(waitMs: number, start: () => void): void {
    clearTimeout(this.#retry)
    this.#retry = setTimeout(start, waitMs + 1)
  }

  /** Takes its connection away, also one that is being opened. Resolves with it. */
  async emptied(): Promise<Connection | undefined> {
    clearTimeout(this.#retry)
    const connection = this.connection ?? (await this.opening?.catch(() => undefined))
    this.connection = undefined
    return connection
  }

  /** What a call is told that cannot be taken: why it is down, and when it is tried again. */
  refusal(connector: string, why: string): UpstreamDown {
    const { waitMs, isPaused } = this.restarts
    if (waitMs === 0) return new UpstreamDown(connector, why, waitMs)
    const often = isPaused ? 'it has failed too often, and restarts pause; ' : ''
    const when = `${often}it is tried again in ${Math.ceil(waitMs / 1000)} s`
    return new UpstreamDown(connector, `${why}; ${when}`, waitMs)
  }
}
