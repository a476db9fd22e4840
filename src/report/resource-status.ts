import { duration } from '../os/duration.ts'
import type { ProcessIdentity } from '../process/identity.ts'
import { excessInWords, limitedResources, limitInWords } from '../record/limit-words.ts'
import type { UnitRecord } from '../record/shapes/runtime-state.ts'
import type { ResourceStatus } from '../record/shapes/status-report.ts'

interface ResourceFacts {
  readonly record: UnitRecord | undefined
  readonly health: { readonly identity: ProcessIdentity } | undefined
}

/** `watched`: by a living monitor. */
interface ResourceTimes {
  readonly now: number
  readonly sameBoot: boolean
  readonly watched: boolean
}

/** The monitor's measurement counts only for the process that runs now. */
export function resourceStatus({ record, health }: ResourceFacts, times: ResourceTimes): ResourceStatus {
  const isKnown = times.watched && times.sameBoot
  const usage = isKnown ? (record?.usage ?? null) : null
  const limits = record?.limits ?? null
  return {
    usage:
      usage === null || usage.pid !== health?.identity.pid
        ? null
        : {
            memoryBytes: usage.memoryBytes,
            cpuPercent: usage.cpuPercent,
            ...(usage.openFiles === undefined ? {} : { openFiles: usage.openFiles }),
            processes: usage.processes,
          },
    limits: limits && {
      memoryBytes: limits.memory.limit,
      cpuPercent: limits.cpu.limit,
      ...(limits.openFiles === undefined ? {} : { openFiles: limits.openFiles.limit }),
      action: limits.action,
      exceeded: limitedResources.flatMap((resource) => {
        const exceededSince = limits[resource]?.exceededSince ?? null
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
    const { limit, amount } = {
      memory: { limit: limits.memoryBytes, amount: usage?.memoryBytes },
      cpu: { limit: limits.cpuPercent, amount: usage?.cpuPercent },
      openFiles: { limit: limits.openFiles ?? 0, amount: usage?.openFiles },
    }[resource]
    const what =
      amount !== undefined && amount > limit
        ? `uses ${excessInWords(resource, amount, limit)}`
        : `was over its limit of ${limitInWords(resource, limit)}`
    return `${what}, for ${duration(forMs)}`
  })
  return said.join('; ')
}
