/**
 * narrate/: decisions in words. `decide` tells what it saw, decided and why as data (`decide/cause.ts`), and only this folder makes
 * sentences of that: `log-lines.ts` those of the log and of alerts, `journal.ts` the entries of the journal, `incidents.ts` what alerts
 * say after a round, and this file the reasons that status shows. What a kind of unit contributes to a sentence comes from its vocabulary.
 * To tell something new, add its code and values to `cause.ts`; the compiler then names the places here that have no words for it.
 */
import { describeEnd, type ProcessEnd } from '../../process/start.ts'
import { describeProcesses, type ProcessSummary, withProgramOnly } from '../../process/summary.ts'
import { excessInWords } from '../../record/limit-words.ts'
import type { Reason } from '../decide/cause.ts'
import type { UnitState } from '../decide/state.ts'
import type { Unit } from '../unit.ts'

/** The unit that a sentence is about. */
export interface Narrated extends Pick<Unit, 'kind' | 'name' | 'vocabulary'> {
  /** The sentence leaves this machine: it names processes by their programs, because a command line may hold passwords. */
  readonly goesOut?: boolean
}

/** The same unit, for a sentence that leaves this machine. */
export function goingOut({ kind, name, vocabulary }: Narrated): Narrated {
  return { kind, name, vocabulary, goesOut: true }
}

/** Processes in words: `PID 7 (node a.js) and PID 8 (node b.js)`. */
export function processesInWords(
  processes: readonly ProcessSummary[],
  { goesOut = false }: Narrated,
): string {
  return describeProcesses(goesOut ? processes.map(withProgramOnly) : processes)
}

/** Why a unit does not run, in words that stand alone: `PID 7 (node) does not end, not even by SIGKILL`. */
export function reasonInWords(reason: Reason, unit: Narrated): string {
  switch (reason.code) {
    case 'ordered':
      return reason.why
    case 'faulty':
      return `it ${unit.vocabulary.fault(reason.fault)}`
    case 'unproven':
      return unit.vocabulary.fault(reason.fault)
    case 'died': {
      const { pid, end } = reason
      const hint = end && unit.vocabulary.endHint?.(end)
      return `PID ${pid} ${endInWords(end)}${hint === undefined ? '' : `; ${hint}`}${saidInWords(reason, unit)}`
    }
    case 'start-failed': {
      const { fault, holder } = reason
      const held =
        holder === undefined ? '' : `; ${placeOf(unit)} is held by ${processesInWords([holder], unit)}`
      return `${unit.vocabulary.fault(fault)}${held}${saidInWords(reason, unit)}`
    }
    case 'start-blocked':
      return unit.vocabulary.fault(reason.fault)
    case 'start-timed-out': {
      const lacks = reason.lacks === undefined ? '' : `: ${unit.vocabulary.fault(reason.lacks)}`
      return `not ready within ${seconds(reason.withinMs)}${lacks}${saidInWords(reason, unit)}`
    }
    case 'place-taken':
      return `${placeOf(unit)} is taken by ${processesInWords([reason.holder], unit)}`
    case 'shortage':
      return reason.shortage.words
    case 'survived': {
      const who = reason.processes.length === 1 ? 'does not end' : 'do not end'
      return `${processesInWords(reason.processes, unit)} ${who}, not even by SIGKILL`
    }
    case 'stray-watched':
      return `${placeOf(unit)} is served by ${strayInWords(reason, unit)}, which another monitor or systemd keeps alive`
    case 'stray-asked':
      return `${placeOf(unit)} is served by ${strayInWords(reason, unit)}, which has lost its control socket and was asked to make it again`
    case 'stray-keeps':
      return 'it does not hand over'
    case 'stray-silent':
      return 'it cannot be asked on its control socket'
    case 'supervised':
      return `${reason.by} runs it and starts it again`
    case 'waits-for':
      return `waits for ${listed(reason.units)}`
    case 'detached': {
      const { pid, processes } = reason
      return `PID ${pid} is gone and has left ${processesInWords(processes, unit)}: adopt or end ${processes.length === 1 ? 'it' : 'them'}`
    }
    case 'completed':
      return `PID ${reason.pid} has done its work`
    case 'not-restarted':
      return `${reason.by} has not started it again; ${placeOf(unit)} is held by ${processesInWords([reason.holder], unit)}`
    case 'other-options':
      return 'its options have changed'
    case 'over-limit':
      return `it uses ${excessInWords(reason.resource, reason.amount, reason.limit)}`
  }
}

/** What a process printed may hold anything: it stays on this machine. */
function saidInWords({ said }: { readonly said?: string }, { goesOut = false }: Narrated): string {
  return said === undefined || goesOut ? '' : `; it said: ${said}`
}

/** The same in words that complete the unit's name: `web is not running`, `web could not be started: …`. */
export function failureInWords(reason: Reason, unit: Narrated): string {
  switch (reason.code) {
    case 'faulty':
      return unit.vocabulary.fault(reason.fault)
    case 'died':
      return `is not running: ${reasonInWords(reason, unit)}`
    case 'start-failed':
    case 'start-timed-out':
      return `could not be started: ${reasonInWords(reason, unit)}`
    case 'not-restarted':
      return `was not started again by ${reason.by}`
    default:
      return `cannot be started: ${reasonInWords(reason, unit)}`
  }
}

/** Why a unit stands as it does, for the status; null while there is nothing to say. */
export function standingInWords({ phase, lastFault }: UnitState, unit: Narrated): string | null {
  if ('why' in phase) return reasonInWords(phase.why, unit)
  return lastFault === undefined ? null : failureInWords(lastFault, unit)
}

/** `db`, `db and cache`, `db, cache and queue`. */
export function listed(names: readonly string[]): string {
  const last = names.at(-1) ?? ''
  return names.length < 2 ? last : `${names.slice(0, -1).join(', ')} and ${last}`
}

/** How a process has ended: `was killed by SIGKILL`. */
export function endInWords(end: ProcessEnd | undefined): string {
  return end === undefined ? 'is gone' : describeEnd(end)
}

/** `PID 7, a forwarder with state directory /run/x`. */
export function strayInWords(
  { pid, stateDirectory }: { readonly pid: number; readonly stateDirectory: string },
  { vocabulary }: Narrated,
): string {
  return `PID ${pid}, a ${vocabulary.process} with state directory ${stateDirectory}`
}

/** What the unit needs to itself, without its name: `the port`, `its port`. */
export function placeOf({ vocabulary }: Narrated, article: 'the' | 'its' = 'the'): string {
  return `${article} ${vocabulary.place?.kind ?? 'place'}`
}

/** What its process finishes before it ends: `its connections`. */
export function workOf({ vocabulary }: Narrated): string {
  return `its ${vocabulary.work ?? 'work'}`
}

/** What the unit depends on, by kind and name: `target localhost:6274`. */
export function dependencyOf({ vocabulary }: Narrated): string {
  const { dependency } = vocabulary
  return dependency === undefined ? 'dependency' : `${dependency.kind} ${dependency.name}`
}

/** As a sentence begins. */
export function capitalized(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1)
}

/** A length of time in words. */
export function seconds(ms: number): string {
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`
}
