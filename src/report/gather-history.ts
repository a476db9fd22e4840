import path from 'node:path'
import { exitCode, Failure } from '../os/failure.ts'
import { copiesOf } from '../record/copies.ts'
import { readJournal } from '../record/journal.ts'
import { readRuntimeState, type StateReading } from '../record/runtime-state.ts'
import { fileNames } from '../record/state-directory.ts'
import { type History, historyOf } from './history.ts'

/**
 * The history of the forwards, from the journal and the monitor's last sign of life.
 * @param asked names or ports; empty = all.
 * @throws Failure (64) when the journal knows none of that name.
 */
export async function gatherHistory(stateDirectory: string, asked: readonly string[]): Promise<History> {
  const entries = await readJournal(stateDirectory)
  const reading = readRuntimeState(path.join(stateDirectory, fileNames.runtimeState))
  const history = historyOf({ entries, now: Date.now(), watchedUntil: watchedUntil(reading) })
  if (asked.length === 0) return history
  const { forwards } = history
  const chosen = asked.flatMap((word) => {
    const found = forwards.find(({ name, port }) => name === word || String(port) === word)
    if (found !== undefined) return [found]
    const copies = copiesOf(stateDirectory, word)
    const ofCopies = forwards.filter(({ name }) => copies.includes(name))
    if (ofCopies.length > 0) return ofCopies
    const known = forwards.map(({ name, port }) => (port === null ? name : `${name} (${port})`)).join(', ')
    throw new Failure(
      `there is no forward "${word}" in the journal; it has ${known || 'none yet'}`,
      exitCode.usage,
    )
  })
  return { ...history, forwards: chosen }
}

/** Wall time of the monitor's last sign of life, until which it has watched; undefined when that is not known. */
export function watchedUntil(reading: StateReading): number | undefined {
  if (reading.kind !== 'read') return undefined
  return Date.parse(reading.state.stopped?.at ?? reading.state.writtenAt)
}
