import { isDeepStrictEqual } from 'node:util'
import type { Configuration, ForwardConfiguration } from '../config/configuration.ts'
import { ForwardWatcher, type WatcherMemory, type WatcherSurroundings } from './forward-watcher.ts'

const waitingPhases: ReadonlySet<string> = new Set(['backoff', 'flapping', 'blocked', 'awaiting'])

/**
 * The watchers of all configured forwards, and how the configuration changes them: a forward is what listens on its port, so another port
 * is one dismissed and one new.
 */
export class WatchedForwards {
  readonly #around: (watcher: () => ForwardWatcher, forward: ForwardConfiguration) => WatcherSurroundings
  #watchers: readonly ForwardWatcher[]
  /** Those that are no longer configured. */
  readonly #dismissed = new WeakSet<ForwardWatcher>()
  /** Of them, those whose processes still finish their connections; each settles when that is over. */
  readonly #leaving = new Set<Promise<void>>()

  /**
   * @param memory what the monitor before knew of a forward.
   * @param around what a watcher needs; it may ask for the watcher itself once that is made.
   */
  constructor(
    forwards: readonly ForwardConfiguration[],
    memory: (forward: ForwardConfiguration) => WatcherMemory | undefined,
    around: (watcher: () => ForwardWatcher, forward: ForwardConfiguration) => WatcherSurroundings,
  ) {
    this.#around = around
    this.#watchers = forwards.map((forward) => this.#watcher(forward, memory(forward)))
  }

  /** In the order of the configuration. */
  get all(): readonly ForwardWatcher[] {
    return this.#watchers
  }

  get running(): readonly ForwardWatcher[] {
    return this.#watchers.filter(({ state }) => state.phase.id === 'running')
  }

  /** Those that wait for their next try, or for their way to be free. */
  get waiting(): readonly ForwardWatcher[] {
    return this.#watchers.filter(({ state: { phase } }) => waitingPhases.has(phase.id))
  }

  /** Of a forward that is no longer configured: its end is nobody's order. */
  isDismissed(watcher: ForwardWatcher): boolean {
    return this.#dismissed.has(watcher)
  }

  /** Looks at every forward once, side by side. A forward that hangs delays nobody but itself. */
  async check(): Promise<void> {
    await Promise.all(this.#watchers.map((watcher) => watcher.check()))
  }

  /**
   * Watches what is configured now. Only what differs is touched; every other forward goes on as it is.
   * @returns settles when every new forward was looked at once.
   */
  async reconfigure({ forwards }: Configuration): Promise<void> {
    const wanted = new Map(forwards.map((forward) => [forward.options.listenPort, forward]))
    const before = new Map(this.#watchers.map((watcher) => [portOf(watcher), watcher]))
    const arriving: ForwardWatcher[] = []
    this.#watchers = forwards.map((forward) => {
      const known = before.get(forward.options.listenPort)
      if (known !== undefined) return known
      const watcher = this.#watcher(forward, undefined)
      arriving.push(watcher)
      return watcher
    })
    for (const [port, watcher] of before) {
      const now = wanted.get(port)
      // Connections that finish on one port are no reason for another one to wait.
      if (now === undefined) this.#dismiss(watcher)
      else if (!isDeepStrictEqual(now, watcher.configuration)) watcher.reconfigure(now)
    }
    await Promise.all(arriving.map((watcher) => watcher.check()))
  }

  #dismiss(watcher: ForwardWatcher): void {
    this.#dismissed.add(watcher)
    const left = watcher.stop('it is no longer configured').then(() => {
      watcher.close()
      this.#leaving.delete(left)
      // It may have come back meanwhile, and waits for the port.
      void this.#watchers.find((one) => portOf(one) === portOf(watcher))?.check()
    })
    this.#leaving.add(left)
  }

  /** Orders every forward down; resolves when they are, those that were dismissed before included. */
  async stop(why: string): Promise<void> {
    await Promise.all([...this.#watchers.map((watcher) => watcher.stop(why)), ...this.#leaving])
  }

  /** Stops watching; the forwards go on. */
  close(): void {
    for (const watcher of this.#watchers) watcher.close()
  }

  #watcher(forward: ForwardConfiguration, memory: WatcherMemory | undefined): ForwardWatcher {
    const watcher: ForwardWatcher = new ForwardWatcher(
      forward,
      memory,
      this.#around(() => watcher, forward),
    )
    return watcher
  }
}

function portOf({ configuration }: ForwardWatcher): number {
  return configuration.options.listenPort
}
