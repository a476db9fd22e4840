import type { ProcessIdentity } from '../../process/identity.ts'
import { shapeOf } from './index.ts'
import { number, object, optional, text } from './kinds.ts'

/** What makes a process that process, as PID files, records and answers hold it. */
export const processIdentity = shapeOf<ProcessIdentity>()(
  object({ pid: number, startTime: text, bootId: text, pidNamespace: text, session: optional(number) }),
)
