import path from 'node:path'
import { ownUid } from '../../os/trusted-path.ts'
import { judgeProcess } from '../../process/identity.ts'
import type { OwnProcess } from '../../process/own-processes.ts'
import { readRuntimeState } from '../../record/runtime-state.ts'
import { fileNames } from '../../record/state-directory.ts'
import { writersDirectory } from '../../record/usual-directories.ts'
import { ownPrograms, shellWord } from '../../report/own-programs.ts'
import { type Check, type Finding, note, ok, warning } from '../check.ts'

/** What the records of a forwarder's state directory say of who watches it. */
export type Watch = 'watched' | 'unknown-to-monitor' | 'monitor-gone' | 'never-watched' | 'not-seen'

/** Judges one forwarder that runs. */
export function judgeForwarder(
  process: Pick<OwnProcess, 'pid' | 'port'>,
  directory: string,
  watch: Watch,
): Finding | undefined {
  const which = `the forwarder of port ${process.port ?? '?'} (PID ${process.pid})`
  const monitor = `${ownPrograms().monitor} --state-dir ${shellWord(directory)}`
  switch (watch) {
    case 'watched':
      return undefined
    case 'not-seen':
      return note('forwarder-of-another', `${which} belongs to another user`, null)
    case 'never-watched':
      return note('forwarder-alone', `${which} is not monitored: nothing restarts it`, null)
    case 'monitor-gone':
      return warning(
        'forwarder-left-behind',
        `${which} is not monitored any more: its monitor has ended`,
        `${monitor}, or end it: kill ${process.pid}`,
      )
    case 'unknown-to-monitor':
      return warning(
        'forwarder-unknown',
        `${which} runs in ${directory}, whose monitor does not know it`,
        `kill ${process.pid}`,
      )
  }
}

export const strays: Check = {
  name: 'strays',
  run: ({ processes }) => {
    const forwarders = processes.filter(({ kind }) => kind === 'forwarder')
    const found = forwarders.flatMap((process) => {
      const directory = process.stateDirectory ?? writersDirectory(undefined).directory
      return judgeForwarder(process, directory, watchOf(process, directory)) ?? []
    })
    if (found.length > 0) return found
    const what =
      forwarders.length === 0 ? 'no forwarder runs' : `every forwarder is monitored (${forwarders.length})`
    return [ok('forwarders', what)]
  },
}

function watchOf(process: OwnProcess, directory: string): Watch {
  if (process.uid !== undefined && process.uid !== ownUid() && ownUid() !== 0) return 'not-seen'
  const reading = readRuntimeState(path.join(directory, fileNames.runtimeState))
  if (reading.kind !== 'read') return 'never-watched'
  const { writer, forwards } = reading.state
  const verdict = judgeProcess(writer.identity)
  if (verdict !== 'alive' && verdict !== 'stopped') return 'monitor-gone'
  // One that is being replaced finishes its connections beside its successor.
  return forwards.some(({ port }) => port === process.port) ? 'watched' : 'unknown-to-monitor'
}
