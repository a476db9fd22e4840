import { type Listed, Roster } from '../roster.ts'

/** Somebody who waits for what mostly comes at once. */
export interface Waiter extends Listed<Waiter> {
  /** In ms of `performance.now()`; Infinity = none. Is looked at again and again. */
  readonly deadline: number
  /** Told at every look after it, until it is later or the waiter is removed. */
  deadlinePassed(): void
}

/** Looks are so many ms apart; somebody is told by so much too late. */
const lookMs = 25

const waiters = new Roster<Waiter>()
let timer: NodeJS.Timeout | undefined

/**
 * One timer for all: nearly every dial is over long before its deadline, and to set up and take down a timer for each took as long as
 * all else that is done for it.
 */
export function addWaiter(waiter: Waiter): void {
  waiters.add(waiter)
  timer ??= setInterval(look, lookMs)
}

export function removeWaiter(waiter: Waiter): void {
  waiters.delete(waiter)
}

function look(): void {
  if (waiters.size === 0) {
    clearInterval(timer)
    timer = undefined
  }
  const now = performance.now()
  for (const waiter of waiters) if (waiter.deadline <= now) waiter.deadlinePassed()
}
