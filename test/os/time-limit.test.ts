// A timer of Node takes whole milliseconds, of the wait and of the time at which it begins: it fires up to two too early.
import { describe, expect, it } from 'vitest'
import { monotonicMs } from '../../src/os/clock.ts'
import { callAt, timeLimit } from '../../src/os/time-limit.ts'

/** @returns ms from the due time until it was called; below 0 = too early. */
function calledAfter(waitMs: number, wait: (at: number, called: () => void) => void): Promise<number> {
  return new Promise((resolve) => {
    const at = monotonicMs() + waitMs
    wait(at, () => resolve(monotonicMs() - at))
  })
}

const waits = Array.from({ length: 600 }, (_, index) => index * 0.37)

describe('A wait', () => {
  it('ends at its time and not before', async () => {
    const late = await Promise.all(waits.map((waitMs) => calledAfter(waitMs, callAt)))
    expect(Math.min(...late)).toBeGreaterThanOrEqual(0)
    const limits = waits.map((waitMs) => calledAfter(waitMs, (_at, called) => timeLimit(waitMs, called)))
    expect(Math.min(...(await Promise.all(limits)))).toBeGreaterThanOrEqual(0)
  })

  it('that is cancelled calls nobody', async () => {
    const called: string[] = []
    const cancel = [
      callAt(monotonicMs() + 5, () => called.push('at')),
      timeLimit(5, () => called.push('limit')),
    ]
    for (const one of cancel) one()
    await calledAfter(20, callAt)
    expect(called).toEqual([])
  })
})
