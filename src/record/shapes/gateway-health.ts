import type { ProcessIdentity } from '../../process/identity.ts'
import { type GatewayCondition, gatewayConditions } from './gateway-conditions.ts'
import { shapeOf } from './index.ts'
import { exactly, flag, lenient, list, nullable, number, object, optional, text } from './kinds.ts'
import { processIdentity } from './process-identity.ts'

/** What an MCP gateway answers to `identify` on its control socket. */
export interface GatewayIdentity {
  readonly role: 'gateway'
  readonly identity: ProcessIdentity
  readonly version: string
  /** Wall time, ISO 8601. */
  readonly startedAt: string
  /** A monitor started it and keeps it alive. */
  readonly isKept: boolean
  /** The gateway with which the chain of handovers began that led to this one; missing = it is of an older version. */
  readonly first?: ProcessIdentity
  /** Those that have handed over and still finish their calls; missing = none. */
  readonly predecessors?: readonly ProcessIdentity[]
  /** It ends, and leaves its name to the next one; missing = it does not. */
  readonly endedBySignal?: boolean
}

/** What it answers to `health`. */
export interface GatewayHealth extends GatewayIdentity {
  readonly uptimeMs: number
  /** `GatewayProcessOptions` as JSON: what it was started with. */
  readonly options: string
  /** Where it serves HTTP; null = it does not. */
  readonly url: string | null
  /** The file with the key that its first start made; null = there is none. */
  readonly keyFile: string | null
  /** How many connectors it serves, and how many of them are well: they run, or are asleep. */
  readonly connectors: number
  readonly well: number
  /** What is watched of it beside its process; null = it is of a version that does not say. */
  readonly conditions: readonly GatewayCondition[] | null
}

const ofIdentity = {
  role: exactly('gateway'),
  identity: processIdentity,
  version: text,
  startedAt: text,
  isKept: flag,
  first: optional(processIdentity),
  predecessors: optional(list(processIdentity)),
  endedBySignal: optional(flag),
}

export const gatewayIdentity = shapeOf<GatewayIdentity>()(object(ofIdentity))

export const gatewayHealth = shapeOf<GatewayHealth>()(
  object({
    ...ofIdentity,
    uptimeMs: number,
    options: text,
    url: nullable(text),
    keyFile: nullable(text),
    connectors: number,
    well: number,
    conditions: lenient(gatewayConditions),
  }),
)
