import { monotonicMs } from './clock.ts'

/** ms by which a timer is late when this process did not run meanwhile, rather than being busy. */
const lateMs = 200

/** A machine that is always late must find what hangs all the same. */
const mostRenewals = 3

/**
 * Calls back at a monotonic time and never before it. A timer of Node takes whole milliseconds, of the wait and of the time at which it
 * begins, and fires up to two too early: whoever compares the time then would wait for another call that never comes.
 * @returns what cancels it.
 */
export function callAt(at: number, due: () => void): () => void {
  let timer: NodeJS.Timeout | undefined
  const wait = () => {
    timer = setTimeout(
      () => (monotonicMs() < at ? wait() : due()),
      Math.max(1, Math.ceil(at - monotonicMs())),
    )
  }
  wait()
  return () => clearTimeout(timer)
}

/**
 * Calls back when so many ms have passed in which this process ran. One that was stopped, or whose machine was paused, finds every limit
 * exceeded when it goes on although nobody was slow: then the limit begins anew. What has arrived by then is heard first.
 * @returns what cancels it.
 */
export function timeLimit(ms: number, exceeded: () => void): () => void {
  let cancelWait = () => {}
  let turn: NodeJS.Immediate | undefined
  let renewals = 0
  const begin = () => {
    const dueAt = monotonicMs() + ms
    cancelWait = callAt(dueAt, () => {
      if (monotonicMs() - dueAt > lateMs && renewals++ < mostRenewals) return begin()
      // Timers come before sockets in a turn of the event loop, this comes after them.
      turn = setImmediate(exceeded)
    })
  }
  begin()
  return () => {
    cancelWait()
    clearImmediate(turn)
  }
}

/** Waits for something at most so long. @returns undefined = it has not happened by then. @throws what it rejects with until then. */
export async function within<Result>(event: Promise<Result>, ms: number): Promise<Result | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms)
  })
  try {
    return await Promise.race([event, late])
  } finally {
    clearTimeout(timer)
  }
}
