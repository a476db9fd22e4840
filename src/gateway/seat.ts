import type { Socket } from 'node:net'
import path from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import { monotonicMs } from '../os/clock.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { fileNames } from '../record/state-directory.ts'
import { knock } from './face/attach.ts'
import type { GatewayOptions } from './options.ts'
import { GatewayProcess } from './process.ts'

/** ms that a monitor has to bring its gateway back before a client becomes the gateway. */
const monitorTakesMs = 30_000

/** ms after which a place that another process holds, and where it takes no clients, is given up. */
const heldMs = 20_000

/** ms between two tries, at first and at most. */
const firstPauseMs = 20
const longestPauseMs = 500

/** ms between two looks at whether clients are left. */
const lookEveryMs = 200

/** The place of one client's process at the gateway of its state directory: it is a client of it, or the gateway itself. */
export class Seat {
  readonly #options: GatewayOptions
  #hosted: GatewayProcess | undefined
  /** Settles when this process has become the gateway, or has not. */
  #becoming: Promise<unknown> = Promise.resolve()
  #isLeft = false
  #wasKept = false
  #hasJoined = false

  constructor(options: GatewayOptions) {
    this.#options = options
  }

  /** The gateway that this process is; undefined = it is none. */
  get hosted(): GatewayProcess | undefined {
    return this.#hosted
  }

  /**
   * A connection to the gateway. Of several processes that look for one at once, one becomes it.
   * @param isForMonitor a monitor is about to start it.
   * @throws Failure when that cannot be.
   */
  async find(isForMonitor: boolean): Promise<Socket> {
    const { stateDirectory, chosen, say } = this.#options
    const file = path.join(stateDirectory, fileNames.gatewayClients)
    const wish = chosen === undefined ? {} : { connectors: chosen }
    const began = monotonicMs()
    this.#wasKept ||= isForMonitor
    let pauseMs = firstPauseMs
    for (;;) {
      if (this.#isLeft) throw clientHasLeft()
      const knocked = await knock(file, wish)
      if (knocked?.ok === true) {
        this.#wasKept = knocked.isKept
        if (this.#hosted === undefined && !this.#hasJoined) say('Joined the gateway that runs already')
        this.#hasJoined = true
        return knocked.socket
      }
      if (knocked?.ok === false) throw new Failure(knocked.error, exitCode.usage)
      // While it knocked: the gateway of this process ends when its client has left, and must not begin again.
      if (this.#isLeft) throw clientHasLeft()
      if (!this.#wasKept || monotonicMs() - began > monitorTakesMs) {
        const refusal = await this.#become()
        if (refusal === undefined) continue
        if (monotonicMs() - began > heldMs + (this.#wasKept ? monitorTakesMs : 0)) throw refusal
      }
      await after(pauseMs)
      pauseMs = Math.min(longestPauseMs, pauseMs * 2)
    }
  }

  /** Becomes the gateway. @returns why another process is it; undefined = this one is. @throws Failure for any other reason. */
  async #become(): Promise<Failure | undefined> {
    try {
      const becoming = GatewayProcess.begin(this.#options)
      this.#becoming = becoming.catch(() => {})
      this.#hosted = await becoming
      return undefined
    } catch (error) {
      if (error instanceof Failure && error.exitCode === exitCode.unavailable) return error
      throw error
    }
  }

  /** Nobody looks for the gateway any more. Resolves when it is known whether this process is it. */
  async leave(): Promise<void> {
    this.#isLeft = true
    await this.#becoming
  }

  /** Resolves when this process is no gateway, or its last client has left. */
  async lastHasLeft(): Promise<void> {
    while (this.#hosted !== undefined && !this.#hosted.isEnding && this.#hosted.core.sessions.size > 0)
      await after(lookEveryMs)
  }
}

function clientHasLeft(): Failure {
  return new Failure('its client has left', exitCode.ok)
}
