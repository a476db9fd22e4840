/** The order that sets how many copies of a program run. */
import type { z as Zod } from 'zod'
import * as z from '../config/zod.ts'
import type { OrderedMonitor, OrderedRecord, OrderedUnit, ScalableProgram } from './monitor.ts'
import { nextOrder, nextStatus, type TypedOrder } from './next-step.ts'
import {
  type Around,
  actorInWords,
  defaultWaitMs,
  type Order,
  OrderRefusal,
  orderError,
  row,
} from './order.ts'
import { down, failed, type Goal, type Progress, reached, up, waitFor } from './unit-goals.ts'
import { failures, waitInput } from './unit-orders.ts'
import { type UnitResult, unitResult } from './unit-result.ts'
import { stateOf } from './unit-state.ts'

const output = z.object({
  program: z.string(),
  before: z.number(),
  instances: z.number(),
  outcome: z.enum(['done', 'already', 'ordered', 'failed']),
  remembered: z.boolean().describe('false = the next monitor will not know of it: it could not be saved'),
  units: z.array(unitResult).describe('what became of each copy that came or went'),
})

export type ScaleOutput = Zod.infer<typeof output>

const input = z.strictObject({
  units: z.array(z.string()).length(1).describe('the program, by its name in the configuration'),
  instances: z.number().int().min(1).describe('how many copies of it run from now on'),
  ...waitInput,
  timeoutMs: waitInput.timeoutMs.default(defaultWaitMs),
})

export const scaleOrder: Order = row({
  name: 'scale',
  summary:
    'Set how many copies of a program run. New ones are started; those with the highest numbers finish their connections and end.',
  scope: 'control',
  changes: true,
  perUnit: true,
  input,
  output,
  failures,
  carryOut: async ({ units, instances, wait, timeoutMs }, around) => {
    const { monitor, actor } = around
    if (monitor.isEnding) throw new OrderRefusal('ending', 'the monitor is ending', 'start it again')
    const program = scalable(units[0] ?? '', monitor)
    refuseTooMany(program, instances)
    const { name } = program
    const before = program.current()
    const copies = () => monitor.units().filter(({ group }) => group === name)
    const known = copies()
    // What orders wanted of copies before these counts no more.
    const remembered = await program.scale(instances, actor.user)
    const now = new Set(copies().map((unit) => unit.name))
    const words = `ordered by ${actorInWords(actor)}`
    const came = copies().filter((unit) => known.every((other) => other.name !== unit.name))
    for (const unit of came) {
      unit.want('up')
      unit.order('start', words)
    }
    const gone = known.filter((unit) => !now.has(unit.name))
    // Another order may have begun them.
    const begun = known.filter(
      (unit) => now.has(unit.name) && unit.wantedDown() === undefined && isBegun(unit.record().phase),
    )
    const until = performance.now() + timeoutMs
    const changes = [
      ...[...begun, ...came].map(
        (unit) => [unit, startedOrRemoved(up(unit.record(), false, monitor), monitor)] as const,
      ),
      ...gone.map((unit) => [unit, down] as const),
    ]
    const results = await Promise.all(
      changes.map(([unit, goal]) => outcomeOf(unit, goal, wait ? until : undefined, remembered, around)),
    )
    const isFailed = results.some(({ outcome }) => outcome === 'failed')
    const outcome = isFailed ? 'failed' : changes.length === 0 ? 'already' : wait ? 'done' : 'ordered'
    return { program: name, before, instances, outcome, remembered, units: results } as const
  },
})

function isBegun(phase: OrderedRecord['phase']): boolean {
  return phase === 'unknown' || phase === 'starting'
}

function scalable(word: string, monitor: OrderedMonitor): ScalableProgram {
  const programs = monitor.scalable()
  const program = programs.find(({ name }) => name === word)
  if (program !== undefined) return program
  const copy = monitor.units().find(({ name, group }) => name === word && group !== undefined)
  if (copy !== undefined) {
    const message = `${word} is one copy of ${copy.group}`
    throw new OrderRefusal('unknown-unit', message, scaleOf(copy.group ?? ''))
  }
  const names = programs.filter(({ most }) => most !== undefined).map(({ name }) => name)
  const next =
    names.length === 0 ? 'no program has instances in the configuration' : `name one of ${names.join(', ')}`
  throw new OrderRefusal('unknown-unit', `there is no program "${word}"`, next)
}

function scaleOf(program: string): TypedOrder {
  return nextOrder('scale', program, `proxy-ctl scale ${program} N`)
}

function refuseTooMany({ name, most, conflict }: ScalableProgram, count: number): void {
  if (most === undefined) {
    const message = `${name} has no copies: its configuration does not say instances`
    throw new OrderRefusal('no-instances', message, `write instances: 1 to the program ${name}`)
  }
  if (count > most) {
    const message = `${name} may have ${most} copies at most`
    throw new OrderRefusal('invalid-argument', message, `raise maxInstances of ${name} in the configuration`)
  }
  const taken = conflict(count)
  if (taken !== undefined)
    throw new OrderRefusal(
      'invalid-argument',
      `${count} copies of ${name} have no ports: ${taken}`,
      'ask for fewer',
    )
}

/** A later order may take back what this one started. */
function startedOrRemoved(goal: Goal, monitor: OrderedMonitor): Goal {
  return (unit) => {
    const isThere = monitor.units().some(({ name }) => name === unit.name)
    if (isThere) return goal(unit)
    return failed(
      'overruled',
      `${unit.name} is no longer wanted: somebody has scaled it down since`,
      nextOrder('list'),
    )
  }
}

async function outcomeOf(
  unit: OrderedUnit,
  goal: Goal,
  until: number | undefined,
  remembered: boolean,
  { monitor, gone }: Around,
): Promise<UnitResult> {
  if (until === undefined) return { outcome: 'ordered', error: null, remembered, state: stateOf(unit) }
  const progress: Progress = await waitFor(
    () => goal(unit),
    monitor,
    Math.max(0, until - performance.now()),
    gone,
  )
  const state = stateOf(unit)
  if (progress.kind === reached.kind) return { outcome: 'done', error: null, remembered, state }
  if (progress.kind === 'failed') return { outcome: 'failed', error: progress.error, remembered, state }
  const reason = state.reason === null ? '' : ` (${state.reason})`
  const message = `${unit.name} is not ${goal === down ? 'gone' : 'ready'} yet: ${state.phase}${reason}`
  const error = orderError('timed-out', message, nextStatus(unit.name))
  return { outcome: 'failed', error, remembered, state }
}
