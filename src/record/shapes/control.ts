import type { ProcessIdentity } from '../../process/identity.ts'
import { shapeOf } from './index.ts'
import { exactly, flag, object, optional, text } from './kinds.ts'
import { processIdentity } from './process-identity.ts'

/** One live connection, as `connections` lists it. Ages and durations in ms. */
export interface ConnectionFacts {
  /** Counts from 1 within a forwarder; with workers, those of worker 3 count from 3,000,000,001. `kill` takes it. */
  readonly id: number
  /** Address and port of the client, or `unix:/path` of the listener. */
  readonly source: string
  readonly phase: 'accepted' | 'client-steps' | 'dialling' | 'target-steps' | 'relaying' | 'served'
  readonly target: string | null
  readonly ageMs: number
  readonly bytesFromClient: number
  readonly bytesFromTarget: number
}

/** What a forwarder answers to `identify`. */
export interface ForwarderIdentity {
  readonly role: 'forwarder'
  readonly identity: ProcessIdentity
  readonly version: string
  /** The forward's options as JSON: a monitor that wants others knows that it must replace this process. */
  readonly options: string
  /** As in `ForwarderHealth`. */
  readonly endedBySignal?: boolean
}

/** What a monitor answers to `identify`. */
export interface MonitorIdentity {
  readonly role: 'monitor'
  readonly identity: ProcessIdentity
  readonly version: string
  readonly startedAt: string
  readonly workingDirectory: string
}

/** What a forwarder answers to `hand-over`: who took over. */
export interface HandedOver {
  readonly identity: ProcessIdentity
}

export const handedOver = shapeOf<HandedOver>()(object({ identity: processIdentity }))

export const forwarderIdentity = shapeOf<ForwarderIdentity>()(
  object({
    role: exactly('forwarder'),
    identity: processIdentity,
    version: text,
    options: text,
    endedBySignal: optional(flag),
  }),
)

export const monitorIdentity = shapeOf<MonitorIdentity>()(
  object({
    role: exactly('monitor'),
    identity: processIdentity,
    version: text,
    startedAt: text,
    workingDirectory: text,
  }),
)
