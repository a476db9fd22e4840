import { system } from '../os/system.ts'
import type { ProcessIdentity } from './identity.ts'
import { type ProcessSummary, summarize } from './summary.ts'
import { isEnded } from './tree.ts'

/** Every process of a program has it in its environment, with the program's name. */
export const programVariable = 'PORT_WATCHDOG_PROGRAM'

/** What one start of a program has started has it in its environment, with a word of that start; its actions and probes have it not. */
export const runVariable = 'PORT_WATCHDOG_RUN'

/** Whether a process is of the program of this name, by the mark in its environment, which only its user could have given it. */
export function isOfProgram(pid: number, name: string): boolean {
  return system.environmentOf(pid, programVariable) === name
}

/**
 * What a process has started and what has begun a session of its own since: it is its program's no more. About 15 µs for each process that was
 * started later.
 * @param run the word of its start.
 */
export function awayFrom(leader: ProcessIdentity, run: string): readonly ProcessSummary[] {
  const since = system.startOrder(leader.startTime)
  const away = system.processTable().filter((entry) => {
    const isElsewhere = entry.session !== leader.pid && system.startOrder(entry.startTime) >= since
    return isElsewhere && !isEnded(entry) && system.environmentOf(entry.pid, runVariable) === run
  })
  return away.map(({ pid }) => summarize(pid))
}
