/** Forwards that lead to programs: which processes of a program each forwarder may connect to, and the wait until one has no connections left. */
import { setTimeout as after } from 'node:timers/promises'
import type { ForwardUnit } from '../forward/unit/index.ts'
import { monotonicMs } from '../os/clock.ts'
import type { ProgramUnit } from '../program/index.ts'
import type { Instance } from '../record/shapes/forwarder-health.ts'
import type { UnitWatcher } from '../watch/unit-watcher.ts'

/** ms between two questions about the connections that a process still has. */
const askEveryMs = 100

/**
 * Tells every forward to a program which of its processes are ready: those that run, have become ready, and are not being ended. A forwarder keeps
 * what it was told last when no monitor runs.
 */
export class ProgramForwards {
  readonly #watchers: () => readonly UnitWatcher[]

  constructor(watchers: () => readonly UnitWatcher[]) {
    this.#watchers = watchers
  }

  /** The state of some unit has changed, or a forward or program has come or gone. */
  changed(): void {
    const forwards = this.#forwards()
    if (forwards.length === 0) return
    for (const forward of forwards) {
      const ready = this.#readyOf(forward.program)
      if (ready !== undefined) forward.setInstances(ready)
    }
  }

  /** ms that connections have when a process of this program leaves for good; undefined = no forward leads to it. */
  drainMs(program: string): number | undefined {
    const times = this.#forwards(program).map(({ policy }) => policy.drainMs)
    return times.length === 0 ? undefined : Math.max(...times)
  }

  /** Resolves when no forward has a connection to this process, which gets no new ones, and at the latest after so many ms. */
  async emptied(program: string, instance: Instance, withinMs: number): Promise<void> {
    const until = monotonicMs() + withinMs
    this.changed()
    while (monotonicMs() < until) {
      const asked = this.#forwards(program).map((forward) => forward.isUsing(instance))
      if (!(await Promise.all(asked)).includes(true)) return
      await after(Math.min(askEveryMs, Math.max(0, until - monotonicMs())), undefined, { ref: false })
    }
  }

  #forwards(program?: string): readonly (ForwardUnit & { readonly program: string })[] {
    return this.#watchers().flatMap(({ unit }) => {
      const forward = unit.kind === 'forward' ? (unit as unknown as ForwardUnit) : undefined
      const leadsTo = forward?.program
      if (leadsTo === undefined || (program !== undefined && leadsTo !== program)) return []
      return [forward as ForwardUnit & { readonly program: string }]
    })
  }

  /** Undefined while nobody has looked: a process that the monitor before has left may be ready. */
  #readyOf(program: string): readonly Instance[] | undefined {
    const members = this.#watchers().filter(({ unit: { kind, name, group } }) => {
      return kind === 'program' && (name === program || group === program)
    })
    if (members.some(({ state }) => state.phase.id === 'unknown' && state.phase.stop === undefined))
      return undefined
    return members.flatMap((watcher) => {
      const { port } = watcher.unit as unknown as ProgramUnit
      return watcher.isReady && port !== undefined ? [{ name: watcher.unit.name, port }] : []
    })
  }
}
