import path from 'node:path'
import type { ForwardOptions } from '../config/forward-options.ts'
import { planListeners } from '../forward/listen/listen-plan.ts'
import { machineAddresses } from '../os/interfaces.ts'
import { describeHolder, findPortHolder } from '../os/port-holder.ts'
import type { ProcessIdentity } from '../os/process-identity.ts'
import { judgePidFile, readPidFile, removeStalePidFile } from '../record/pid-file.ts'
import { fileNames } from '../record/state-directory.ts'
import type { ForwardState, LeftBehind } from './decide/state.ts'
import type { ForwardCheck } from './diagnose.ts'
import { leftBehind } from './process-ending.ts'

/** What a forward has on this machine beside its process: its files, its port, and what a process of it left behind. */
export class ForwardPlace {
  readonly #stateDirectory: string
  readonly #options: () => ForwardOptions

  /** @param options as they are configured now; the port never changes. */
  constructor(stateDirectory: string, options: () => ForwardOptions) {
    this.#stateDirectory = stateDirectory
    this.#options = options
  }

  /** @param name one of `fileNames` that belong to a port. */
  file(name: (port: number) => string): string {
    return path.join(this.#stateDirectory, name(this.#options().listenPort))
  }

  /** Who holds an address that the forward would listen on, in words; undefined = nobody. */
  findHolder(): string | undefined {
    const options = this.#options()
    for (const address of planListeners(options, machineAddresses()).addresses) {
      const holder = findPortHolder(options.listenPort, address)
      if (holder !== undefined) return describeHolder(holder)
    }
    return undefined
  }

  /** Removes the PID file only if it still names nobody, or nobody alive who is ours. */
  removeStalePidFile(): void {
    const file = this.file(fileNames.pidFile)
    const found = readPidFile(file)
    const verdict = judgePidFile(found)
    const isOwners = found.kind === 'identified' && (verdict === 'alive' || verdict === 'stopped')
    // One of ours that cannot be verified is removed only after its control socket has refused: nobody holds it.
    if (isOwners || (verdict === 'unverifiable' && found.kind !== 'identified')) return
    removeStalePidFile(file, found)
  }

  /** What is left of a process that is gone, which the PID file names, or else the state; undefined = nothing. */
  leftBehind({ pidFile }: ForwardCheck, { phase }: ForwardState): LeftBehind | undefined {
    const known: ProcessIdentity | undefined = phase.id === 'running' ? phase.identity : undefined
    const identity = pidFile.kind === 'process' ? pidFile.identity : known
    const processes = identity === undefined ? [] : leftBehind(identity)
    return identity === undefined || processes.length === 0 ? undefined : { identity, processes }
  }
}
