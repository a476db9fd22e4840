import { defaultLogLimits, LineLog } from '../log/line-log.ts'
import { absolutePath } from '../os/working-directory.ts'
import type { AccessRecord } from './access-record.ts'

export interface AccessLog {
  readonly write: (record: AccessRecord) => void
  /** A file of its own; undefined when the records go to stdout. */
  readonly file: LineLog | undefined
}

/**
 * Undefined when nobody wants one.
 * @param stdout what writes lines to stdout: the log that it leads to, which is to be rotated, or a `LineOutput`.
 */
export function openAccessLog(
  place: string,
  stdout: { write(line: string): unknown },
): AccessLog | undefined {
  if (place === '') return undefined
  const file = place === '-' ? undefined : new LineLog(absolutePath(place), defaultLogLimits)
  const lines = file ?? stdout
  return { write: (record) => void lines.write(JSON.stringify(record)), file }
}
