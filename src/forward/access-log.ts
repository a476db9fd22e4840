import path from 'node:path'
import { defaultLogLimits, LineLog } from '../record/line-log.ts'
import type { AccessRecord } from './access-record.ts'

/**
 * Undefined when nobody wants one.
 * @param stdoutLog the log that stdout goes to, which is to be rotated; undefined when stdout is something else.
 * @param isShared several processes write to it.
 */
export function openAccessLog(
  place: string,
  stdoutLog: LineLog | undefined,
  isShared = false,
): ((record: AccessRecord) => void) | undefined {
  if (place === '') return undefined
  if (place !== '-') return recorder(new LineLog(path.resolve(place), { ...defaultLogLimits, isShared }))
  if (stdoutLog !== undefined) return recorder(stdoutLog)
  return (record) => void process.stdout.write(`${JSON.stringify(record)}\n`)
}

function recorder(lines: LineLog): (record: AccessRecord) => void {
  return (record) => void lines.write(JSON.stringify(record))
}
