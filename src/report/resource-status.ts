import { duration } from '../os/duration.ts'
import type { ForwarderHealth } from '../record/forwarder-health.ts'
import { excessInWords, type LimitedResource, limitedResources, limitInWords } from '../record/limit-words.ts'
import type { ForwardRecord } from '../record/runtime-state.ts'

/** What a forward uses, and what it may. */
export interface ResourceStatus {
  /** What its processes used within the last round; null when nothing of it is limited, or it is not known. */
  readonly usage: {
    readonly memoryBytes: number
    /** In per cent of one core. */
    readonly cpuPercent: number
    readonly processes: number
  } | null
  /** null when it has none; in each, 0 = no limit. */
  readonly limits: {
    readonly memoryBytes: number
    readonly cpuPercent: number
    readonly action: 'alert' | 'restart'
    /** Those that are exceeded, and for how long. */
    readonly exceeded: readonly { readonly resource: LimitedResource; readonly forMs: number }[]
  } | null
}

interface ResourceFacts {
  readonly record: ForwardRecord | undefined
  readonly health: ForwarderHealth | undefined
}

/** `watched`: by a living monitor. */
interface ResourceTimes {
  readonly now: number
  readonly sameBoot: boolean
  readonly watched: boolean
}

/** What the monitor has measured is of the process that runs, or of nobody. */
export function resourceStatus({ record, health }: ResourceFacts, times: ResourceTimes): ResourceStatus {
  const isKnown = times.watched && times.sameBoot
  const usage = isKnown ? (record?.usage ?? null) : null
  const limits = record?.limits ?? null
  return {
    usage:
      usage === null || usage.pid !== health?.identity.pid
        ? null
        : { memoryBytes: usage.memoryBytes, cpuPercent: usage.cpuPercent, processes: usage.processes },
    limits: limits && {
      memoryBytes: limits.memory.limit,
      cpuPercent: limits.cpu.limit,
      action: limits.action,
      exceeded: limitedResources.flatMap((resource) => {
        const { exceededSince } = limits[resource]
        if (!isKnown || exceededSince === null) return []
        return [{ resource, forMs: Math.max(0, Math.round(times.now - exceededSince)) }]
      }),
    },
  }
}

/** The limits that are not kept, in words; undefined when all are. */
export function excessInStatus({ usage, limits }: ResourceStatus): string | undefined {
  if (limits === null || limits.exceeded.length === 0) return undefined
  const said = limits.exceeded.map(({ resource, forMs }) => {
    const limit = resource === 'memory' ? limits.memoryBytes : limits.cpuPercent
    const amount = resource === 'memory' ? usage?.memoryBytes : usage?.cpuPercent
    const what =
      amount !== undefined && amount > limit
        ? `uses ${excessInWords(resource, amount, limit)}`
        : `was over its limit of ${limitInWords(resource, limit)}`
    return `${what}, for ${duration(forMs)}`
  })
  return said.join('; ')
}
