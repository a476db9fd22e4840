/** What an order about a unit waits for, and the waiting. */

import { timeLimit } from '../os/time-limit.ts'
import { sameProcess } from '../process/identity.ts'
import { isProgramRecord } from '../record/shapes/runtime-state.ts'
import type { OrderedMonitor, OrderedRecord, OrderedUnit } from './monitor.ts'
import { type NextStep, nextOrder, nextStatus, nextWhy } from './next-step.ts'
import { type OrderError, orderError } from './order.ts'

export type Progress =
  | { readonly kind: 'reached' }
  | { readonly kind: 'failed'; readonly error: OrderError }
  | { readonly kind: 'going-on' }

/** How far a unit is. */
export type Goal = (unit: OrderedUnit) => Progress

export const reached: Progress = { kind: 'reached' }
export const goingOn: Progress = { kind: 'going-on' }

export const failed = (code: OrderError['code'], message: string, next: NextStep): Progress => ({
  kind: 'failed',
  error: orderError(code, message, next),
})

/** It died too often, and waits. */
export function isFlapping(record: OrderedRecord): Progress {
  const { name } = record
  return failed('flapping', `${name} dies again and again${because(record)}`, nextAfterFailure(record))
}

/** Something that is not ours stands in the way. */
export function isBlocked(record: OrderedRecord): Progress {
  const { name } = record
  return failed('blocked', `${name} cannot be started${because(record)}`, nextStatus(name))
}

/** What its process has left behind is there, and nothing is started beside it. */
export function isDetached(record: OrderedRecord): Progress {
  const { name } = record
  return failed('detached', `${name} is not started${because(record)}`, nextOrder('end', name))
}

/** What had been left behind is gone, or is being replaced by the restart policy. */
export const restEnded: Goal = (unit) => {
  const { name, phase, reason } = unit.record()
  if (phase === 'blocked') return failed('does-not-end', `${name}: ${reason}`, nextStatus(name))
  return phase === 'detached' || phase === 'stopping' ? goingOn : reached
}

/** Where the cause of a failure stands: in what it printed, or else in its history. */
export function nextAfterFailure({ name, cause }: OrderedRecord): NextStep {
  return cause?.isInOutput === true ? nextOrder('logs', name) : nextWhy(name)
}

/** What tells more of a unit that takes its time: what it printed when it failed, or else its status. */
export function nextToRead({ name, cause }: OrderedRecord): NextStep {
  return cause?.isInOutput === true ? nextOrder('logs', name) : nextStatus(name)
}

/** ms that a wait in vain lasts before it counts: what it waits for may be ordered up by the same person in this moment. */
const inVainMs = 400

/** Tells of a wait in vain, once it has lasted. */
export function vainWait(monitor: OrderedMonitor): (record: OrderedRecord) => Progress {
  let since: number | undefined
  return (record) => {
    const vain = waitsInVain(record, monitor)
    since = vain && (since ?? performance.now())
    return since !== undefined && performance.now() - since >= inVainMs && vain !== undefined ? vain : goingOn
  }
}

/**
 * What it waits for does not run, and nobody has ordered it to: that wait has no end.
 * @returns undefined = there is no such thing.
 */
function waitsInVain({ name, cause }: OrderedRecord, monitor: OrderedMonitor): Progress | undefined {
  for (const wanted of cause?.waitsFor ?? []) {
    const unit = monitor.units().find((one) => one.name === wanted)
    const { phase, completed } = unit?.record() ?? {}
    if (phase !== 'down' || completed === true) continue
    const why = unit?.wantedDown() === undefined ? 'is not started' : 'was stopped by an order'
    return failed(
      'dependency-stopped',
      `${name} waits for ${wanted}, which ${why}`,
      nextOrder('start', wanted),
    )
  }
  return undefined
}

/** It could not be started, or has died, and waits. */
export function hasFailed(record: OrderedRecord): Progress {
  const { name } = record
  return failed('failed', `${name} failed${because(record)}`, nextAfterFailure(record))
}

/** The reason, as the end of a sentence. */
export function because({ reason }: OrderedRecord): string {
  return reason === null ? '' : `: ${reason}`
}

/** It runs, answers and accepts connections. Whether its target does is the target's affair. */
export function isUp(record: OrderedRecord): boolean {
  const { phase, identity, health, failures } = record
  return phase === 'running' && identity !== null && health?.identity.pid === identity.pid && failures === 0
}

/**
 * It is up.
 * @param before how it stood when the order was given. `isNew`: another process than the one that ran then is wanted.
 */
export function up(before: OrderedRecord, isNew: boolean, monitor: OrderedMonitor): Goal {
  const vain = vainWait(monitor)
  return (unit) => {
    const record = unit.record()
    const { name, phase } = record
    const replacement = unit.replacement()
    switch (phase) {
      case 'running': {
        if (replacement?.state === 'starting') return goingOn
        if (!isNew || !isSameProcess(before, record)) return isUp(record) ? reached : goingOn
        if (replacement?.state !== 'failed') return goingOn
        const message = `${name} could not be replaced: ${replacement.why}; PID ${record.identity?.pid} keeps running`
        return failed('replacement-failed', message, nextOrder('status', name, `proxy-log ${name}`))
      }
      case 'blocked':
        // As it was before the order: the look that it asked for is under way.
        if (before.phase === 'blocked' && before.lastCheckAt === record.lastCheckAt) return goingOn
        return isBlocked(record)
      case 'flapping':
        return isFlapping(record)
      case 'detached':
        // The look that a start asks for is under way.
        if (before.phase === 'detached' && before.lastCheckAt === record.lastCheckAt) return goingOn
        return isDetached(record)
      case 'down':
        // One that runs once has done its work since, or was doing it when somebody wanted that.
        return record.completed === true &&
          (record.memory.generation > before.memory.generation || (!isNew && before.phase !== 'down'))
          ? reached
          : goingOn
      case 'backoff':
        // A forward comes up by itself as soon as its port does. A program that fails needs somebody who mends it.
        return isProgramRecord(record) && hasFailedSince(before, record) ? hasFailed(record) : goingOn
      case 'unknown':
      case 'starting':
      case 'stopping':
        return goingOn
      case 'awaiting':
        return vain(record)
    }
  }
}

/** It was started since, and waits for its next try. */
function hasFailedSince(before: OrderedRecord, { failures, memory }: OrderedRecord): boolean {
  return failures > 0 && memory.generation > before.memory.generation
}

/** It has ended, with all that it had started. */
export const down: Goal = (unit) => {
  const { name, phase, reason } = unit.record()
  if (phase === 'down') return reached
  // A stop asks a blocked one to be looked at first, so this is what came of ending it.
  if (phase === 'blocked') return failed('does-not-end', `${name}: ${reason}`, nextStatus(name))
  return goingOn
}

function isSameProcess(a: OrderedRecord, b: OrderedRecord): boolean {
  return a.identity !== null && b.identity !== null && sameProcess(a.identity, b.identity)
}

/** ms between two looks that need no event: a look at a unit that changes nothing is none. */
const lookEveryMs = 250

/**
 * Waits until the goal is reached or fails, for so long at most, or until nobody waits any more.
 */
export function waitFor(
  goal: () => Progress,
  monitor: OrderedMonitor,
  timeoutMs: number,
  gone: AbortSignal,
): Promise<Progress> {
  return new Promise((resolve) => {
    const end = (progress: Progress) => {
      clearInterval(looking)
      inTime()
      forget()
      gone.removeEventListener('abort', leave)
      resolve(progress)
    }
    const look = () => {
      const progress = goal()
      if (progress.kind !== 'going-on') end(progress)
    }
    const leave = () => end(goingOn)
    const looking = setInterval(look, lookEveryMs)
    const inTime = timeLimit(timeoutMs, leave)
    // Within a decision, before its effects: what follows from them is seen then.
    const forget = monitor.onChange(() => setImmediate(look))
    gone.addEventListener('abort', leave)
    if (gone.aborted) leave()
    else look()
  })
}
