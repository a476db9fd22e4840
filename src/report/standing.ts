import type { ForwardRecord, ProgramRecord } from '../record/shapes/runtime-state.ts'
import { isProgramRecord } from '../record/shapes/runtime-state.ts'
import { forwardVerdict, type Verdict } from './forward-verdict.ts'
import { programState } from './program-verdict.ts'

/**
 * How a unit stands by what the monitor that keeps it knows, in the words of the report. Pure; the report itself looks at the process, too.
 * @param wantedDown the order that keeps it down.
 */
export function standing(
  record: ForwardRecord | ProgramRecord,
  wantedDown: Parameters<typeof forwardVerdict>[0]['wantedDown'],
  now: number,
): Verdict {
  const times = {
    now,
    sameBoot: true,
    watched: true,
    monitorEnded: false,
    isFirstRound: record.phase === 'unknown',
  }
  const { identity, phase } = record
  const isRunning = phase === 'running' && identity !== null
  if (isProgramRecord(record)) {
    const process = isRunning ? ({ identity, verdict: 'alive' } as const) : undefined
    return programState({ record, process, wantedDown }, times)
  }
  // Its process runs and has not been asked yet.
  if (isRunning && record.health === null) return { state: 'starting', reason: 'not checked yet' }
  const health = isRunning ? (record.health ?? undefined) : undefined
  const control = health === undefined ? 'absent' : 'answered'
  return forwardVerdict({ port: record.port, record, health, control, process: undefined, wantedDown }, times)
}
