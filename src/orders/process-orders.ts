/** Orders that look at processes: processes, system-stats. */
import { statfsSync } from 'node:fs'
import { availableParallelism, freemem, loadavg, totalmem, uptime } from 'node:os'
import type { z as Zod } from 'zod'
import * as z from '../config/zod.ts'
import { redactPatterns } from '../log/redaction.ts'
import { monotonicMs } from '../os/clock.ts'
import { type MeasuredProcess, measureTrees } from '../process/figures.ts'
import type { ProcessIdentity } from '../process/identity.ts'
import { commandOf } from '../process/summary.ts'
import { isProgramRecord } from '../record/shapes/runtime-state.ts'
import { forwardStates } from '../record/shapes/status-report.ts'
import type { OrderedMonitor, OrderedUnit } from './monitor.ts'
import { type Order, row } from './order.ts'
import { chosen } from './unit-orders.ts'
import { stateOf } from './unit-state.ts'

const unitsInput = z.strictObject({
  units: z.array(z.string()).default([]).describe('names or ports of units; none = all'),
})

const sum = z.number().nullable()

const processShape = z.object({
  pid: z.number(),
  parent: z.number(),
  /** The first letter of `ps -o stat`. */
  state: z.string(),
  /** Its command line on one line, shortened and without secrets; null where it cannot be read. */
  command: z.string().nullable(),
  memoryBytes: sum,
  /** In per cent of one core, over the last half second. */
  cpuPercent: sum,
  threads: sum,
  descriptors: sum,
})

/** What the processes of a unit use together; null = the system does not tell. */
const unitStats = z.object({
  name: z.string(),
  state: z.enum(forwardStates),
  pid: z.number().nullable(),
  /** Those that the first one has started. */
  children: z.number(),
  cpuPercent: sum,
  memoryBytes: sum,
  descriptors: sum,
  threads: sum,
  uptimeMs: z.number().nullable(),
  /** After failures. */
  restarts: z.number(),
})

const processesOutput = z.object({
  units: z.array(z.object({ name: z.string(), processes: z.array(processShape) })),
})

export type ProcessesOutput = Zod.infer<typeof processesOutput>

const statsOutput = z.object({
  units: z.array(unitStats),
  monitor: z.object({ pid: z.number(), uptimeMs: z.number(), memoryBytes: z.number() }),
  host: z.object({
    cores: z.number(),
    /** Over 1, 5 and 15 minutes. */
    load: z.array(z.number()),
    memory: z.object({ totalBytes: z.number(), availableBytes: z.number() }),
    /** Of the file system of the state directory; null = it cannot be read. */
    disk: z.object({ totalBytes: z.number(), availableBytes: z.number() }).nullable(),
    uptimeMs: z.number(),
  }),
})

export type SystemStats = Zod.infer<typeof statsOutput>

export const processOrders: readonly Order[] = [
  row({
    name: 'processes',
    summary: 'List the processes of each unit: the one that was started, and all that it has started.',
    scope: 'read',
    changes: false,
    perUnit: true,
    input: unitsInput,
    output: processesOutput,
    carryOut: async ({ units }, { monitor }) => {
      const asked = named(units, monitor)
      const trees = await measureTrees(asked.map(leadersOf))
      return {
        units: asked.map(({ name }, index) => ({ name, processes: (trees[index] ?? []).map(withCommand) })),
      }
    },
  }),
  row({
    name: 'system-stats',
    summary: 'Measure what each unit, the monitor and the machine use: CPU, memory, descriptors, disk.',
    scope: 'read',
    changes: false,
    perUnit: true,
    input: unitsInput,
    output: statsOutput,
    carryOut: async ({ units }, { monitor }) => {
      const asked = named(units, monitor)
      const trees = await measureTrees(asked.map(leadersOf))
      return {
        units: asked.map((unit, index) => statsOf(unit, trees[index] ?? [])),
        monitor: {
          pid: process.pid,
          uptimeMs: Math.round(process.uptime() * 1000),
          memoryBytes: process.memoryUsage.rss(),
        },
        host: {
          cores: availableParallelism(),
          load: loadavg(),
          memory: { totalBytes: totalmem(), availableBytes: freemem() },
          disk: diskOf(monitor.stateDirectory),
          uptimeMs: Math.round(uptime() * 1000),
        },
      }
    },
  }),
]

function named(units: readonly string[], monitor: OrderedMonitor): readonly OrderedUnit[] {
  return units.length === 0 ? monitor.units() : chosen({ units, all: false }, monitor)
}

/** The process of a unit, and those that serve beside it in sessions of their own. */
function leadersOf(unit: OrderedUnit): readonly ProcessIdentity[] {
  const record = unit.record()
  const { identity } = record
  const workers = isProgramRecord(record) ? [] : (record.health?.workers?.processes ?? [])
  return identity === null ? [] : [identity, ...workers.map((worker) => worker.identity)]
}

function withCommand(process: MeasuredProcess) {
  const command = commandOf(process.pid)
  return { ...process, command: command === undefined ? null : redactPatterns(command) }
}

function statsOf(unit: OrderedUnit, tree: readonly MeasuredProcess[]) {
  const { name, identity, runningSince, restarts } = unit.record()
  return {
    name,
    state: stateOf(unit).state,
    pid: identity?.pid ?? null,
    children: Math.max(0, tree.length - 1),
    cpuPercent: total(tree, 'cpuPercent'),
    memoryBytes: total(tree, 'memoryBytes'),
    descriptors: total(tree, 'descriptors'),
    threads: total(tree, 'threads'),
    uptimeMs: runningSince === null ? null : Math.max(0, Math.round(monotonicMs() - runningSince)),
    restarts,
  }
}

/** Of what is known; null = nothing is. */
function total(
  tree: readonly MeasuredProcess[],
  figure: 'cpuPercent' | 'memoryBytes' | 'descriptors' | 'threads',
): number | null {
  const known = tree.flatMap((process) => process[figure] ?? [])
  return known.length === 0 ? null : Math.round(known.reduce((all, one) => all + one, 0) * 10) / 10
}

function diskOf(folder: string) {
  try {
    const { bsize, blocks, bavail } = statfsSync(folder)
    return { totalBytes: bsize * blocks, availableBytes: bsize * bavail }
  } catch {
    return null
  }
}
