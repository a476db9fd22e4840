import { system } from '../os/system.ts'
import { identityOf, type ProcessIdentity } from './identity.ts'
import { type ProcessSummary, summarize } from './summary.ts'
import { nextProcessTable } from './table.ts'
import { isEnded } from './tree.ts'

/** Every process of a program has it in its environment, with the program's name. */
export const programVariable = 'PORT_WATCHDOG_PROGRAM'

/** What one start of a program has started has it in its environment, with a word of that start; its actions and probes have it not. */
export const runVariable = 'PORT_WATCHDOG_RUN'

/** Whether a process is of the program of this name, by the mark in its environment, which only its user could have given it. */
export function isOfProgram(pid: number, name: string): boolean {
  return system.environmentOf(pid, programVariable) === name
}

/** A start that was asked about in this turn. */
interface Asked {
  readonly leader: ProcessIdentity
  readonly run: string
  readonly tell: (away: readonly ProcessSummary[]) => void
}

let waiting: Asked[] = []

/** The oldest process of the start of this word that is still there; undefined = there is none, or the system does not tell. */
export function processOfStart(run: string): ProcessIdentity | undefined {
  const found = system
    .processTable()
    .filter((entry) => !isEnded(entry) && system.environmentOf(entry.pid, runVariable) === run)
    .toSorted((a, b) => system.startOrder(a.startTime) - system.startOrder(b.startTime))
  return found[0] && identityOf(found[0].pid)
}

/**
 * What a process has started and what has begun a session of its own since: it is its program's no more. About 15 µs for each process that was
 * started later, once for all that are asked about in the same turn.
 * @param run the word of its start.
 */
export function awayFrom(leader: ProcessIdentity, run: string): Promise<readonly ProcessSummary[]> {
  return new Promise((tell) => {
    waiting.push({ leader, run, tell })
    if (waiting.length === 1) void tellAll()
  })
}

async function tellAll(): Promise<void> {
  // It tells nothing where the table cannot be read.
  const table = await nextProcessTable().catch(() => [])
  const asked = waiting
  waiting = []
  const away = new Map(asked.map(({ run }) => [run, [] as ProcessSummary[]]))
  const since = Math.min(...asked.map(({ leader }) => system.startOrder(leader.startTime)))
  const leaders = new Map(asked.map(({ leader, run }) => [run, leader]))
  for (const entry of table) {
    const startedAt = system.startOrder(entry.startTime)
    if (startedAt < since || isEnded(entry)) continue
    const run = system.environmentOf(entry.pid, runVariable)
    const leader = run === undefined ? undefined : leaders.get(run)
    if (run === undefined || leader === undefined || entry.session === leader.pid) continue
    if (startedAt >= system.startOrder(leader.startTime)) away.get(run)?.push(summarize(entry.pid))
  }
  for (const { run, tell } of asked) tell(away.get(run) ?? [])
}
