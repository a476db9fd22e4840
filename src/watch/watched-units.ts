import { setImmediate as othersTurn } from 'node:timers/promises'
import { Turns } from './turns.ts'
import type { Unit } from './unit.ts'
import { UnitWatcher, type WatcherMemory, type WatcherSurroundings } from './unit-watcher.ts'

/** Units that are looked at in one turn of the event loop. */
const handful = 8

const waitingPhases: ReadonlySet<string> = new Set(['backoff', 'flapping', 'blocked', 'awaiting'])

/** A unit that is configured. */
export interface WantedUnit {
  /** As in `Unit`. */
  readonly id: string
  /** Makes it, when it is not watched yet. */
  create(): Unit
  /** Gives one that is watched what is configured now. @returns false when it has that already. */
  reconfigure(unit: Unit): boolean
}

/** What the watchers need of the world around them. */
export interface UnitsSurroundings {
  /** What the monitor before knew of a unit. */
  readonly memoryOf: (unit: Unit) => WatcherMemory | undefined
  /** For one watcher; it may ask for the watcher itself once that is made. */
  readonly around: (watcher: () => UnitWatcher) => WatcherSurroundings
  /** Copies of a program are not started anew before another one, which has failed to become ready, is. */
  readonly held: (waiting: readonly UnitWatcher[], by: UnitWatcher) => void
}

/** The watchers of all configured units, and how the configuration changes them. A unit with another id is another unit. */
export class WatchedUnits {
  readonly #around: UnitsSurroundings
  #watchers: readonly UnitWatcher[]
  /** Those that are no longer configured and whose processes still finish their work; each settles when that is over. */
  readonly #leaving = new Map<UnitWatcher, Promise<void>>()
  /** Those that are started anew, and what depends on them after them: `hasLeft` when they were not ready since. */
  readonly #renewing = new Map<UnitWatcher, { hasLeft: boolean }>()
  readonly #turns = new Turns((waiting, by) => this.#around.held(waiting, by))

  constructor(wanted: readonly WantedUnit[], around: UnitsSurroundings) {
    this.#around = around
    this.#watchers = wanted.map((one) => {
      const unit = one.create()
      return this.#watch(unit, around.memoryOf(unit))
    })
  }

  /** In the order of the configuration. */
  get all(): readonly UnitWatcher[] {
    return this.#watchers
  }

  get running(): readonly UnitWatcher[] {
    return this.#watchers.filter(({ state }) => state.phase.id === 'running')
  }

  /** Those that wait for their next try, or for their way to be free. */
  get waiting(): readonly UnitWatcher[] {
    return this.#watchers.filter(({ state: { phase } }) => waitingPhases.has(phase.id))
  }

  /**
   * Looks at every unit once, side by side. A unit that hangs delays nobody but itself, and between two handfuls of them whatever else waits
   * has its turn: an answer, a death.
   */
  async check(): Promise<void> {
    const watchers = this.#watchers
    const looks: Promise<void>[] = []
    for (let from = 0; from < watchers.length; from += handful) {
      if (from > 0) await othersTurn()
      looks.push(...watchers.slice(from, from + handful).map((watcher) => watcher.check()))
    }
    await Promise.all(looks)
  }

  /**
   * Watches what is configured now. Only what differs is touched; every other unit goes on as it is.
   * @param arrives called with the watcher of each new unit, before its first look.
   * @returns settles when every new unit was looked at once.
   */
  async reconfigure(
    wanted: readonly WantedUnit[],
    arrives: (watcher: UnitWatcher) => void = () => {},
  ): Promise<void> {
    const before = new Map(this.#watchers.map((watcher) => [watcher.unit.id, watcher]))
    const arriving: UnitWatcher[] = []
    const returning: UnitWatcher[] = []
    const changed: UnitWatcher[] = []
    this.#watchers = wanted.map((one) => {
      const known = before.get(one.id)
      before.delete(one.id)
      const back = known === undefined ? this.#takeBack(one) : undefined
      if (back !== undefined) {
        returning.push(back)
        return back
      }
      if (known === undefined) {
        const watcher = this.#watch(one.create(), undefined)
        arriving.push(watcher)
        return watcher
      }
      if (one.reconfigure(known.unit)) changed.push(known)
      return known
    })
    // Work that one unit finishes is no reason for another one to wait.
    for (const gone of before.values()) this.#dismiss(gone)
    for (const watcher of changed) watcher.reconfigured()
    for (const watcher of returning) {
      const { startsByItself, leavesWithinMs: drainMs } = watcher.unit
      // Its process keeps the time that it has to finish.
      if (startsByItself !== false)
        watcher.observe({ kind: 'order', order: 'start', why: 'it is configured again', drainMs })
      arrives(watcher)
    }
    for (const watcher of arriving) arrives(watcher)
    await Promise.all(arriving.map((watcher) => watcher.check()))
  }

  /** Settles when those that are no longer configured now have ended. */
  async left(): Promise<void> {
    await Promise.all(this.#leaving.values())
  }

  #dismiss(watcher: UnitWatcher): void {
    const { leavesWithinMs } = watcher.unit
    const left = watcher.stop('it is no longer configured', leavesWithinMs).then(() => {
      // It was taken back meanwhile.
      if (this.#leaving.get(watcher) !== left) return
      watcher.close()
      this.#renewing.delete(watcher)
      this.#turns.forget(watcher)
      this.#leaving.delete(watcher)
      // It may have come back meanwhile, and waits for its place.
      void this.#watchers.find(({ unit }) => unit.id === watcher.unit.id)?.check()
    })
    this.#leaving.set(watcher, left)
  }

  /**
   * One that is still ending and is configured again goes on as the same unit: its process and its files are those of one. A kind that hands
   * over may have two processes, and needs not wait.
   */
  #takeBack({ id, reconfigure }: WantedUnit): UnitWatcher | undefined {
    const watcher = [...this.#leaving.keys()].find(
      ({ unit }) => unit.id === id && unit.handover === undefined,
    )
    if (watcher === undefined) return undefined
    this.#leaving.delete(watcher)
    reconfigure(watcher.unit)
    return watcher
  }

  /** A unit's state has changed: what waited for that, or runs with what is no more, is seen to. */
  followChange(): void {
    this.#renewDependants()
    this.#turns.advance()
    this.#wakeWaiting()
  }

  #noteRenewal(watcher: UnitWatcher): void {
    const { phase, completed } = watcher.state
    // One that somebody has stopped stays down.
    if (phase.id !== 'down' || completed === true) this.#renewing.set(watcher, { hasLeft: !watcher.isReady })
  }

  /** What depends on a unit that was started anew is started anew when that is ready again: it has served until then. */
  #renewDependants(): void {
    for (const [watcher, seen] of this.#renewing) {
      const { phase, completed } = watcher.state
      if (!watcher.isReady) {
        seen.hasLeft = true
        // Somebody has stopped it meanwhile.
        if (phase.id === 'down' && completed !== true) this.#renewing.delete(watcher)
        continue
      }
      if (!seen.hasLeft) continue
      this.#renewing.delete(watcher)
      // Once for all copies of a program.
      if (this.#turns.areOthersLeft(watcher)) continue
      const { name, group = name } = watcher.unit
      for (const other of this.#watchers) {
        if (other.unit.dependsOn?.some((one) => one === name || one === group))
          other.renew(`${name}, which it depends on, was restarted`)
      }
    }
  }

  /** Has a unit that waits for others looked at as soon as none of them is waited for any more. */
  #wakeWaiting(): void {
    for (const watcher of this.#watchers) {
      const { phase, supervisor } = watcher.state
      if (phase.id !== 'awaiting' || supervisor !== undefined) continue
      if (this.#waitsFor(watcher.unit).length === 0) watcher.observe({ kind: 'woken' })
    }
  }

  /** One that is not configured is not waited for. Of copies of a program one is enough. */
  #waitsFor({ dependsOn = [] }: Unit): readonly string[] {
    return dependsOn.filter((name) => {
      const meant = this.#watchers.filter(({ unit }) => unit.name === name || unit.group === name)
      return meant.length > 0 && !meant.some(({ isReady }) => isReady)
    })
  }

  /** Orders every unit down; resolves when they are, those that were dismissed before included. */
  async stop(why: string): Promise<void> {
    await Promise.all([stopInOrder(this.#watchers, why), ...this.#leaving.values()])
  }

  /** Ends what must not go on without the monitor. */
  async stopDependants(why: string): Promise<void> {
    const dependants = this.#watchers.filter(({ unit }) => !unit.outlivesMonitor)
    await stopInOrder(dependants, why)
  }

  /** Stops watching; the units' processes go on. */
  close(): void {
    for (const watcher of this.#watchers) watcher.close()
  }

  #watch(unit: Unit, memory: WatcherMemory | undefined): UnitWatcher {
    const watcher: UnitWatcher = new UnitWatcher(unit, memory, {
      waitsFor: () => this.#waitsFor(unit),
      renewing: () => this.#noteRenewal(watcher),
      takesTurn: (isServing, later) => this.#turns.take(watcher, isServing, later),
      ...this.#around.around(() => watcher),
    })
    return watcher
  }
}

/** Each is ended when those that depend on it have ended. */
async function stopInOrder(watchers: readonly UnitWatcher[], why: string): Promise<void> {
  const stopped = new Map<UnitWatcher, Promise<void>>()
  const stop = (watcher: UnitWatcher): Promise<void> => {
    const known = stopped.get(watcher)
    if (known !== undefined) return known
    const { name, group = name } = watcher.unit
    const above = watchers.filter(({ unit }) => unit.dependsOn?.some((one) => one === name || one === group))
    const stopping = Promise.all(above.map(stop)).then(() => watcher.stop(why))
    stopped.set(watcher, stopping)
    return stopping
  }
  await Promise.all(watchers.map(stop))
}
