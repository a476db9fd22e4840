/**
 * The restart of several copies of one program: one after another, each ready before the next is touched, so that forwards to the program have
 * somewhere to lead. The first that does not become ready ends it, and the others go on as they are.
 */
import { timeLimit } from '../os/time-limit.ts'
import type { OrderedMonitor, OrderedUnit } from './monitor.ts'
import { nextStatus } from './next-step.ts'
import { type OrderError, orderError } from './order.ts'
import { isUp, nextAfterFailure } from './unit-goals.ts'
import type { UnitResult } from './unit-result.ts'
import { stateOf } from './unit-state.ts'

/** How one copy is restarted. */
export interface CopyRestart {
  /** Why it is not to be restarted any more: another order came after this one; undefined = it is. */
  readonly overruled: (unit: OrderedUnit) => OrderError | undefined
  /** Restarts it and waits until it is ready, has failed, or `gone` is aborted. */
  readonly restart: (unit: OrderedUnit, gone: AbortSignal) => Promise<UnitResult>
}

/** The restart that counts, by state directory and program: a later one takes over from it. */
const counting = new Map<string, symbol>()

/** ms between two looks whether the monitor ends. */
const lookEveryMs = 500

/**
 * Restarts copies of one program. That goes on when nobody waits for it any more.
 * @param waitMs undefined = nobody waits.
 * @returns what became of each until then, in the order in which they were given.
 */
export async function restartInTurn(
  copies: readonly OrderedUnit[],
  monitor: OrderedMonitor,
  waitMs: number | undefined,
  gone: AbortSignal,
  one: CopyRestart,
): Promise<readonly UnitResult[]> {
  const results = new Map<string, UnitResult>()
  const all = restartAll(copies, monitor, one, results)
  if (waitMs !== undefined) await doneOr(all, waitMs, gone)
  return copies.map((unit) => results.get(unit.name) ?? underWay(unit, waitMs !== undefined))
}

async function restartAll(
  copies: readonly OrderedUnit[],
  monitor: OrderedMonitor,
  { overruled, restart }: CopyRestart,
  results: Map<string, UnitResult>,
): Promise<void> {
  const key = `${monitor.stateDirectory} ${copies[0]?.group ?? ''}`
  const mine = Symbol()
  counting.set(key, mine)
  const ending = new AbortController()
  const looking = setInterval(() => monitor.isEnding && ending.abort(), lookEveryMs)
  looking.unref()
  const restartOne = async (unit: OrderedUnit) => {
    const later =
      counting.get(key) === mine
        ? overruled(unit)
        : orderError('overruled', `${unit.name} is restarted by a later order`, nextStatus(unit.name))
    results.set(
      unit.name,
      later === undefined ? await restart(unit, ending.signal) : failedResult(unit, later),
    )
  }
  try {
    // Those that serve nobody need not wait for each other. What they are started from is tried before the others are touched.
    const idle = copies.filter((unit) => !isUp(unit.record()))
    await Promise.all(idle.map(restartOne))
    let bad = idle.find(({ name }) => results.get(name)?.outcome === 'failed')
    for (const unit of copies) {
      if (idle.includes(unit)) continue
      if (bad === undefined && !ending.signal.aborted) await restartOne(unit)
      else if (bad !== undefined) results.set(unit.name, failedResult(unit, spared(unit, bad)))
      if (results.get(unit.name)?.outcome === 'failed') bad ??= unit
    }
  } finally {
    clearInterval(looking)
    if (counting.get(key) === mine) counting.delete(key)
  }
}

function spared({ name }: OrderedUnit, bad: OrderedUnit): OrderError {
  const message = `${name} was not restarted, because ${bad.name} did not become ready: it goes on as it is`
  return orderError('replacement-failed', message, nextAfterFailure(bad.record()))
}

function failedResult(unit: OrderedUnit, error: OrderError): UnitResult {
  return { outcome: 'failed', error, remembered: true, state: stateOf(unit) }
}

function underWay(unit: OrderedUnit, isLate: boolean): UnitResult {
  const state = stateOf(unit)
  if (!isLate) return { outcome: 'ordered', error: null, remembered: true, state }
  const message = `restart of ${unit.name} is not done yet: copies are restarted one after another, and that goes on`
  return failedResult(unit, orderError('timed-out', message, nextStatus(unit.name)))
}

/** Resolves when all is done, after so many ms, or when nobody waits any more. */
function doneOr(all: Promise<void>, waitMs: number, gone: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const inTime = timeLimit(waitMs, () => resolve())
    gone.addEventListener('abort', () => resolve(), { once: true })
    if (gone.aborted) resolve()
    all.then(resolve, reject).finally(() => inTime())
  })
}
