import path from 'node:path'
import type { ForwardOptions } from '../config/forward-options.ts'
import { askControl } from '../control/client.ts'
import { errorCode, errorText } from '../os/failure.ts'
import type { ProcessIdentity } from '../os/process-identity.ts'
import { fileNames } from '../record/state-directory.ts'
import type { Effect, Observation } from './decide/state.ts'
import type { ForwarderLink } from './forwarder-link.ts'
import { forwarderCommand } from './forwarder-process.ts'

/** ms that a forwarder's answer to a handover may come later than the time its replacement has. */
const answerTakesMs = 2000

type ReplaceFailure = Extract<Observation, { kind: 'replace-failed' }>['reason']

/** What a refused handover means, by the code of the refusal. */
const replaceFailures: Readonly<Record<string, ReplaceFailure>> = {
  'unknown-command': 'unsupported',
  'replacement-under-way': 'under-way',
  ending: 'under-way',
}

/** Only the forwarder that runs can pass its sockets on, so it starts its replacement itself. @returns what came of it. */
export async function orderReplacement(
  link: ForwarderLink,
  options: ForwardOptions,
  stateDirectory: string,
  { generation, timeoutMs }: Extract<Effect, { kind: 'replace' }>,
): Promise<Extract<Observation, { kind: 'replaced' | 'replace-failed' }>> {
  const failed = (message: string, reason: ReplaceFailure) =>
    ({ kind: 'replace-failed', generation, message, reason }) as const
  try {
    const connection = await link.connect()
    if (typeof connection === 'string') return failed('its control socket does not answer', 'unsupported')
    const order = { run: forwarderCommand(options, stateDirectory), timeoutMs }
    const answer = await connection.request('hand-over', order, timeoutMs + answerTakesMs)
    // The next look is at the one that took over, whose control socket it is now.
    link.drop(connection)
    return { kind: 'replaced', generation, identity: (answer as { identity: ProcessIdentity }).identity }
  } catch (error) {
    return failed(errorText(error), replaceFailures[errorCode(error) ?? ''] ?? 'failed')
  }
}

/** A stray starts its own successor, which keeps its files where this monitor looks for them. @returns what came of it. */
export async function orderAdoption(
  options: ForwardOptions,
  stateDirectory: string,
  { generation, stateDirectory: theirs, timeoutMs }: Extract<Effect, { kind: 'adopt' }>,
): Promise<Extract<Observation, { kind: 'started' | 'start-failed' }>> {
  const order = { run: forwarderCommand(options, stateDirectory), timeoutMs }
  try {
    const socket = path.join(theirs, fileNames.forwarderSocket(options.listenPort))
    const answer = await askControl(socket, 'hand-over', order, timeoutMs + answerTakesMs)
    return { kind: 'started', generation, identity: (answer as { identity: ProcessIdentity }).identity }
  } catch (error) {
    const message = `the forwarder that serves its port does not hand over: ${errorText(error)}`
    return { kind: 'start-failed', generation, message, portTaken: true }
  }
}
