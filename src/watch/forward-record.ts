import { hasLimits, type ResourceLimits } from '../config/resource-limits.ts'
import { hostAndPort } from '../os/interfaces.ts'
import type { ForwardRecord, LimitsMemory } from '../record/runtime-state.ts'
import { type ForwardPhase, initialLimits } from './decide/state.ts'
import type { ForwardWatcher, WatcherMemory } from './forward-watcher.ts'

/** What the monitor writes down about a forward. */
export function forwardRecord({
  configuration,
  state,
  health,
  usage,
  lastCheckAt,
}: ForwardWatcher): ForwardRecord {
  const { options, name } = configuration
  const { phase } = state
  return {
    name,
    port: options.listenPort,
    target: hostAndPort(options.targetHost, options.targetPort),
    phase: phase.id,
    reason: reasonOf(phase) ?? state.lastFault ?? null,
    nextTryAt: phase.id === 'backoff' || phase.id === 'flapping' ? phase.until : null,
    identity: phase.id === 'running' || phase.id === 'stopping' ? phase.identity : null,
    runningSince: phase.id === 'running' ? phase.since : null,
    lastCheckAt: lastCheckAt ?? null,
    restarts: state.restarts,
    lastRestartAt: state.lastRestartAt ?? null,
    plannedRestarts: state.plannedRestarts,
    shortage:
      state.shortage === undefined
        ? null
        : { kind: state.shortage.kind, reason: state.shortage.words, since: state.shortage.since },
    failures: state.failures,
    failingSince: state.failingSince ?? null,
    targetMemory: {
      everAnswered: state.target.everAnswered,
      failures: state.target.failures,
      failingSince: state.target.failingSince ?? null,
    },
    memory: {
      generation: state.generation,
      recentRestarts: state.recentRestarts,
      backoffLevel: state.backoffLevel,
      healthySince: state.healthySince ?? null,
      supervisor: state.supervisor?.by ?? null,
      limits: state.limits,
    },
    usage: usage ?? null,
    limits: limitsRecord(configuration.limits, state.limits),
    heldBy: phase.id === 'down' ? (phase.heldBy ?? null) : null,
    health: health ?? null,
  }
}

function limitsRecord(
  limits: ResourceLimits,
  { memory, cpu, restartNotBefore }: LimitsMemory,
): NonNullable<ForwardRecord['limits']> | null {
  if (!hasLimits(limits)) return null
  const { memoryBytes, cpuPercent, action } = limits
  return {
    memory: { limit: memoryBytes, exceededSince: memory.exceededSince },
    cpu: { limit: cpuPercent, exceededSince: cpu.exceededSince },
    action,
    restartNotBefore: action === 'restart' ? restartNotBefore : null,
  }
}

function reasonOf(phase: ForwardPhase): string | undefined {
  return 'why' in phase ? phase.why : undefined
}

/** Monotonic times count from boot: after another boot they say nothing. */
export function memoryOf(record: ForwardRecord, sameBoot: boolean): WatcherMemory {
  const { memory, targetMemory } = record
  const time = (at: number | null) => (sameBoot && at !== null ? at : undefined)
  return {
    generation: memory.generation,
    failures: record.failures,
    restarts: record.restarts,
    lastRestartAt: time(record.lastRestartAt ?? null),
    plannedRestarts: record.plannedRestarts ?? 0,
    recentRestarts: sameBoot ? memory.recentRestarts : [],
    backoffLevel: sameBoot ? memory.backoffLevel : 0,
    healthySince: time(memory.healthySince),
    failingSince: time(record.failingSince),
    lastFault: undefined,
    shortage: undefined,
    target: {
      everAnswered: sameBoot && targetMemory.everAnswered,
      failures: sameBoot ? targetMemory.failures : 0,
      failingSince: time(targetMemory.failingSince),
    },
    limits: (sameBoot ? memory.limits : undefined) ?? initialLimits,
    supervisor: memory.supervisor ? { by: memory.supervisor, toldOfOptions: false } : undefined,
  }
}
