import { defaultLogLimits, LineLog } from '../log/line-log.ts'
import { absolutePath } from '../os/working-directory.ts'
import type { AccessRecord } from './access-record.ts'

export interface AccessLog {
  readonly write: (record: AccessRecord) => void
  /** A file of its own; undefined when the records go to another log, or to a stdout that is no log of ours. */
  readonly file: LineLog | undefined
}

/**
 * Undefined when nobody wants one.
 * @param stdoutLog the log that stdout goes to, which is to be rotated; undefined when stdout is something else.
 */
export function openAccessLog(place: string, stdoutLog: LineLog | undefined): AccessLog | undefined {
  if (place === '') return undefined
  const file = place === '-' ? undefined : new LineLog(absolutePath(place), defaultLogLimits)
  const lines = file ?? stdoutLog
  if (lines !== undefined) return { write: (record) => void lines.write(JSON.stringify(record)), file }
  return { write: (record) => void process.stdout.write(`${JSON.stringify(record)}\n`), file }
}
