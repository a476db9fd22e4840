import type { Configuration } from '../config/configuration.ts'
import { hasLimits } from '../config/resource-limits.ts'
import { system } from '../os/system.ts'
import { ownPrograms, shellWord } from '../report/own-programs.ts'
import type { UnitWatcher } from '../watch/unit-watcher.ts'
import type { WatchedUnits } from '../watch/watched-units.ts'
import { portOf } from './wanted-units.ts'

/** A line for each socket that was passed on and that nobody accepts from: it lets its clients wait for ever. */
export function unusedSockets(ports: Iterable<number>, { forwards }: Configuration): readonly string[] {
  const watched = new Set(forwards.map(portOf))
  return [...ports]
    .filter((port) => !watched.has(port))
    .map(
      (port) =>
        `A socket for port ${port} was passed on, and no forward has that port: its clients wait in vain`,
    )
}

/** Whether units have limits that nothing on this system measures. */
export function isUnmeasured({ all }: WatchedUnits): boolean {
  return !system.measuresUsage && all.some(({ unit }) => hasLimits(unit.policy.limits))
}

export const unmeasured =
  'Limits of memory and CPU time are not watched: this system has no /proc to measure them by'

/** What a service manager shows of the monitor. */
export function statusLine({ running, all }: WatchedUnits): string {
  const count = (kind: string) => {
    const of = (watchers: readonly UnitWatcher[]) => watchers.filter(({ unit }) => unit.kind === kind).length
    return `${of(running)} of ${of(all)} ${kind}s`
  }
  const kinds = new Set(all.map(({ unit }) => unit.kind))
  return `STATUS=${[...kinds].map(count).join(', ') || 'nothing'} running`
}

/** What the last line of a monitor adds: what goes on without it, and how that is ended; empty = nothing does. */
export function whatKeepsRunning({ running }: WatchedUnits, stateDirectory: string): string {
  if (running.length === 0) return ''
  const names = running.map(({ unit }) => unit.name).join(', ')
  const kinds = new Set(running.map(({ unit }) => unit.kind))
  const what = kinds.size === 1 ? `${[...kinds].join()}s` : 'units'
  return `; these ${what} keep running: ${names}; to end them: ${ownPrograms().monitor} --stop --stop-forwards --state-dir ${shellWord(stateDirectory)}`
}

/** Copies of a program that go on as they are, because another one does not become ready with what has changed. */
export function heldInWords(waiting: readonly UnitWatcher[], by: UnitWatcher): string {
  const names = waiting.map(({ unit }) => unit.name).join(', ')
  const go = waiting.length === 1 ? 'goes on as it is' : 'go on as they are'
  return `${names} ${go} until ${by.unit.name}, which was started anew first, is ready`
}
