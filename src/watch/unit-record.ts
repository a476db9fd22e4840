import { hasLimits, type ResourceLimits } from '../config/resource-limits.ts'
import { recorded } from '../process/summary.ts'
import type { LimitsMemory, UnitRecord } from '../record/shapes/runtime-state.ts'
import { initialLimits, standingReason, type UnitState } from './decide/state.ts'
import { standingInWords } from './narrate/index.ts'
import type { Unit } from './unit.ts'
import type { UnitWatcher, WatcherMemory } from './unit-watcher.ts'

/** What the monitor writes down about a unit: what is known of every unit, and what its kind adds. */
export function unitRecord({ unit, state, health, usage, lastCheckAt }: UnitWatcher): UnitRecord {
  const { phase } = state
  return {
    unit: unit.id,
    name: unit.name,
    phase: phase.id,
    reason: standingInWords(state, unit),
    cause: causeOf(state, unit),
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
      everAnswered: state.dependency.everAnswered,
      failures: state.dependency.failures,
      failingSince: state.dependency.failingSince ?? null,
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
    limits: limitsRecord(unit.policy.limits, state.limits),
    ...(phase.id === 'detached' ? { leftBehind: phase.why.processes.map(recorded) } : {}),
    ...(state.completed === true ? { completed: true } : {}),
    heldBy: phase.id === 'down' && phase.heldBy !== undefined ? recorded(phase.heldBy) : null,
    ...unit.record(health),
  }
}

function causeOf(state: UnitState, unit: Unit): NonNullable<UnitRecord['cause']> | null {
  const reason = standingReason(state)
  if (reason === undefined) return null
  // What is asked of it and fails is told by what it printed meanwhile.
  const isInOutput = 'said' in reason || (reason.code === 'faulty' && unit.lastWords !== undefined)
  const waitsFor = reason.code === 'waits-for' ? { waitsFor: reason.units } : {}
  return { code: reason.code, isInOutput, ...waitsFor }
}

function limitsRecord(
  limits: ResourceLimits,
  { memory, cpu, openFiles, restartNotBefore }: LimitsMemory,
): NonNullable<UnitRecord['limits']> | null {
  if (!hasLimits(limits)) return null
  const { memoryBytes, cpuPercent, openFiles: mostFiles = 0, action } = limits
  return {
    memory: { limit: memoryBytes, exceededSince: memory.exceededSince },
    cpu: { limit: cpuPercent, exceededSince: cpu.exceededSince },
    ...(mostFiles === 0
      ? {}
      : { openFiles: { limit: mostFiles, exceededSince: openFiles?.exceededSince ?? null } }),
    action,
    restartNotBefore: action === 'restart' ? restartNotBefore : null,
  }
}

/** Monotonic times count from boot: after another boot they say nothing. */
export function memoryOf(record: UnitRecord, sameBoot: boolean): WatcherMemory {
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
    dependency: {
      everAnswered: sameBoot && targetMemory.everAnswered,
      failures: sameBoot ? targetMemory.failures : 0,
      failingSince: time(targetMemory.failingSince),
    },
    limits: (sameBoot ? memory.limits : undefined) ?? initialLimits,
    supervisor: memory.supervisor ? { by: memory.supervisor, toldOfOptions: false } : undefined,
  }
}
