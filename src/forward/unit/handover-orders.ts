import path from 'node:path'
import type { ForwardOptions } from '../../config/forward-options.ts'
import { askControl, connectControl } from '../../control/client.ts'
import { errorText } from '../../os/failure.ts'
import { timeLimit } from '../../os/time-limit.ts'
import { fileNames } from '../../record/state-directory.ts'
import { answerTakesMs, whoTookOver } from '../../watch/own-handover.ts'
import type { StartOutcome } from '../../watch/unit.ts'
import { forwarderCommand } from './forwarder-process.ts'
import type { ForwardFault } from './vocabulary.ts'

/**
 * A stray starts its own successor, which keeps its files where this monitor looks for them.
 * @param theirs the stray's state directory.
 * @returns what came of it.
 */
export async function orderAdoption(
  options: ForwardOptions,
  stateDirectory: string,
  theirs: string,
  timeoutMs: number,
): Promise<StartOutcome> {
  const order = { run: forwarderCommand(options, stateDirectory), timeoutMs }
  try {
    const socket = path.join(theirs, fileNames.forwarderSocket(options.listenPort))
    const answer = await askControl(socket, 'hand-over', order, timeoutMs + answerTakesMs)
    return { ok: true, identity: whoTookOver(answer) }
  } catch (error) {
    const fault: ForwardFault = { code: 'not-handed-over', why: errorText(error) }
    return { ok: false, fault, isBlocked: true }
  }
}

/** ms that a forwarder may take to end after the time that its connections have. */
const endTakesMs = 2000

/**
 * Tells a forwarder to take no more connections and to end when those that it has are over. Resolves when it has ended, and also when it
 * will not: its time is over, or it is of a version that knows no such order. Never rejects.
 */
export async function orderDrain(socket: string, withinMs: number): Promise<void> {
  try {
    // One of its own: the watcher lets go of a connection to a forwarder that drains.
    const control = await connectControl(socket)
    try {
      await control.request('drain', { withinMs })
      await new Promise<void>((resolve) => {
        const inTime = timeLimit(withinMs + endTakesMs, resolve)
        void control.closed.then(() => {
          inTime()
          resolve()
        })
      })
    } finally {
      control.close()
    }
  } catch {
    // It is ended as any other is.
  }
}
