import path from 'node:path'
import type { ForwardOptions } from '../../config/forward-options.ts'
import { askControl, connectControl } from '../../control/client.ts'
import { type ControlErrorCode, ControlRefusal } from '../../control/protocol.ts'
import { errorText } from '../../os/failure.ts'
import { timeLimit } from '../../os/time-limit.ts'
import type { ProcessIdentity } from '../../process/identity.ts'
import { handedOver } from '../../record/shapes/control.ts'
import { fileNames } from '../../record/state-directory.ts'
import type { ReplaceOutcome, StartOutcome } from '../../watch/unit.ts'
import { forwarderCommand } from './forwarder-process.ts'
import type { ForwarderLink } from './link.ts'
import type { ForwardFault } from './vocabulary.ts'

/** ms that a forwarder's answer to a handover may come later than the time its replacement has. */
const answerTakesMs = 2000

type ReplaceFailure = Extract<ReplaceOutcome, { ok: false }>['reason']

/** What a refused handover means, by the code of the refusal. */
const replaceFailures: Partial<Record<ControlErrorCode, ReplaceFailure>> = {
  'unknown-command': 'unsupported',
  'replacement-under-way': 'under-way',
  ending: 'under-way',
}

/** Only the forwarder that runs can pass its sockets on, so it starts its replacement itself. @returns what came of it. */
export async function orderReplacement(
  link: ForwarderLink,
  options: ForwardOptions,
  stateDirectory: string,
  timeoutMs: number,
): Promise<ReplaceOutcome> {
  const failed = (message: string, reason: ReplaceFailure) => ({ ok: false, message, reason }) as const
  try {
    const connection = await link.connect()
    if (typeof connection === 'string') return failed('its control socket does not answer', 'unsupported')
    const order = { run: forwarderCommand(options, stateDirectory), timeoutMs }
    const answer = await connection.request('hand-over', order, timeoutMs + answerTakesMs)
    // The next look is at the one that took over, whose control socket it is now.
    link.drop(connection)
    return { ok: true, identity: whoTookOver(answer) }
  } catch (error) {
    const reason = error instanceof ControlRefusal ? replaceFailures[error.code] : undefined
    return failed(errorText(error), reason ?? 'failed')
  }
}

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

function whoTookOver(answer: unknown): ProcessIdentity {
  const identity = handedOver.read(answer)?.identity
  if (identity === undefined) throw new Error('its answer does not say which process took over')
  return identity
}
