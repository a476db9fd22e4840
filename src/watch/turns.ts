import type { UnitWatcher } from './unit-watcher.ts'

/** Phases in which nothing is to be expected of a unit: the others need not wait for it. */
const offPhases: ReadonlySet<string> = new Set(['down', 'blocked', 'detached'])

/** The copies of one program. */
interface Group {
  /** Those that are being started anew: `hasLeft` when they were not ready since. */
  readonly under: Map<UnitWatcher, { hasLeft: boolean; isTold: boolean }>
  /** Those that are to be started anew after them, with what is done then. */
  readonly waiting: Map<UnitWatcher, () => void>
}

/**
 * Copies of a program are started anew one after another, each when the one before is ready again, so that somebody serves meanwhile: because
 * what they are made of has changed, or their configuration. While one does not become ready, the others go on as they are. Those that serve
 * nobody need not wait.
 */
export class Turns {
  readonly #groups = new Map<string, Group>()
  readonly #held: (waiting: readonly UnitWatcher[], by: UnitWatcher) => void

  /** @param held called when a copy has failed to become ready: those go on as they are until it is. */
  constructor(held: (waiting: readonly UnitWatcher[], by: UnitWatcher) => void) {
    this.#held = held
  }

  /**
   * A copy is about to be started anew.
   * @param isServing whether somebody would miss it.
   * @param later called when it is its turn; it asks again then.
   * @returns false when it has to wait for that.
   */
  take(watcher: UnitWatcher, isServing: boolean, later: () => void): boolean {
    const { group: name } = watcher.unit
    if (name === undefined || (!isServing && isOff(watcher))) return true
    const group = this.#groups.get(name) ?? { under: new Map(), waiting: new Map() }
    this.#groups.set(name, group)
    if (group.under.has(watcher)) return true
    if (isServing && group.under.size > 0) {
      group.waiting.set(watcher, later)
      return false
    }
    group.waiting.delete(watcher)
    group.under.set(watcher, { hasLeft: !isServing, isTold: false })
    return true
  }

  /** Whether other copies than this one are still to be started anew. */
  areOthersLeft(watcher: UnitWatcher): boolean {
    const group = watcher.unit.group === undefined ? undefined : this.#groups.get(watcher.unit.group)
    if (group === undefined) return false
    return [...group.under.keys(), ...group.waiting.keys()].some((other) => other !== watcher)
  }

  /** A unit's state has changed. */
  advance(): void {
    for (const [name, group] of this.#groups) {
      for (const [watcher, seen] of group.under) this.#look(watcher, seen, group)
      // What is to be done may turn out to be nothing.
      for (const [watcher, later] of group.waiting) {
        if (group.under.size > 0) break
        group.waiting.delete(watcher)
        later()
      }
      if (group.under.size + group.waiting.size === 0) this.#groups.delete(name)
    }
  }

  /** It is not watched any more. */
  forget(watcher: UnitWatcher): void {
    const group = watcher.unit.group === undefined ? undefined : this.#groups.get(watcher.unit.group)
    group?.under.delete(watcher)
    group?.waiting.delete(watcher)
    this.advance()
  }

  #look(watcher: UnitWatcher, seen: { hasLeft: boolean; isTold: boolean }, group: Group): void {
    const { phase } = watcher.state
    if (!watcher.isReady) seen.hasLeft = true
    if ((watcher.isReady && seen.hasLeft) || (!watcher.isReady && isOff(watcher)))
      return void group.under.delete(watcher)
    const hasFailed = phase.id === 'backoff' || phase.id === 'flapping'
    if (!hasFailed || seen.isTold || group.waiting.size === 0) return
    seen.isTold = true
    this.#held([...group.waiting.keys()], watcher)
  }
}

function isOff({ state }: UnitWatcher): boolean {
  return offPhases.has(state.phase.id)
}
