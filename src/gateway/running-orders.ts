import { invalidArgument } from '../control/protocol.ts'
import type { LeveledLog } from '../log/pino-log.ts'
import type { PinnedConnector } from '../record/shapes/gateway-pins.ts'
import type { GatewayReload } from '../record/shapes/gateway-reload.ts'
import type { Access } from './access.ts'
import type { GatewayCore } from './gateway-core.ts'
import type { GatewayOptions, WantedGateway } from './options.ts'
import type { Pins } from './pins.ts'
import { acceptTools, levelIn, readAgain, retried } from './reload.ts'

/** ms for which the wire tap can be switched on at once. */
const longestWatchMs = 24 * 3_600_000

export interface RunningOrdersOptions {
  readonly options: GatewayOptions
  readonly core: GatewayCore
  readonly log: LeveledLog
  readonly pins: Pins
  readonly access: () => Access | undefined
  /** The status is another one now. */
  readonly changed: () => void
}

/** What the gateway can be told while it runs, but for its end and its replacement. reload.ts carries out the longer ones. */
export class RunningOrders {
  readonly #around: RunningOrdersOptions
  #wanted: WantedGateway
  /** One reading of the configuration after another. */
  #reloaded: Promise<void> = Promise.resolve()

  constructor(around: RunningOrdersOptions) {
    this.#around = around
    this.#wanted = around.options.wanted
  }

  /** What the configuration says, as it was read last. */
  get wanted(): WantedGateway {
    return this.#wanted
  }

  /**
   * Reads the configuration again and serves what it says. What cannot be read or is not valid changes nothing.
   * @throws ControlRefusal that names the file, the line and what is wrong.
   */
  reload(): Promise<GatewayReload> {
    const { options, core, log, access, changed } = this.#around
    const reloaded = this.#reloaded.then(async () => {
      const { wanted, reload } = await readAgain(options, core, log)
      this.#wanted = wanted
      access()?.doubt()
      changed()
      return reload
    })
    this.#reloaded = reloaded.then(
      () => {},
      () => {},
    )
    return reloaded
  }

  /**
   * Connectors that wait for their next try are tried now. @param ids undefined = all.
   * @throws ControlRefusal when one of them is not served.
   */
  retry(ids: unknown): readonly string[] {
    return retried(this.#around.core, ids)
  }

  /** Somebody wants to see the messages to and from connectors for so many ms more. */
  watch(forMs: unknown): null {
    if (typeof forMs !== 'number' || !(forMs >= 0 && forMs <= longestWatchMs))
      throw invalidArgument(`forMs is a number of ms, ${longestWatchMs} at most`)
    this.#around.core.tap?.watch(forMs)
    return null
  }

  /** Sets the level of the log. @param level undefined = it stays. @returns what it is. */
  logLevel(level: unknown): string {
    const { log, changed } = this.#around
    if (level === undefined) return log.level
    log.level = levelIn(level)
    changed()
    return log.level
  }

  /** The tools that are pinned, and those that have changed since. */
  pinned(): readonly PinnedConnector[] {
    const { core, pins } = this.#around
    return pins.list((id) => core.pinModeOf(id))
  }

  /**
   * A person trusts tools that have changed. @returns their names.
   * @throws ControlRefusal when the connector is not known, or that cannot be written.
   */
  acceptPins(asked: Readonly<Record<string, unknown>>): readonly string[] {
    const known = this.pinned().map(({ connector }) => connector)
    const accepted = acceptTools(this.#around.core, known, asked)
    if (accepted.length > 0) this.#around.changed()
    return accepted
  }
}
