/** Orders about units: start, stop, restart, retry, drain, adopt, end, hand-over. */
import type { z as Zod } from 'zod'
import { nearest } from '../config/problems.ts'
import * as z from '../config/zod.ts'
import type { Actor } from '../record/shapes/journal.ts'
import { isProgramRecord } from '../record/shapes/runtime-state.ts'
import type { UnitOrder } from '../watch/decide/state.ts'
import type { OrderedMonitor, OrderedRecord, OrderedUnit } from './monitor.ts'
import { nextOrder, nextStatus } from './next-step.ts'
import {
  type Around,
  actorInWords,
  defaultWaitMs,
  type Order,
  type OrderError,
  OrderRefusal,
  orderError,
  row,
} from './order.ts'
import { restartInTurn } from './rolling-restart.ts'
import {
  down,
  failed,
  type Goal,
  isUp,
  nextToRead,
  type Progress,
  restEnded,
  up,
  waitFor,
} from './unit-goals.ts'
import { type UnitResult, unitResult } from './unit-result.ts'
import { stateOf } from './unit-state.ts'

const day = 86_400_000

/** Input of an order that can wait until it is done. */
export const waitInput = {
  wait: z.boolean().default(true).describe('answer when it is done, instead of when it is ordered'),
  timeoutMs: z.number().int().min(0).max(day).describe('how long to wait; the order stands after that'),
} as const

const unitsInput = z.strictObject({
  units: z.array(z.string()).default([]).describe('names of forwards and programs, or ports of forwards'),
  all: z.boolean().default(false).describe('all of them, instead of naming some'),
  ...waitInput,
  timeoutMs: waitInput.timeoutMs.optional(),
})

const unitsOutput = z.object({ units: z.array(unitResult) })

export type UnitsOutput = Zod.infer<typeof unitsOutput>

type UnitsInput = Zod.infer<typeof unitsInput>

/** What one order does with one unit. */
interface Plan {
  /** What its actor wants from then on; undefined = that does not change. */
  readonly wanted?: 'up' | 'down'
  readonly order: UnitOrder
  /** ms that its connections have; undefined = what its configuration says. */
  readonly drainMs?: number | undefined
  readonly isAlready: (unit: OrderedUnit) => boolean
  /** Why it cannot be done; undefined = it can. */
  readonly refuses: (unit: OrderedUnit) => OrderError | undefined
  readonly goal: (before: OrderedRecord, monitor: OrderedMonitor) => Goal
  /** Which units are meant where all are; missing = every one. */
  readonly isMeantByAll?: (unit: OrderedUnit) => boolean
}

/** What ends a unit and keeps it down. */
const stopping: Plan = {
  wanted: 'down',
  order: 'stop',
  isAlready: (unit) => unit.record().phase === 'down' && unit.wantedDown() !== undefined,
  refuses: supervised,
  goal: () => down,
}

const restarting: Plan = {
  wanted: 'up',
  order: 'restart',
  isAlready: () => false,
  refuses: supervised,
  goal: (before, monitor) => up(before, before.phase === 'running', monitor),
}

export const unitOrders: readonly Order[] = [
  unitRow(
    'start',
    'Start units (forwards and programs) that are down or wait for their next try, and wait until they run.',
    {
      wanted: 'up',
      order: 'start',
      isAlready: (unit) => isUp(unit.record()) && unit.wantedDown() === undefined,
      refuses: () => undefined,
      goal: (before, monitor) => up(before, false, monitor),
    },
  ),
  unitRow('stop', 'Stop units. They stay down until somebody starts them again.', stopping),
  row({
    name: 'restart',
    summary:
      'Replace running forwards without refusing a connection, end and start running programs, several copies of one program one after another, and start what does not run.',
    scope: 'control',
    changes: true,
    perUnit: true,
    input: unitsInput.extend({
      allAtOnce: z
        .boolean()
        .default(false)
        .describe('copies of one program all at once, instead of one after another'),
    }),
    output: unitsOutput,
    failures,
    carryOut: ({ allAtOnce, ...input }, around) =>
      allAtOnce ? forEach(input, around, restarting) : restartEach(input, around),
  }),
  unitRow('retry', 'Try units that wait (back-off, flapping, blocked) again at once.', {
    order: 'retry',
    isAlready: (unit) => isUp(unit.record()) && unit.replacement()?.state !== 'failed',
    refuses: stopped,
    goal: (before, monitor) => up(before, false, monitor),
  }),
  row({
    name: 'drain',
    summary:
      'Let forwards, and programs that forwards lead to, finish their connections and take no more, then stop them; other programs are stopped.',
    scope: 'control',
    changes: true,
    perUnit: true,
    input: unitsInput.extend({
      withinMs: z
        .number()
        .int()
        .min(0)
        .max(day)
        .default(day)
        .describe('how long connections have to finish before they are cut'),
    }),
    output: unitsOutput,
    failures,
    carryOut: ({ withinMs, ...input }, around) => forEach(input, around, { ...stopping, drainMs: withinMs }),
  }),
  unitRow(
    'adopt',
    'Keep the processes that a detached program has left behind: they are the program from now on.',
    ofRest('adopt', (before, monitor) => up(before, false, monitor)),
  ),
  unitRow(
    'end',
    'End the processes that a detached program has left behind; the program is then started again, as after any failure.',
    ofRest('end', () => restEnded),
  ),
  unitRow(
    'hand-over',
    'Replace running forwards and the gateway by new processes that take their ports over; cut nothing. `all` means those of them that run.',
    {
      order: 'hand-over',
      isAlready: () => false,
      refuses: (unit) => supervised(unit) ?? notRunning(unit),
      goal: (before, monitor) => up(before, true, monitor),
      isMeantByAll: (unit) => mayHandOver(unit.record()),
    },
  ),
]

/** A forward or the gateway, and it runs. */
function mayHandOver(record: OrderedRecord): boolean {
  return record.phase === 'running' && (!isProgramRecord(record) || record.kind === 'gateway')
}

/** What is left of a program whose process is gone. */
function ofRest(order: 'adopt' | 'end', goal: Plan['goal']): Plan {
  return { wanted: 'up', order, isAlready: () => false, refuses: notDetached, goal }
}

function notDetached(unit: OrderedUnit): OrderError | undefined {
  const { name, phase } = unit.record()
  if (phase === 'detached') return undefined
  const message =
    phase === 'stopping'
      ? `${name} is not detached any more: it is ending`
      : `${name} is not detached (${phase}): it has left nothing behind`
  return orderError('not-detached', message, nextStatus(name))
}

function unitRow(name: string, summary: string, plan: Plan): Order {
  return row({
    name,
    summary,
    scope: 'control',
    changes: true,
    perUnit: true,
    input: unitsInput,
    output: unitsOutput,
    failures,
    carryOut: (input, around) => forEach(input, around, plan),
  })
}

export function failures({ units }: UnitsOutput): readonly OrderError[] {
  return units.flatMap(({ error }) => error ?? [])
}

function supervised(unit: OrderedUnit): OrderError | undefined {
  const { name, memory, phase } = unit.record()
  if (memory.supervisor == null || phase === 'down') return undefined
  const message = `${name} is run by ${memory.supervisor}, which would start it again`
  return { code: 'supervised', message, next: 'use systemctl stop or systemctl restart with its unit' }
}

function stopped(unit: OrderedUnit): OrderError | undefined {
  const record = unit.record()
  const { name, phase } = record
  const isWantedDown = unit.wantedDown() !== undefined
  if (phase !== 'down' && !isWantedDown) return undefined
  const why = isWantedDown
    ? 'was stopped by an order'
    : record.completed === true
      ? 'has done its work'
      : 'does not start by itself'
  return orderError('stopped', `${name} ${why}`, nextOrder('start', name))
}

function notRunning(unit: OrderedUnit): OrderError | undefined {
  const { name, phase } = unit.record()
  if (phase === 'running') return undefined
  const next = phase === 'down' ? nextOrder('start', name) : nextStatus(name)
  return orderError('not-running', `${name} does not run (${phase}): there is nothing to hand over`, next)
}

async function forEach(input: UnitsInput, around: Around, plan: Plan): Promise<UnitsOutput> {
  if (around.monitor.isEnding) throw new OrderRefusal('ending', 'the monitor is ending', 'start it again')
  const named = chosen(input, around.monitor)
  const units = input.all ? named.filter((unit) => plan.isMeantByAll?.(unit) ?? true) : named
  return { units: await Promise.all(units.map((unit) => carryOut(unit, input, around, plan))) }
}

/** Several copies of one program are restarted in turn, everything else side by side. */
async function restartEach(input: UnitsInput, around: Around): Promise<UnitsOutput> {
  const { monitor, actor, gone } = around
  if (monitor.isEnding) throw new OrderRefusal('ending', 'the monitor is ending', 'start it again')
  const units = chosen(input, monitor)
  const groups = new Set(units.map((unit) => unit.group ?? unit))
  const results = await Promise.all(
    [...groups].map(async (group) => {
      const members = units.filter((unit) => unit === group || unit.group === group)
      const [first] = members
      if (members.length === 1 && first !== undefined)
        return [await carryOut(first, input, around, restarting)]
      const isLast = new Map(members.map(({ name }) => [name, wants(monitor, name, 'up', actor)]))
      const waitMs = input.wait ? (input.timeoutMs ?? defaultWaitMs) : undefined
      return await restartInTurn(members, monitor, waitMs, gone, {
        overruled: ({ name }) => {
          if (!monitor.units().some((unit) => unit.name === name)) return errorOf(removed(name))
          return errorOf(isLast.get(name)?.())
        },
        restart: (unit, ending) => {
          const patient = { ...input, wait: true, timeoutMs: day }
          // Its connections finish first, as those of a copy that leaves for good.
          const plan = { ...restarting, drainMs: unit.leavesWithinMs }
          return carryOut(unit, patient, { ...around, gone: ending }, plan)
        },
      })
    }),
  )
  const inOrder = new Map(results.flat().map((result) => [result.state.name, result]))
  return { units: units.flatMap(({ name }) => inOrder.get(name) ?? []) }
}

function errorOf(progress: Progress | undefined): OrderError | undefined {
  return progress?.kind === 'failed' ? progress.error : undefined
}

/** All that are named are looked up before anything is done. */
export function chosen(
  { units: asked, all }: { readonly units: readonly string[]; readonly all: boolean },
  monitor: OrderedMonitor,
): readonly OrderedUnit[] {
  const units = monitor.units()
  if (all && asked.length > 0)
    throw new OrderRefusal('invalid-input', 'some are named, and all are asked for')
  if (all) return units
  if (asked.length === 0) {
    throw new OrderRefusal(
      'invalid-input',
      'no forward or program is named',
      'name one or more, or all of them',
    )
  }
  const found = asked.flatMap((word) => {
    const unit = units.find(({ name }) => name === word) ?? units.find((one) => isOfPort(one.record(), word))
    if (unit !== undefined) return [unit]
    // The name of a program stands for all its copies.
    const copies = units.filter(({ group }) => group === word)
    if (copies.length > 0) return copies
    const names = units.map(({ name }) => name)
    const meant = nearest(word, names)
    throw new OrderRefusal(
      'unknown-unit',
      `there is no forward or program "${word}"${meant === undefined ? '' : ` (did you mean ${meant}?)`}`,
      names.length === 0 ? 'the configuration names none' : `name one of ${names.join(', ')}`,
    )
  })
  return [...new Set(found)]
}

/** A forward goes by its port, too; a program by its name alone. */
function isOfPort(record: OrderedRecord, word: string): boolean {
  return !isProgramRecord(record) && String(record.port) === word
}

async function carryOut(
  unit: OrderedUnit,
  { wait, timeoutMs }: UnitsInput,
  { monitor, actor, gone }: Around,
  plan: Plan,
): Promise<UnitResult> {
  const refusal = plan.refuses(unit)
  if (refusal !== undefined)
    return { outcome: 'failed', error: refusal, remembered: true, state: stateOf(unit) }
  const isLast = wants(monitor, unit.name, plan.wanted, actor)
  if (plan.isAlready(unit)) return { outcome: 'already', error: null, remembered: true, state: stateOf(unit) }
  const before = unit.record()
  const words = `ordered by ${actorInWords(actor)}`
  // First: if the monitor is killed from here on, the next one knows what is wanted.
  const remembered = remember(unit, plan, words, actor)
  unit.order(plan.order, words, plan.drainMs)
  if (!wait) return { outcome: 'ordered', error: null, remembered, state: stateOf(unit) }
  const goal = plan.goal(before, monitor)
  const progress = await waitFor(
    () =>
      isLast() ?? (monitor.units().some(({ name }) => name === unit.name) ? goal(unit) : removed(unit.name)),
    monitor,
    timeoutMs ?? defaultWaitMs,
    gone,
  )
  const state = stateOf(unit)
  if (progress.kind === 'reached') return { outcome: 'done', error: null, remembered, state }
  const error = progress.kind === 'failed' ? progress.error : timedOut(unit, plan)
  return { outcome: 'failed', error, remembered, state }
}

function remember(unit: OrderedUnit, { wanted, drainMs }: Plan, why: string, { user }: Actor): boolean {
  if (wanted === undefined) return true
  return unit.want(wanted === 'up' ? 'up' : { why, by: user, drainMs })
}

function timedOut(unit: OrderedUnit, { wanted, order }: Plan): OrderError {
  const record = unit.record()
  const { name, phase, reason } = record
  const because = reason === null ? '' : ` (${reason})`
  const open = isProgramRecord(record) ? 0 : (record.health?.connections.open ?? 0)
  if (wanted === 'down' && phase === 'stopping' && open > 0) {
    const message = `${name} still finishes ${open} ${open === 1 ? 'connection' : 'connections'}`
    return orderError('timed-out', message, nextOrder('stop', name))
  }
  const what = wanted === 'down' ? `${name} is not down yet` : `${order} of ${name} is not done yet`
  return orderError('timed-out', `${what}: ${stateOf(unit).state}${because}`, nextToRead(record))
}

function removed(name: string): Progress {
  const message = `${name} is no longer configured`
  return failed('unit-removed', message, nextOrder('list'))
}

/** What the last order wanted of a unit, and who gave it. */
interface Wish {
  readonly wanted: 'up' | 'down'
  readonly actor: Actor
}

/** By state directory: whoever is bound to some units sees another monitor, and gives orders to the same. */
const wishes = new Map<string, Map<string, Wish>>()

/** Notes what an order wants. @returns what tells whether a later one wants something else. */
function wants(
  monitor: OrderedMonitor,
  name: string,
  wanted: Plan['wanted'],
  actor: Actor,
): () => Progress | undefined {
  const all = wishes.get(monitor.stateDirectory) ?? new Map<string, Wish>()
  wishes.set(monitor.stateDirectory, all)
  const direction = wanted ?? 'up'
  const mine = wanted === undefined ? all.get(name) : { wanted, actor }
  if (mine !== undefined) all.set(name, mine)
  return () => {
    const last = all.get(name)
    if (last === undefined || last === mine || last.wanted === direction) return undefined
    const message = `${actorInWords(last.actor)} has ordered ${name} ${last.wanted} since`
    return failed('overruled', message, nextStatus(name))
  }
}
