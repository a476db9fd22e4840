import path from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import { ControlRefusal } from '../../control/protocol.ts'
import { connectMonitor, giveOrder, noMonitor, unanswered } from '../../orders/client.ts'
import { errorCode, errorText, exitCode, Failure } from '../../os/failure.ts'
import { readRuntimeState } from '../../record/runtime-state.ts'
import type { JournalEntry } from '../../record/shapes/journal.ts'
import { fileNames } from '../../record/state-directory.ts'
import type { GivenCall, OrderRoad, RoadAnswer, RoadErrorCode } from './road.ts'

/** ms that a monitor which has died has to come back, on a busy machine, too; and one that was ended in order, as by a restart. */
const patienceMs = { died: 10_000, ended: 2000 }

/** ms between two tries. */
const tryEveryMs = 100

/** The longest time that Node's timers take: the order itself limits how long it takes. */
const forEverMs = 2 ** 31 - 1

/** The owner of this process gives every order, by the control socket of the monitor. */
export class ControlRoad implements OrderRoad {
  readonly #stateDirectory: string
  readonly #changes: (order: string) => boolean
  /** A monitor has answered since the last time that none was there. */
  #isKnown = false

  /** @param changes whether an order changes something, and so must not be given twice. */
  constructor(stateDirectory: string, changes: (order: string) => boolean) {
    this.#stateDirectory = stateDirectory
    this.#changes = changes
  }

  allows(): boolean {
    return true
  }

  async give(
    order: string,
    input: Readonly<Record<string, unknown>>,
    { signal, onEvent = () => {} }: GivenCall,
  ): Promise<RoadAnswer> {
    const began = performance.now()
    for (;;) {
      const answer = await this.#try(order, input, signal, onEvent)
      const mayChange = answer === undefined ? this.#isKnown : isNotReady(answer)
      const waited = performance.now() - began
      if (signal.aborted || !mayChange || waited > (this.#hasEnded() ? patienceMs.ended : patienceMs.died)) {
        if (answer !== undefined) return answer
        this.#isKnown = false
        const { message, next } = await noMonitor(this.#stateDirectory)
        return failed('no-monitor', message, next)
      }
      await after(tryEveryMs, undefined, { signal }).catch(() => {})
    }
  }

  /** The last monitor has ended in order, by its records. */
  #hasEnded(): boolean {
    const reading = readRuntimeState(path.join(this.#stateDirectory, fileNames.runtimeState))
    return reading.kind === 'read' && reading.state.stopped !== null
  }

  /** @returns undefined when no monitor is there, or it went away and the order may be given again. */
  async #try(
    order: string,
    input: Readonly<Record<string, unknown>>,
    signal: AbortSignal,
    onEvent: (event: unknown) => void,
  ): Promise<RoadAnswer | undefined> {
    try {
      // One connection for each order: its end tells the monitor that nobody waits any more.
      const control = await connectMonitor(this.#stateDirectory)
      if (control === undefined) return undefined
      const leave = () => control.close()
      signal.addEventListener('abort', leave, { once: true })
      try {
        if (signal.aborted) leave()
        const answer = await giveOrder(control, { order, input, via: 'mcp', timeoutMs: forEverMs, onEvent })
        this.#isKnown = true
        return answer
      } finally {
        signal.removeEventListener('abort', leave)
        leave()
      }
    } catch (error) {
      if (errorCode(error) !== 'ECONNRESET') {
        const isRefused = error instanceof Failure && error.exitCode === exitCode.noPermission
        return failed(isRefused ? 'not-permitted' : 'unavailable', this.#wordsOf(error), null)
      }
      this.#isKnown = true
      if (signal.aborted) return failed('interrupted', 'the call was cancelled', null)
      if (!this.#changes(order)) return undefined
      const message = `the monitor ended while it carried out ${order}; the next one goes on with what was ordered`
      return failed('interrupted', message, 'look at get_status')
    }
  }

  #wordsOf(error: unknown): string {
    return errorText(error instanceof ControlRefusal ? unanswered(this.#stateDirectory, error) : error)
  }

  follow(seen: (entry: JournalEntry | undefined) => void): () => void {
    const over = new AbortController()
    void this.#followUntil(over.signal, seen)
    return () => over.abort()
  }

  async #followUntil(over: AbortSignal, seen: (entry: JournalEntry | undefined) => void): Promise<void> {
    while (!over.aborted) {
      const onEvent = (event: unknown) => seen(event as JournalEntry)
      const followed = await this.#try('follow-events', {}, over, onEvent)
      if (over.aborted) return
      // It has gone, or is not there: when it is back, anything may have changed.
      if (followed === undefined) seen(undefined)
      await after(1000, undefined, { signal: over }).catch(() => {})
    }
  }
}

/** It starts, or ends and may be followed by another one, or is so busy with its start that it does not answer. */
function isNotReady(answer: RoadAnswer): boolean {
  return 'error' in answer && ['not-ready', 'ending', 'unavailable'].includes(answer.error.code)
}

function failed(code: RoadErrorCode, message: string, next: string | null): RoadAnswer {
  return { done: false, error: { code, message, next } }
}
